import csv

import numpy as np
import pytest
import torch
from conftest import refused
from PIL import Image

from segkit.checkpoint import CheckpointInfo
from segkit.data import Preprocessing
from segkit.evaluate import evaluate, write_evaluation
from segkit.predict import Segmenter
from segkit.sets.doctor import inspect_dataset


class Constant(torch.nn.Module):
    """Takes everything for a person, once it gets more pixels than so many; nothing before."""

    def __init__(self, pixels: float):
        super().__init__()
        self.pixels = pixels

    def forward(self, images):
        return images[:, :1] * 0 + (9 if images.shape[-1] > self.pixels else -9)


def constant(pixels: float) -> Segmenter:
    return Segmenter(Constant(pixels), CheckpointInfo(model={}, preprocessing=Preprocessing(size=32)), "cpu")


@pytest.fixture
def nobody() -> Segmenter:
    return constant(float("inf"))


def test_seeing_nobody_scores_zero_dice_and_the_background_share(nobody, make_dataset):
    folder = make_dataset(7)
    result = evaluate(nobody, folder)
    shares = [(np.asarray(Image.open(p)) > 0).mean() for p in sorted((folder / "masks").iterdir())]
    assert result.counts.dice().tolist() == [0] * 7
    assert result.counts.pixel_accuracy().tolist() == pytest.approx([1 - s for s in shares])
    assert "0.0000" in result.table()


def test_the_table_is_written_worst_first_with_a_sheet(nobody, make_dataset, tmp_path):
    folder = make_dataset(7)
    Image.new("L", (80, 96)).save(folder / "masks" / "003.png")  # nobody there: the answer is right
    paths = write_evaluation(evaluate(nobody, folder), nobody, tmp_path / "out", worst=4)
    rows = list(csv.DictReader(paths[0].open()))
    assert [float(r["dice"]) for r in rows] == [0] * 6 + [1] and rows[-1]["name"] == "003"
    assert Image.open(paths[1]).size[0] > 300


def test_looks_at_other_scales_count(make_dataset):
    network, folder = constant(40), make_dataset(3)
    assert evaluate(network, folder).counts.recall().tolist() == [0] * 3
    assert evaluate(network, folder, scales=(2.0,)).counts.recall().tolist() == [1] * 3


def test_one_split_is_scored_alone(nobody, make_dataset):
    folder = make_dataset(5)
    (folder / "splits.csv").write_text("name,split\n000,train\n001,test\n002,train\n003,test\n004,val\n")
    assert [s.name for s in evaluate(nobody, folder, "test").samples] == ["001", "003"]
    refused("split is one of train, val, test", evaluate, nobody, folder, "dev")


@pytest.mark.parametrize("last", ["c", "d"])
def test_five_folds_are_advised_where_there_are_groups_for_them(nobody, make_dataset, last):
    folder, groups = make_dataset(5), ["x", "a", "b", "c", last]
    splits = ["train", "test", "train", "test", "val"]
    rows = [f"{i:03d},{split},{group}\n" for i, (split, group) in enumerate(zip(splits, groups, strict=True))]
    (folder / "splits.csv").write_text("name,split,group\n" + "".join(rows))
    said = evaluate(nobody, folder, "test").certainty(), inspect_dataset(folder).text()
    assert [("--folds 5" in text) for text in said] == [last == "d"] * 2
