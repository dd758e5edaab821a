"""Another background behind the people of a video. Introduced in notebook 13."""

import csv
import heapq
import os
import shutil
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from hashlib import sha256
from itertools import chain, islice
from pathlib import Path

import cv2
import numpy as np
from filelock import FileLock, Timeout
from tqdm.auto import tqdm

from segkit.files import UserError, atomic_path, check_choice, check_outputs, counted
from segkit.matting.compose import cover, cutout, replace_background, soft_alpha
from segkit.predict import Segmenter
from segkit.video.files import (
    Encoding,
    Frame,
    VideoReader,
    av,
    choose_encoding,
    folder_writer,
    open_container,
    packets_of,
    video_writer,
)
from segkit.video.smooth import Smoother

SPEAKERS = ("mono", "stereo", "3.0", "quad", "5.0", "5.1", "6.1", "7.1")
"""By their number: how sound that is encoded anew is laid out."""

Past = tuple[np.ndarray, np.ndarray] | None
"""What a smoother remembers of the frame before."""

PART_FRAMES = 250
"""A work file holds this many frames: what an interruption costs at most."""


def painter(background: str | Sequence[int] | np.ndarray) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """A function (image, alpha) -> frame that puts the person before a background, fast enough for video.

    background: "blur", "transparent", an RGB colour, or a picture uint8 (h, w, 3) that is scaled to cover.
    image: uint8 (H, W, 3).   alpha: float32 (H, W) in [0, 1].
    Returns: uint8 (H, W, 3), or (H, W, 4) for "transparent".   Raises: UserError.
    """
    if isinstance(background, str):
        check_choice("a background that is no colour and no picture", background, ("blur", "transparent"))
        # What nobody should see is really gone: otherwise the room would still be in the file.
        return cutout if background == "transparent" else partial(replace_background, background=background)
    picture = np.asarray(background, np.uint8)
    picture = picture.reshape(1, 1, 3) if picture.ndim == 1 else picture

    def paint(image: np.ndarray, alpha: np.ndarray) -> np.ndarray:
        nonlocal picture
        picture = cover(picture, *alpha.shape)  # scaled with the first frame; then it fits
        return cv2.blendLinear(image, picture, alpha, 1 - alpha)

    return paint


@dataclass
class VideoReport:
    """What came of a video."""

    path: Path
    width: int
    height: int
    frames: int = 0
    """Frames in the output."""
    resumed: int = 0
    """How many of them an earlier, interrupted run had made."""
    seconds: float = 0.0
    """How long this run took."""
    audio: str = "no sound"
    problems: list[str] = field(default_factory=list)

    @property
    def fps(self) -> float:
        """Frames per second of this run, reading and writing included."""
        return (self.frames - self.resumed) / max(self.seconds, 1e-9)

    def __str__(self) -> str:
        again = f", {self.resumed:,} of them from the run before" if self.resumed else ""
        return (
            f"{self.path}: {counted(self.frames, 'frame')} of {self.width}x{self.height}{again}, "
            f"{self.audio}; {self.seconds:.1f} s, {self.fps:.1f} frames per second"
        )


def replace_in_video(
    person: Segmenter,
    source: str | Path,
    out: str | Path,
    background: str | Sequence[int] | np.ndarray = "blur",
    smoother: Smoother | None = None,
    crf: int = 20,
    part_frames: int = PART_FRAMES,
    overwrite: bool = False,
    also_read: Iterable[Path] = (),
    progress: bool = True,
) -> VideoReport:
    """Put another background behind the people of a video.

    background: "blur", "transparent", an RGB colour, or a picture uint8 (h, w, 3).
    out: the ending decides: .mp4 .mov .m4v .mkv are H.264, .webm is VP9; transparent: .webm is VP9 with
        alpha, .mov is ProRes 4444, and a name without ending becomes a folder of PNG files with
        times.csv (and no sound).
    smoother: None takes Smoother(); Smoother(0) leaves every frame to itself.
    crf: quality of H.264 and VP9; lower is better and larger.   progress: show a bar.
    part_frames: so many frames make a work file in OUT.parts, where an interrupted run goes on.
    overwrite: replace a file `out` that is there already; the source is never replaced.
    also_read: more files that are never replaced, such as the background.

    Frames keep their times, so sound stays in step, also at a varying frame rate. Sound is copied where
    the output can hold it, and encoded anew otherwise. A thread reads ahead, one runs the network, and
    this one writes; a few frames are in memory, however long the video is.
    Raises: UserError. `out` is then as it was before.   Introduced in notebook 13.
    """
    out, smoother, began = Path(out), smoother or Smoother(), time.perf_counter()
    encoding = choose_encoding(out, isinstance(background, str) and background == "transparent")
    if not 0 <= crf <= 51:
        raise UserError(f"the quality crf goes from 0 (finest) to 51 (smallest), found {crf}.")
    with VideoReader(source) as reader, _alone(out):
        make_room(out, encoding, [Path(source), *also_read], overwrite)
        info = reader.info
        parts = Parts(out, encoding, reader, _job(person, source, background, smoother, crf, part_frames))
        smoother.past, done = parts.past, len(parts.times)
        report = VideoReport(out, info.width, info.height, resumed=done)
        about = {"desc": Path(source).name, "unit": " frames", "disable": not progress}
        bar = tqdm(total=info.frames, initial=done, **about)
        frames = reader.frames(after=parts.times[-1] * info.time_base if done else None)
        small = ((frame, person.preprocessing.resize(frame.image)) for frame in frames)
        if np.ndim(background) == 3:  # as narrow as the frames are stored
            width = max(1, round(background.shape[1] / info.pixel_aspect))
            background = cv2.resize(background, (width, len(background)), interpolation=cv2.INTER_AREA)
        paint = painter(background)

        def painted(segmented: Iterable) -> Iterator[tuple[np.ndarray, Fraction, Past]]:
            for frame, prob, past in segmented:
                alpha = soft_alpha(cv2.resize(prob, (info.width, info.height)), person.threshold)
                yield paint(frame.image, alpha), frame.time, past
                bar.update()

        with (
            bar,
            closing(_ahead(small, 4)) as read,
            closing(_ahead(_segmented(person, read, smoother), 4)) as segmented,
        ):
            for first in segmented:
                parts.add(painted(chain([first], islice(segmented, part_frames - 1))), crf)
        report.audio, lost = parts.assemble()
        report.audio += "".join(f", {what} left out" for what in reader.left_out)
        report.frames, report.problems = len(parts.times), reader.problems() + lost
    report.seconds = time.perf_counter() - began
    return report


def make_room(out: Path, encoding: Encoding, inputs: list[Path], overwrite: bool) -> None:
    """Before the work: only what may go stands where the result goes.   Raises: UserError."""
    if encoding.codec != "png":
        if out.is_dir():
            raise UserError(f"'{out}' is a folder: give -o the name of a file.")
        check_outputs([out], inputs, overwrite)
    elif os.path.lexists(out):
        try:
            out.rmdir()
        except OSError:  # it holds something, or is a file, a link, or another disk's place
            raise UserError(f"'{out}' is there already: give -o a new name, or remove it first.") from None


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """No other run makes this video meanwhile.   Raises: UserError."""
    lock = FileLock(place := out.with_name(f".{out.name}.lock"), timeout=0)
    check_outputs([out], overwrite=True)
    try:
        lock.acquire()
    except Timeout:
        raise UserError(f"another run makes '{out}': wait until it ends, or choose another place.") from None
    except OSError as error:
        raise UserError(f"'{out}' could not be written ({error.strerror}).") from None
    try:
        yield
    finally:
        lock.release()
        place.unlink(missing_ok=True)


def _job(person, source, background, smoother, crf, part_frames) -> str:
    """Everything that the frames depend on: an interrupted run goes on only if all of it is the same."""
    stat = Path(source).stat()
    if isinstance(background, np.ndarray):
        background = sha256(background.tobytes()).hexdigest()
    smoothing = smoother.strength, smoother.gate, smoother.flow
    file = Path(source).resolve(), stat.st_size, stat.st_mtime
    network = person.info, person.runs_on, person.threshold
    return repr((*file, background, *smoothing, *network, crf, part_frames))


def _segmented(person: Segmenter, frames: Iterator[tuple[Frame, np.ndarray]], smoother: Smoother) -> Iterator:
    """Frame, smoothed probability at the network's size, and the smoother's memory after it."""
    batch_size = 1 if person.device.type == "cpu" else 8
    while batch := list(islice(frames, batch_size)):
        probs = person.look_once([small for _, small in batch])
        for (frame, small), prob in zip(batch, probs, strict=True):
            # Smoothing happens at the network's size, where it costs the same for every video.
            yield frame, smoother(person.foreground(prob), small), smoother.past


def _ahead(items: Iterator, depth: int) -> Iterator:
    """The same items, made by a thread that runs at most `depth` ahead."""
    end = object()
    with ThreadPoolExecutor(1) as pool:
        made = deque(pool.submit(next, items, end) for _ in range(depth))
        try:
            while (item := made.popleft().result()) is not end:
                made.append(pool.submit(next, items, end))
                yield item
        finally:
            pool.shutdown(cancel_futures=True)


class Parts:
    """The work folder OUT.parts: whole pieces of the output, and what is needed to go on after each.

    After an interruption the pieces that are whole stay; the next run with the same settings goes on
    after the last one. A folder from other settings is thrown away.
    """

    def __init__(self, out: Path, encoding: Encoding, reader: VideoReader, job: str):
        self.out, self.encoding, self.reader, self.info, self.job = out, encoding, reader, reader.info, job
        self.folder = out.with_name(f"{out.name}.parts")
        self.times: list[int] = []
        """When each frame is shown, in units of the source's time base."""
        self.starts: list[int] = []
        """The first frame of each piece."""
        self.past: Past = None
        self._state = self.folder / "state.npz"
        known = {}
        with suppress(Exception), np.load(self._state) as state:
            # After a power cut files may be empty or gone.
            files = {*self.folder.rglob("[!.]*")}
            pieces = {self._piece(number) for number in range(len(state["starts"]))}
            if pieces <= files and all(file.stat().st_size for file in files):
                known = dict(state)
        if known.get("job") == job:
            self.times, self.starts = known["times"].tolist(), known["starts"].tolist()
            self.past = (known["prob"], known["image"]) if "prob" in known else None
        elif self._state.exists():
            shutil.rmtree(self.folder)
        elif self.folder.exists() and any(self.folder.iterdir()):
            raise UserError(f"'{self.folder}' is in the way: work files go there. Move it away.")
        self._save()

    def _save(self) -> None:
        memory = dict(zip(("prob", "image"), self.past, strict=True)) if self.past else {}
        with atomic_path(self._state) as temporary:
            np.savez(temporary, job=self.job, times=self.times, starts=self.starts, **memory)

    def _piece(self, number: int) -> Path:
        return self.folder / ("frames" if self.encoding.codec == "png" else f"{number:05d}{self.out.suffix}")

    def add(self, frames: Iterable[tuple[np.ndarray, Fraction, Past]], crf: int) -> None:
        """One more piece, of pictures, their times, and what the smoother knew then; it counts once whole."""
        info, times, place = self.info, [], self._piece(len(self.starts))
        if self.encoding.codec == "png":
            writer = folder_writer(place, len(self.times))
        else:
            writer = video_writer(place, info.fps, self.encoding, info.time_base, info.pixel_aspect, crf)
        with writer as write:
            for image, time, self.past in frames:
                times.append(round(time / info.time_base))
                # Each piece starts at zero; it is moved to its place when all are joined.
                write(image, (times[-1] - times[0]) * info.time_base)
        self.starts.append(len(self.times))
        self.times += times
        self._save()

    def assemble(self) -> tuple[str, list[str]]:
        """Join the pieces and the sound into the output, whole or not at all, and remove the work folder.

        Returns: what became of the sound, and what was lost.
        """
        said, lost = "without sound" if self.info.audio else "no sound", []
        if self.encoding.codec == "png":
            with atomic_path(self._piece(0) / "times.csv") as temporary:
                rows = enumerate(float(time * self.info.time_base) for time in self.times)
                with temporary.open("w", newline="") as file:
                    csv.writer(file).writerows([("frame", "seconds"), *rows])
            self._piece(0).rename(self.out)
        else:
            said, lost = self._join()
        shutil.rmtree(self.folder)
        return said, lost

    def _join(self) -> tuple[str, list[str]]:
        copied = not self.encoding.copies or set(self.info.audio) <= set(self.encoding.copies)
        ways, lost = ["sound copied"] * copied + ["sound encoded anew"], []
        for way in [*ways, "sound lost"] if self.info.audio else ["no sound"]:
            try:
                self._write(way)
                return way, lost if way == "sound lost" else []
            except av.FFmpegError as error:
                lost = [f"the sound of '{self.reader.path}' could not be written ({error})."]
                reason = error
        raise UserError(f"'{self.out}' could not be written ({reason}).") from reason

    def _write(self, sound: str) -> None:
        with ExitStack() as opened:
            temporary = opened.enter_context(atomic_path(self.out))
            movable = self.out.suffix.lower() in (".mp4", ".m4v", ".mov")
            options = {"movflags": "+faststart"} if movable else {}
            target = opened.enter_context(open_container(temporary, "w", **options))
            target.metadata.update(self.reader.described)
            with open_container(self._piece(0)) as first:
                video = target.add_stream_from_template(first.streams.video[0])
                video.metadata.update(first.streams.video[0].metadata)
                video.codec_context.framerate = self.info.fps
            tracks = [self._pictures(video)]
            for number in self.reader.sounds if sound != "sound lost" else ():
                source = opened.enter_context(open_container(self.reader.path))
                track = source.streams.audio[number]
                codec = None if sound == "sound copied" else self.encoding.audio_codec
                tracks.append(_sound(source, track, target, codec, self.reader.origin))
            # Packets in the order of their times, so that little of the longer track waits in memory.
            for packet in heapq.merge(*tracks, key=lambda packet: packet.dts * packet.time_base):
                target.mux(packet)

    def _pictures(self, video) -> Iterator:
        for number, start in enumerate(self.starts):
            with open_container(self._piece(number)) as piece:
                track = piece.streams.video[0]
                shift = -round(self.times[start] * self.info.time_base / track.time_base)
                yield from _moved(piece.demux(track), video, shift)


def _sound(source, track, target, codec: str | None, origin: Fraction) -> Iterator:
    """The packets of a sound track for another file: as they are, or encoded anew with a codec."""
    if codec is None:
        out = target.add_stream_from_template(track)
        packets = _moved(packets_of(source, track), out, round(origin / track.time_base))
    else:
        layout = SPEAKERS[min(track.codec_context.channels, 8) - 1]
        out = target.add_stream(codec, rate=48000, layout=layout)
        packets = _encoded(source, track, out, origin)
    kept = {name: text for name, text in track.metadata.items() if name in ("language", "title")}
    out.metadata.update(kept)
    return packets


def _moved(packets: Iterator, out, shift: int) -> Iterator:
    """Packets for the stream `out`, shown so many of their time base's units earlier."""
    for packet in packets:
        if packet is not None and packet.dts is not None:
            packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
            packet.stream = out
            yield packet


def _encoded(source, track, out, origin: Fraction) -> Iterator:
    for packet in packets_of(source, track):
        try:
            frames = packet.decode() if packet is not None else []
        except av.FFmpegError:  # a damaged place stays silent
            continue
        for frame in frames:
            frame.pts = None if frame.pts is None else frame.pts - round(origin / frame.time_base)
            yield from out.encode(frame)
    yield from out.encode(None)
