"""Video files: frames in, each with its own time, and frames out. Introduced in notebook 13.

This needs PyAV: pip install 'segkit-course[video]'. OpenCV reads most videos too, but it cannot write H.264,
which is what browsers and phones play, and it drops the sound and the times of the frames.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache
from itertools import count
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageOps

from segkit.files import UserError, atomic_path, open_picture, require, write_image
from segkit.matting.effects import put_before

try:
    import av
except ModuleNotFoundError:  # everything else of segkit works without
    av = None

BT709, LIMITED = 1, 1  # the numbers of the H.264 standard for HD colours, and for 16..235 levels

PQ, HLG = 16, 18  # and for the two curves of HDR

BT2020_TO_709 = np.float32(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]]
)

BRIGHTEST = 10000 / 203
"""The most light that a file can ask for; 1 is a white page."""

MAX_FRAME = 36_000_000
"""Pixels of a frame, as large as 8K: some twenty frames are in memory at a time."""

OF_THE_FILE = ("major_brand", "minor_version", "compatible_brands", "encoder", "duration")
"""Tags that do not describe the film, but how it is stored."""


@dataclass(frozen=True)
class VideoInfo:
    """What a video file says about itself. Sizes are as the viewer sees them, upright."""

    width: int
    height: int
    fps: Fraction
    """Frames per second on average."""
    frames: int | None
    """How many there should be, where the file says so."""
    seconds: float | None
    time_base: Fraction
    """All times are whole multiples of this many seconds."""
    pixel_aspect: Fraction
    audio: tuple[str, ...]
    """The codec of each sound track."""


@dataclass(frozen=True)
class Frame:
    """One picture of a video: uint8 RGB (H, W, 3), and when it is shown, in seconds from the start."""

    image: np.ndarray
    time: Fraction


class VideoReader:
    """A video file, frame by frame, upright, each with its own time; never more than a few in memory.

    with VideoReader("in.mp4") as reader:
        for frame in reader.frames(): ...

    Damaged places are stepped over and counted in `damaged`; `problems()` says what was wrong.
    Raises: UserError for what is no video, with the reason.   Introduced in notebook 13.
    """

    def __init__(self, path: str | Path):
        self.path, self.damaged, self.last, self.count = Path(path), 0, Fraction(0), 0
        self._open()
        start = self._container.start_time
        step = Fraction(self._stream.time_base)
        self.origin = round(Fraction(start or 0, av.time_base) / step) * step
        tags = self._container.metadata.items()
        self.described = {name: text for name, text in tags if name.lower() not in OF_THE_FILE}
        streams = self._container.streams
        self.sounds = [i for i, sound in enumerate(streams.audio) if sound.codec_context]
        others = {"subtitles": streams.subtitles, "other pictures": self._pictures[1:], "data": streams.data}
        others["sound of an unknown kind"] = len(self.sounds) < len(streams.audio)
        self.left_out = [what for what, there in others.items() if there]
        self.info = self._look()

    def __enter__(self) -> "VideoReader":
        return self

    def __exit__(self, *_) -> None:
        self._container.close()

    def _look(self) -> VideoInfo:
        first = next(self._decoded(), None)
        if first is None:
            why = f"is damaged, or has frames of more than {MAX_FRAME:,} pixels"
            raise UserError(f"'{self.path}' {why}: not one of them could be read.")
        stream, container = self._stream, self._container
        matrix = first.side_data.get("DISPLAYMATRIX")
        self._turn = np.frombuffer(matrix, np.int32) if matrix else np.eye(3, dtype=np.int32).ravel()
        # Whether rows and columns change places to show it. A selfie may be mirrored as well.
        self._lies = abs(int(self._turn[1])) > abs(int(self._turn[0]))
        aspect = stream.sample_aspect_ratio or Fraction(1)
        size = first.width, first.height
        if self._lies:
            size, aspect = size[::-1], 1 / aspect
        rates = (stream.average_rate, stream.guessed_rate)
        fps = next((rate for rate in rates if rate and 1e-3 <= rate <= 1000), Fraction(25))  # or nonsense
        seconds = container.duration / av.time_base if container.duration else None
        if stream.duration and stream.time_base:
            seconds = float(stream.duration * stream.time_base)
        return VideoInfo(
            *size,
            fps=Fraction(fps).limit_denominator(1001),
            frames=stream.frames or (round(seconds * fps) if seconds else None),
            seconds=seconds,
            time_base=Fraction(stream.time_base),
            pixel_aspect=Fraction(aspect),
            audio=tuple(container.streams.audio[i].codec_context.name for i in self.sounds),
        )

    def frames(self, after: Fraction | None = None) -> Iterator[Frame]:
        """The frames in order, from the first one; only those later than `after` seconds, if given."""
        self._container.close()
        self._open()
        self.damaged, self.count, last = 0, 0, None
        for raw in self._decoded():
            self.count += 1
            self.last = now = self._time(raw, last)
            self.damaged += bool(raw.is_corrupt)
            if last is not None and now <= last:
                self.damaged += 1  # two frames at one moment: the second would never be seen
                continue
            last = now
            if after is None or now > after:
                yield Frame(self._upright(raw), now)

    def problems(self) -> list[str]:
        """What was wrong with the file, one sentence each; ask after the last frame."""
        found = []
        if self.damaged:
            found.append(
                f"'{self.path}' is damaged in {self.damaged} place{'s' if self.damaged > 1 else ''}: "
                "frames there are missing or patched."
            )
        # A film may hide some of its frames by a list, as when its start was cut off, but hardly this many.
        # AVI counts what it drops.
        shown = round(self.last * self.info.fps) + 1 if self._is_avi else self.count
        if shown < 0.75 * self._stream.frames:
            found.append(
                f"'{self.path}' should hold {self._stream.frames} frames, and {self.count} could be read."
            )
        end, seconds = float(self.last + 1 / self.info.fps), self.info.seconds or 0
        least = seconds - max(1.0 if self._stream.duration else 2.0, 0.02 * seconds)
        # Where a file gives one length for all it holds, it is that of the longest, often the sound.
        early = end < least and (self._stream.duration or _end_of_all(self.path) < least)
        if early or self.path.stat().st_size < _declared_size(self.path):
            found.append(
                f"'{self.path}' is cut off: it should be {self.info.seconds or end:.1f} s long, "
                f"and {end:.1f} s could be read."
            )
        return found

    def _open(self) -> None:
        self._container, self._pictures = _open_video(self.path)
        self._stream, self._is_avi = self._pictures[0], self._container.format.name == "avi"
        self._stream.thread_type = "AUTO"
        self._decoder = self._stream.codec_context
        tags = {name.lower(): text for name, text in self._stream.metadata.items()}
        others = {"vp8": "libvpx", "vp9": "libvpx-vp9"}  # FFmpeg's own decoders of these leave alpha out
        if tags.get("alpha_mode") == "1" and self._decoder.name in others:
            self._decoder = av.CodecContext.create(others[self._decoder.name], "r")
        self._decoder.options = {"max_pixels": str(MAX_FRAME)}  # what its frames say counts, not the file

    def _decoded(self) -> Iterator:
        for packet in packets_of(self._container, self._stream):
            if packet is None:
                self.damaged += 1
                continue
            self.damaged += bool(packet.is_corrupt)
            try:
                yield from self._decoder.decode(packet)
            except av.FFmpegError:
                self.damaged += 1

    def _time(self, raw, last: Fraction | None) -> Fraction:
        units = raw.dts if self._is_avi else raw.pts  # AVI says when to decode a frame, never when to show it
        if units is None:  # a bare stream without times
            step = Fraction(self._stream.time_base)
            return Fraction(0) if last is None else round((last + 1 / self.info.fps) / step) * step
        return units * Fraction(raw.time_base) - self.origin

    def _upright(self, raw) -> np.ndarray:
        # Files that do not say which colours they hold mean the HD ones when they are HD, as players do.
        space = raw.colorspace if raw.colorspace in (1, 4, 5, 6, 7, 9) else (1 if raw.height >= 720 else 5)
        space = 5 if space == 6 else space
        if raw.color_trc in (PQ, HLG):
            image = to_sdr(raw.reformat(format="rgb48le", src_colorspace=space).to_ndarray(), raw.color_trc)
        elif any(component.is_alpha for component in raw.format.components):  # white, as in a picture
            rgba = raw.reformat(format="rgba", src_colorspace=space).to_ndarray()
            alpha = rgba[..., 3] / np.float32(255)
            image = put_before(np.ascontiguousarray(rgba[..., :3]), alpha, np.full_like(rgba[..., :3], 255))
        else:
            image = raw.reformat(format="rgb24", src_colorspace=space).to_ndarray()
        across, down = self._turn[[3, 1]] if self._lies else self._turn[[0, 4]]
        image = image.transpose(1, 0, 2) if self._lies else image
        image = np.ascontiguousarray(image[:: -1 if down < 0 else 1, :: -1 if across < 0 else 1])
        size = self.info.width, self.info.height
        if image.shape[1::-1] != size:  # some films change their size on the way: nothing is stretched
            image = np.asarray(ImageOps.pad(Image.fromarray(image), size))
        return image


def to_sdr(wide: np.ndarray, curve: int) -> np.ndarray:
    """What an HDR picture looks like on a common screen: uint16 (H, W, 3) in BT.2020 -> uint8 (H, W, 3).

    curve: PQ (SMPTE ST 2084) or HLG (ARIB STD-B67). A white page, 203 cd/m2 (ITU-R BT.2408), becomes nearly
    white, and what is brighter shares the rest.
    """
    linear, shown = _hdr_tables(curve)
    light = cv2.transform(linear[wide], BT2020_TO_709)
    return shown[np.sqrt(light.clip(0, BRIGHTEST) * (65535**2 / BRIGHTEST)).astype(np.uint16)]


@cache
def _hdr_tables(curve: int) -> tuple[np.ndarray, np.ndarray]:
    """Stored number -> light, where 1 is a white page, float32 (65536,); root of light -> uint8 (65536,)."""
    signal = np.linspace(0, 1, 65536)
    if curve == PQ:
        power = signal ** (1 / 78.84375)
        nits = 10000 * ((power - 0.8359375).clip(0) / (18.8515625 - 18.6875 * power)) ** (1 / 0.1593017578125)
    else:
        upper = (np.exp((signal - 0.55991073) / 0.17883277) + 0.28466892) / 12
        scene = np.where(signal <= 0.5, signal**2 / 3, upper)
        nits = 1000 * scene**1.2
    light = signal**2 * BRIGHTEST
    # A knee, and 1 is never reached.
    soft = np.where(light <= 0.8, light, 1 - 0.2 * np.exp((0.8 - light) / 0.2))
    return (nits / 203).astype(np.float32), (255 * soft ** (1 / 2.4)).round().astype(np.uint8)


def _end_of_all(path: Path) -> float:
    """When the last packet of any kind ends, in seconds, by the clock of the file itself."""
    with open_container(path) as container:
        known = (packet for packet in packets_of(container, None) if packet and packet.pts is not None)
        return float(max(((p.pts + (p.duration or 0)) * p.time_base for p in known), default=0))


def _declared_size(path: Path) -> int:
    """How many bytes a Matroska or WebM file should have, as its Segment says; 0 where it does not say."""
    with path.open("rb") as file:
        head = file.read(4096)
    at = head.find(b"\x18\x53\x80\x67") + 4
    if not head.startswith(b"\x1a\x45\xdf\xa3") or at < 4:
        return 0
    length = 9 - head[at].bit_length()  # the first set bit says how long the number is
    size = int.from_bytes(head[at : at + length]) - (1 << 7 * length)
    return 0 if size == (1 << 7 * length) - 1 else at + length + size  # all ones: it was not known


def packets_of(container, stream) -> Iterator:
    """Packets of a stream, or of all (None); None stands for a place that could not be read."""
    failures = 0
    while failures < 20:
        try:
            yield from container.demux(stream)
            return
        except av.FFmpegError:
            failures += 1
            yield None


FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,ogg,asf,mxf,h264,hevc,ivf,dv"
FORMATS += ",gif,wav,mp3,aac,flac"
"""What FFmpeg may take a file for. Playlists are not among them: they would show other files, by name."""


def open_container(path: str | Path, mode: str = "r", **options: str):
    """A media file, opened to read ("r") or to write ("w").   Raises: av.FFmpegError, OSError.

    Read is this file alone, whatever it names. A name with a colon, such as 10:30.mp4, stays a name.
    """
    if mode == "r":
        options |= {"format_whitelist": FORMATS, "protocol_whitelist": "file"}
    return av.open(f"file:{Path(path).absolute()}", mode, metadata_errors="replace", options=options)


def _open_video(path: Path) -> tuple:
    """An open container, and its streams of pictures, at least one.   Raises: UserError."""
    if av is None:
        require("av", extra="video")
    if not path.is_file():
        raise UserError(f"'{path}' is not a file." if path.exists() else f"'{path}' does not exist.")
    what = None
    with suppress(UserError), open_picture(path) as picture:
        what = picture.format
    if what not in (None, "GIF"):
        raise UserError(f"'{path}' is a picture, not a video. For pictures: segkit predict")
    try:
        container = open_container(path)
    except PermissionError:
        raise UserError(f"'{path}' may not be read: check its permissions.") from None
    except (av.FFmpegError, OSError):
        head = path.open("rb").read(12)
        if head[4:8] in (b"ftyp", b"mdat", b"wide", b"free"):
            raise UserError(
                f"'{path}' is cut off: its index, which a recorder writes last, is missing. Copy it again, "
                "or export it again from the program that made it."
            ) from None
        what = "not a video, or in a format that is not known" if head else "empty"
        raise UserError(f"'{path}' is {what}.") from None
    cover = av.stream.Disposition.attached_pic
    pictures = [stream for stream in container.streams.video if not stream.disposition & cover]
    if not pictures or pictures[0].codec_context is None:
        container.close()
        what = "a video in a format that is not known here" if pictures else "sound but no moving pictures"
        raise UserError(f"'{path}' holds {what}.")
    return container, pictures


@dataclass(frozen=True)
class Encoding:
    """How a kind of output is written."""

    codec: str
    pixels: str
    options: dict[str, str]
    audio_codec: str
    """What sound becomes when it cannot be copied."""
    copies: tuple[str, ...]
    """Sound that is copied as it is; empty: all of it."""


_FAST = {"deadline": "realtime", "cpu-used": "8", "row-mt": "1", "b": "0", "auto-alt-ref": "0"}

VP9 = Encoding("libvpx-vp9", "yuv420p", _FAST, "libopus", ("opus", "vorbis"))

_IN_MP4 = ("aac", "mp3", "ac3", "eac3", "alac", "opus")

H264 = Encoding("libx264", "yuv420p", {"preset": "veryfast", "bf": "0"}, "aac", _IN_MP4)

MOV = replace(H264, copies=(*_IN_MP4, "pcm_s16le", "pcm_s24le"))

OPAQUE = {".mp4": H264, ".m4v": H264, ".mov": MOV, ".mkv": replace(H264, copies=()), ".webm": VP9}

_PRORES = {"profile": "4444", "alpha_bits": "8"}

TRANSPARENT = {
    ".webm": replace(VP9, pixels="yuva420p"),
    ".mov": replace(MOV, codec="prores_ks", pixels="yuva444p10le", options=_PRORES),
    "": Encoding("png", "rgba", {}, "", ()),
}


def choose_encoding(out: Path, transparent: bool) -> Encoding:
    """The encoding for a file name.   Raises: UserError that lists what is possible."""
    suffix = out.suffix.lower()
    choices = TRANSPARENT if transparent else OPAQUE
    if suffix in choices and out.name:
        return choices[suffix]
    if transparent:
        raise UserError(
            f"'{out}' cannot be transparent: give -o a name that ends in .webm (VP9, for web pages) or .mov "
            "(ProRes 4444, for video editors), or a folder, which gets one PNG per frame."
        )
    raise UserError(f"'{out}' should end in one of {', '.join(choices)}: that decides how it is written.")


@contextmanager
def video_writer(
    path: str | Path,
    fps: float | Fraction = 25,
    encoding: Encoding | None = None,
    time_base: Fraction | None = None,
    pixel_aspect: Fraction = Fraction(1),
    crf: int = 20,
) -> Iterator[Callable]:
    """Write frames to one file. The colours are written, and marked, as BT.709, so that players agree.

    with video_writer("out.mp4", fps=25) as write:
        write(image)            # uint8 RGB (H, W, 3), or RGBA for a transparent encoding; all of one size
        write(image, 1.5)       # at its own time, in seconds from the start; without one, fps goes on

    H.264 needs even sizes: of an odd one, the last row or column is repeated.
    The file is there after the last line, whole, and not at all after an error. Introduced in notebook 13.
    Raises: UserError, also when nothing was written.
    """
    if av is None:
        require("av", extra="video")
    encoding = encoding or choose_encoding(Path(path), transparent=False)
    fps, numbers = Fraction(fps).limit_denominator(1001), count()
    time_base = time_base or 1 / fps
    options = dict(encoding.options)
    if encoding.codec in (H264.codec, VP9.codec):
        options |= {"crf": str(crf), "g": str(max(1, round(2 * fps)))}
    step = 2 if "420" in encoding.pixels else 1
    with atomic_path(Path(path)) as temporary, open_container(temporary, "w") as container:
        stream = container.add_stream(encoding.codec, rate=fps, options=options)
        codec = stream.codec_context
        stream.pix_fmt, stream.time_base, codec.time_base = encoding.pixels, time_base, time_base
        codec.sample_aspect_ratio = pixel_aspect
        codec.colorspace = codec.color_primaries = codec.color_trc = BT709
        codec.color_range = LIMITED
        if encoding.pixels == "yuva420p":
            stream.metadata["alpha_mode"] = "1"

        def write(image: np.ndarray, time: float | Fraction | None = None) -> None:
            number, (height, width) = next(numbers), image.shape[:2]
            if number == 0:
                stream.width, stream.height = width + width % step, height + height % step
            image = cv2.copyMakeBorder(image, 0, height % step, 0, width % step, cv2.BORDER_REPLICATE)
            frame = av.VideoFrame.from_ndarray(image, "rgb24" if image.shape[2] == 3 else "rgba")
            frame = frame.reformat(format=encoding.pixels, dst_colorspace=BT709, dst_color_range=LIMITED)
            frame.time_base = time_base
            frame.pts = round(Fraction(number / fps if time is None else time) / time_base)
            container.mux(stream.encode(frame))

        yield write
        if next(numbers) == 0:
            raise UserError(f"there are no pictures to write to '{path}'.")
        container.mux(stream.encode(None))


@contextmanager
def folder_writer(path: Path, start: int) -> Iterator[Callable]:
    """The same for a folder of PNG files, numbered from `start`."""
    path.mkdir(parents=True, exist_ok=True)
    for half in path.glob(".*.png"):  # a killed run left it
        half.unlink()
    numbers = count(start)
    yield lambda image, time: write_image(path / f"{next(numbers):06d}.png", image)


def write_video(path: str | Path, images: Iterable[np.ndarray], fps: float = 25) -> Path:
    """Write pictures, uint8 RGB (H, W, 3) of one size, as a video that browsers play. Returns the path.

    Written whole or not at all.   Introduced in notebook 13.
    """
    with video_writer(path, fps) as write:
        for image in images:
            write(image)
    return Path(path)
