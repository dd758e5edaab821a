import io
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import Mock

import numpy as np
import pytest
from conftest import refused
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

import segkit.matting.photos as photos_module
from segkit.app import photo as page
from segkit.cli import main
from segkit.files import UserError, read_image, read_mask, same_name, write_image
from segkit.matting.photos import predict_files, srgb_profile


def test_a_folder_is_written_and_one_broken_file_does_not_stop_it(bright, tmp_path, astronaut):
    photos = tmp_path / "photos"
    for i in range(11):
        write_image(photos / f"{i:02}.jpg", astronaut[: 100 + i])
    (photos / "05.jpg").write_text("not a picture")
    paths = sorted(photos.iterdir())
    outputs = "mask", "overlay", "cutout"
    report = predict_files(bright, paths, tmp_path / "out", outputs, (255, 0, 0))
    assert list(report.failed) == [photos / "05.jpg"] and len(report.written) == 10 * 4
    mask = np.asarray(Image.open(tmp_path / "out" / "07_mask.png"))
    assert mask.shape == (107, 512) and set(np.unique(mask)) <= {0, 255}
    assert (mask == (bright(read_image(photos / "07.jpg")) > 0.5) * 255).all()
    assert Image.open(tmp_path / "out" / "07_cutout.png").mode == "RGBA"


def test_a_place_that_is_a_pictures_name_and_an_output_that_does_not_exist_are_refused(bright, tmp_path):
    for where, what, said in (
        ("cutout.PNG", "mask", "go into a folder"),
        ("out", "hologram", "mask, overlay"),
    ):
        refused(said, predict_files, bright, [tmp_path / "a.jpg"], tmp_path / where, (what,))


def test_a_portrait_is_cleaned_once_and_is_what_the_page_gives(bright, tmp_path, astronaut):
    photo = write_image(tmp_path / "a.png", astronaut)
    predict_files(bright, [photo], tmp_path, ("cutout",), "portrait")
    prob = bright(astronaut)
    portrait = page.compose(astronaut, prob, page.Look(background="portrait"))
    Image.fromarray(portrait).save(tmp_path / "b.jpg", quality=92)
    assert np.array_equal(read_image(tmp_path / "a_background.jpg"), read_image(tmp_path / "b.jpg"))


def test_a_picture_of_nobody_is_said_to_be_one(bright, tmp_path):
    for name, grey in (("nobody", 0), ("somebody", 255)):
        write_image(tmp_path / "in" / f"{name}.png", np.full((9, 9, 3), grey, np.uint8))
    report = predict_files(bright, [tmp_path / "in"], tmp_path / "out")
    assert report.notes == {tmp_path / "in" / "nobody.png": "no person was found"}


def test_a_very_large_picture_is_looked_at_in_small_and_its_results_are_large(bright, tmp_path, monkeypatch):
    bright.predict_batch = Mock(wraps=bright.predict_batch)
    monkeypatch.setattr(photos_module, "ANSWER", 128)
    image = np.zeros((300, 400, 3), np.uint8)
    image[50:250, 100:300] = 255
    photo = write_image(tmp_path / "a.png", image)
    predict_files(bright, [photo], tmp_path, photos_module.OUTPUTS, "blur")
    looks = bright.predict_batch.call_args_list
    assert [image.shape for look in looks for image in look.args[0]] == [(96, 128, 3)]
    person = np.asarray(Image.open(tmp_path / "a_cutout.png"))[..., 3] > 127
    for found in (person, read_mask(tmp_path / "a_mask.png") > 0):
        assert found.shape == (300, 400) and (found != (image[..., 0] > 0)).mean() < 0.03


PLACES = st.lists(
    st.tuples(st.sampled_from(["", "x/", "y/", "out/"]),
              st.sampled_from(["a", "a-2", "A", "a_mask", "\u00e9", "e\u0301"]),
              st.sampled_from([".png", ".jpg", ".webp"])),
    min_size=1, max_size=6, unique=True,
)  # fmt: skip


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(PLACES)
def test_n_pictures_give_n_results_and_no_picture_changes(bright, places):
    with TemporaryDirectory() as folder:
        paths = []
        for i, parts in enumerate(places):
            paths.append(Path(folder) / "".join(parts))
            paths[-1].parent.mkdir(exist_ok=True)
            Image.fromarray(np.full((4 + i, 9, 3), 200, np.uint8)).save(paths[-1])
        before = [path.read_bytes() for path in paths]
        try:
            report = predict_files(bright, paths, Path(folder) / "out", ("mask", "cutout"))
        except UserError as error:  # a result would stand where a picture stands
            assert "to be read" in str(error) or "exist" in str(error)
            assert any(path.parent.name == "out" for path in paths)
            assert [path.read_bytes() for path in paths] == before
            assert sum(path.is_file() for path in Path(folder).rglob("*")) == len(paths)
            return
        assert len(set(map(str, report.written))) == 2 * len(paths)
        assert all(path.exists() for path in report.written)
        assert len({same_name(str(path)) for path in report.written}) == 2 * len(paths)
        assert [path.read_bytes() for path in paths] == before
        heights = [len(read_image(p)) for p in report.written if p.stem.endswith("mask")]
        assert sorted(heights) == list(range(4, 4 + len(paths)))


def test_results_that_are_there_stay_and_a_picture_is_never_its_own_result(bright, tmp_path):
    path = write_image(tmp_path / "x.jpg", np.full((9, 9, 3), 200, np.uint8))
    hand_made = write_image(tmp_path / "x_mask.png", np.eye(9, dtype=np.uint8))
    before = hand_made.read_bytes()
    refused(r"x_mask\.png.*--overwrite", predict_files, bright, [path], tmp_path)
    for overwrite in (False, True):
        with pytest.raises(UserError, match="to be read"):
            predict_files(bright, [path, hand_made], tmp_path, overwrite=overwrite)
    assert hand_made.read_bytes() == before
    with pytest.raises(UserError, match="choose another place"):
        predict_files(bright, [path], tmp_path, overwrite=True, also_read=[hand_made])
    assert predict_files(bright, [path], tmp_path, overwrite=True).written == [hand_made]
    assert hand_made.read_bytes() != before


def test_what_another_run_made_meanwhile_stays(bright, tmp_path, monkeypatch):
    def look(images, *_):
        write_image(tmp_path / "out" / "a_mask.png", np.eye(9, dtype=np.uint8))
        return [image[..., 0] / np.float32(255) for image in images]

    monkeypatch.setattr(bright, "predict_batch", look)
    path = write_image(tmp_path / "a.png", np.full((9, 9, 3), 200, np.uint8))
    assert "exists already" in predict_files(bright, [path], tmp_path / "out").failed[path]
    assert (np.asarray(Image.open(tmp_path / "out" / "a_mask.png")) == np.eye(9)).all()


def test_whatever_goes_wrong_with_one_picture_is_that_pictures(bright, tmp_path, monkeypatch):
    paths = [write_image(tmp_path / f"{n}.png", np.full((n, 9, 3), 200, np.uint8)) for n in range(64, 69)]

    def fails(path, pixels, **options):
        if len(pixels) == 65:
            raise RuntimeError("a library broke")
        return write_image(path, pixels, **options)

    real = bright.predict_batch

    def look(images, *how):
        if any(len(image) == 66 for image in images):
            raise RuntimeError("out of memory")
        return real(images, *how)

    monkeypatch.setattr(photos_module, "write_image", fails)
    monkeypatch.setattr(bright, "predict_batch", look)
    report = predict_files(bright, paths, tmp_path / "out")
    assert {p.stem: why for p, why in report.failed.items()}.keys() == {"65", "66"}
    assert "out of memory" in report.failed[paths[2]] and "a library broke" in report.failed[paths[1]]
    assert sorted(p.name for p in report.written) == ["64_mask.png", "67_mask.png", "68_mask.png"]


@pytest.mark.parametrize("place", ["in", "in/out"])
def test_results_of_a_run_before_are_no_photographs(bright, tmp_path, place):
    for name in ("a.png", "a.jpg", "b_mask.png"):  # the last is one: there is no b
        write_image(tmp_path / "in" / name, np.zeros((8, 8, 3), np.uint8))
    for kinds in (("cutout",), ("mask",)):
        report = predict_files(bright, [tmp_path / "in"], tmp_path / place, kinds, progress=False)
        assert not report.failed and len(report.written) == 3, report
    assert "results of a run before: 3" in report.notes[tmp_path / "in"]
    assert len([path for path in (tmp_path / "in").rglob("*") if path.is_file()]) == 9


def test_a_name_of_dots_stays_in_the_folder(bright, tmp_path):
    Image.new("RGB", (9, 9)).save(tmp_path / "..png", "PNG")
    (written,) = predict_files(bright, [tmp_path / "..png"], tmp_path / "out").written
    assert written == tmp_path / "out" / "picture_mask.png"


def test_large_pictures_go_through_alone(bright, tmp_path, monkeypatch):
    bright.predict_batch = Mock(wraps=bright.predict_batch)
    monkeypatch.setattr(photos_module, "BATCH_PIXELS", 1000)
    paths = [write_image(tmp_path / f"{i}.png", np.zeros((10, 40, 3), np.uint8)) for i in range(4)]
    paths.append(write_image(tmp_path / "large.png", np.zeros((60, 40, 3), np.uint8)))
    predict_files(bright, paths, tmp_path / "out")
    together = [len(look.args[0]) for look in bright.predict_batch.call_args_list]
    assert together[1:] == [2, 2, 1]  # the first one, of none, checks the scales
    refused("8 to 4096 pixels", predict_files, bright, paths, tmp_path / "nothing", scales=[0])


def test_results_are_upright_and_keep_exif_resolution_and_profile(bright, tmp_path):
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "Camera"
    photo = Image.fromarray(np.full((30, 50, 3), 200, np.uint8))
    options = {"exif": exif, "dpi": (300, 300), "icc_profile": srgb_profile()}
    photo.save(tmp_path / "a.jpg", **options)
    photo.convert("CMYK").save(tmp_path / "b.tif", **options)
    photos, outputs = [tmp_path / "a.jpg", tmp_path / "b.tif"], ("mask", "overlay", "cutout")
    for path in predict_files(bright, photos, tmp_path / "out", outputs).written:
        with Image.open(path) as result:
            assert result.size == (30, 50)
            kept = result.getexif()
            assert kept[0x010F] == "Camera" and not {0x0112, 256, 262, 273} & set(kept)
            assert [round(value) for value in result.info["dpi"]] == [300, 300]
            if "mask" in path.name:  # its numbers are no colours
                assert "icc_profile" not in result.info
                continue
            profile = ImageCms.ImageCmsProfile(io.BytesIO(result.info["icc_profile"]))
            assert "sRGB" in ImageCms.getProfileDescription(profile)


def test_odd_metadata_is_left_behind(bright, tmp_path):
    photo = Image.fromarray(np.full((30, 50, 3), 200, np.uint8))
    photo.save(tmp_path / "a.jpg", exif=b"Exif\0\0MM\0*" + b"\xff" * 90)
    photo.save(tmp_path / "b.png", exif=b"Exif\0\0II*\0" + bytes(200), dpi=(1e-9, 1e5))
    report = predict_files(bright, [tmp_path / "a.jpg", tmp_path / "b.png"], tmp_path / "out", ("overlay",))
    assert len(report.written) == 2 and not report.failed


def test_standard_input_comes_back_on_standard_output(weights, tmp_path, monkeypatch, capsysbinary):
    def piped(data: bytes, *more: str) -> tuple[int, bytes, str]:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        with pytest.raises(SystemExit) as done:
            main(["predict", "-", "-m", str(weights), *more])
        out, err = capsysbinary.readouterr()
        return done.value.code, out, err.decode()

    data = write_image(tmp_path / "a.jpg", np.full((30, 50, 3), 200, np.uint8)).read_bytes()
    for more, mode in (([], "RGBA"), (["--write", "mask"], "L"), (["--background", "#00ff00"], "RGB")):
        code, out, _ = piped(data, *more)
        with Image.open(io.BytesIO(out)) as result:
            assert (code, result.mode, result.size) == (0, mode, (50, 30))
    code, out, err = piped(b"no picture")
    assert code == 1 and out == b"" and "standard input is not a picture" in err
    code, out, err = piped(data, "--write", "mask,cutout")
    assert code == 1 and out == b"" and "one result" in err
    frames, file = [Image.new("RGB", (8, 8), colour) for colour in ("red", "green")], io.BytesIO()
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:])
    code, out, err = piped(file.getvalue(), "-o", str(tmp_path / "out"))
    assert code == 0 and b"1 file written" in out and (tmp_path / "out" / "stdin_cutout.png").exists()
    assert "note: standard input: it holds 2 pictures" in err


def test_a_folder_keeps_the_folders_below_it_and_says_what_is_no_picture(bright, tmp_path):
    for name in ("a.png", "x/a.png", "x/y/b.1.png"):
        write_image(tmp_path / "in" / name, np.full((9, 9, 3), 255, np.uint8))
    (tmp_path / "in" / "a.cr3").touch()
    picture = Image.new("RGB", (9, 9), "white")
    picture.save(tmp_path / "in" / "c.gif", save_all=True, append_images=[Image.new("RGB", (9, 9))])
    picture.save(tmp_path / "in" / "d.jpg", "MPO", save_all=True, append_images=[picture])  # a phone's
    twice = [tmp_path / "in", tmp_path / "in" / "a.png", tmp_path / "in"]
    report = predict_files(bright, twice, tmp_path / "out")
    assert len(report.written) == 5
    names = {path.relative_to(tmp_path / "out").as_posix() for path in report.written}
    assert names == {"a_mask.png", "c_mask.png", "d_mask.png", "x/a_mask.png", "x/y/b.1_mask.png"}
    assert report.notes == {
        tmp_path / "in": "not taken from there: 1 .cr3",
        tmp_path / "in" / "c.gif": "it holds 2 pictures, and the first was taken",
    }
    (tmp_path / "empty").mkdir()
    refused("holds no pictures", predict_files, bright, [tmp_path / "empty"], tmp_path / "out")
