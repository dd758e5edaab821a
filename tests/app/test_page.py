"""The web page: what it answers, what it refuses, and that nothing of it is left or leaves."""

import gc
import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest
from PIL import Image

pytest.importorskip("uvicorn")
av = pytest.importorskip("av")

from asking import ask, running  # noqa: E402

from segkit.app import page, photo, store, uploads, video  # noqa: E402
from segkit.checkpoint import CheckpointInfo, save_checkpoint  # noqa: E402
from segkit.files import UserError  # noqa: E402
from segkit.predict import Segmenter  # noqa: E402
from segkit.video.files import write_video  # noqa: E402

CALLED: list[tuple[str, object]] = []
CALLS = ("socket.connect", "socket.getaddrinfo")
sys.addaudithook(lambda event, args: CALLED.append((event, args)) if event in CALLS else None)


def encoded(pixels: np.ndarray, suffix: str = ".png") -> bytes:
    return cv2.imencode(suffix, pixels[..., ::-1])[1].tobytes()


@pytest.fixture
def portrait(astronaut) -> photo.Photo:
    """The astronaut, 1500 pixels long, as if a network had seen her head and shoulders."""
    image = cv2.resize(astronaut, (1500, 1500), interpolation=cv2.INTER_CUBIC)
    prob = np.zeros((1500, 1500), np.float32)
    cv2.ellipse(prob, (700, 900), (420, 750), 0, 0, 360, 1.0, -1)
    prob = cv2.GaussianBlur(prob, (0, 0), 25)
    return photo.Photo("my.photo.png", encoded(image), image, prob, (1500, 1500))


@pytest.fixture(params=[".mp4"])
def clip(tmp_path, request) -> bytes:
    """Three seconds of a bright square that moves."""
    frames = np.full((30, 64, 96, 3), 40, np.uint8)
    for i, frame in enumerate(frames):
        frame[20:50, 10 + i : 40 + i] = 220
    return write_video(tmp_path / f"clip{request.param}", frames, 10).read_bytes()


@pytest.fixture
def checkpoint(tiny_model, tmp_path) -> Path:
    info = CheckpointInfo(tiny_model.built_as, threshold=0.3)
    return save_checkpoint(tmp_path / "tiny.safetensors", tiny_model, info)


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    """Where videos lie while the page is open."""
    monkeypatch.setenv("SEGKIT_DATA", str(tmp_path / "home"))
    return tmp_path / "home" / "page"


@pytest.fixture
def address(checkpoint, home):
    with page.page_app([str(checkpoint)], engines=["torch"]) as app, running(app) as address:
        yield address


def send(address, data: bytes, name: str = "photo.png", path: str = "/photos") -> str:
    answer = ask(address, path, data, name=name)
    assert answer.status == 200, answer.text
    return json.loads(answer.text)["key"]


# Looks


@pytest.mark.parametrize("what", [*photo.BACKGROUNDS, "mask", "overlay"])
def test_what_is_shown_is_what_is_downloaded(portrait, what):
    picture = np.full((50, 70, 3), (200, 30, 30), np.uint8)
    look = photo.Look(background=what) if what in photo.BACKGROUNDS else photo.Look(what)
    suffix, data = portrait.full(look, picture)
    full = Image.open(io.BytesIO(data))
    shown = Image.fromarray(portrait.shown(look, picture, what == "overlay"))
    assert full.size == (1500, 1500)
    assert full.mode == shown.mode == {"transparent": "RGBA", "mask": "L"}.get(what, "RGB")
    names = {"transparent": "my.photo_cutout.png", "mask": "my.photo_mask.png"}
    assert portrait.name_of(look) + suffix == names.get(what, f"my.photo_{what}.jpg")
    quick = photo.QUICK, photo.QUICK
    full, shown = (  # colours count as far as they are seen
        np.asarray(image.convert("RGBA").convert("RGBa").resize(quick, Image.Resampling.BOX)).astype(int)
        for image in (full, shown)
    )
    difference = np.abs(full - shown)
    assert difference.mean() < 1 and (difference > 48).mean() < 0.002


def test_the_controls_change_the_answer_without_the_network(portrait):
    wide, narrow = (portrait.shown(photo.Look("mask", threshold=t)).mean() for t in (0.2, 0.9))
    assert 0 < narrow < wide
    hard, soft = (portrait.shown(photo.Look(softness=s))[..., 3] for s in (0, 1.0))
    assert not np.array_equal(hard, soft)


@pytest.mark.parametrize("background", ["transparent", "colour", "blur"])
def test_a_threshold_step_takes_less_than_150_ms(portrait, background):
    def step(threshold):
        started = time.thread_time()
        photo.encode(portrait.shown(photo.Look(background=background, threshold=threshold)))
        return time.thread_time() - started

    cv2.setNumThreads(1)  # all the work is counted, and whoever else uses this machine is not
    try:
        assert np.median([step(0.4 + i / 20) for i in range(3)]) < 0.15
    finally:
        cv2.setNumThreads(-1)


def test_a_look_is_read_from_an_address_or_refused_in_one_sentence():
    said = {"background": "colour", "colour": "#00aa55", "threshold": "0.3", "view": "result"}
    assert photo.Look.read(said) == photo.Look("result", "colour", (0, 170, 85), 0.3)
    wrong = ("view", "x"), ("background", ""), ("colour", "reed"), ("colour", "#00aa5"), ("threshold", "nan")
    for name, text in wrong:
        with pytest.raises(UserError, match=r"^[^\n]*\.$"):
            photo.Look.read({name: text})


# The page, served


def test_a_photo_is_sent_once_looked_at_and_downloaded(address, astronaut):
    answer = json.loads(ask(address, "/photos", encoded(astronaut), name="a photo ü.png").text)
    assert (answer["width"], answer["height"]) == (512, 512)
    where = f"/photos/{answer['key']}"
    shown = ask(address, where, view="overlay", threshold=0.4)
    assert shown.headers["Content-Type"] == "image/jpeg" and 0 <= float(shown.headers["Person-Share"]) <= 1
    saved = ask(address, where, full=1)
    assert saved.headers["Content-Disposition"].endswith("''a%20photo%20%C3%BC_cutout.png")
    assert Image.open(io.BytesIO(saved.data)).size == (512, 512)
    assert ask(address, where, method="DELETE").status == 204
    assert ask(address, where).status == 410


def test_several_photos_come_as_one_zip_and_none_replaces_another(address, astronaut):
    sizes = {"a.png": 64, "a.jpg": 80, "../b.png": 96}
    keys = [send(address, encoded(astronaut[:side, :side]), name) for name, side in sizes.items()]
    answer = ask(address, "/zip", keys=",".join(keys), background="colour")
    assert answer.headers["Content-Type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(answer.data)) as made:
        found = {name: Image.open(made.open(name)).size[0] for name in made.namelist()}
    assert found == {"a_colour.jpg": 64, "a_colour-2.jpg": 80, ".._b_colour.jpg": 96}


def test_a_picture_behind_people(address, astronaut):
    key = send(address, encoded(astronaut))
    behind = send(address, encoded(np.full((9, 9, 3), 7, np.uint8)), path="/backgrounds")
    assert ask(address, f"/photos/{key}", background="picture", picture=behind).status == 200
    for path, more in ((f"/photos/{key}", {}), ("/zip", {"keys": key})):
        answer = ask(address, path, background="picture", **more)
        assert answer.status == 400 and "choose a picture" in answer.text
    assert ask(address, f"/photos/{key}", background="picture", picture=key).status == 410


def test_bad_uploads_get_a_sentence_and_the_page_goes_on(address, astronaut):
    whole = encoded(astronaut, ".jpg")
    for data, words in (
        (b"not a picture", "not a picture"),
        (b"", "empty"),
        (whole[: len(whole) // 2], "damaged"),
        (b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>', "not a picture"),
    ):
        answer = ask(address, "/photos", data)
        assert answer.status == 400 and words in answer.text and "/" not in answer.text
    for fields in ({"model": "../../etc/passwd"}, {"engine": "http://evil.example"}):
        assert ask(address, "/photos", whole, **fields).status == 400
    assert send(address, whole)


def test_what_nobody_foresaw_gets_a_sentence_too(address, astronaut, monkeypatch):
    def broken(*_):
        raise RuntimeError("/secret/path")

    monkeypatch.setattr(photo, "compose", broken)
    answer = ask(address, f"/photos/{send(address, encoded(astronaut))}")
    assert answer.status == 500 and answer.text == "this did not work (RuntimeError): try another file."


def test_uploads_beyond_the_limits_do_not_even_arrive(checkpoint, home, monkeypatch):
    monkeypatch.setattr(uploads, "MOST_MEGABYTES", 0.1)
    monkeypatch.setattr(video, "MOST_MEGABYTES", 0.2)
    with page.page_app([str(checkpoint)], engines=["torch"]) as app, running(app) as address:
        for path, most in (("/photos", 100_000), ("/backgrounds", 100_000), ("/videos", 200_000)):
            assert ask(address, path, bytes(most)).status == 400
            assert ask(address, path, bytes(most + 1)).status == 413
            assert ask(address, path, iter([bytes(most // 2)] * 3)).status == 413
        assert not [file for file in home.rglob("*") if file.is_file() and file.suffix != ".lock"]


def test_a_photo_is_never_written_and_all_is_gone_in_time(checkpoint, home, astronaut, clip, monkeypatch):
    monkeypatch.setattr(page, "SWEEP_SECONDS", 0.05)
    with page.page_app([str(checkpoint)], engines=["torch"]) as app, running(app) as address:
        before = sorted(home.rglob("*"))
        key = send(address, encoded(astronaut))
        assert sorted(home.rglob("*")) == before
        send(address, clip, path="/videos")
        assert list(home.rglob("upload"))
        monkeypatch.setattr(store, "KEPT_MINUTES", 0.001)
        until = time.monotonic() + 20
        while list(home.rglob("upload")):  # nobody asks for anything: the page deletes by itself
            assert time.monotonic() < until
            time.sleep(0.05)
        assert ask(address, f"/photos/{key}").status == 410
    assert list(home.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("how", ["SIGTERM", "SIGHUP", "SIGINT"])
def test_nothing_is_left_when_the_page_is_ended_in_the_middle_of_a_video(how, checkpoint, home, clip):
    command = [sys.executable, "-m", "segkit", "demo", "-m", str(checkpoint), "--port", "0"]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    heard = lambda: signal.signal(getattr(signal, how), signal.SIG_DFL)  # noqa: E731 - under nohup too
    with subprocess.Popen(command, **streams, preexec_fn=heard) as process:
        try:
            address = re.search(r"http://\S+", process.stdout.readline())[0]
            send(address, clip, path="/videos")
            assert list(home.rglob("upload"))
            process.send_signal(getattr(signal, how))
            out, said = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130 and "is deleted" in said and "Traceback" not in said + out
    assert list(home.iterdir()) == []


def test_no_name_is_looked_up_for_what_a_client_sends_and_nobody_is_called(address, clip, astronaut):
    key, far = send(address, encoded(astronaut)), "http://evil.example/x"
    CALLED.clear()
    fields = {"name": far, "picture": far, "background": "blur", "file": far, "url": far}
    body = json.dumps({"path": far, "url": far}).encode()
    for path in ("/photos", "/backgrounds", "/videos"):
        ask(address, path, body, headers={"Referer": far, "X-Forwarded-For": "evil.example"}, **fields)
    ask(address, f"/photos/{key}", **fields)
    ask(address, "/zip", keys=far)
    ask(address, "/" + far)
    send(address, clip, path="/videos")
    hosts = {str(args[1][0] if event == "socket.connect" else args[0]) for event, args in CALLED}
    assert hosts == {"127.0.0.1"}, "of the client itself"


def test_no_file_of_this_machine_can_be_fetched(address, checkpoint):
    for path in (checkpoint, Path(page.__file__), "/etc/passwd"):
        for start in ("", "/static", "/static/..", "/examples", "/lessons", "/lessons/..%2f..", "/videos"):
            answer = ask(address, f"{start}/{str(path).lstrip('/')}")
            assert answer.status == 404 and b"root:" not in answer.data


def test_the_page_listens_on_this_machine_alone(address):
    port = int(address.rsplit(":", 1)[1])
    mine = [c for c in psutil.Process(os.getpid()).net_connections("inet") if c.status == "LISTEN"]
    assert {c.laddr.ip for c in mine if c.laddr.port == port} == {"127.0.0.1"}


@pytest.mark.parametrize(("finds", "called"), [("person", "people"), ("ear", "ear")])
def test_slider_and_words_begin_as_the_network_wants_them(tiny_model, home, tmp_path, finds, called):
    info = CheckpointInfo(tiny_model.built_as, threshold=0.3, classes=(finds,))
    weights = save_checkpoint(tmp_path / "m.safetensors", tiny_model, info)
    with page.page_app([str(weights)], engines=["torch"]) as app, running(app) as address:
        settings = json.loads(ask(address, "/settings").text)
    assert (settings["threshold"], settings["kind"]) == (0.3, called)


def test_an_unknown_network_is_named_before_the_page_opens():
    with pytest.raises(UserError, match="person-huge"), page.page_app(["person-huge"]):
        pass


def test_examples_are_free_photographs_of_people_with_their_licence(address):
    assert len(page.examples()) == 3
    for name, (_, words) in page.examples().items():
        assert words.endswith(("public domain", "CC0"))
        assert Image.open(io.BytesIO(ask(address, f"/examples/{name}").data)).size[0] >= 400


def test_lessons_are_pages_to_read_whose_links_lead_somewhere(address):
    answer = ask(address, "/lessons/04_metrics")
    assert "<script" not in answer.text and "<h1" in answer.text
    links = set(re.findall(r'<a [^>]*href="([^"]*)"', answer.text))
    assert any("05_losses" in link for link in links)
    for link in links:
        lesson = Path(page.NOTEBOOKS, f"{link.removeprefix('/lessons/')}.ipynb")
        assert link.startswith("#") or lesson.exists()


@pytest.mark.long
def test_twenty_people_at_once_are_all_answered_within_bounded_memory(address):
    rng = np.random.default_rng(0)
    noise = np.kron(rng.integers(0, 255, (30, 40, 3), dtype=np.uint8), np.ones((100, 100, 1), np.uint8))
    data = encoded(noise, ".jpg")  # 12 million pixels

    def visit(_):
        return len(ask(address, f"/photos/{send(address, data)}", full=1, background="portrait").data)

    visit(0)  # everything is loaded
    gc.collect()
    process, most, done = psutil.Process(), [0], threading.Event()
    before = process.memory_info().rss

    def watch():
        while not done.wait(0.02):
            most[0] = max(most[0], process.memory_info().rss - before)

    watcher = threading.Thread(target=watch)
    watcher.start()
    with ThreadPoolExecutor(20) as people:
        sizes = list(people.map(visit, range(20)))
    done.set()
    watcher.join()
    assert len(set(sizes)) == 1 and sizes[0] > 100_000
    assert most[0] < 1e9, f"{most[0] / 1e6:.0f} MB more than before"


# Video


def state(address, key, **options) -> dict:
    return json.loads(ask(address, f"/videos/{key}", **options).text)


def finished(address, key) -> dict:
    while not (now := state(address, key))["words"]:
        time.sleep(0.05)
    return now


def test_a_video_is_converted_and_says_how_far_it_is(address, clip, home, capfd):
    key, seen = send(address, clip, "walk.mp4", "/videos"), []
    while not (now := state(address, key))["words"]:
        seen.append(now["done"])
        time.sleep(0.05)
    assert now["done"] == now["total"] == 30 and now["ready"] and seen == sorted(seen)
    assert "frames" not in capfd.readouterr().err  # no bar in the server's log
    made = ask(address, f"/videos/{key}/file")
    assert 'filename="walk_blur.mp4"' in made.headers["Content-Disposition"]
    with av.open(io.BytesIO(made.data)) as video:
        assert sum(1 for _ in video.decode(video=0)) == 30
    assert ask(address, f"/videos/{key}/file", headers={"Range": "bytes=0-9"}).status == 206  # players jump


@pytest.mark.parametrize("clip", [".mkv"], indirect=True)
def test_a_video_that_is_cut_off_says_so(address, clip):
    now = finished(address, send(address, clip[: len(clip) * 6 // 10], path="/videos"))
    assert now["ready"] and "; the file is cut off" in now["words"]


@pytest.fixture
def slow_network(monkeypatch):
    look = Segmenter.look_once
    monkeypatch.setattr(Segmenter, "look_once", lambda *args: (time.sleep(0.1), look(*args))[1])


def test_a_video_is_cancelled_and_the_next_one_waits_for_its_turn(address, clip, slow_network):
    first, second = (send(address, clip, path="/videos") for _ in range(2))
    while state(address, first)["done"] < 3:
        time.sleep(0.05)
    assert state(address, second)["done"] == 0
    now = state(address, first, method="DELETE")
    assert re.match(r"cancelled after \d+ frames", now["words"]) and not now["ready"]
    while state(address, second)["done"] < 1:
        time.sleep(0.05)
    assert state(address, second, method="DELETE")["words"]


def test_a_video_nobody_waits_for_is_stopped(address, clip, slow_network, monkeypatch):
    assert video.PATIENCE > 60  # a page that nobody looks at asks once in a minute
    monkeypatch.setattr(video, "PATIENCE", 0.3)
    key = send(address, clip, path="/videos")
    time.sleep(1)
    while video.ONE_AT_A_TIME.locked():
        time.sleep(0.05)
    assert "cancelled" in finished(address, key)["words"]


def test_videos_beyond_the_limits_are_refused_and_not_kept(address, clip, home, monkeypatch):
    playlist = b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n"
    for data in (b"not a video", playlist, b"ffconcat version 1.0\nfile /etc/passwd\n"):
        answer = ask(address, "/videos", data, name="x.mp4")
        assert answer.status == 400 and "/" not in answer.text, answer.text
    for limit, low in (("SECONDS", 2), ("PIXELS", 96 * 63)):
        with monkeypatch.context() as patch:
            patch.setattr(video, f"MOST_{limit}", low)
            assert ask(address, "/videos", clip).status == 400
    for behind in ("picture", "portrait"):
        assert ask(address, "/videos", clip, background=behind).status == 400
    assert not list(home.rglob("upload"))
