"""A video on the page: converted beside the requests, watched, and stopped when nobody waits any more."""

import shutil
import threading
import time
from pathlib import Path

import numpy as np

from segkit.app.store import Thing
from segkit.files import UserError
from segkit.predict import Segmenter
from segkit.video.files import VideoReader
from segkit.video.replace import replace_in_video
from segkit.video.smooth import Smoother

MOST_MEGABYTES = 100

MOST_SECONDS = 60

MOST_PIXELS = 2_100_000
"""Of a frame: full HD."""

PATIENCE = 90
"""Seconds; after so long without a question for its state the page was left, and the work stops. A browser
lets a page that nobody looks at ask once in a minute."""

ONE_AT_A_TIME = threading.Lock()


class Stopped(Exception):
    """Somebody pressed cancel, or left the page."""


class Watched(Smoother):
    """A smoother that counts the frames it has seen, and ends the whole video when told to."""

    def __init__(self, strength: float = 0.7):
        super().__init__(strength)
        self.seen, self.asked, self.stop = 0, time.monotonic(), threading.Event()

    def __call__(self, prob: np.ndarray, image: np.ndarray) -> np.ndarray:
        self.check()
        self.seen += 1
        return super().__call__(prob, image)

    def check(self) -> None:
        if self.stop.is_set() or time.monotonic() - self.asked > PATIENCE:
            raise Stopped


def check_video(path: Path) -> int:
    """How many frames a video has that keeps the limits.   Raises: UserError that names no path."""
    try:
        with VideoReader(path) as reader:
            info = reader.info
    except UserError as error:
        raise UserError(str(error).replace(f"'{path}'", "the file")) from None
    if info.width * info.height > MOST_PIXELS:
        raise UserError(f"the video is {info.width} x {info.height}: at most full HD is taken here.")
    seconds = info.seconds or (info.frames or 0) / float(info.fps)
    if seconds > MOST_SECONDS:
        raise UserError(
            f"the video lasts {seconds:.0f} s, and {MOST_SECONDS} s are taken here. "
            "`segkit video` on the command line takes any length."
        )
    return info.frames or round(seconds * float(info.fps))


class Job(Thing):
    """One video on its way to another background, in a folder that goes with it.   Raises: UserError.

    source: the upload, alone in its folder.   name: of the result.   background: see replace_in_video.
    """

    def __init__(self, person: Segmenter, source: Path, name: str, background):
        self.name, self.out, self.bytes = name, source.with_name("result.mp4"), source.stat().st_size
        self.total, self.watched, self.words = check_video(source), Watched(), ""
        self._thread = threading.Thread(target=self._work, args=(person, source, background), daemon=True)
        self._thread.start()

    def _work(self, person: Segmenter, source: Path, background) -> None:
        try:
            while not ONE_AT_A_TIME.acquire(timeout=0.2):
                self.watched.check()
            try:
                began = time.monotonic()
                report = replace_in_video(person, source, self.out, background, self.watched, progress=False)
            finally:
                ONE_AT_A_TIME.release()
            frames, took = self.watched.seen, time.monotonic() - began
            words = f"{frames} frames in {took:.1f} s, {frames / took:.1f} frames per second"
            words = "; ".join([words, *report.problems])
        except Stopped:
            words = f"cancelled after {self.watched.seen} frames"
        except UserError as error:
            words = str(error)
        except Exception as error:  # a strange file may break any library in any way
            words = f"this did not work ({type(error).__name__}): try another file."
        self.words = words.replace(f"'{source}'", "the file").replace(f"'{self.out}'", "the result")

    def state(self) -> dict:
        """How far it is: {"done", "total", "words", "ready"}; words is empty while it works."""
        self.watched.asked = time.monotonic()
        ready = bool(self.words) and self.out.exists()
        return {"done": self.watched.seen, "total": self.total, "words": self.words, "ready": ready}

    def cancel(self) -> None:
        self.watched.stop.set()
        self._thread.join()

    def close(self) -> None:
        self.cancel()
        shutil.rmtree(self.out.parent, ignore_errors=True)
