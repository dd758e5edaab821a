"""A camera does not wait: measuring milliseconds, and segmenting frames as they come. Notebook 12."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from segkit.files import UserError
from segkit.predict import Segmenter
from segkit.video.files import VideoReader


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

    fps: float | None
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
) -> LiveReport:
    """Segment frames at the pace at which a camera gives them, and drop those that come too fast.

    A queue would be the mistake here: with a network slower than the camera it grows, and what is shown
    lies further and further in the past. A frame that is older than the next one is dropped instead.

    frames: uint8 (H, W, 3), for example of a video file, or webcam().
    fps: frame i is there i / fps seconds after the start; None where `frames` itself waits, as webcam() does.
    show: called with the frame and its probability (H, W).   clock, sleep: for tests.
    Returns: LiveReport.   Introduced in notebook 12.
    """
    report, start = LiveReport(fps), clock()
    for i, image in enumerate(frames):
        here = start + i / fps if fps else clock()
        if fps and clock() >= here + 1 / fps:  # the next frame is there already
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


def open_stream(source: str | Path, seconds: float = 10.0) -> tuple[Iterator[np.ndarray], float | None]:
    """Frames, and how many of them come in a second, for `follow`.

    source: a video file, or "webcam", which gives the pace by itself (None).   seconds: of it at most.
    Returns: uint8 (H, W, 3) frame by frame, and fps.   Raises: UserError.   Introduced in notebook 12.
    """
    if source == "webcam":
        return webcam(seconds=seconds), None
    with VideoReader(source) as reader:
        fps = float(reader.info.fps)

    def frames() -> Iterator[np.ndarray]:
        with VideoReader(source) as reader:
            for frame in islice(reader.frames(), round(seconds * fps)):
                yield frame.image

    return frames(), fps


def webcam(
    number: int = 0, seconds: float = 10.0, size: tuple[int, int] = (640, 480)
) -> Iterator[np.ndarray]:
    """Frames of a camera of this machine for so many seconds: uint8 RGB (H, W, 3), each the newest there is.

    number: 0 is the first camera.   size: width and height to ask the camera for.
    Raises: UserError, with the first frame, when there is none.   Introduced in notebook 12.
    """
    camera = cv2.VideoCapture(number)
    try:
        camera.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # a queue of frames would show the past
        camera.set(cv2.CAP_PROP_FRAME_WIDTH, size[0])
        camera.set(cv2.CAP_PROP_FRAME_HEIGHT, size[1])
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            found, frame = camera.read() if camera.isOpened() else (False, None)
            if not found:
                raise UserError(
                    f"camera {number} gives no pictures: is one plugged in, may this program use it, and "
                    "does no other program? In a container or on a server there is none: take a video file."
                )
            yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
    finally:
        camera.release()
