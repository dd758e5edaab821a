"""A camera does not wait: measuring milliseconds, segmenting frames as they come, and where they are seen.

Introduced in notebook 12; the new background of a live camera in notebook 13.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import chain, pairwise, repeat
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from segkit.data import shrink
from segkit.files import UserError, require
from segkit.matting.compose import soft_alpha
from segkit.predict import Segmenter
from segkit.video.files import Frame, VideoReader, video_writer
from segkit.video.smooth import Smoother


def call_times(work: Callable, items: Sequence, warm_up: int = 3) -> np.ndarray:
    """How long work(item) takes for each item, in milliseconds: float (N,).

    warm_up: calls made before the clock counts. The first ones reserve memory and choose kernels.
    Take the median: whatever else the machine does only ever makes a call slower.   Notebook 12.
    """
    for item in items[:warm_up]:
        work(item)
    times = np.empty(len(items))
    for i, item in enumerate(items):
        start = time.perf_counter()
        work(item)
        times[i] = 1000 * (time.perf_counter() - start)
    return times


@dataclass
class LiveReport:
    """What came of a stream of frames."""

    fps: float | None = None
    """Of the camera; None where it gives the pace by itself."""
    shown: list[int] = field(default_factory=list)
    """Which frames were segmented and shown."""
    dropped: int = 0
    """How many were too old when their turn came."""
    latencies: list[float] = field(default_factory=list)
    """Milliseconds from the moment a frame was there until its mask was shown."""
    seconds: float = 0.0

    def __str__(self) -> str:
        camera = f"camera {self.fps:g} frames per second, " if self.fps else ""
        middle, late = np.percentile(self.latencies, [50, 95]) if self.latencies else (np.nan, np.nan)
        return (
            f"{camera}shown {len(self.shown) / max(self.seconds, 1e-9):.1f} per second, "
            f"{self.dropped} dropped of {len(self.shown) + self.dropped}; "
            f"latency {middle:.0f} ms, of the slowest 5 % {late:.0f} ms"
        )


def follow(
    person: Segmenter,
    frames: Iterable[np.ndarray],
    fps: float | None = None,
    show: Callable[[np.ndarray, np.ndarray], None] | None = None,
    clock: Callable[[], float] = time.perf_counter,
    sleep: Callable[[float], None] = time.sleep,
    report: LiveReport | None = None,
) -> LiveReport:
    """Segment frames at the pace at which a camera gives them, and drop those that come too fast.

    A queue would be the mistake here: with a network slower than the camera it grows, and what is shown
    lies further and further in the past. A frame that is older than the next one is dropped instead.

    frames: uint8 (H, W, 3), for example of webcam(); or a Frame of a video, which is there at its own time.
    fps: frame i is there i / fps seconds after the start; None where `frames` itself waits, as webcam() does.
    show: called with the frame and its probability (H, W).   clock, sleep: for tests.
    report: filled as frames are shown, for whoever wants to know meanwhile.
    Returns: LiveReport.   Introduced in notebook 12.
    """
    report, start = report or LiveReport(), clock()
    report.fps = fps
    # A film says when its next frame comes, which may be after a pause; a camera's is not there yet.
    pairs = pairwise(chain(frames, [None])) if fps else zip(frames, repeat(None))
    for i, (image, following) in enumerate(pairs):
        here = start + i / fps if fps else clock()
        over = here + 1 / fps if fps else np.inf
        if isinstance(image, Frame):
            image, here = image.image, start + float(image.time)
            over = start + float(following.time) if following else np.inf
        if report.shown and clock() >= over:  # the next frame is there already
            report.dropped += 1
            continue
        if clock() < here:
            sleep(here - clock())
        prob = person.foreground(person(image))
        if show:
            show(image, prob)
        report.shown.append(i)
        report.latencies.append(1000 * (clock() - here))
        report.seconds = clock() - start
    return report


def open_stream(
    source: str | Path, seconds: float | None = 10.0
) -> tuple[Iterator[np.ndarray | Frame], float | None]:
    """Frames, and how many of them come in a second, for `follow`.

    source: a video file; or "webcam", or a camera's number, which give the pace by themselves (None).
    seconds: of it at most; None takes all.
    Returns: uint8 (H, W, 3) frame by frame, or each as a Frame, with square pixels; and fps.
    Raises: UserError; when a video was damaged, after its last frame.   Introduced in notebook 12.
    """
    if source == "webcam" or str(source).isdecimal():
        return webcam(0 if source == "webcam" else int(source), seconds), None
    reader = VideoReader(source)
    info = reader.info
    size = max(1, round(info.width * info.pixel_aspect)), info.height

    def frames() -> Iterator[Frame]:
        with reader:
            for frame in reader.frames():
                yield Frame(cv2.resize(frame.image, size), frame.time)
                if seconds and frame.time + 1 / info.fps >= seconds:
                    return
        if problems := reader.problems():
            raise UserError(" ".join(problems))

    return frames(), float(info.fps)


def webcam(number: int = 0, seconds: float | None = 10.0) -> Iterator[np.ndarray]:
    """Frames of a camera of this machine: uint8 RGB (H, W, 3), each the newest there is.

    number: 0 is the first camera.   seconds: for so long; None for ever.
    Raises: UserError, with the first frame, when there is none.   Introduced in notebook 12.
    """
    # Its warnings of a camera that is not there say less than the sentence below.
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
    camera = cv2.VideoCapture(number)
    try:
        camera.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # a queue of frames would show the past
        camera.set(cv2.CAP_PROP_FRAME_WIDTH, 640)
        camera.set(cv2.CAP_PROP_FRAME_HEIGHT, 480)
        end = None if seconds is None else time.perf_counter() + seconds
        while end is None or time.perf_counter() < end:
            found, frame = camera.read() if camera.isOpened() else (False, None)
            if not found:
                raise UserError(
                    f"camera {number} gives no pictures: is one plugged in, may this program use it, and "
                    "does no other program? In a container or on a server there is none: take a video file."
                )
            yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
    finally:
        camera.release()


class Stage:
    """The people of each frame before another background, handed on to whoever watches: `show` of follow.

    paint: see segkit.video.replace.painter.   threshold: of the segmenter.
    Attributes: report, to be given to follow as well; seen_by, called with every picture, uint8 (H, W, 3),
    that has frames per second and delay written on it; sent_to, called with every picture as it is.
    Introduced in notebook 13.
    """

    def __init__(
        self,
        paint: Callable[[np.ndarray, np.ndarray], np.ndarray],
        threshold: float,
        smoother: Smoother,
        clock: Callable[[], float] = time.perf_counter,
    ):
        self.paint, self.threshold, self.smoother, self.report = paint, threshold, smoother, LiveReport()
        self.seen_by = self.sent_to = lambda picture: None
        self._clock, self._times = clock, deque(maxlen=30)

    def __call__(self, image: np.ndarray, prob: np.ndarray) -> None:
        picture = self.paint(image, soft_alpha(self.smoother(prob, image), self.threshold))
        self.sent_to(picture)
        self._times.append(self._clock())
        self.seen_by(write_on(picture, self.figures))

    @property
    def figures(self) -> str:
        """Of the last frames: "14.2 frames/s, 71 ms late"."""
        span = self._times[-1] - self._times[0]
        pace = f"{(len(self._times) - 1) / span:.1f}" if span else "..."
        late = self.report.latencies
        return f"{pace} frames/s, {f'{late[-1]:.0f}' if late else '...'} ms late"


def write_on(image: np.ndarray, text: str) -> np.ndarray:
    """A copy with a line of text in its upper left corner, white on a darkened strip: uint8 (H, W, 3)."""
    size, font = max(0.4, image.shape[0] / 700), cv2.FONT_HERSHEY_SIMPLEX
    width, height = cv2.getTextSize(text, font, size, 1)[0]
    image = np.ascontiguousarray(image).copy()
    image[: 2 * height, : width + 2 * height] //= 3
    line = (height, round(1.5 * height)), font, size, (255, 255, 255), 1, cv2.LINE_AA
    return cv2.putText(image, text, *line)


class Window:
    """A window that shows pictures until it is closed, or q or Escape is pressed.

    OpenCV's own windows are not in the wheel that this course depends on; Tk comes with Python.
    Attributes: open.   Raises: UserError where there is no screen, or Python came without Tk.
    """

    def __init__(self, title: str, longest: int = 960):
        elsewhere = "write a file with -o live.mp4, or take --virtual-camera."
        try:
            import tkinter
        except ImportError:
            raise UserError(
                f"a window needs tkinter, which this Python lacks (Debian: python3-tk). Or {elsewhere}"
            ) from None
        try:
            self._root = tkinter.Tk(className=title)
        except tkinter.TclError as error:
            raise UserError(f"no window can be opened here ({error}): {elsewhere}") from None
        self._label, self._picture = tkinter.Label(self._root, borderwidth=0), None
        self._label.pack()
        self._root.protocol("WM_DELETE_WINDOW", self.close)
        for key in ("q", "<Escape>"):
            self._root.bind(key, self.close)
        self.open, self._longest = True, longest

    def show(self, image: np.ndarray) -> None:
        """image: uint8 (H, W, 3); a large one is made smaller."""
        from PIL import ImageTk

        picture = Image.fromarray(shrink(image, self._longest))
        # Tk keeps no reference to the picture that it shows: this one must live until the next.
        self._picture = ImageTk.PhotoImage(picture, master=self._root)
        self._label.configure(image=self._picture)
        self._root.update()

    def close(self, *_) -> None:
        if self.open:
            self.open = False
            self._root.destroy()


@contextmanager
def recorder(path: str | Path, fps: float | None = None) -> Iterator[Callable]:
    """A function that writes each picture that it is called with to a video, at the time of the call.

    fps: about so many will come.   Raises: UserError.
    """
    with video_writer(path, fps or 30, time_base=Fraction(1, 10_000)) as write:
        start = time.perf_counter()
        yield lambda image: write(image, time.perf_counter() - start)


@contextmanager
def virtual_camera(size: tuple[int, int], fps: float | None = None) -> Iterator[Callable]:
    """A function that sends each picture to a camera that other programs see, such as video calls.

    size: (height, width).   Raises: UserError where pyvirtualcam is not installed or finds no device.
    """
    require("pyvirtualcam", extra="camera")
    import pyvirtualcam

    try:
        camera = pyvirtualcam.Camera(*size[::-1], fps or 30)
    except RuntimeError as error:
        raise UserError(
            f"no virtual camera was found ({' '.join(str(error).split())[:200]}): on Linux load "
            "v4l2loopback, on Windows and macOS install OBS and start its virtual camera once."
        ) from None
    with camera:
        yield camera.send
