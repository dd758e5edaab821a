"""Frames are followed at the camera's pace, by a clock that these tests turn themselves."""

import sys
from fractions import Fraction
from types import SimpleNamespace
from unittest.mock import MagicMock, Mock

import cv2
import numpy as np
import pytest
from conftest import refused
from explorers import speed

from segkit.course.knobs.lesson12 import SpeedExplorer
from segkit.video.files import Frame, VideoReader, write_video
from segkit.video.live import Stage, call_times, follow, open_stream, webcam
from segkit.video.replace import painter
from segkit.video.smooth import Smoother


class Clock:
    """A person that takes a fixed time, and a clock that only it and sleeping move."""

    def __init__(self, ms: float):
        self.now, self.ms = 0.0, ms

    def __call__(self, image):
        self.now += self.ms / 1000
        return image[..., 0] / np.float32(255)

    def foreground(self, prob):
        return prob

    def sleep(self, seconds):
        assert seconds > 0
        self.now += seconds


def run(ms: float, fps: float | None, count: int = 30, show=None, late: float = 0):
    clock = Clock(ms)

    def frames():
        clock.now += late
        yield from (np.full((4, 6, 3), i, np.uint8) for i in range(count))

    return follow(clock, frames(), fps, show, clock=lambda: clock.now, sleep=clock.sleep)


def test_a_fast_network_shows_every_frame_at_the_cameras_pace():
    report = run(ms=10, fps=25)
    assert report.shown == list(range(30)) and report.dropped == 0
    assert report.latencies == pytest.approx([10] * 30)
    assert report.seconds == pytest.approx(29 / 25 + 0.010)


def test_a_slow_network_drops_frames_and_does_not_fall_behind():
    seen = []
    report = run(110, 25, show=lambda image, prob: seen.append((image[0, 0, 0], round(prob[0, 0] * 255))))
    assert report.shown == [0, 2, 5, 8, 11, 13, 16, 19, 22, 24, 27]
    assert seen == [(i, i) for i in report.shown]  # the picture and its own answer
    assert report.dropped == 19
    assert max(report.latencies) < 110 + 1000 / 25  # with a queue the last one would be 1,800 ms old
    assert run(ms=10_000, fps=25, late=5).shown == [0]  # too late for all, and one is seen


def test_the_frames_of_a_film_are_shown_at_their_own_times():
    clock, times = Clock(ms=10), [0, 0.09, 0.1, 1, 2.5]
    film = [Frame(np.zeros((4, 6, 3), np.uint8), Fraction(time)) for time in times]
    shown = []
    follow(clock, film, 2, lambda *_: shown.append(clock.now), lambda: clock.now, clock.sleep)
    assert shown == pytest.approx(np.add(times, 0.01))
    slow = Clock(ms=200)
    film = [Frame(np.zeros((4, 6, 3), np.uint8), Fraction(i)) for i in (0, 0.04, 0.08, 2)]
    report = follow(slow, film, 25, None, lambda: slow.now, slow.sleep)
    assert report.shown == [0, 2, 3]  # the third is late, and what is seen in the pause after it


def test_a_report_reads_as_a_sentence():
    text = str(run(ms=110, fps=25))
    assert text.startswith("camera 25 frames per second, shown ") and "19 dropped of 30" in text
    assert "0 dropped of 0" in str(run(ms=1, fps=25, count=0))
    without_a_pace = run(ms=100, fps=None)
    assert len(without_a_pace.shown) == 30 and "camera" not in str(without_a_pace)


def test_a_camera_that_is_not_there_is_one_sentence(capfd):
    refused("camera 97 gives no pictures", next, webcam(97))
    assert capfd.readouterr().err == ""


def test_a_camera_is_a_stream_that_sets_the_pace_is_read_as_rgb_and_given_back(monkeypatch):
    camera = Mock()
    camera.read.return_value = True, np.full((2, 2, 3), (1, 2, 3), np.uint8)
    monkeypatch.setattr(cv2, "VideoCapture", lambda number: camera)
    frames, fps = open_stream("webcam", seconds=0.05)
    assert fps is None and next(frames)[0, 0].tolist() == [3, 2, 1]
    assert sum(1 for _ in frames) > 0  # it ends by itself
    assert camera.release.called


def test_times_are_per_item_and_warm_up_is_not_among_them():
    calls = []
    times = call_times(calls.append, [1, 2, 3, 4], warm_up=2)
    assert calls == [1, 2, 1, 2, 3, 4]
    assert times.shape == (4,) and (times >= 0).all()


def test_a_video_file_is_a_stream_with_its_own_pace(tmp_path):
    images = [np.full((32, 48, 3), 10 * i, np.uint8) for i in range(20)]
    path = write_video(tmp_path / "grey.mp4", images, 10)
    frames, fps = open_stream(path, seconds=1.5)
    assert fps == 10
    found = [frame.image for frame in frames]
    assert len(found) == 15
    assert [round(float(image.mean()) / 10) for image in found] == list(range(15))
    refused("nowhere", open_stream, tmp_path / "nowhere.mp4")


# --- segkit live ---------------------------------------------------------------------------------------


@pytest.fixture
def film(tmp_path):
    return write_video(tmp_path / "film.mkv", [np.full((96, 128, 3), 90, np.uint8)] * 10, 20)


@pytest.fixture
def live(film, weights, command):
    """Call `segkit live` on a film of ten grey frames: exit code and all that was said."""

    def call(*argv) -> tuple[int, str]:
        code, *said = command("live", film, "-m", weights, *argv)
        return code, "".join(said)

    return call


@pytest.fixture
def camera(monkeypatch) -> MagicMock:
    """What stands in for a camera of pyvirtualcam."""
    camera = MagicMock()
    module = SimpleNamespace(Camera=Mock(return_value=camera), __spec__="a stand-in")
    monkeypatch.setitem(sys.modules, "pyvirtualcam", module)
    return camera


def test_live_writes_what_a_window_would_show(live, film, tmp_path):
    out = tmp_path / "seen.mp4"
    code, said = live("-o", out, "--background", "#00ff00", "--threshold", "0.999999")
    assert code == 0 and "latency" in said
    with VideoReader(out) as reader:
        frames = [frame.image for frame in reader.frames()]
    assert frames and frames[0].shape == (96, 128, 3)
    assert (frames[-1][60, 60] - (0, 255, 0)).max() < 12  # nobody is there: the background alone
    assert frames[-1][:40].min(2).max() > 150  # and the figures in white
    code, said = live("-o", out)
    assert code == 1 and "exists already" in said
    (tmp_path / "folder.mp4").mkdir()
    for place, why in (("folder.mp4", "is a folder"), ("seen.txt", "should end in one of")):
        code, said = live("-o", tmp_path / place, "--overwrite")
        assert code == 1 and why in said and "latency" not in said  # before anything is filmed
    film.write_bytes(film.read_bytes()[:-20])
    code, said = live("-o", out, "--overwrite")
    assert code == 1 and "latency" in said and "is cut off" in said and out.exists()


def test_without_a_screen_live_says_what_to_do_instead(live, monkeypatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    code, said = live()
    assert code == 1 and "no window can be opened here" in said and "-o live.mp4" in said


def test_other_programs_get_the_pictures_without_figures(live, camera):
    code, _ = live("--virtual-camera", "--background", "#00ff00", "--threshold", "0.999999")
    (picture,) = camera.send.call_args.args
    assert code == 0 and (picture == np.full((96, 128, 3), (0, 255, 0))).all()
    assert camera.__exit__.called


def test_without_a_virtual_camera_live_says_how_to_get_one(live, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyvirtualcam", None)
    code, said = live("--virtual-camera")
    assert code == 1 and "pip install 'segkit-course[camera]'" in said

    none_there = Mock(side_effect=RuntimeError("v4l2loopback backend: no device\nfound"))
    monkeypatch.setitem(sys.modules, "pyvirtualcam", SimpleNamespace(Camera=none_there, __spec__=1))
    code, said = live("--virtual-camera")
    assert code == 1 and "no virtual camera was found" in said and len(said.splitlines()) == 1


def test_ctrl_c_ends_live_and_the_file_is_whole(live, tmp_path, camera):
    camera.send.side_effect = [None, None, KeyboardInterrupt]
    code, said = live("--virtual-camera", "-o", tmp_path / "seen.mp4")
    assert code == 0 and "latency" in said
    with VideoReader(tmp_path / "seen.mp4") as reader:
        assert len(list(reader.frames())) == 2  # the third was interrupted


def test_the_figures_are_those_of_the_last_frames():
    clock = Clock(ms=50)
    stage = Stage(painter((0, 0, 0)), 0.5, Smoother(), clock=lambda: clock.now)
    frames = (np.zeros((8, 8, 3), np.uint8) for _ in range(40))
    report = follow(clock, frames, 10, stage, lambda: clock.now, clock.sleep, stage.report)
    assert report is stage.report and stage.figures == "10.0 frames/s, 50 ms late"


# --- the knob ------------------------------------------------------------------------------------------


def test_the_explorer_shows_quality_and_time_of_the_setting():
    explorer = speed()
    dice = [
        2 * ((prob > 0.5) & (mask > 0)).sum() / ((prob > 0.5).sum() + mask.sum())
        for prob, mask in zip(explorer.probs[160], explorer.masks, strict=True)
    ]
    explorer.number.value = 1
    assert explorer.scores == pytest.approx({"mean Dice": np.mean(dice), "this picture": dice[1], "ms": 40})
    assert "does not fit into 33 ms" in explorer.words.value
    explorer.size.value, explorer.engine.value = 96, "onnx"  # nobody is found at that size
    assert explorer.scores == {"mean Dice": 0, "this picture": 0, "ms": 4}
    assert "fits into 33 ms" in explorer.words.value
    *pictures, chart = explorer.figure().axes
    assert [axes.get_title() for axes in pictures][::2] == ["at 96: Dice 0.00", f"at 160: Dice {dice[1]:.2f}"]
    assert {text.get_text() for text in chart.get_legend().get_texts()} == {"torch", "onnx"}


def test_the_explorer_names_a_size_without_a_time():
    mask = np.ones((8, 8), np.uint8)
    with pytest.raises(ValueError, match=r"'onnx' lack the sizes \[96\]"):
        SpeedExplorer([np.zeros((8, 8, 3), np.uint8)], [mask], {96: [mask]}, {"onnx": {64: 1.0}})
