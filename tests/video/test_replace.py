import csv
import resource
import struct
import threading
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import torch
from conftest import cases, refused
from PIL import Image
from scipy.io import wavfile

import segkit.video.replace
from segkit.files import UserError, write_image
from segkit.video.files import HLG, PQ, VideoReader, folder_writer, to_sdr, write_video
from segkit.video.live import open_stream
from segkit.video.replace import VideoReport, painter, replace_in_video
from segkit.video.smooth import (
    Clip,
    Smoother,
    compare_smoothing,
    flicker,
    load_clip,
    score_masks,
    smooth_clip,
    stillness,
    temporal_iou,
)

GREEN = (0, 160, 60)


def picture(number: int, width: int = 96, height: int = 64) -> np.ndarray:
    """A white square that walks to the right over a dark blue floor."""
    image = np.zeros((height, width, 3), np.uint8)
    image[:] = (10, 20, 90)
    left = 8 + 2 * number % (width - 40)
    image[height // 4 : height * 3 // 4, left : left + 24] = 250
    return image


def doubtful_picture(number: int, width: int, height: int) -> np.ndarray:
    """The same with a patch that is person in every other frame, by a hair: smoothing has work to do."""
    image = picture(number, width, height)
    image[:16, -32:] = 124 + 8 * (number % 2)
    return image


def make_video(path, count=20, fps=10, times=None, size=(96, 64), audio=None, codec="libx264",
               pixels="yuv420p", base=None, draw=picture, aspect=1, longer=0, **opts):  # fmt: skip
    """A clip made by PyAV alone, with a tone that may last `longer`; `times` in units of `base` seconds."""
    base = base or Fraction(1, fps)
    times = times or list(range(count))
    with av.open(str(path), "w", options=opts) as out:
        out.metadata["title"] = "a walk"
        video = out.add_stream(codec, rate=fps)
        video.width, video.height, video.pix_fmt = *size, pixels
        video.codec_context.time_base = video.time_base = base
        video.codec_context.sample_aspect_ratio = Fraction(aspect)
        sound = out.add_stream(audio, rate=48000, layout="mono") if audio else None
        if sound:
            sound.metadata["language"] = "deu"
        for number, when in enumerate(times):
            frame = av.VideoFrame.from_ndarray(draw(number, *size), "rgb24")
            frame.pts, frame.time_base = when, base
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
        if sound:
            length = int(48000 * (float((times[-1] + 1) * base) + longer))
            tone = (np.sin(np.arange(length) / 20) * 8000).astype(np.int16)
            frame = av.AudioFrame.from_ndarray(tone[None], "s16", "mono")
            frame.sample_rate, frame.pts, frame.time_base = 48000, 0, Fraction(1, 48000)
            out.mux([*sound.encode(frame), *sound.encode(None)])
    return path


def read(path):
    with VideoReader(path) as reader:
        frames = list(reader.frames())
        return reader.info, frames, reader.problems()


def sound_of(path):
    with av.open(str(path)) as file:
        assert file.streams.audio[0].metadata["language"] in ("deu", "ger")
        return [(p.pts * p.time_base, bytes(p)) for p in file.demux(audio=0) if p.dts is not None]


# --- reading ---------------------------------------------------------------------------------------------


def test_a_video_is_read_frame_by_frame_with_its_colours_and_times(tmp_path):
    info, frames, problems = read(make_video(tmp_path / "a.mp4", audio="aac"))
    assert (info.width, info.height, info.fps, info.frames, info.audio) == (96, 64, 10, 20, ("aac",))
    assert [f.time for f in frames] == [Fraction(n, 10) for n in range(20)]
    assert problems == []
    for number in (0, 7, 19):
        assert np.abs(frames[number].image.astype(int) - picture(number)).mean() < 4


@pytest.mark.parametrize("space", [1, 5])
def test_colours_are_read_by_the_standard_that_the_file_names(tmp_path, space):
    with av.open(str(tmp_path / "a.mp4"), "w") as out:
        video = out.add_stream("libx264", rate=10, options={"crf": "5"})
        video.width, video.height, video.pix_fmt = 64, 64, "yuv420p"
        video.codec_context.colorspace, video.codec_context.color_range = space, 1
        image = np.full((64, 64, 3), (20, 180, 60), np.uint8)
        frame = av.VideoFrame.from_ndarray(image, "rgb24")
        frame = frame.reformat(format="yuv420p", dst_colorspace=space, dst_color_range=1)
        out.mux(video.encode(frame))
        out.mux(video.encode(None))
    _, (frame,), _ = read(tmp_path / "a.mp4")
    assert np.abs(frame.image.astype(int) - image).max() <= 6


@cases(
    "matrix shown",
    ((0, 1, -1, 0), lambda image: np.rot90(image, -1)),  # a phone held upright: "turn clockwise"
    ((-1, 0, 0, -1), lambda image: np.rot90(image, 2)),
    ((0, -1, 1, 0), np.rot90),
    ((-1, 0, 0, 1), np.fliplr),  # a selfie, mirrored
    ((1, 0, 0, -1), np.flipud),
    ((0, 1, 1, 0), lambda image: image.transpose(1, 0, 2)),
)
def test_a_video_is_turned_and_mirrored_as_its_matrix_says(tmp_path, matrix, shown):
    # Written by hand into the header of the track.
    path = make_video(tmp_path / "a.mp4")
    data, (a, b, c, d) = bytearray(path.read_bytes()), (part << 16 for part in matrix)
    struct.pack_into(">9i", data, data.index(b"tkhd") + 4 + 4 + 20 + 16, a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    info, frames, _ = read(path)
    assert (info.height, info.width) == shown(picture(3)).shape[:2]
    assert np.abs(frames[3].image.astype(int) - shown(picture(3))).mean() < 4


def test_a_picture_behind_pixels_that_are_not_square_is_shown_as_wide_as_it_is(tmp_path, bright):
    beach = np.full((64, 192, 3), (0, 160, 60), np.uint8)
    beach[:, :32] = 0, 0, 250
    source = make_video(tmp_path / "a.mp4", aspect=2)
    replace_in_video(bright, source, tmp_path / "b.mp4", beach)
    info, frames, _ = read(tmp_path / "b.mp4")
    assert info.pixel_aspect == 2
    assert (frames[0].image[:, 2:13, 2] > 200).all() and (frames[0].image[:8, 19:, 2] < 100).all()
    assert next(open_stream(source)[0]).image.shape == (64, 192, 3)


def test_a_film_that_changes_its_size_on_the_way_is_stretched_nowhere(tmp_path):
    parts = [make_video(tmp_path / "1.ts"), make_video(tmp_path / "2.ts", times=[30], size=(64, 96))]
    (tmp_path / "a.ts").write_bytes(b"".join(part.read_bytes() for part in parts))
    _, frames, _ = read(tmp_path / "a.ts")
    assert {frame.image.shape for frame in frames} == {(64, 96, 3)}
    rows, columns = np.nonzero(frames[-1].image.min(2) > 200)
    assert np.ptp(rows) / np.ptp(columns) == pytest.approx(2, rel=0.2)


@pytest.mark.parametrize("curve", [PQ, HLG])
def test_hdr_is_shown_as_a_common_screen_shows_it(curve):
    stored = {PQ: [0, 0.381, 0.581, 0.7], HLG: [0, 0.38, 0.75, 0.9]}[curve]  # black, 26, 203 and more cd/m2
    image = to_sdr(np.uint16(65535 * np.float32(stored)).repeat(3).reshape(1, 4, 3), curve)
    black, grey, white, more = image[0].mean(axis=1)
    assert black == 0 and 95 < grey < 125 and 220 < white < more <= 255
    assert np.ptp(image, axis=2).max() <= 1  # grey stays grey


def test_what_is_transparent_in_a_video_is_white_and_a_gif_is_a_video_too(tmp_path):
    shown = [Image.fromarray(picture(number)).convert("RGBA") for number in range(5)]
    for image in shown:
        image.paste((0, 0, 0, 0), (0, 0, 9, 9))
    shown[0].save(tmp_path / "a.gif", save_all=True, append_images=shown[1:], duration=100, disposal=2)
    _, frames, _ = read(tmp_path / "a.gif")
    assert len(frames) == 5 and all((frame.image[:9, :9] == 255).all() for frame in frames)
    assert np.abs(frames[3].image[9:].astype(int) - picture(3)[9:]).mean() < 10


@cases(
    "name content said",
    ("a.mp4", b"", "is empty"),
    ("a.mp4", b"\x00\x01\x02\x03" * 300, "not a video"),
    ("a.txt", b"only words\n" * 80, "not a video"),
    ("a.mp4", b"\x00\x00\x00\x18ftypmp42" + bytes(600), "index"),
    ("a.mkv", b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfilm.ts\n#EXT-X-ENDLIST\n", "not a video"),
    ("a.mp4", b"ffconcat version 1.0\nfile film.ts\n", "not a video"),
    ("a.sdp", b"v=0\nm=video 5004 RTP/AVP 96\n", "not a video"),
)
def test_what_is_no_video_is_named_and_no_other_file_is_shown(tmp_path, name, content, said):
    make_video(tmp_path / "film.ts")
    (tmp_path / name).write_bytes(content)
    refused(rf"'.*{name}' .*{said}", VideoReader, tmp_path / name)


def test_frames_that_no_memory_holds_are_refused_before_they_are_decoded(tmp_path, monkeypatch):
    film = make_video(tmp_path / "a.mp4")
    monkeypatch.setattr(segkit.video.files, "MAX_FRAME", 100)
    refused("frames of more than 100 pixels", VideoReader, film)


def test_pictures_sound_folders_and_nothing_are_no_videos_either(tmp_path):
    for name in ("a.jpg", "a.avif"):
        Image.fromarray(picture(0)).save(tmp_path / name)
    (tmp_path / "a.jpg").rename(tmp_path / "b.mp4")
    wavfile.write(tmp_path / "a.wav", 48000, np.zeros(4800, np.int16))
    says = {"b.mp4": "predict", "a.avif": "predict", "a.wav": "sound"}
    says |= {".": "not a file", "c.mp4": "not exist"}
    for name, said in says.items():
        refused(said, VideoReader, tmp_path / name)


# --- writing ---------------------------------------------------------------------------------------------


def test_what_is_written_is_h264_that_browsers_play_in_the_right_colours(tmp_path):
    images = [np.full((48, 64, 3), (20, 180, 60), np.uint8)] * 5
    path = write_video(tmp_path / "a.mp4", images, fps=12)
    with av.open(str(path)) as file:
        stream = file.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert stream.codec_context.colorspace == 1
    info, frames, _ = read(path)
    assert info.fps == 12
    assert np.abs(frames[2].image.astype(int) - images[0]).max() <= 6


def test_a_video_that_fails_half_way_leaves_nothing_behind(tmp_path):
    def pictures():
        yield picture(0)
        raise ValueError("the disk was unplugged")

    with pytest.raises(ValueError, match="unplugged"):
        write_video(tmp_path / "a.mp4", pictures())
    assert list(tmp_path.iterdir()) == []
    refused("no pictures", write_video, tmp_path / "a.mp4", [])


# --- backgrounds -----------------------------------------------------------------------------------------


def test_each_background_stands_behind_and_the_person_before():
    image, alpha = picture(0), np.zeros((64, 96), np.float32)
    alpha[16:48, 8:32] = 1
    photo = np.full((30, 30, 3), 77, np.uint8)
    for background, behind in ((GREEN, GREEN), (photo, (77,) * 3), ("blur", (10, 20, 90))):
        frame = painter(background)(image, alpha)
        assert (frame[16:48, 8:32] == image[16:48, 8:32]).all()
        assert np.abs(frame[alpha == 0].astype(int) - behind).max() <= 3, "a halo of the person"
    refused("blur", painter, "blurr")


# --- the whole way ---------------------------------------------------------------------------------------


def test_people_keep_their_place_and_the_sound_is_copied(tmp_path, bright):
    source = make_video(tmp_path / "a.mp4", audio="aac")
    report = replace_in_video(bright, source, tmp_path / "b.mp4", GREEN, Smoother(0), part_frames=7)
    info, frames, problems = read(tmp_path / "b.mp4")
    assert (report.frames, len(frames), info.fps, info.audio) == (20, 20, 10, ("aac",))
    assert problems == report.problems == [] and report.audio == "sound copied" and report.fps > 0
    assert [f.time for f in frames] == [Fraction(n, 10) for n in range(20)]
    for number in (0, 6, 7, 19):
        white = picture(number).min(2) > 200
        image = frames[number].image.astype(int)
        assert np.abs(image[cv2.erode(white.astype(np.uint8), np.ones((5, 5))) > 0] - 250).mean() < 12
        away = cv2.dilate(white.astype(np.uint8), np.ones((9, 9))) == 0
        assert np.abs(image[away] - GREEN).mean() < 6
    before, after = sound_of(source), sound_of(tmp_path / "b.mp4")
    assert [data for _, data in before] == [data for _, data in after]
    assert max(abs(a[0] - b[0]) for a, b in zip(before, after, strict=True)) <= Fraction(1, 1000)
    assert {p.name for p in tmp_path.iterdir()} == {"a.mp4", "b.mp4"}
    with VideoReader(tmp_path / "b.mp4") as reader:
        assert reader.described == {"title": "a walk"}


def test_sound_that_the_output_cannot_hold_is_encoded_anew_and_stays_in_step(tmp_path, bright):
    source = make_video(tmp_path / "a.mkv", audio="pcm_s16le")
    report = replace_in_video(bright, source, tmp_path / "b.mp4", GREEN)
    info, _, _ = read(tmp_path / "b.mp4")
    assert (info.audio, report.audio) == (("aac",), "sound encoded anew")
    assert abs(float(sound_of(tmp_path / "b.mp4")[-1][0]) - 2.0) < 0.1
    report = replace_in_video(bright, source, tmp_path / "b.webm", GREEN)
    assert (read(tmp_path / "b.webm")[0].audio, report.audio) == (("opus",), "sound encoded anew")


def test_what_is_left_out_is_said(tmp_path, bright):
    (tmp_path / "a.srt").write_text("1\n00:00:00,100 --> 00:00:00,900\nhello\n")
    rear = make_video(tmp_path / "rear.mp4", size=(48, 32))
    sources = [(make_video(tmp_path / "v.mp4", audio="aac"), n) for n in (0, 1, 1)]
    tracks = []
    with ExitStack() as opened:
        out = opened.enter_context(av.open(str(tmp_path / "a.mkv"), "w"))
        for path, number in [*sources, (rear, 0), (tmp_path / "a.srt", 0)]:
            stream = opened.enter_context(av.open(str(path))).streams[number]
            track = out.add_stream_from_template(stream)
            track.metadata["alpha_mode"] = "1"  # wrong: H.264 has no alpha
            tracks.append((stream, track))
        for stream, track in tracks:
            for packet in stream.container.demux(stream):
                if packet.dts is not None:
                    packet.stream = track
                    out.mux(packet)
    (tmp_path / "a.mkv").write_bytes((tmp_path / "a.mkv").read_bytes().replace(b"A_AAC", b"A_NEW", 1))
    report = replace_in_video(bright, tmp_path / "a.mkv", tmp_path / "b.mp4", GREEN)
    left_out = "subtitles left out, other pictures left out, sound of an unknown kind left out"
    assert report.frames == 20 and report.audio == f"sound copied, {left_out}"


@pytest.mark.parametrize("layout", segkit.video.replace.SPEAKERS)
@pytest.mark.parametrize("codec", ["aac", "libopus"])
def test_sound_that_is_encoded_anew_keeps_every_speaker(tmp_path, layout, codec):
    with av.open(str(tmp_path / "a.mkv"), "w") as out:
        track = out.add_stream("pcm_s16le", rate=48000, layout=layout)
        count = track.codec_context.channels
        frame = av.AudioFrame.from_ndarray(np.ones((1, 9600 * count), np.int16), "s16", layout)
        frame.sample_rate, frame.pts, frame.time_base = 48000, 0, Fraction(1, 48000)
        out.mux([*track.encode(frame), *track.encode(None)])
    with av.open(str(tmp_path / "a.mkv")) as source, av.open(str(tmp_path / "b.mkv"), "w") as target:
        target.mux(list(segkit.video.replace._sound(source, source.streams[0], target, codec, Fraction(0))))
    with av.open(str(tmp_path / "b.mkv")) as made:
        assert made.streams[0].codec_context.channels == count


def test_sound_of_a_broadcast_recording_fits_into_mp4(tmp_path, bright):
    source = make_video(tmp_path / "a.ts", audio="aac")  # its clock does not start at 0
    replace_in_video(bright, source, tmp_path / "b.mp4", GREEN)
    for path in (source, tmp_path / "b.mp4"):
        info, frames, _ = read(path)
        assert (info.audio, len(frames)) == (("aac",), 20)
        assert 0 <= frames[0].time < 0.05 and abs(float(frames[-1].time) - 1.9) < 0.05
    assert abs(float(sound_of(tmp_path / "b.mp4")[0][0])) < 0.05


@pytest.mark.parametrize(
    "times", [[0, 90, 100, 400, 415, 1000, 1033, 1066, 1100, 2500], [0, 3_000_000, 9_000_000]]
)
def test_a_varying_frame_rate_is_kept(tmp_path, bright, times):
    source = make_video(tmp_path / "a.mp4", times=times, base=Fraction(1, 1000))
    for name in ("b.mp4", "b.mkv"):
        replace_in_video(bright, source, tmp_path / name, GREEN, part_frames=4)
        _, frames, _ = read(tmp_path / name)
        assert [round(f.time * 1000) for f in frames] == times


@pytest.mark.parametrize("size", [(97, 65), (2, 2), (96, 64)])
def test_odd_and_tiny_sizes_work(tmp_path, bright, size):
    source = make_video(tmp_path / "a.mkv", count=3, size=size, codec="ffv1", pixels="bgr0",
                        draw=lambda number, w, h: np.full((h, w, 3), 40 * number, np.uint8))  # fmt: skip
    replace_in_video(bright, source, tmp_path / "b.mp4", "blur")
    info, frames, _ = read(tmp_path / "b.mp4")
    assert (info.width, info.height, len(frames)) == (size[0] + size[0] % 2, size[1] + size[1] % 2, 3)


@pytest.mark.parametrize("name", ["b.webm", "b.mov"])
def test_transparent_videos_have_an_alpha_channel(tmp_path, bright, name):
    source = make_video(tmp_path / "a.mp4", audio="aac")
    replace_in_video(bright, source, tmp_path / name, "transparent", Smoother(0), part_frames=8)
    with av.open(str(tmp_path / name)) as file:
        stream = file.streams.video[0]
        assert len(file.streams.audio) == 1
        if name.endswith("webm"):  # the usual VP9 decoder leaves alpha out
            decoder = av.CodecContext.create("libvpx-vp9", "r")
            frames = [f for p in file.demux(stream) for f in decoder.decode(p if p.size else None)]
        else:
            frames = list(file.decode(stream))
        assert len(frames) == 20
        alpha = frames[19].to_ndarray(format="rgba")[..., 3].astype(int)
    _, again, _ = read(tmp_path / name)  # what is transparent is white
    assert len(again) == 20 and [float(frame.time) for frame in again] == [i / 10 for i in range(20)]
    assert again[19].image[:8].min() > 240 and again[0].image[-8:].min() > 240
    white = picture(19).min(2) > 200
    assert alpha[white].mean() > 200
    assert alpha[cv2.dilate(white.astype(np.uint8), np.ones((9, 9))) == 0].mean() < 5


def test_transparent_into_a_folder_gives_one_png_per_frame_and_their_times(tmp_path, bright):
    source = make_video(tmp_path / "a.mp4")
    replace_in_video(bright, source, tmp_path / "frames", "transparent", part_frames=8)
    names = sorted(p.name for p in (tmp_path / "frames").glob("*.png"))
    assert names == [f"{n:06d}.png" for n in range(20)]
    assert Image.open(tmp_path / "frames" / names[0]).mode == "RGBA"
    with (tmp_path / "frames" / "times.csv").open() as file:
        assert [float(row["seconds"]) for row in csv.DictReader(file)] == [n / 10 for n in range(20)]
    assert not (tmp_path / "frames.parts").exists()
    (tmp_path / "frames" / ".000003-half.png").touch()  # as a killed run leaves it
    with folder_writer(tmp_path / "frames", 20):
        pass
    assert sorted(p.name for p in (tmp_path / "frames").glob("*.png")) == names
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path)
    for name in ("frames", "file", "link"):
        with pytest.raises(UserError, match="there already"):  # before there is any work for a network
            replace_in_video(None, source, tmp_path / name, "transparent", overwrite=True)


@pytest.mark.parametrize(
    ("name", "share", "options"), [("a.mp4", 0.5, {"movflags": "+faststart"}), ("a.mkv", 0.97, {})]
)
def test_a_video_that_is_cut_off_gives_what_can_be_read_and_says_so(tmp_path, bright, name, share, options):
    source = make_video(tmp_path / name, count=200, audio="aac", **options)
    data = source.read_bytes()
    source.write_bytes(data[: int(len(data) * share)])
    report = replace_in_video(bright, source, tmp_path / "b.mp4", GREEN)
    _, frames, problems = read(tmp_path / "b.mp4")
    assert 20 < len(frames) == report.frames < 200
    assert any("cut off" in problem for problem in report.problems)
    assert problems == []


@pytest.mark.parametrize(("first", "audio"), [(0, "aac"), (50, None)])
@pytest.mark.parametrize("name", ["a.mkv", "a.flv"])
def test_sound_that_lasts_longer_and_a_late_start_are_no_damage(tmp_path, name, first, audio):
    source = make_video(tmp_path / name, times=[*range(first, first + 20)], audio=audio, longer=5)
    assert read(source)[2] == []


def test_frames_that_an_avi_drops_or_stores_out_of_order_are_no_damage(tmp_path):
    kept = [i for i in range(60) if i % 4 < 2]
    _, frames, problems = read(make_video(tmp_path / "a.avi", times=kept, codec="mpeg4"))
    assert [round(float(frame.time) * 10) for frame in frames] == kept and problems == []
    _, frames, problems = read(make_video(tmp_path / "b.avi", count=40))  # libx264 looks ahead: B-frames
    assert len(frames) == 40 and problems == []
    centres = [np.argwhere(frame.image[32, :, 0] > 128).mean() for frame in frames[:20]]
    assert np.allclose(np.diff(centres), 2, atol=1)
    data = bytearray((tmp_path / "b.avi").read_bytes())
    length = data.index(b"strh") + 40
    data[length : length + 4] = (60).to_bytes(4, "little")
    (tmp_path / "b.avi").write_bytes(data)
    assert "should hold 60 frames, and 40 could be read" in read(tmp_path / "b.avi")[2][0]


def test_damage_in_the_middle_does_not_stop_the_rest(tmp_path, bright):
    source = make_video(tmp_path / "a.ts", count=200)
    data = bytearray(source.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 3000] = np.random.default_rng(0).integers(0, 256, 3000, np.uint8).tobytes()
    source.write_bytes(data)
    report = replace_in_video(bright, source, tmp_path / "b.mp4", GREEN)
    _, frames, _ = read(tmp_path / "b.mp4")
    assert report.frames == len(frames) > 150 and float(frames[-1].time) > 19 and report.problems


# --- interruption ----------------------------------------------------------------------------------------


def pixels(path):
    return [frame.image for frame in read(path)[1]]


@pytest.mark.parametrize("name", ["b.mp4", "b.webm"])
def test_an_interrupted_run_goes_on_and_ends_as_if_nothing_had_happened(tmp_path, bright, monkeypatch, name):
    source = make_video(tmp_path / "a.mp4", count=40, audio="aac", draw=doubtful_picture)
    whole = tmp_path / f"whole{name[1:]}"
    replace_in_video(bright, source, whole, "blur", part_frames=8)
    before = threading.active_count()
    real, seen = bright.look_once, []

    def stops(images, *args):
        seen.append(1)
        if len(seen) == 29:
            raise KeyboardInterrupt
        return real(images, *args)

    monkeypatch.setattr(bright, "look_once", stops)
    with pytest.raises(KeyboardInterrupt):
        replace_in_video(bright, source, tmp_path / name, "blur", part_frames=8)
    assert not (tmp_path / name).exists()
    monkeypatch.setattr(bright, "look_once", real)
    report = replace_in_video(bright, source, tmp_path / name, "blur", part_frames=8)
    assert report.resumed == 24 and report.frames == 40
    again, straight = pixels(tmp_path / name), pixels(whole)
    # Within what two encodings of one picture differ by: single pixels, by up to 8 levels when the machine is
    # busy. A run that forgets the past is 15 and more apart, and .36 in the mean.
    apart = [np.abs(a.astype(int) - b) for a, b in zip(again, straight, strict=True)]
    assert max(frame.max() for frame in apart) <= 10
    assert max(frame.mean() for frame in apart) < 0.2
    assert len(sound_of(tmp_path / name)) == len(sound_of(whole))
    assert not (tmp_path / f"{name}.parts").exists()
    assert threading.active_count() <= before


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize(
    ("background", "damage", "file"),
    [
        ("blur", None, ""),
        (GREEN, empty, "state.npz"),
        (GREEN, empty, "00001.mp4"),
        (GREEN, Path.unlink, "00001.mp4"),
    ],
)
def test_other_settings_start_afresh_and_foreign_folders_are_left_alone(
    tmp_path, bright, monkeypatch, background, damage, file
):
    source = make_video(tmp_path / "a.mp4")

    def fails(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr(segkit.video.replace.Parts, "assemble", fails)
    with pytest.raises(OSError, match="no space"):
        replace_in_video(bright, source, tmp_path / "b.mp4", GREEN, part_frames=8)
    monkeypatch.undo()
    if damage:  # as a power cut may do
        damage(tmp_path / "b.mp4.parts" / file)
    report = replace_in_video(bright, source, tmp_path / "b.mp4", background, part_frames=8)
    assert report.resumed == 0
    (tmp_path / "b.mp4").unlink()
    (tmp_path / "b.mp4.parts").mkdir()
    (tmp_path / "b.mp4.parts" / "thesis.txt").write_text("years of work")
    refused("in the way", replace_in_video, bright, source, tmp_path / "b.mp4", GREEN)
    assert (tmp_path / "b.mp4.parts" / "thesis.txt").exists()


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads the memory from Linux's /proc")
def test_memory_does_not_grow_with_the_length(tmp_path, bright, monkeypatch):
    used = []

    def paint(image, alpha):
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        used.append(pages * resource.getpagesize() / 1e6)
        return image

    monkeypatch.setattr(segkit.video.replace, "painter", lambda background: paint)
    source = make_video(tmp_path / "a.mp4", count=300, size=(640, 360))
    replace_in_video(bright, source, tmp_path / "b.mp4", part_frames=40)
    assert len(used) == 300
    # 200 frames kept would be 138 megabytes.
    assert np.mean(used[-20:]) - np.mean(used[80:100]) < 50


# --- smoothing and flicker -------------------------------------------------------------------------------


def noisy_probs(count=30, seed=0):
    rng = np.random.default_rng(seed)
    true = np.zeros((40, 50), bool)
    true[10:30, 10:40] = True
    edge = cv2.blur(true.astype(np.float32), (7, 7))
    images = [np.dstack([true.astype(np.uint8) * 120 + 60] * 3)] * count
    probs = [np.clip(edge + rng.normal(0, 0.15, edge.shape), 0, 1).astype(np.float32) for _ in images]
    return probs, images, true


def test_flicker_counts_only_what_the_truth_does_not_explain():
    true = np.zeros((4, 10, 10), bool)
    for t in range(4):
        true[t, 2:6, t : t + 5] = True
    assert flicker(true, true) == 0 and temporal_iou(true) < 1
    wrong_but_steady = true.copy()
    wrong_but_steady[:, 9] = True
    assert flicker(wrong_but_steady, true) == 0
    assert score_masks(wrong_but_steady, true)["iou"] < 0.8
    blinking = true.copy()
    blinking[1::2, 9, :2] = True  # two pixels of twenty, switching every frame
    assert flicker(blinking, true) == pytest.approx(0.1)


def test_smoothing_lowers_flicker_where_nothing_moves():
    probs, images, true = noisy_probs()
    plain = score_masks([p > 0.5 for p in probs], [true] * 30)
    for flow in (False, True):
        smooth = Smoother(0.8, flow=flow)
        calm = score_masks([smooth(p, i) > 0.5 for p, i in zip(probs, images, strict=True)], [true] * 30)
        assert calm["flicker"] < 0.6 * plain["flicker"] and calm["iou"] >= plain["iou"]


def test_strength_zero_changes_nothing_and_the_gate_forgets_a_cut():
    refused("gate", Smoother, gate=0)
    probs, images, _ = noisy_probs(3)
    off = Smoother(0)
    assert all((off(p, i) == p).all() for p, i in zip(probs, images, strict=True))
    black, white = np.zeros((40, 50, 3), np.uint8), np.full((40, 50, 3), 255, np.uint8)
    ones, zeros = np.ones((40, 50), np.float32), np.zeros((40, 50), np.float32)
    for gate, left in ((0.06, 0), (None, 0.7)):
        smooth = Smoother(0.7, gate=gate)
        smooth(ones, black)
        assert smooth(zeros, white).max() == pytest.approx(left, abs=1e-3)


def test_flow_carries_the_past_along():
    rng = np.random.default_rng(0)
    texture = cv2.GaussianBlur(rng.integers(0, 256, (64, 128, 3)).astype(np.uint8), (0, 0), 2)
    texture = cv2.normalize(texture, None, 0, 255, cv2.NORM_MINMAX)
    frames = [np.ascontiguousarray(texture[:, 3 * t : 3 * t + 64]) for t in range(6)]
    wide = np.zeros((64, 128), np.float32)
    wide[20:44, 40:60] = 1
    probs = [wide[:, 3 * t : 3 * t + 64] for t in range(6)]

    def last(flow):
        smooth = Smoother(0.8, gate=None, flow=flow)
        return [smooth(p, i) for p, i in zip(probs, frames, strict=True)][-1]

    carried, left = (np.abs(last(flow) - probs[-1])[4:-4, 4:-20].mean() for flow in (True, False))
    assert carried < 0.3 * left


def test_stillness_sees_motion_and_overlooks_noise():
    rng = np.random.default_rng(0)
    room = np.full((60, 80, 3), 90, np.uint8)
    grain = [np.clip(room + rng.normal(0, 10, room.shape), 0, 255).astype(np.uint8) for _ in range(2)]
    assert stillness(*grain).mean() > 0.85
    moved = room.copy()
    moved[20:40, 20:40] = 160
    assert stillness(moved, room)[24:36, 24:36].max() < 0.01
    assert (stillness(room, room) == 1).all()


def test_the_embedded_clips_load_and_others_are_explained(tmp_path):
    clip = load_clip("wave", limit=4)
    assert (len(clip.images), len(clip.masks), clip.fps) == (4, 4, 12)
    assert clip.masks[0].shape == clip.images[0].shape[:2]
    refused("walk, wave", load_clip, "run")
    for number in range(2):
        write_image(tmp_path / "images" / f"{number}.png", picture(number))
        write_image(tmp_path / "masks" / f"{number}.png", picture(number)[..., 0])
    refused("should hold the frames per second", load_clip, tmp_path)
    (tmp_path / "clip.json").write_text('{"fps": 5}')
    assert load_clip(tmp_path).fps == 5


def test_clips_are_smoothed_and_compared_at_their_own_size(bright):
    images = [picture(n) for n in range(5)]
    clip = Clip("square", images, [i.min(2) > 200 for i in images], 10)
    table = compare_smoothing(bright, clip, {"off": Smoother(0), "on": Smoother()})
    assert list(table) == ["off", "on", "truth"] and table["off"]["iou"] > 0.85
    assert smooth_clip(Smoother(0), [np.zeros((8, 8), np.float32)] * 5, clip)[0].shape == (64, 96)


# --- the command -----------------------------------------------------------------------------------------


def test_the_command_writes_a_video_and_says_how_fast(tmp_path, command, weights, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "1 frame of 96x64, no sound" in str(VideoReport(tmp_path, 96, 64, 1))
    make_video("a.mp4", audio="aac")
    write_image("beach.jpg", picture(0))
    for number, background in enumerate(("blur", "#00aa55", "beach.jpg")):
        out = f"10:3{number}.MP4"  # what looks like an address is the name of a file
        how = "--background", background, "-o", out, "-m", weights, "--flow"
        code, said, _ = command("video", "a.mp4", *how)
        assert code == 0 and "20 frames of 96x64" in said and "frames per second" in said
        assert read(out)[0].audio == ("aac",)


def test_the_command_measures_flicker(command, weights):
    code, said, _ = command("video", "wave", "--flicker", "-m", weights)
    assert code == 0
    assert [line.split()[0] for line in said.splitlines()[2:]] == ["no", "0.7", "0.7", "0.7", "truth"]


def test_the_command_explains_what_is_wrong(tmp_path, command, weights):
    source = make_video(tmp_path / "a.mp4", count=200, movflags="+faststart")
    for argv, said in (
        (("none.mp4", "--background", "blur", "-o", "b.mp4"), "does not exist"),
        ((source, "-o", tmp_path / "b.mp4"), "--background"),
        (("wave", "--flicker", "-o", tmp_path / "b.txt"), "writes nothing"),
        ((source, "--background", "transparent", "-o", tmp_path / "b.mp4"), ".webm"),
        ((source, "--background", "transparent", "-o", "."), "or a folder"),
        ((source, "--background", "blur", "-o", tmp_path / "b.avi"), "should end in one of .mp4"),
        ((source, "--background", "blur", "-o", tmp_path), "should end in one of .mp4"),
        ((source, "--background", "#12", "-o", tmp_path / "b.mp4"), "such as #00aa55"),
        ((source, "--background", "blur", "-o", tmp_path / "b.mp4", "--smooth", 1), "below 1"),
        ((source, "--background", "blur", "-o", tmp_path / "b.mp4", "--threshold", 2), "between 0 and 1"),
    ):
        code, _, err = command("video", *argv, "-m", weights)
        assert code == 1
        assert said in err
    source.write_bytes(source.read_bytes()[:6000])
    argv = source, "--background", "blur", "-o", tmp_path / "b.mp4"
    code, out, err = command("video", *argv, "-m", weights)
    assert code == 1 and "cut off" in err and "b.mp4" in out


def test_a_video_never_becomes_its_own_result_and_others_stay_unless_asked(tmp_path, bright):
    source, other = make_video(tmp_path / "a.mp4"), make_video(tmp_path / "b.mp4")
    before = source.read_bytes(), other.read_bytes()
    (tmp_path / "link.mp4").symlink_to(source)
    for out in (source, tmp_path / "link.mp4"):
        refused("to be read", replace_in_video, bright, source, out, GREEN, overwrite=True)
    with pytest.raises(UserError, match="to be read"):  # such as the background
        replace_in_video(bright, source, other, GREEN, overwrite=True, also_read=[other])
    refused("--overwrite", replace_in_video, bright, source, other, GREEN)
    refused("b.mp4' is a file: results go into", replace_in_video, bright, source, other / "c.mp4", GREEN)
    assert (source.read_bytes(), other.read_bytes()) == before
    replace_in_video(bright, source, other, GREEN, overwrite=True)
    assert other.read_bytes() != before[1]


def test_two_runs_do_not_make_one_video(tmp_path, bright):
    source = make_video(tmp_path / "a.mp4")
    busy = pytest.raises(UserError, match="another run makes")
    with segkit.video.replace._alone(tmp_path / "b.mp4"), busy:
        replace_in_video(bright, source, tmp_path / "b.mp4", GREEN)
    assert replace_in_video(bright, source, tmp_path / "b.mp4", GREEN).frames == 20
    assert {path.name for path in tmp_path.iterdir()} == {"a.mp4", "b.mp4"}


def test_an_interrupted_run_of_another_engine_is_not_gone_on_with(tmp_path, bright):
    source = make_video(tmp_path / "a.mp4")
    job = lambda: segkit.video.replace._job(bright, source, "blur", Smoother(), 20, 8)  # noqa: E731
    before = job()
    bright.dtype = torch.bfloat16
    assert job() != before
