// The page of `segkit demo`: it sends photographs once and then asks for looks at them.

const $ = (id) => document.getElementById(id);
const controls = $("controls"), photos = [];
let settings, current = null, wanted = 0, drawing = false, resting;

async function call(path, options) {
  const answer = await fetch(path, options).catch(() => {
    throw new Error("The program behind this page has ended: start `segkit demo` again.");
  });
  const said = answer.status === 413 ? `This file is too large: at most ${settings.megabytes}.` : null;
  if (!answer.ok) throw Object.assign(new Error(said ?? await answer.text()), { status: answer.status });
  return answer;
}

const post = async (path, body) => (await call(path, { method: "POST", body })).json();

function complain(error) {
  $("trouble").textContent = error ? error.message : "";
  $("trouble").hidden = !error;
}

// A sentence stays until somebody acts again, whatever arrives meanwhile.
for (const act of ["input", "change", "click", "paste", "drop"]) document.addEventListener(act, () => complain(), true);

const doing = (work) => async (...event) => {
  try { await work(...event); } catch (error) { complain(error); }
};

// What the controls say

function look(form, more = {}) {
  const said = new URLSearchParams({ ...Object.fromEntries(new FormData(form)), ...more });
  if (said.get("background") === "picture" && form.picture) said.set("picture", form.picture);
  return said;
}

function tidy(form) {
  const said = Object.fromEntries(new FormData(form)), view = said.view ?? "result";
  for (const part of form.querySelectorAll("[data-only]"))
    part.hidden = ![view, view === "result" && said.background].includes(part.dataset.only);
  for (const output of form.querySelectorAll("output"))
    output.textContent = Number(said[output.htmlFor]).toFixed(2);
}

for (const input of document.querySelectorAll("[data-background]"))
  input.onchange = doing(async () => {
    input.form.picture = (await post("/backgrounds", input.files[0])).key;
    input.form.file = input.files[0];
    if (input.form === controls) show();
  });

// Photographs

async function keyOf(photo) {  // it is sent when it was not yet, or when another network shall look at it
  const { model, engine } = Object.fromEntries(new FormData(controls)), by = `${model} ${engine}`;
  if (photo.by !== by) {
    const said = new URLSearchParams({ name: photo.file.name, model, engine });
    [photo.by, photo.sent] = [by, post(`/photos?${said}`, photo.file)];
  }
  try { photo.about = await photo.sent; } catch (error) {
    photo.by = null;
    throw Object.assign(new Error(`${photo.file.name}: ${error.message}`), { status: error.status });
  }
  return photo.about.key;
}

async function ask(path, list, more) {  // what is deleted by now is sent again, once
  for (const last of [false, true]) {
    const keys = [];
    for (const photo of list) keys.push(await keyOf(photo));
    const said = look(controls, { ...more, keys });
    if (said.get("background") === "picture" && !controls.picture) said.set("background", "transparent");
    try { return await call(`${path(keys)}?${said}`); } catch (error) {
      if (error.status !== 410 || last) throw error;
      for (const photo of list) if (keys.includes(photo.about.key)) photo.by = null;
      if (controls.file) controls.picture = (await post("/backgrounds", controls.file)).key;
    }
  }
}

async function draw(photo, more) {
  const wish = wanted, answer = await ask(([key]) => `/photos/${key}`, [photo], more);
  const picture = await answer.blob(), share = answer.headers.get("Person-Share"), { about } = photo;
  if (photo !== current || (more && wish !== wanted)) return;
  URL.revokeObjectURL($("shown").src);
  $("shown").src = URL.createObjectURL(picture);
  $("shown").style.setProperty("--ratio", about.width / about.height);
  const said = look(controls), view = said.get("view");
  $("shown").alt = `${photo.file.name}, ${view === "result" ? `background: ${said.get("background")}` : view}`;
  if (!more) $("caption").textContent = `${about.width} × ${about.height} pixels · ${about.kind} ${Math.round(share * 100)} % · ` +
    `network ${about.milliseconds} ms, look ${answer.headers.get("Server-Timing").split("=")[1]} ms`;
}

async function show() {  // the newest wish counts; what lies between is left out
  tidy(controls);
  wanted += 1;
  clearTimeout(resting);
  if (drawing || !current) return;
  drawing = true;
  $("start").hidden = true;
  $("result").hidden = false;
  $("result").ariaBusy = String(!current.about);
  let done;
  try {
    while (done !== wanted) {
      done = wanted;
      await draw(current);
    }
    resting = setTimeout(() => draw(current, { sharp: 1 }).catch(complain), 250);
  } catch (error) {
    complain(error);
    if (!current.about) remove(current);
  }
  drawing = false;
  $("result").ariaBusy = "false";
  $("download").disabled = !current;
  if (done !== wanted) show();
}

function add(files) {
  const pictures = [...files].filter((file) => file.type.startsWith("image/") || /\.(hei[cf]|avif)$/i.test(file.name));
  const others = [...files].filter((file) => !pictures.includes(file)).map((file) => file.name);
  if (others.length) complain(new Error(`No picture, and left out: ${others.join(", ")}`));
  if (!pictures.length) return;
  for (const file of pictures) photos.push({ file, url: URL.createObjectURL(file) });
  choose(photos.at(-pictures.length));
}

function choose(photo) {
  current = photo;
  list();
  if (photo) return show();
  $("start").hidden = false;
  $("result").hidden = $("download").disabled = true;
}

function remove(photo) {
  photos.splice(photos.indexOf(photo), 1);
  URL.revokeObjectURL(photo.url);
  if (photo.about) fetch(`/photos/${photo.about.key}`, { method: "DELETE" });
  choose(photo === current ? photos.at(-1) : current);
}

function button(words, work, picture) {
  const made = Object.assign(document.createElement("button"), { type: "button", onclick: work });
  if (picture) made.append(Object.assign(new Image(), { src: picture, alt: words }));
  else made.textContent = words;
  return made;
}

function list() {
  $("strip").replaceChildren(...photos.map((photo) => {
    const entry = document.createElement("span");
    entry.append(button(`Show ${photo.file.name}`, () => choose(photo), photo.url), button("×", () => remove(photo)));
    entry.firstChild.ariaPressed = String(photo === current);
    Object.assign(entry.lastChild, { className: "remove", ariaLabel: `Remove ${photo.file.name}` });
    return entry;
  }));
  $("zip").hidden = photos.length < 2;
}

async function save(answer) {
  const name = decodeURIComponent(answer.headers.get("Content-Disposition").split("''")[1]);
  const link = Object.assign(document.createElement("a"), { download: name });
  link.href = URL.createObjectURL(await answer.blob());
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

const waiting = (element, work) => doing(async () => {
  element.disabled = element.ariaBusy = true;
  try { await save(await work()); } finally { element.disabled = element.ariaBusy = false; }
});

$("download").onclick = waiting($("download"), () => ask(([key]) => `/photos/${key}`, [current], { full: 1 }));
$("zip").onclick = waiting($("zip"), () => ask(() => "/zip", photos));
$("files").onchange = () => {
  add($("files").files);
  $("files").value = "";  // or the same file, chosen again once it is mended, would be no change
};
controls.oninput = ({ target }) => target.type === "file" || show();
controls.onsubmit = (event) => event.preventDefault();
document.onpaste = ({ clipboardData }) => add(clipboardData.files);
document.ondragover = (event) => { event.preventDefault(); document.body.classList.add("dragging"); };
document.ondragleave = () => document.body.classList.remove("dragging");
document.ondrop = (event) => {
  event.preventDefault();
  document.ondragleave();
  add(event.dataTransfer.files);
};

// The camera

let stream;
$("camera").hidden = !navigator.mediaDevices;  // browsers lend it to pages of this machine, and over https
$("camera").onclick = doing(async () => {
  stream = await navigator.mediaDevices.getUserMedia({ video: { width: 1920 } });
  $("viewfinder").srcObject = stream;
  $("camera-box").showModal();
});
$("snap").onclick = () => {
  const view = $("viewfinder"), canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [view.videoWidth, view.videoHeight];
  canvas.getContext("2d").drawImage(view, 0, 0);
  canvas.toBlob((blob) => add([new File([blob], "camera.jpg", { type: blob.type })]), "image/jpeg", 0.95);
  $("camera-box").close();
};
$("camera-close").onclick = () => $("camera-box").close();
$("camera-box").onclose = () => stream.getTracks().forEach((track) => track.stop());

// Video

const form = $("video-controls");
let job;
form.oninput = () => tidy(form);
form.onsubmit = (event) => event.preventDefault();
$("video-file").onchange = () => {
  $("video-name").textContent = $("video-file").files[0].name;
  $("video-start").disabled = false;
};
$("video-start").onclick = async () => {
  $("video-start").disabled = true;
  $("clip").hidden = $("video-download").hidden = true;
  $("video-words").textContent = "sending";
  try {
    const file = $("video-file").files[0], { model, engine } = Object.fromEntries(new FormData(controls));
    job = (await post(`/videos?${look(form, { name: file.name, model, engine })}`, file)).key;
    $("video-cancel").disabled = $("progress").hidden = false;
    await watch(await (await call(`/videos/${job}`)).json());
  } catch (error) { $("video-words").textContent = error.message; }
  $("video-start").disabled = false;
  $("video-cancel").disabled = $("progress").hidden = true;
};
$("video-cancel").onclick = () => fetch(`/videos/${job}`, { method: "DELETE" });

async function watch({ done, total, words, ready }) {
  $("progress").value = done / Math.max(1, total, done);
  $("video-words").textContent = words || `${done} of ${total} frames`;
  if (!words) {
    await new Promise((next) => setTimeout(next, 400));
    return watch(await (await call(`/videos/${job}`)).json());
  }
  $("clip").hidden = $("video-download").hidden = !ready;
  if (!ready) return;
  $("clip").src = $("video-download").href = `/videos/${job}/file`;
  $("video-download").download = "";
}

// The frame of the page

for (const tab of document.querySelectorAll("[data-tab]"))
  tab.onclick = () => {
    for (const other of document.querySelectorAll("[data-tab]")) {
      other.ariaPressed = String(other === tab);
      $(other.dataset.tab).hidden = other !== tab;
    }
  };

settings = await (await call("/settings")).json();
for (const place of document.querySelectorAll("[data-setting]")) place.textContent = settings[place.dataset.setting];
for (const kind of ["model", "engine"]) {
  controls.elements[kind].append(...settings[`${kind}s`].map((name) => new Option(name)));
  controls.elements[kind].closest("label").hidden = settings[`${kind}s`].length < 2;
}
for (const link of document.querySelectorAll("[data-lesson]"))
  if (settings.lessons.includes(link.dataset.lesson)) link.href = `/lessons/${link.dataset.lesson}`;
for (const [name, words] of Object.entries(settings.examples)) {
  const open = doing(async () => add([new File([await (await call(`/examples/${name}`)).blob()], name, { type: "image/x" })]));
  $("examples").append(button(`Example: ${words}`, open, `/examples/${name}`));
  $("credits").append(Object.assign(document.createElement("li"), { textContent: words }));
}
controls.elements.threshold.value = settings.threshold;
tidy(controls);
tidy(form);
