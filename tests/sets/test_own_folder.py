"""Your own folder: whatever its layout, lesson 15 trains on it, scores and predicts, by data_dir alone."""

import csv
from pathlib import Path

import nbformat
import numpy as np
import papermill
import pytest
from conftest import draw_pair
from notebook_rules import texts
from PIL import Image

from segkit.data import find_samples, load_dataset, load_pair_full, read_class_name
from segkit.evaluate import evaluate
from segkit.files import UserError, read_image, read_mask, write_image
from segkit.matting.photos import predict_files
from segkit.models import build_model
from segkit.predict import Segmenter
from segkit.sets.own_folder import complete_splits, open_folder
from segkit.study.few_pictures import fine_tune

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "15_other_domains.ipynb"
QUICK = {"size": 32, "num_steps": 4, "curve_steps": 2, "curve_points": 1, "num_seeds": 1, "patients": 4}
QUICK["brain_steps"] = 2


def tiny(folder):
    """Eight pictures in the folder format, no splits.csv."""
    for i in range(8):
        image, mask = draw_pair(i)
        write_image(folder / "images" / f"ear {i}.jpg", image)
        write_image(folder / "masks" / f"ear {i}.png", mask)


def messy(folder):
    """Odd sizes, JPEG and PNG, grey pictures, an EXIF rotation, masks of 0 and 1."""
    for i in range(14):
        image, mask = draw_pair(i, height=91 + 3 * i, width=67 + 5 * i)
        picture = Image.fromarray(image)
        if i % 3 == 1:
            picture = picture.convert("L")
        path = folder / "images" / f"{i:02}{'.png' if i % 2 else '.JPG'}"
        path.parent.mkdir(parents=True, exist_ok=True)
        exif = Image.Exif()
        if i in (4, 6):  # stored lying on its side, with the mask as one sees the picture
            picture, exif[0x0112] = picture.transpose(Image.Transpose.ROTATE_90), 6
        picture.save(path, exif=exif)
        write_image(folder / "masks" / f"{i:02}.png", (mask > 0).astype(np.uint8))


def beside(folder):
    """Two hundred pictures, each with its mask beside it."""
    for i in range(200):
        image, mask = draw_pair(i)
        write_image(folder / f"{i:03}.jpg", image)
        write_image(folder / f"{i:03}_mask.png", mask)


def coloured(folder):
    """Masks painted red on black, in a folder called labels."""
    for i in range(12):
        image, mask = draw_pair(i)
        write_image(folder / "images" / f"{i}.png", image)
        write_image(folder / "labels" / f"{i}.png", np.dstack([mask, 0 * mask, 0 * mask]))


def without_validation(folder):
    """A set that brings train and test, as many do."""
    for i in range(20):
        image, mask = draw_pair(i)
        split = "test" if i < 5 else "train"
        write_image(folder / split / "images" / f"{i}.jpg", image)
        write_image(folder / split / "masks" / f"{i}.png", mask)


def table_without_validation(folder):
    """The folder format with a splits.csv that knows train and test."""
    tiny(folder)
    rows = [(f"ear {i}", "test" if i < 2 else "train") for i in range(8)]
    with (folder / "splits.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("name", "split"), *rows])


LAYOUTS = {
    make.__name__: make
    for make in (tiny, messy, beside, coloured, without_validation, table_without_validation)
}


def files_in(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_folder_of_any_layout_is_trained_on_scored_and_predicted(name, tmp_path):
    source = tmp_path / "mine"
    LAYOUTS[name](source)
    before = files_in(source)
    folder = open_folder(source, tmp_path / "work")
    assert files_in(source) == before  # nothing is written among somebody's photographs
    sets = {split: load_dataset(folder, split=split, size=32) for split in ("train", "val", "test")}
    assert len(find_samples(folder)) == sum(map(len, sets.values()))
    if name.endswith("without_validation"):
        held_out = {Path(s.name).name for s in sets["test"].samples}
        assert held_out == ({"ear 0", "ear 1"} if "table" in name else {"0", "1", "2", "3", "4"})
    for sample in find_samples(folder):
        image, mask = load_pair_full(sample)
        assert image.shape[:2] == mask.shape and 0.02 < mask.mean() < 0.5
        # The figure is brighter than what is around it: image and mask lie the same way.
        assert image[mask > 0].mean() > image[mask == 0].mean() + 20
    model = build_model("unet", widths=(8, 16), bottleneck=16)
    run = fine_tune(model, sets["train"], sets["val"], tmp_path / "run", 4, 4, rounds=2)
    network = Segmenter.load(run.checkpoint)
    result = evaluate(network, folder, "test")
    assert len(result.samples) == len(sets["test"])
    paths = [sample.image for sample in result.samples]
    report = predict_files(network, paths, tmp_path / "out")
    assert not report.failed
    for path, mask in zip(paths, sorted(report.written), strict=True):
        assert read_mask(mask).shape == read_image(path).shape[:2]


@pytest.mark.notebook
@pytest.mark.parametrize("name", ["messy"])
def test_the_lesson_runs_on_it_with_no_edit(name, tmp_path):
    source = tmp_path / "mine"
    LAYOUTS[name](source)
    settings = QUICK | {"data_dir": str(source), "out_dir": str(tmp_path / "out")}
    papermill.execute_notebook(
        NOTEBOOK, tmp_path / "run.ipynb", settings, kernel_name="python3", progress_bar=False
    )
    executed = nbformat.read(tmp_path / "run.ipynb", as_version=4)
    said = "\n".join(texts(cell) for cell in executed.cells if cell.cell_type == "code")
    assert "mean of images" in said and "validation Dice" in said
    assert (tmp_path / "out" / "0" / "run" / "best.safetensors").is_file()
    assert list((tmp_path / "out" / "0" / "predicted").glob("*_mask.png"))
    assert Segmenter.load(tmp_path / "out" / "0" / "run").preprocessing.size == 32


def no_masks(folder):
    for i in range(4):
        write_image(folder / "images" / f"{i}.jpg", draw_pair(i)[0])


def two_pictures(folder):
    for i in range(2):
        image, mask = draw_pair(i)
        write_image(folder / "images" / f"{i}.jpg", image)
        write_image(folder / "masks" / f"{i}.png", mask // 255)


def several_values(folder):
    for i in range(6):
        image, mask = draw_pair(i)
        mask = (mask > 0) * np.uint8(1)
        mask[:8] = 2
        write_image(folder / "images" / f"{i}.png", image)
        write_image(folder / "masks" / f"{i}.png", mask)


def other_sizes(folder):
    for i in range(4):
        image, mask = draw_pair(i)
        write_image(folder / "images" / f"{i}.png", image)
        write_image(folder / "masks" / f"{i}.png", mask[:-3])


def empty(folder):
    folder.mkdir()


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (no_masks, "no layout known"),
        (two_pictures, "2 usable pictures"),
        (several_values, "--classes"),
        (other_sizes, "they must agree"),
        (empty, "no layout known"),
        (lambda folder: None, "is not a folder"),
    ],
)
def test_a_folder_that_cannot_be_used_gets_one_sentence(make, sentence, tmp_path):
    make(tmp_path / "mine")
    with pytest.raises(UserError, match=sentence):
        open_folder(tmp_path / "mine", tmp_path / "work")


def test_classes_say_what_is_meant_where_masks_hold_several_values(tmp_path):
    several_values(tmp_path / "mine")
    folder = open_folder(tmp_path / "mine", tmp_path / "work", classes="2")
    masks = [read_mask(sample.mask) for sample in find_samples(folder)]
    assert all(mask[:8].all() and not mask[8:].any() for mask in masks)


def test_splits_that_are_there_stay(make_dataset):
    folder = make_dataset(30)
    names = [sample.name for sample in find_samples(folder)]
    given = {name: "val" if i < 4 else "train" for i, name in enumerate(names)}
    with (folder / "splits.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("name", "split"), *given.items()])
    counts = complete_splits(folder)
    splits = {sample.name: sample.split for sample in find_samples(folder)}
    assert {name for name, split in splits.items() if split == "val"} == set(names[:4])
    assert counts == {"val": 4, "test": 4, "train": 22}
    complete_splits(folder)
    assert {sample.name: sample.split for sample in find_samples(folder)} == splits


def test_what_belongs_together_stays_together_and_the_class_has_the_name_that_was_given(tmp_path):
    source = tmp_path / "mine"
    for film in range(4):
        for frame in range(3):
            image, mask = draw_pair(3 * film + frame)
            write_image(source / "images" / f"film{'abcd'[film]}_{frame}.png", image)
            write_image(source / "masks" / f"film{'abcd'[film]}_{frame}.png", mask)
    by_series = open_folder(source, tmp_path / "one", class_name="ear")
    by_pattern = open_folder(source, tmp_path / "two", group=r"film(.)")
    assert read_class_name(by_series) == "ear" and read_class_name(by_pattern) == "person"
    for folder in (by_series, by_pattern):
        samples = find_samples(folder)
        assert len({(s.name[4], s.split) for s in samples}) == 4 and len({s.group for s in samples}) == 4
