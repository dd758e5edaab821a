"""Masks drawn by a network: what is written, what it reads back as, and what happens when things go wrong."""

import csv
import json
import os

import cv2
import numpy as np
import pytest
from conftest import refused
from PIL import Image
from pycocotools.coco import COCO

from segkit.data import find_samples
from segkit.files import UserError, embedded_path, read_image, read_mask, write_image
from segkit.predict import Segmenter
from segkit.sets.annotate import AnnotateConfig, AnnotateReport, annotate_folder, confidence
from segkit.sets.exporters import cut_pieces, outline
from segkit.sets.importers import import_folder


@pytest.fixture
def photos(tmp_path):
    """A folder: two people and a speck, one dim person, nobody, a JPEG turned by EXIF, a ring with a hole."""
    folder = tmp_path / "photos"
    two, dim, ring = (np.zeros((64, 96, 3), np.uint8) for _ in range(3))
    cv2.circle(two, (25, 30), 15, (255, 255, 255), -1)
    cv2.circle(two, (70, 30), 12, (255, 255, 255), -1)
    two[2, 93:95] = 255
    cv2.circle(dim, (48, 32), 20, (135, 135, 135), -1)
    cv2.circle(ring, (48, 32), 22, (255, 255, 255), 9)
    write_image(folder / "two.png", two)
    write_image(folder / "dim.png", dim)
    write_image(folder / "more" / "ring.png", ring)
    write_image(folder / "nobody.png", np.zeros((64, 96, 3), np.uint8))
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.fromarray(two).save(folder / "turned.jpg", exif=turned, quality=98)
    return folder


@pytest.mark.parametrize("per", ["person", "image"])
def test_pycocotools_gives_the_very_same_masks_back(bright, photos, tmp_path, per):
    out = tmp_path / "out"
    report = annotate_folder(bright, photos, out, AnnotateConfig(per), progress=False)
    coco = COCO(str(out / "annotations.json"))
    names = {record["file_name"] for record in coco.imgs.values()}
    assert names == {"two.png", "dim.png", "more_ring.png", "nobody.png", "turned.jpg"}
    for image_id, record in coco.imgs.items():
        name = record["file_name"].rsplit(".", 1)[0]
        mask = read_mask(out / "masks" / f"{name}.png")
        assert read_image(out / "images" / record["file_name"]).shape[:2] == mask.shape
        pieces = [coco.annToMask(note) for note in coco.imgToAnns[image_id]]
        assert np.array_equal(sum(pieces, 0 * mask), mask)
        for note, one in zip(coco.imgToAnns[image_id], pieces, strict=True):
            ys, xs = np.nonzero(one)
            assert note["area"] == one.sum() and 0.5 < note["score"] <= 1
            assert note["bbox"] == [xs.min(), ys.min(), np.ptp(xs) + 1, np.ptp(ys) + 1]
    count = {"person": 2 + 1 + 1 + 2, "image": 4}[per]
    assert len(coco.anns) == report.annotations == count
    assert read_mask(out / "masks" / "two.png")[2, 94] == 0  # the speck
    assert read_mask(out / "masks" / "turned.png").shape == (96, 64)  # upright


@pytest.mark.parametrize(
    ("layout", "tolerance", "least"),
    [("labelme", 0, 1.0), ("labelme", 1, 0.95), ("coco", 1, 1.0), ("cvat", 1, 1.0)],
)
def test_what_was_annotated_comes_back_through_import(bright, photos, tmp_path, layout, tolerance, least):
    out, back = tmp_path / "out", tmp_path / "back"
    config = AnnotateConfig(tolerance=tolerance, format=("coco", "labelme", "cvat"))
    annotate_folder(bright, photos, out, config, progress=False)
    assert "subset=" not in (out / "annotations.xml").read_text(), "an empty one hides all from datumaro"
    report = import_folder(out, back, layout=layout, empty="keep", progress=False)
    assert len(report.written) == 5 and not report.failed
    for sample in find_samples(back):
        ours, theirs = (read_mask(f / "masks" / f"{sample.name}.png") for f in (out, back))
        assert (ours & theirs).sum() >= least * (ours | theirs).sum(), sample.name


def test_a_correction_made_in_labelme_arrives(bright, photos, tmp_path):
    out, back = tmp_path / "out", tmp_path / "back"
    annotate_folder(bright, photos, out, progress=False)
    path = out / "images" / "two.json"
    content = json.loads(path.read_text())
    del content["shapes"][1]
    path.write_text(json.dumps(content))
    import_folder(out, back, layout="labelme", empty="keep", progress=False)
    assert len([*cut_pieces(read_mask(back / "masks" / "two.png") > 0)]) == 1
    annotate_folder(bright, photos, out, progress=False)  # a second run leaves the correction alone
    assert len(json.loads(path.read_text())["shapes"]) == 1


def test_the_dim_one_stands_first_and_the_page_asks_nobody(bright, photos, tmp_path):
    out = tmp_path / "out"
    report = annotate_folder(bright, photos, out, progress=False)
    sure = list(report.confidence.values())
    assert next(iter(report.confidence)) == "dim" and sure == sorted(sure)
    rows = list(csv.DictReader((out / "confidence.csv").open()))
    assert [row["name"] for row in rows] == list(report.confidence)
    page = (out / "review.html").read_text()
    places = [page.index(f"</b> {name}<br>") for name in report.confidence]
    assert places == sorted(places)
    assert "http" not in page and "<script" not in page
    assert page.count('class="look"') == sum(value < 0.9 for value in sure) > 0


def test_confidence_is_the_dice_that_the_probabilities_promise():
    prob = np.array([[1.0, 0.8], [0.4, 0.0]])
    assert confidence(prob, prob > 0.5) == pytest.approx(2 * 1.8 / (2.2 + 2))
    assert confidence(prob, prob > 2) == pytest.approx(0)
    assert confidence(prob * 0.1, prob > 2) == pytest.approx(0.9)
    sure = (prob > 0.5).astype(float)
    assert confidence(sure, sure > 0.5) == 1
    rng = np.random.default_rng(0)
    prob = rng.random((200, 200)) ** 2
    mask, truth = prob > 0.5, rng.random((200, 200)) < prob  # the truth as the probabilities say
    dice = 2 * (mask & truth).sum() / (mask.sum() + truth.sum())
    assert confidence(prob, mask) == pytest.approx(dice, abs=0.01)


def test_a_broken_picture_is_named_and_the_rest_is_done(bright, photos, tmp_path, monkeypatch):
    (photos / "broken.jpg").write_bytes(b"not a picture")
    (photos / "dim.png").rename(photos / os.fsdecode(b"M\xfcller.png"))  # a name that is not in UTF-8
    out, ask = tmp_path / "out", Segmenter.predict_batch

    def refuse_the_turned_one(self, images):
        if any(image.shape[0] == 96 for image in images):
            raise ZeroDivisionError
        return ask(self, images)

    monkeypatch.setattr(Segmenter, "predict_batch", refuse_the_turned_one)
    report = annotate_folder(bright, photos, out, progress=False)
    assert [path.name for path in report.failed] == ["broken.jpg", "turned.jpg"]
    assert len(find_samples(out)) == len(report.confidence) == 4 and "M\ufffdller" in report.confidence


def test_an_interrupted_run_goes_on(bright, photos, tmp_path, monkeypatch):
    out, seen = tmp_path / "out", []
    ask = Segmenter.predict_batch

    def stop_after_two(self, images, *rest):
        if len(seen) == 2:
            raise KeyboardInterrupt
        seen.extend(images)
        return ask(self, images, *rest)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Segmenter, "predict_batch", stop_after_two)
        annotate_folder(bright, photos, out, batch_size=1, progress=False)
    assert not (out / "annotations.json").exists()
    report = annotate_folder(bright, photos, out, progress=False)
    assert report.resumed == 2 and len(report.confidence) == 5
    write_image(photos / "new.png", np.full((20, 30, 3), 255, np.uint8))
    assert annotate_folder(bright, photos, out, progress=False).resumed == 5


def test_another_run_keeps_corrections_and_names_and_counts_all_there_is(bright, photos, tmp_path):
    """The folder moved, one picture is gone, one came under a name that meets another's, one changed."""
    out, corrected = tmp_path / "out", tmp_path / "out" / "images" / "two.json"
    write_image(photos / "settings.png", np.zeros((20, 30, 3), np.uint8))
    annotate_folder(bright, photos, out, progress=False)
    corrected.write_text("mine")
    moved = photos.rename(tmp_path / "moved")
    (moved / "nobody.png").unlink()
    write_image(moved / "two.jpg", np.full((20, 30, 3), 255, np.uint8))
    write_image(moved / "dim.png", np.full((20, 40, 3), 255, np.uint8))
    report = annotate_folder(bright, moved, out, progress=False)
    assert corrected.read_text() == "mine" and report.resumed == 6 and len(report.confidence) == 7
    assert [path.name for path in report.failed] == ["dim.png"] and "another picture" in str(report.failed)
    assert {sample.name for sample in find_samples(out)} == report.confidence.keys() >= {"two", "two-2"}


def test_wrong_calls_get_a_sentence(bright, photos, tmp_path):
    for wrong in ({"per": "dog"}, {"format": ("circle",)}, {"least": 1}, {"tolerance": -1}, {"threshold": 1}):
        with pytest.raises(UserError):
            AnnotateConfig(**wrong)
    refused("inside", annotate_folder, bright, photos, photos / "out", progress=False)
    with pytest.raises(UserError, match="its photographs are in"):
        annotate_folder(bright, embedded_path("people"), tmp_path / "out", progress=False)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no pictures"):
        annotate_folder(bright, tmp_path / "empty", tmp_path / "out", progress=False)
    write_image(tmp_path / "taken" / "mine.png", np.zeros((9, 9), np.uint8))
    refused("not empty", annotate_folder, bright, photos, tmp_path / "taken", progress=False)
    annotate_folder(bright, photos, tmp_path / "out", progress=False)
    with pytest.raises(UserError, match="other settings"):
        annotate_folder(bright, photos, tmp_path / "out", AnnotateConfig("image"), progress=False)


def test_pieces_are_cut_where_people_do_not_touch():
    mask = np.zeros((40, 60), bool)
    mask[5:20, 5:20] = mask[5:35, 30:50] = True
    mask[39, 0] = True
    assert [piece.sum() for piece in cut_pieces(mask)] == [600, 225, 1]
    assert [piece.sum() for piece in cut_pieces(mask, least=0.01)] == [600, 225]
    assert len(outline([*cut_pieces(mask)][-1], 1.0)) >= 3, "a speck is a polygon for labelme as well"
    (one,) = cut_pieces(mask, "image", 0.01)
    assert one.sum() == 825
    assert [*cut_pieces(np.zeros((9, 9), bool), "image")] == []


def test_the_command_says_what_to_do_next(command, weights, photos, tmp_path):
    assert str(AnnotateReport(tmp_path, {"a": 1.0}, 1)).startswith("1 picture, 1 annotation; ")
    arguments = ["annotate", photos, "-o", tmp_path / "out", "-m", weights, "--per", "image"]
    code, said, _ = command(*arguments)
    assert code == 0 and "5 pictures" in said and "segkit data import" in said
    (photos / "broken.jpg").write_bytes(b"")
    (photos / "layers.psd").write_bytes(b"")
    code, _, said = command(*arguments)
    assert code == 1 and "broken.jpg" in said and "not taken" in said and "1 .psd" in said


def test_a_large_picture_is_answered_in_a_smaller_copy_and_written_whole(
    bright, photos, tmp_path, monkeypatch
):
    Image.open(photos / "two.png").convert("RGBA").save(photos / "two.png")  # is no longer copied as it is
    Image.new("L", (96, 64)).save(photos / "grey.png")
    annotate_folder(bright, photos, tmp_path / "whole", progress=False)
    monkeypatch.setattr("segkit.sets.annotate.ANSWER", 64)
    annotate_folder(bright, photos, tmp_path / "small", progress=False)
    for path in sorted((tmp_path / "whole" / "images").glob("*.*g")):
        whole, small = (tmp_path / part / "images" / path.name for part in ("whole", "small"))
        assert np.array_equal(read_image(whole), read_image(small))
        one, other = (read_mask(tmp_path / p / "masks" / f"{path.stem}.png") for p in ("whole", "small"))
        assert one.shape == other.shape and (one != other).mean() < 0.03
