"""Your own folder: whatever its layout, lesson 15 trains on it, scores and predicts, by data_dir alone."""

from collections import Counter
from pathlib import Path

import nbformat
import numpy as np
import papermill
import pytest
from conftest import cases, draw_pair, refused
from notebook_rules import texts
from PIL import Image
from small_sets import write

from segkit.data import find_samples, load_dataset, load_pair_full, read_class_name
from segkit.files import read_mask, write_image
from segkit.predict import Segmenter
from segkit.sets.own_folder import complete_splits, open_folder

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "15_other_domains.ipynb"
QUICK = {"size": 32, "num_steps": 4, "curve_steps": 2, "curve_points": 1, "num_seeds": 1, "patients": 4}
QUICK["brain_steps"] = 2


def draw(folder, numbers, image="images/{}.png", mask="masks/{}.png", change=np.asarray):
    """Write drawn pairs, each mask as `change` makes it."""
    for i in numbers:
        photo, marked = draw_pair(i)
        write_image(folder / image.format(i), photo)
        write_image(folder / mask.format(i), change(marked))


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


def without_validation(folder):
    """A set that brings train and test, as many do."""
    draw(folder, range(5), "test/images/{}.jpg", "test/masks/{}.png")
    draw(folder, range(5, 20), "train/images/{}.jpg", "train/masks/{}.png")


def table_without_validation(folder):
    """The folder format with a splits.csv that knows train and test."""
    draw(folder, range(8), "images/ear {}.jpg", "masks/ear {}.png")
    rows = [f"ear {i},{'test' if i < 2 else 'train'}" for i in range(8)]
    (folder / "splits.csv").write_text("\n".join(["name,split", *rows]))


def several_values(folder):
    """1 on the figure and 2 in a strip above it."""
    draw(folder, range(6), change=lambda mask: np.where(np.arange(len(mask))[:, None] < 8, 2, mask // 255))


LAYOUTS = [messy, without_validation, table_without_validation]


def files_in(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("make", LAYOUTS)
def test_a_folder_of_any_layout_becomes_a_set_of_three_splits(make, tmp_path):
    source, name = tmp_path / "mine", make.__name__
    make(source)
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


@pytest.mark.notebook
def test_the_lesson_runs_on_it_with_no_edit(tmp_path):
    source = tmp_path / "mine"
    messy(source)
    settings = QUICK | {"data_dir": str(source), "out_dir": str(tmp_path / "out")}
    how = {"kernel_name": "python3", "progress_bar": False}
    papermill.execute_notebook(NOTEBOOK, tmp_path / "run.ipynb", settings, **how)
    executed = nbformat.read(tmp_path / "run.ipynb", as_version=4)
    said = "\n".join(texts(cell) for cell in executed.cells if cell.cell_type == "code")
    assert "mean of images" in said and "validation Dice" in said
    assert (tmp_path / "out" / "0" / "run" / "best.safetensors").is_file()
    assert list((tmp_path / "out" / "0" / "predicted").glob("*_mask.png"))
    assert Segmenter.load(tmp_path / "out" / "0" / "run").preprocessing.size == 32


@cases(
    "make sentence",
    (lambda folder: write(folder, {"images/a.jpg": None}), "no layout known"),
    (lambda folder: draw(folder, range(2), change=lambda mask: mask // 255), "2 usable pictures"),
    (several_values, "--classes"),
    (lambda folder: draw(folder, range(4), change=lambda mask: mask[:-3]), "they must agree"),
    (Path.mkdir, "no layout known"),
    (lambda folder: None, "is not a folder"),
)
def test_a_folder_that_cannot_be_used_gets_one_sentence(make, sentence, tmp_path):
    make(tmp_path / "mine")
    refused(sentence, open_folder, tmp_path / "mine", tmp_path / "work")


def test_classes_say_what_is_meant_where_masks_hold_several_values(tmp_path):
    several_values(tmp_path / "mine")
    for sample in find_samples(open_folder(tmp_path / "mine", tmp_path / "work", classes="2")):
        mask = read_mask(sample.mask)
        assert mask[:8].all() and not mask[8:].any()


def test_splits_and_groups_that_are_there_stay(make_dataset):
    folder = make_dataset(30)
    names = [sample.name for sample in find_samples(folder)]
    given = {name: "val" if i < 4 else "train" for i, name in enumerate(names)}
    rows = [f"{name},{split},g{i // 2}" for i, (name, split) in enumerate(given.items())]
    (folder / "splits.csv").write_text("\n".join(["name,split,group", *rows]))
    complete_splits(folder)
    splits = {sample.name: sample.split for sample in find_samples(folder)}
    assert {name for name, split in splits.items() if split == "val"} == set(names[:4])
    assert Counter(splits.values()) == {"val": 4, "test": 4, "train": 22}
    assert len({(sample.group, sample.split) for sample in find_samples(folder)}) == 15
    complete_splits(folder)
    assert {sample.name: sample.split for sample in find_samples(folder)} == splits


@cases(
    "groups kept",
    (["a", "a", "a", "b", "b", "c", "c"], True),  # two films to train on: the smaller one is given whole
    (["a", "a", "a", "a", "a", "c", "c"], False),  # one film: its pictures, since nothing else is there
)
def test_few_groups_give_what_is_missing_and_what_was_named_stays(make_dataset, groups, kept):
    folder = make_dataset(7)
    names = [sample.name for sample in find_samples(folder)]
    rows = [
        f"{name},{'test' if group == 'c' else 'train'},{group}"
        for name, group in zip(names, groups, strict=True)
    ]
    (folder / "splits.csv").write_text("\n".join(["name,split,group", *rows]))
    complete_splits(folder)
    samples = find_samples(folder)
    assert [sample.name for sample in samples if sample.split == "test"] == names[5:]
    assert {sample.split for sample in samples[:5]} == {"train", "val"}
    assert (len({(sample.group, sample.split) for sample in samples}) == len({*groups})) == kept


def test_what_belongs_together_stays_together_and_the_class_has_the_name_that_was_given(tmp_path):
    source = tmp_path / "mine"
    for film in range(4):
        name = f"film{'abcd'[film]}_{{}}.png"
        draw(source, range(3 * film, 3 * film + 3), f"images/{name}", f"masks/{name}")
    by_series = open_folder(source, tmp_path / "one", class_name="ear")
    by_pattern = open_folder(source, tmp_path / "two", group=r"film(.)")
    assert read_class_name(by_series) == "ear" and read_class_name(by_pattern) == "person"
    for folder in (by_series, by_pattern):
        samples = find_samples(folder)
        assert len({(s.name[4], s.split) for s in samples}) == 4 and len({s.group for s in samples}) == 4
