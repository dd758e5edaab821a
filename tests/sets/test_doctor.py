import shutil

import numpy as np
import pytest
from PIL import Image, ImageOps

from segkit.course.environment import check_environment
from segkit.files import UserError, read_image, write_image
from segkit.sets.doctor import inspect_dataset, near_duplicates, picture_of_dataset
from segkit.sets.groups import write_splits


@pytest.fixture
def planted(make_dataset):
    """A sound set of 40 with its faults planted in it, and two things that look odd but are right."""
    folder = make_dataset(40)
    images, masks = folder / "images", folder / "masks"
    splits = ["train"] * 30 + ["val"] * 5 + ["test"] * 5
    table = ["name,split", *(f"{i:03},{split}" for i, split in enumerate(splits))]
    (folder / "splits.csv").write_text("\n".join([*table, "gone,train"]) + "\n")

    Image.open(masks / "001.png").save(masks / "001.jpg", quality=60)  # a JPEG mask with values in between
    (masks / "001.png").unlink()
    write_image(masks / "002.png", np.zeros((50, 50), np.uint8) + 255)  # of another size
    (masks / "003.png").unlink()  # missing
    write_image(masks / "gone.png", np.zeros((96, 80), np.uint8) + 255)  # an orphan
    (images / "005.jpg").write_text("no picture")  # unreadable
    write_image(masks / "006.png", np.zeros((96, 80), np.uint8))  # empty
    write_image(folder / "ignore" / "011.png", np.zeros((50, 50), np.uint8))  # of another size
    write_image(folder / "ignore" / "lost.png", np.zeros((96, 80), np.uint8))  # an orphan
    write_image(masks / "007.png", (np.asarray(Image.open(masks / "007.png")) > 0).astype(np.uint8))  # 0/1
    brighter = np.clip(read_image(images / "008.jpg").astype(int) + 12, 0, 255).astype(np.uint8)
    write_image(images / "031.jpg", brighter, quality=70)  # saved again, brighter, in another split

    Image.open(images / "009.jpg").convert("L").save(images / "009.jpg")  # grey: fine
    turned = Image.fromarray(np.rot90(read_image(images / "010.jpg"), 1))
    exif = Image.Exif()
    exif[0x0112] = 6
    turned.save(images / "010.jpg", exif=exif, quality=95)  # rotated by EXIF: fine
    Image.open(images / "012.jpg").save(images / "012.jpg", exif=exif)  # its mask is not
    return folder


def test_every_planted_fault_is_named_and_nothing_else(planted):
    report = inspect_dataset(planted)
    assert {(f.name, f.kind, f.level) for f in report.findings} == {
        ("001", "values other than two", "error"),
        ("002", "sizes differ", "error"),
        ("002", "all person", "warning"),
        ("003", "picture without mask", "error"),
        ("gone", "mask without picture", "warning"),
        ("lost", "mask without picture", "warning"),
        ("011", "sizes differ", "error"),
        ("012", "sizes differ", "error"),
        ("gone", "line of splits.csv without picture", "warning"),
        ("005", "unreadable picture", "error"),
        ("006", "empty mask", "warning"),
        ("007", "no value over 127", "error"),
        ("008", "same picture across splits", "error"),
    }
    assert not report.healthy
    text = report.text()
    for words in ("001", "JPEG", "gone", "031", "train and val", "EXIF", "errors: mend these"):
        assert words in text


def test_a_sound_set_has_no_findings_and_its_numbers_are_right(make_dataset):
    folder = make_dataset(12)
    report = inspect_dataset(folder)
    assert report.healthy and not report.findings and "12 pictures" in report.text()
    mask = np.asarray(Image.open(folder / "masks" / "004.png"))
    assert report.shares["004"] == pytest.approx((mask > 0).mean())
    assert report.sizes["004"] == (96, 80)


@pytest.mark.parametrize("copy", [ImageOps.exif_transpose, ImageOps.mirror])
def test_twins_in_one_split_are_a_warning_and_plain_walls_are_no_twins(make_dataset, copy):
    folder = make_dataset(4)
    for source in ("images/000.jpg", "masks/000.png"):
        copy(Image.open(folder / source)).save(folder / source.replace("000", "twin"))
    write_splits(folder, dict.fromkeys(("000", "001", "002", "003", "twin"), "train"))
    report = inspect_dataset(folder)
    assert [(f.level, f.kind) for f in report.findings] == [("warning", "same picture twice")]
    assert report.healthy and "nothing in val: training needs" in report.text()
    walls = {str(i): np.full((32, 32), 50.0 * i, np.float32) for i in range(3)}
    assert near_duplicates(walls) == []


def test_the_picture_shows_the_faulty_ones_first(planted):
    figure = picture_of_dataset(inspect_dataset(planted))
    titles = [axes.get_title() for axes in figure.axes]
    assert "! values other than two" in titles[0] and any("% person" in title for title in titles)


def test_of_a_large_picture_the_sheet_holds_a_small_copy(make_dataset):
    folder = make_dataset(1)
    for path in [*folder.glob("images/*"), *folder.glob("masks/*")]:  # 150 megapixels took 8.7 GB
        with Image.open(path) as picture:
            large = picture.resize((2048, 1536), Image.Resampling.NEAREST)
        large.save(path)
    (drawn,) = picture_of_dataset(inspect_dataset(folder)).axes[0].images
    assert drawn.get_size() == (768, 1024)


@pytest.mark.parametrize("with_masks", [True, False])
def test_parts_are_looked_at_with_and_without_masks(make_dataset, with_masks):
    folder = make_dataset(6)
    (folder / "parts.json").write_text('{"0": "background", "1": "head", "2": "body"}')
    for path in (folder / "masks").iterdir():
        labels = (np.asarray(Image.open(path)) > 0).astype(np.uint8) * 2
        labels[0, :2] = 254, 255  # any but the background, and not asked
        write_image(folder / "parts" / path.name, labels)
    if not with_masks:
        shutil.rmtree(folder / "masks")
    report = inspect_dataset(folder)
    assert not report.findings and report.shares.keys() == report.sizes.keys()
    assert picture_of_dataset(report).axes
    write_image(folder / "parts" / "001.png", labels[:-1])  # of another size
    write_image(folder / "parts" / "002.png", labels + 5)  # ids that have no name
    (folder / "parts" / "003.png").unlink()
    fourth = folder / "parts" / "004.png"
    Image.fromarray(np.asarray(Image.open(fourth)) > 0).save(fourth)
    faults = {("001", "sizes differ", "error"), ("002", "parts do not fit", "error")}
    faults.add(("004", "parts do not fit", "error"))  # single bits, which are 0 and 255
    faults.add(("003", "picture without mask", "warning" if with_masks else "error"))
    assert {(f.name, f.kind, f.level) for f in inspect_dataset(folder).findings} == faults
    if with_masks:
        (folder / "masks" / "005.png").write_text("no picture")
        report = inspect_dataset(folder)
        assert "005" not in report.shares and picture_of_dataset(report).axes
    (folder / "parts.json").unlink()
    kinds = {(f.name, f.kind) for f in inspect_dataset(folder).findings}
    assert ("parts.json", "parts.json does not fit") in kinds


def test_nothing_to_look_at_is_an_error(tmp_path):
    (tmp_path / "images").mkdir()
    for folder in (tmp_path, tmp_path / "images"):  # the second has no images/ at all
        with pytest.raises(UserError, match=r"in images/\. Try segkit data import"):
            inspect_dataset(folder)


def test_an_installed_package_is_healthy_without_what_the_lessons_need(monkeypatch, tmp_path):
    monkeypatch.setattr("segkit.course.environment.LESSONS", tmp_path / "none")
    text, healthy = check_environment()
    assert healthy and "torch" in text and "jupyterlab" not in text


def test_the_environment_of_this_very_run_is_healthy():
    text, healthy = check_environment()
    assert healthy, text
    assert text.count("[OK]") >= 10
