"""The web page: what it answers, what it refuses, and that it talks to nobody."""

import gc
import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from PIL import Image

gr = pytest.importorskip("gradio")
av = pytest.importorskip("av")

from gradio_client import Client, handle_file  # noqa: E402

from segkit.app import page as demo  # noqa: E402
from segkit.checkpoint import CheckpointInfo, save_checkpoint  # noqa: E402
from segkit.files import UserError, read_image, write_image  # noqa: E402
from segkit.predict import Segmenter  # noqa: E402

CONTROLS = (0.5, 0.0, "colour", "#009e73", 0.5, None)
CALLED: list[tuple[str, object]] = []
sys.addaudithook(
    lambda event, args: (
        CALLED.append((event, args)) if event in ("socket.connect", "socket.getaddrinfo") else None
    )
)


@pytest.fixture
def checkpoint(tiny_model, tmp_path) -> Path:
    return save_checkpoint(tmp_path / "tiny.safetensors", tiny_model, CheckpointInfo(tiny_model.built_as))


@pytest.fixture
def answer(astronaut) -> demo.Answer:
    prob = np.zeros(astronaut.shape[:2], np.float32)
    prob[100:400, 150:350] = 0.9
    return demo.Answer(astronaut, prob, 0.0)


@pytest.fixture
def clip(tmp_path) -> Path:
    """Three seconds of a bright square that moves."""
    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for i in range(30):
            frame = np.full((64, 96, 3), 40, np.uint8)
            frame[20:50, 10 + i : 40 + i] = 220
            out.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
        out.mux(stream.encode(None))
    return path


# What is behind the page


def test_pictures_of_every_kind_are_looked_at(astronaut, checkpoint, tmp_path):
    person = Segmenter.load(checkpoint)
    photo = Image.fromarray(astronaut).resize((96, 64))
    turned = Image.Exif()
    turned[0x0112] = 6
    photo.convert("CMYK").save(tmp_path / "cmyk.jpg")
    photo.convert("L").save(tmp_path / "grey.png")
    photo.convert("RGBA").save(tmp_path / "alpha.png")
    photo.save(tmp_path / "moving.gif", save_all=True, append_images=[photo.rotate(90)])
    for name in ("cmyk.jpg", "grey.png", "alpha.png", "moving.gif"):
        assert demo.look_at(tmp_path / name, person).prob.shape == (64, 96)
    photo.save(tmp_path / "turned.jpg", exif=turned)
    assert demo.look_at(tmp_path / "turned.jpg", person).prob.shape == (96, 64)


def test_what_is_no_picture_or_too_large_is_refused_in_one_sentence(checkpoint, tmp_path, monkeypatch):
    person = Segmenter.load(checkpoint)
    (tmp_path / "text.jpg").write_text("not a picture")
    write_image(tmp_path / "half.jpg", np.random.default_rng(0).integers(0, 255, (99, 99, 3), dtype=np.uint8))
    (tmp_path / "half.jpg").write_bytes((tmp_path / "half.jpg").read_bytes()[:900])
    Image.new("L", (9000, 9000)).save(tmp_path / "huge.png")
    for name in ("text.jpg", "half.jpg", "huge.png", "gone.jpg"):
        with pytest.raises(UserError) as refused:
            demo.look_at(tmp_path / name, person)
        assert str(tmp_path) not in str(refused.value)  # nobody needs to know how this machine is set up
    monkeypatch.setattr(demo, "MOST_MEGABYTES", 0)
    with pytest.raises(UserError, match="MB"):
        demo.look_at(tmp_path / "huge.png", person)


@pytest.mark.parametrize("background", demo.BACKGROUNDS)
def test_every_background_composes(answer, background):
    picture = np.full((50, 70, 3), 200, np.uint8)
    mask, tinted, cut, new = demo.compose(answer, background=background, picture=picture)
    assert mask.shape == (512, 512) and set(np.unique(mask)) == {0, 255}
    assert tinted.shape == (512, 512, 3) and cut.shape == (512, 512, 4)
    assert new.shape == ((512, 512, 4) if background == "transparent" else (512, 512, 3))
    if background == "colour":
        assert tuple(new[5, 5]) == (0, 158, 115)


def test_the_controls_change_the_answer_without_the_network(answer):
    wide, narrow = (demo.compose(answer, threshold=t)[0].sum() for t in (0.5, 0.95))
    assert wide > 0 and narrow == 0
    hard, soft = (demo.compose(answer, softness=s)[2][..., 3] for s in (0, 1.0))
    assert not np.array_equal(hard, soft)
    with pytest.raises(UserError):
        demo.compose(answer, background="picture")


def test_the_page_shows_a_small_one_and_the_download_has_the_full_size(checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "PREVIEW", 100)
    path = write_image(tmp_path / "photo.png", np.full((300, 200, 3), 99, np.uint8))
    looked = demo.look_at(path, Segmenter.load(checkpoint))
    assert looked.image.shape == (100, 67, 3) and looked.prob.shape == (100, 67) and looked.size == (300, 200)
    assert demo.full_cutout(looked, 0.5, 0).shape == (300, 200, 4)
    monkeypatch.setattr(demo, "WORK_PIXELS", 15_000)  # too large for everybody at once: half as long
    assert demo.full_cutout(looked, 0.5, 0).shape == (150, 100, 4)


def test_colours_come_as_pickers_send_them():
    assert demo.parse_colour("#00aa55") == (0, 170, 85)
    assert demo.parse_colour("rgba(0, 170.2, 85, 1)") == (0, 170, 85)
    with pytest.raises(UserError):
        demo.parse_colour("reddish")


def test_an_unknown_network_is_named_before_the_page_opens():
    with pytest.raises(UserError, match="person-huge"):
        demo.build_page(["person-huge"])


def test_five_sentences_lead_to_lessons_that_exist():
    lines = [line for line in demo.explanation().splitlines() if line[:1].isdigit()]
    assert len(lines) == 5 and all(line.endswith(").") for line in lines)
    notebooks = Path(demo.__file__).parents[2] / "notebooks"
    for (lesson, _), line in zip(demo.STEPS, lines, strict=True):
        assert (notebooks / f"{lesson}.ipynb").exists()
        assert f"[lesson {lesson[:2]}](/gradio_api/file={notebooks / lesson}.ipynb)" in line
    assert "](" not in demo.explanation(Path("nowhere"))


# Video


def test_a_video_is_converted_and_says_how_far_it_is(clip, checkpoint, tmp_path):
    out = tmp_path / "out.mp4"
    steps = list(demo.convert_video(clip, Segmenter.load(checkpoint), "blur", out))
    assert steps[-1] == (30, 30) and [step[0] for step in steps] == sorted(step[0] for step in steps)
    with av.open(str(out)) as made:
        assert sum(1 for _ in made.decode(video=0)) == 30


def test_a_cancelled_video_stops_and_leaves_nothing(clip, checkpoint, tmp_path):
    person, out = Segmenter.load(checkpoint), tmp_path / "out.mp4"
    ask, watched = person.predict_batch, demo.Watched()
    person.predict_batch = lambda images, *rest: (time.sleep(0.05), ask(images, *rest))[1]
    frames = demo.convert_video(clip, person, "blur", out, watched)
    while next(frames)[0] < 3:
        pass
    frames.close()
    seen = watched.seen
    assert 3 <= seen < 30 and list(tmp_path.glob("out*")) == []
    time.sleep(0.3)
    assert watched.seen == seen  # nobody goes on working


def test_videos_beyond_the_limits_are_refused(clip, checkpoint, tmp_path, monkeypatch):
    (tmp_path / "text.mp4").write_text("not a video")
    with pytest.raises(UserError) as refused:
        demo.check_video(tmp_path / "text.mp4")
    assert str(tmp_path) not in str(refused.value)
    assert demo.check_video(clip) == 30
    for limit, low in (("SECONDS", 2), ("PIXELS", 96 * 63), ("MEGABYTES", 0.0001)):
        with monkeypatch.context() as patch:
            patch.setattr(demo, f"MOST_VIDEO_{limit}", low)
            with pytest.raises(UserError):
                demo.check_video(clip)


# The page, served


@pytest.fixture
def page(checkpoint):
    app = demo.serve([str(checkpoint)], block=False, engines=["torch"])
    yield app
    if Path(app.folder).exists():
        demo.stop(app)


def client(page) -> Client:
    return Client(page.local_url, verbose=False, download_files=False)


def ask(page, path, checkpoint, controls=CONTROLS):
    return client(page).predict(handle_file(str(path)), str(checkpoint), "torch", *controls, api_name="/ask")


def test_the_page_listens_on_this_machine_alone(page):
    port = int(page.local_url.rstrip("/").rsplit(":", 1)[1])
    mine = [c for c in psutil.Process(os.getpid()).net_connections("inet") if c.status == "LISTEN"]
    assert {c.laddr.ip for c in mine if c.laddr.port == port} == {"127.0.0.1"}


@pytest.mark.slow
def test_the_server_asks_nobody_else(checkpoint, tmp_path, astronaut, clip):
    CALLED.clear()
    app = demo.serve([str(checkpoint)], block=False)
    try:
        photo = write_image(tmp_path / "photo.jpg", astronaut)
        for engine in demo.installed_engines():
            client(app).predict(handle_file(str(photo)), str(checkpoint), engine, *CONTROLS, api_name="/ask")
        result, words = client(app).predict(
            handle_file(str(clip)), str(checkpoint), "torch", "blur", "#009e73", None, api_name="/video"
        )
        assert "30 frames" in words and result
    finally:
        demo.stop(app)
    hosts = {str(args[1][0] if event == "socket.connect" else args[0]) for event, args in CALLED}
    assert hosts, "the client's own requests are seen"
    assert hosts <= {"127.0.0.1", "localhost", "::1", "b'127.0.0.1'"}, hosts


def test_what_is_uploaded_and_made_goes_with_the_page(page, checkpoint, tmp_path, astronaut):
    ask(page, write_image(tmp_path / "mine.jpg", astronaut), checkpoint)
    folder = Path(page.folder)
    assert any(path.name == "mine.jpg" for path in folder.rglob("*"))
    assert page.delete_cache == (60, 900)  # while the page is open, what is older than 15 minutes goes
    demo.stop(page)
    assert not folder.exists()


@pytest.mark.slow
def test_bad_uploads_get_a_sentence_and_the_page_goes_on(page, checkpoint, tmp_path, astronaut):
    (tmp_path / "text.jpg").write_text("not a picture")
    (tmp_path / "empty.png").write_bytes(b"")
    whole = write_image(tmp_path / "whole.jpg", astronaut).read_bytes()
    (tmp_path / "half.jpg").write_bytes(whole[: len(whole) // 2])
    Image.new("1", (60000, 60000)).save(tmp_path / "bomb.png")  # half a megabyte, 3600 million pixels
    (tmp_path / "page.svg").write_text(
        '<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
    )
    said = {}
    for name in ("text.jpg", "empty.png", "half.jpg", "bomb.png", "page.svg"):
        with pytest.raises(Exception) as refused:
            ask(page, tmp_path / name, checkpoint)
        said[name] = str(refused.value)
    for name, word in zip(
        said, ("not a picture", "empty", "damaged", "pixels", "not a picture"), strict=True
    ):
        assert word in said[name] and str(page.folder) not in said[name], said
    assert "pixels" in ask(page, tmp_path / "whole.jpg", checkpoint)[0]


def test_an_upload_beyond_the_limit_does_not_even_arrive(checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "MOST_MEGABYTES", 1)
    monkeypatch.setattr(demo, "MOST_VIDEO_MEGABYTES", 1)
    noise = np.random.default_rng(0).integers(0, 255, (1200, 1200, 3), dtype=np.uint8)
    path = write_image(tmp_path / "large.png", noise)  # 4 MB
    app = demo.serve([str(checkpoint)], block=False, engines=["torch"])
    try:
        with pytest.raises(Exception, match=r"413|large|size|exceed"):
            ask(app, path, checkpoint)
        assert sum(file.stat().st_size for file in Path(app.folder).rglob("*") if file.is_file()) < 1.1e6
    finally:
        demo.stop(app)


def test_no_file_of_this_machine_can_be_fetched(page, checkpoint):
    import urllib.error
    import urllib.request

    for path in (checkpoint, Path(demo.__file__), "/etc/passwd"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"{page.local_url}gradio_api/file={path}")
        assert refused.value.code in (403, 404)


@pytest.mark.long
def test_twenty_people_at_once_are_all_answered_within_bounded_memory(page, tmp_path, checkpoint):
    rng = np.random.default_rng(0)
    noise = np.kron(rng.integers(0, 255, (30, 40, 3), dtype=np.uint8), np.ones((50, 50, 1), np.uint8))
    path = write_image(tmp_path / "photo.jpg", noise)  # 3 million pixels
    ask(page, path, checkpoint)  # everything is loaded
    gc.collect()
    process, most, done = psutil.Process(), [0], threading.Event()
    before = process.memory_info().rss

    def watch():
        while not done.wait(0.02):
            most[0] = max(most[0], process.memory_info().rss - before)

    watcher = threading.Thread(target=watch)
    watcher.start()
    with ThreadPoolExecutor(20) as people:
        answers = list(people.map(lambda _: ask(page, path, checkpoint), range(20)))
    done.set()
    watcher.join()
    assert len(answers) == 20 and all("2000 x 1500 pixels" in answer[0] for answer in answers)
    assert most[0] < 700e6, f"{most[0] / 1e6:.0f} MB more than before"


@pytest.mark.slow
def test_a_full_queue_says_so_and_the_page_goes_on(checkpoint, tmp_path, astronaut, monkeypatch):
    monkeypatch.setattr(demo, "WAITING", 2)
    path = write_image(tmp_path / "photo.jpg", astronaut[::4, ::4])
    look = demo.look_at
    monkeypatch.setattr(demo, "look_at", lambda *args: (time.sleep(1), look(*args))[1])
    app = demo.serve([str(checkpoint)], block=False, engines=["torch"])

    def one(_):
        try:
            return ask(app, path, checkpoint)[0]
        except Exception as error:
            return str(error)

    try:
        with ThreadPoolExecutor(8) as people:
            answers = list(people.map(one, range(8)))
        assert any("128 x 128" in said for said in answers)
        assert any("full" in said.lower() for said in answers), answers
        assert "128 x 128" in one(0)
    finally:
        demo.stop(app)


def test_the_cut_out_is_read_back_as_it_was_made(page, checkpoint, tmp_path, astronaut):
    torch.manual_seed(0)
    answer = ask(page, write_image(tmp_path / "photo.png", astronaut), checkpoint)
    cut = answer[3]["path"] if isinstance(answer[3], dict) else answer[3]
    assert Image.open(cut).mode == "RGBA" and read_image(cut).shape == (512, 512, 3)
