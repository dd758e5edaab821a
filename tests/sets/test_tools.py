"""The files of annotation tools, read and written: against other people's programs and published samples."""

import base64
import csv
import io
import json
import shutil
import zlib
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from pycocotools import mask as codec
from pycocotools.coco import COCO
from small_sets import (
    BLOCK,
    ELSEWHERE,
    OUTLINE,
    RING,
    SQUARE,
    H,
    W,
    masks,
    people,
    save,
    take,
    within_a_pixel,
    write,
)

from segkit.files import UserError
from segkit.sets.exporters import FORMATS, export_dataset
from segkit.sets.importers import import_folder
from segkit.sets.regions import brush_decode, brush_encode, runs
from segkit.sets.tools import TOOLS
from segkit.sets.tree import TITLES

# pycocotools 2.0.11 under NumPy 2; nothing a user can see.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
QUAD = [[5, 6], [25, 4], [28, 30], [9, 32]]
PAINTED = cv2.fillPoly(np.zeros((H, W), np.uint8), [np.array(QUAD)], 1) > 0


@pytest.fixture
def bare(tmp_path) -> Path:
    (tmp_path / "src").mkdir()
    return tmp_path / "src"


@pytest.fixture
def src(tmp_path) -> Path:
    for name in "ab":
        save(tmp_path / "src" / "images" / f"{name}.jpg")
    return tmp_path / "src"


# labelme


def shape(label: str, kind: str, points: list, **more) -> dict:
    return {"label": label, "shape_type": kind, "points": points, "group_id": None, "flags": {}} | more


def labelme(src: Path, name: str, image: str, *shapes: dict) -> None:
    about = {"imagePath": image, "imageData": None, "imageHeight": H, "imageWidth": W}
    write(src, {name: {"version": "5.5.0", "flags": {}, "shapes": shapes} | about})


def png(picture: Image.Image, **options) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", **options)
    return buffer.getvalue()


def test_labelme_polygons_rectangles_circles_and_masks(bare):
    patch = base64.b64encode(png(Image.fromarray(SQUARE[4:12, 6:20]))).decode()
    shapes = {
        "polygon": shape("person", "polygon", OUTLINE),
        "rectangle": shape("person", "rectangle", [[19, 11], [6, 4]]),  # drawn from the lower right
        "mask": shape("person", "mask", [[6, 4], [19, 11]], mask=patch),
    }
    dog = shape("dog", "polygon", [[0, 0], [3, 0], [0, 3]])
    for kind, one in shapes.items():
        save(bare / f"{kind}.jpg")
        labelme(bare, f"{kind}.json", f"{kind}.jpg", one, dog)
    save(bare / "circle.jpg")
    circle = shape("person", "circle", [[15, 12], [15, 17]])
    labelme(bare, "circle.json", "..\\photos\\circle.jpg", circle)
    report = take(bare)
    assert report.layout.name == "labelme" and not report.failed
    found = masks(report)
    for kind in shapes:
        assert np.array_equal(found[kind], SQUARE), kind
    rows, columns = np.mgrid[:H, :W]
    distance = np.hypot(columns - 15, rows - 12)
    assert found["circle"][distance < 4.5].all() and not found["circle"][distance > 6].any()
    assert report.used == "person; not used: dog"


def test_labelme_shapes_without_area_and_empty_files_are_told(bare):
    for name in "abc":
        save(bare / f"{name}.jpg")
    point = shape("person", "point", [[1, 1]])
    labelme(bare, "a.json", "a.jpg", shape("person", "polygon", OUTLINE), point)
    labelme(bare, "b.json", "b.jpg")
    (bare / "c.json").write_text('{"shapes": [')
    save(bare / "d.jpg")
    labelme(bare, "d.json", "d.jpg", point)
    report = take(bare)
    assert np.array_equal(masks(report)["a"], SQUARE)
    assert "without an area are not used: point (2)" in str(report)
    assert report.left_out == ["b.jpg"]  # and c.jpg is not taken for a picture that nobody annotated
    assert "not one has an area" in report.failed[1], "a person who is a point alone is no empty mask"
    assert len(report.failed) == 2 and "c.json' is not readable JSON" in report.failed[0]


def test_labelme_shapes_of_one_group_are_one_person_and_two_files_of_one_picture_are_refused(bare):
    save(bare / "a.jpg")
    far = [shape("person", "polygon", [[22, 15], [30, 15], [30, 20]], group_id=group) for group in (0, None)]
    labelme(bare, "a.json", "a.jpg", shape("person", "polygon", OUTLINE, group_id=0), far[0])
    report = take(bare)
    assert not (report.out / "instances").exists()
    labelme(bare, "a.json", "a.jpg", shape("person", "polygon", OUTLINE, group_id=0), far[1])
    report = take(bare, "two")
    assert Image.open(report.out / "instances" / "a.png").getextrema() == (0, 2)
    labelme(bare, "a copy.json", "a.jpg")
    with pytest.raises(UserError, match=r"the same pictures \(a.jpg\)"):
        take(bare, "again")


def test_labelme_in_folders_of_its_own_finds_the_picture_of_the_same_folder(bare):
    for day, shapes in ("mon", []), ("tue", [shape("person", "polygon", OUTLINE)]):
        save(bare / "images" / day / "1.jpg")
        labelme(bare, f"labels/{day}/1.json", "1.jpg", *shapes)
    assert masks(take(bare)).keys() == {"images_tue_1"}


def test_labelme_finds_a_renamed_picture_by_the_name_of_its_json(bare):
    save(bare / "new.jpg")
    labelme(bare, "new.json", "old.jpg", shape("me", "polygon", OUTLINE))
    report = take(bare)
    assert report.used == "me", "the only class there is"
    labelme(bare, "gone.json", "gone.jpg", shape("me", "polygon", OUTLINE))
    report = take(bare, "again")
    assert report.written == ["new"] and "'gone.jpg': found 0 times" in report.failed[0]


def test_classes_that_are_not_called_person_are_not_guessed(bare):
    save(bare / "a.jpg")
    shapes = [shape("alice, 7", "polygon", OUTLINE), shape("no person", "polygon", [[0, 0], [3, 0], [0, 3]])]
    labelme(bare, "a.json", "a.jpg", *shapes)
    with pytest.raises(UserError, match=r"no class .* is called person .*alice, 7, no person.*--classes"):
        take(bare)
    assert np.array_equal(masks(take(bare, classes="alice, 7"))["a"], SQUARE)


# Supervisely


def supervisely(kind: str, title: str = "person_bmp", **geometry) -> dict:
    return {"classTitle": title, "geometryType": kind, "tags": []} | geometry


def bitmap(patch: np.ndarray, x: int, y: int, style: str = "grey") -> dict:
    """As Supervisely packs it: a palette PNG whose 0 is transparent, zlib, base64. Other styles exist too."""
    picture, options = Image.fromarray(patch.astype(np.uint8)), {}
    if style == "palette":
        picture.putpalette([0, 0, 0, 255, 255, 255])
        options = {"transparency": 0}
    elif style == "rgba":
        white = np.full((*patch.shape, 3), 255, np.uint8)
        picture = Image.fromarray(np.dstack([white, patch * np.uint8(255)]))
    return {"data": base64.b64encode(zlib.compress(png(picture, **options))).decode(), "origin": [x, y]}


@pytest.mark.parametrize("style", ["palette", "rgba", "grey"])
@pytest.mark.parametrize("ending", [".jpg.json", ".json"])
def test_supervisely_bitmaps_and_polygons(bare, style, ending):
    hole = [[10, 6], [13, 6], [13, 9], [10, 9]]
    objects = {
        "bitmap": [supervisely("bitmap", bitmap=bitmap(SQUARE[2:14, 3:24], 3, 2, style))],
        "polygon": [supervisely("polygon", "person_poly", points={"exterior": OUTLINE, "interior": []})],
        "holed": [supervisely("polygon", "person_poly", points={"exterior": OUTLINE, "interior": [hole]})],
        "neutral": [supervisely("bitmap", "neutral", bitmap=bitmap(SQUARE, 0, 0, style))],
    }
    size = {"height": H, "width": W}
    for name, listed in objects.items():
        save(bare / "ds1" / "img" / f"{name}.jpg")
        save(bare / "ds1" / "masks_human" / f"{name}.png", SQUARE)  # exports carry these too
        write(bare, {f"ds1/ann/{name}{ending}": {"size": size, "tags": [], "objects": listed}})
    write(bare, {"meta.json": {"classes": [], "tags": []}})
    report = take(bare)
    assert report.layout.name == "supervisely" and not report.failed
    assert report.used == "person_bmp, person_poly; not used: neutral"
    found = masks(report)
    assert np.array_equal(found["bitmap"], SQUARE) and np.array_equal(found["polygon"], SQUARE)
    holed = SQUARE.copy()
    holed[6:10, 10:14] = False
    assert np.array_equal(found["holed"], holed)
    assert not found["neutral"].any()


def test_a_bitmap_that_reaches_over_the_edge_is_cut_and_a_broken_one_fails_alone(bare):
    patches = [bitmap(np.ones((5, 6), bool), x, y) for x, y in [(-3, -2), (W - 3, H - 3)]]
    large = {"data": base64.b64encode(png(Image.new("1", (12_300, 12_300)))).decode(), "origin": [0, 0]}
    broken = [{"data": "!!!!", "origin": [0, 0]}]
    for name, found in (("a", patches), ("b", broken), ("c", patches), ("d", [large])):
        objects = [supervisely("bitmap", "person", bitmap=patch) for patch in found]
        save(bare / "img" / f"{name}.jpg")
        write(bare, {f"ann/{name}.json": {"size": {"height": H, "width": W}, "objects": objects}})
    (bare / "other" / "img").mkdir(parents=True)
    (bare / "img" / "c.jpg").rename(bare / "other" / "img" / "c.jpg")  # of another data set
    expected = np.zeros((H, W), bool)
    expected[:3, :3] = expected[-3:, -3:] = True
    report = take(bare)
    assert np.array_equal(masks(report)["a"], expected)
    assert report.written == ["a"] and len(report.failed) == 3
    assert "c.json' belongs to a picture in" in report.failed[0] and "b.jpg" in report.failed[1]
    assert "more than 150,000,000 pixels" in report.failed[2]


def test_every_layout_has_a_reader():
    assert TITLES.keys() == TOOLS.keys() | {"folders", "beside", "cutouts"}


# CVAT


def test_masks_that_datumaro_wrote_for_cvat_are_read_exactly(src):
    shutil.copy(ELSEWHERE / "cvat_masks.xml", src / "annotations.xml")
    report = take(src)
    assert report.layout.name == "cvat" and not report.failed and report.used == "person; not used: dog"
    assert np.array_equal(masks(report)["a"], RING | BLOCK) and not masks(report)["b"].any()
    assert [m.sum() for m in people(report, "a")] == [(RING & ~BLOCK).sum(), BLOCK.sum()]


def test_frames_of_a_film_have_no_ending_in_cvat_and_groups_are_one_person(src):
    corner = '<polygon label="person" points="{0},1;{1},1;{1},9" {2}/>'
    grouped = [corner.format(at, at + 8, 'group_id="3"' if at < 20 else "") for at in (1, 11, 21)]
    cvat(src, ("frame_000007", "".join(grouped)))
    text = (src / "annotations.xml").read_text()
    (src / "annotations.xml").write_text(text.replace("frame_000007.jpg", "frame_000007"))
    (src / "images" / "a.jpg").rename(src / "images" / "frame_000007.PNG")
    report = take(src)
    assert report.written == ["frame_000007"] and len(people(report, "frame_000007")) == 2


def test_subsets_of_cvat_are_splits_and_two_files_of_one_picture_are_refused(src):
    polygon = '<polygon label="person" points="1,1;9,1;9,9"/>'
    cvat(src, ("a", polygon, 'subset="Train"'), ("b", polygon, 'subset="Validation"'))
    assert [example.split for example in take(src).layout.examples] == ["train", "val"]
    shutil.copy(src / "annotations.xml", src / "job2.xml")
    with pytest.raises(UserError, match="annotate the same pictures"):
        take(src)


def test_polygons_that_datumaro_wrote_for_cvat_are_read_within_a_pixel(src):
    shutil.copy(ELSEWHERE / "cvat_shapes.xml", src / "annotations.xml")
    assert within_a_pixel(masks(take(src))["a"], PAINTED)


@pytest.mark.parametrize("folder", ["segmentation_mask", "segmentation_mask_coloured"])
def test_a_cvat_segmentation_mask_is_read_by_its_labelmap(src, folder):
    shutil.copytree(ELSEWHERE / folder, src, dirs_exist_ok=True)
    report = take(src)
    assert report.layout.name == "folders" and not report.failed
    assert np.array_equal(masks(report)["a"], RING | BLOCK) and not masks(report)["b"].any()
    assert len(people(report, "a")) == 2


def cvat(src: Path, *images: tuple[str, ...]) -> None:
    """Write annotations.xml: of each image the name, what stands inside, and attributes if any."""
    heads = [f'<image id="0" name="{name}.jpg" width="{W}" height="{H}" ' for name, *_ in images]
    inside = [f"{' '.join(more)}>{shapes}</image>" for _, shapes, *more in images]
    text = "".join(map("".join, zip(heads, inside, strict=True)))
    write(src, {"annotations.xml": f"<annotations><version>1.1</version>{text}</annotations>"})


def test_cvat_draws_in_the_order_of_depth_and_an_ellipse_is_one(src):
    ellipse = '<ellipse label="person" cx="24" cy="18" rx="16" ry="10" z_order="1"/>'
    hole = '<polygon label="background" points="20,14;28,14;28,22;20,22" z_order="2"/>'
    cvat(src, ("a", hole + ellipse))
    mask = masks(take(src))["a"]
    rows, columns = np.mgrid[:H, :W] + 0.5
    expected = ((columns - 24) / 16) ** 2 + ((rows - 18) / 10) ** 2 <= 1
    expected[14:22, 20:28] = False
    assert np.array_equal(mask, expected)


@pytest.mark.parametrize(
    ("inside", "words"),
    [
        ('<box label="person" xtl="1" ytl="1" xbr="9" ybr="9"/>', "class person has a box but no outline"),
        ('<cuboid label="person"/>', "class person has a cuboid"),
        ('<mask label="person" rle="3, 4" left="0" top="0" width="5" height="2"/>', "cover 7 pixels"),
        ('<polygon label="person" points="1,1;9,x;3,3"/>', "cannot be read"),
        ('<polygon label="person" points="1,1;1e9,1;3,3"/>', "far outside"),
        ('<polyline label="person" points="1,1;9,9"/>', "no picture has a pixel of person"),
    ],
)
def test_what_cvat_cannot_say_as_an_area_fails_by_name(src, inside, words):
    cvat(src, ("a", inside), ("b", '<polygon label="dog" points="1,1;9,1;9,9"/>'))
    report = take(src)
    assert any(words in sentence for sentence in report.failed), report.failed


# YOLO

TRIANGLE = "0 .1 .1 .9 .1 .9 .9\n"


@pytest.fixture(scope="module")
def sv():
    return pytest.importorskip("supervision")


def detections(sv, *found: np.ndarray, ids=None):
    boxes = [(*np.argwhere(m).min(0)[::-1], *np.argwhere(m).max(0)[::-1]) for m in found]
    ids = np.zeros(len(found), int) if ids is None else np.array(ids)
    return sv.Detections(np.array(boxes, float), mask=np.array(found), class_id=ids)


def test_yolo_files_that_supervision_wrote_are_read_within_a_pixel(src, sv):
    quad = PAINTED & ~BLOCK
    paths = {name: str(src / "images" / f"{name}.jpg") for name in "ab"}
    found = {paths["a"]: detections(sv, quad, BLOCK, ids=[1, 1]), paths["b"]: detections(sv, BLOCK)}
    data = sv.DetectionDataset(["dog", "person"], list(paths.values()), found)
    data.as_yolo(annotations_directory_path=str(src / "labels"), data_yaml_path=str(src / "data.yaml"))
    report = take(src)
    assert report.layout.name == "yolo" and not report.failed
    assert within_a_pixel(masks(report)["a"], quad | BLOCK) and not masks(report)["b"].any()
    assert len(people(report, "a")) == 2


def test_splits_of_yolo_are_kept_by_folder_and_by_list(src):
    write(src, {"labels/a.txt": TRIANGLE, "labels/b.txt": "", "held.txt": "./images/b.jpg\n"})
    write(src, {"data.yaml": "train: [none, held.txt]\nval: held.txt\nnames: [person]\n"})
    report = take(src)
    assert report.empty == 1 and [e.split for e in report.layout.examples] == ["", "val"]
    assert "in more than one split, and counted in one: b.jpg" in report.notes


@pytest.mark.parametrize(
    "entries",
    [
        "train: /content/x/images/p1\nval: ../images/p2",
        "path: C:\\data\ntrain: train.txt\nval: lists/val.txt",
    ],
)
def test_splits_of_yolo_are_found_by_the_ends_of_paths_of_another_machine(src, entries):
    for split, place in (("train", "p1"), ("val", "p2")):
        save(src / "images" / place / "0001.jpg")
        write(src, {f"labels/{place}/0001.txt": TRIANGLE, f"{split}.txt": f"/home/x/{place}/0001.jpg\n"})
    write(src, {"data.yaml": f"{entries}\nnames: [person]\n", "args.yaml": "epochs: 100\n"})
    splits = {e.image.parent.name: e.split for e in take(src).layout.examples}
    assert splits["p1"] == "train" and splits["p2"] == "val"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("3 .1 .1 .9 .1 .9 .9", "has the class 3 in line 1, which no list there names"),
        ("0 .5 .5 .2 .2", "class person has a box but no outline"),
        ("0 10 10 90 10 90 90", "outside of 0 to 1"),
        ("0 .1 .1 .9 .1 .9 .9 .75", "7 numbers after the class in line 1"),
        ("0 ,1 ,1 ,9 ,1 ,9 ,9", "holds more than numbers"),
    ],
)
def test_a_wrong_line_of_yolo_fails_by_name(src, line, words):
    write(src, {"labels/a.txt": line, "labels/b.txt": TRIANGLE, "data.yaml": "names: {0: person}"})
    report = take(src, empty="keep")
    assert report.written == ["b"] and words in report.failed[0]


@pytest.mark.parametrize(("image", "label"), [("a.jpg", "labels/a.txt"), ("img/a.jpg", "labels/a.txt")])
def test_labels_of_yolo_lie_below_or_beside_their_pictures(src, image, label):
    shutil.rmtree(src / "images")
    save(src / image)
    write(src, {label: TRIANGLE, "data.yaml": "names: [person]"})
    if "/" in image:
        save(src / "runs" / "predict" / "a.jpg")
    assert take(src).written == ["img_a" if "/" in image else "a"]
    wrong = {"utf-8": b"names: [F\xfc\xdfe]", "YAML": b'path: "C:\\Users"', "no list": b"names: x"}
    for words, broken in wrong.items():
        (src / "data.yaml").write_bytes(broken)
        with pytest.raises(UserError, match=words):
            take(src, "again")


def test_key_points_of_yolo_are_not_taken_for_corners(src):
    write(src, {"labels/a.txt": "0 .5 .5 .2 .2 .1 .1 .2 .2\n"})
    write(src, {"data.yaml": "kpt_shape: [2, 2]\nnames: [person]\n"})
    with pytest.raises(UserError, match="poses"):
        take(src)


# Label Studio


def result(**value) -> dict:
    kind = next(key for key in value if key.endswith("labels"))
    return {"type": kind, "original_width": W, "original_height": H, "image_rotation": 0, "value": value}


def percent(points) -> list:
    return (np.array(points) * 100 / [W, H]).tolist()


def label_studio(src: Path, *tasks: dict) -> None:
    write(src, {"project-1.json": tasks})


def test_label_studio_brush_strokes_polygons_and_addresses(src):
    brush = json.loads((ELSEWHERE / "label_studio_brush.json").read_text())
    stroke = result(format="rle", rle=brush, brushlabels=["person"])
    quad = result(points=percent(QUAD), polygonlabels=["person"]) | {"image_rotation": 90}
    addresses = ("/data/upload/1/0a1b2c3d-a.jpg", stroke), ("s3://x/y/b.jpg?v=1", quad)
    label_studio(src, *({"data": {"img": at}, "annotations": [{"result": [r]}]} for at, r in addresses))
    report = take(src)
    assert report.layout.name == "label-studio" and not report.failed
    assert np.array_equal(masks(report)["a"], RING) and within_a_pixel(masks(report)["b"], PAINTED)


@pytest.mark.parametrize("variable", ["image", "data"])  # what the project calls its pictures
def test_the_short_export_of_label_studio_is_read_as_the_long_one(src, variable):
    text = (ELSEWHERE / "label_studio_min.json").read_text()
    write(src, {"project-1-min.json": text.replace('"image": ', f'"{variable}": ')})
    report = take(src)
    assert report.layout.name == "label-studio" and not report.failed and "several annotations" in str(report)
    assert np.array_equal(masks(report)["a"], RING) and within_a_pixel(masks(report)["b"], PAINTED)
    assert report.used == "person; not used: dog" and "without an area" not in str(report)


def test_label_studio_leaves_cancelled_work_out_and_says_which_of_several_counts(src):
    rings = [[0, 0], [9, 0], [9, 9]], QUAD
    old, new = ([result(points=percent(ring), polygonlabels=["person"])] for ring in rings)
    done = [
        {"result": old, "was_cancelled": True, "updated_at": "2025-03-01"},
        {"result": new, "updated_at": "2025-02-01"},
        {"result": old, "updated_at": "2025-01-01"},
    ]
    unfinished = [result(points=percent(rings[0]), polygonlabels=["person"], closed=False)]
    done[1]["result"] = unfinished + new
    label_studio(src, {"id": 1, "data": {"image": "a.jpg"}, "annotations": done})
    report = take(src)
    assert within_a_pixel(masks(report)["a"], PAINTED) and "several annotations" in str(report)
    assert report.left_out == ["b.jpg"]


@pytest.mark.parametrize("pictures", [{"image": "gone.jpg"}, {"left": "a.jpg", "right": "b.jpg"}])
def test_a_label_studio_task_without_one_picture_fails_alone(src, pictures):
    quad = [result(points=percent(QUAD), polygonlabels=["standing", "person"])]  # each label counts
    done = {"id": 7, "annotations": [{"result": quad}]}
    tasks = {"data": {"x": "a.jpg", "next frame": "b"}, **done}, {"data": pictures, **done}
    label_studio(src, {"id": 1, "data": {"image": "b.jpg"}, "predictions": []}, *tasks)
    report = take(src)
    assert report.written == ["a"] and masks(report)["a"].any() and report.left_out == ["b.jpg"]
    assert "task 7" in report.failed[0] and "expected one" in report.failed[0]


@settings(max_examples=100, deadline=None)
@given(arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12))))
def test_brush_strokes_come_back(mask):
    assert np.array_equal(brush_decode(brush_encode(mask), shape=mask.shape), mask)


def test_our_brush_strokes_are_those_of_label_studio():
    theirs = json.loads((ELSEWHERE / "label_studio_brush.json").read_text())
    ours = brush_encode(RING)
    assert theirs[: len(ours)] == ours and not any(theirs[len(ours) :])


# VGG Image Annotator: the structure of the files that its versions save


def via_2(name: str, *regions: dict) -> dict:
    shapes = [{"shape_attributes": r, "region_attributes": {"class": "person"}} for r in regions]
    return {"filename": name, "size": 1234, "regions": shapes, "file_attributes": {}}


@pytest.mark.parametrize("kind", ["export", "project", "table"])
def test_via_2_is_read_from_its_exports_and_its_project(src, kind):
    xs, ys = np.array(QUAD).T.tolist()
    polygon = {"name": "polygon", "all_points_x": xs, "all_points_y": ys}
    circle = {"name": "circle", "cx": 24, "cy": 18, "r": 9}
    records = {"a.jpg1234": via_2("a.jpg", polygon), "b.jpg1234": via_2("b.jpg", circle)}
    project = {"_via_settings": {}, "_via_img_metadata": records, "_via_attributes": {}}
    if kind == "table":
        with (src / "via_csv.csv").open("w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(
                ["filename", "file_size", "region_id", "region_shape_attributes", "region_attributes"]
            )
            for name, one in (("a.jpg", polygon), ("b.jpg", circle)):
                rows.writerow([name, 1234, 0, json.dumps(one), '{"class":"person"}'])
    else:
        write(src, {"via.json": project if kind == "project" else records})
    report = take(src)
    rows, columns = np.mgrid[:H, :W] + 0.5
    assert report.layout.name == "via" and within_a_pixel(masks(report)["a"], PAINTED)
    assert np.array_equal(masks(report)["b"], np.hypot(rows - 18, columns - 24) <= 9)


def test_via_3_is_read_with_its_options_and_a_box_fails_by_name(src):
    flat = np.array(QUAD).ravel().tolist()
    data = {
        "project": {"pid": "__VIA_PROJECT_ID__", "vid_list": ["1", "2"]},
        "config": {},
        "attribute": {"1": {"aname": "kind", "type": 3, "options": {"0": "dog", "1": "person"}}},
        "file": {
            k: {"fid": k, "fname": f"{n}.jpg", "type": 2, "loc": 1} for k, n in (("1", "a"), ("2", "b"))
        },
        "metadata": {
            "1_x": {"vid": "1", "flg": 0, "z": [], "xy": [7, *flat], "av": {"1": "1"}},
            "2_y": {"vid": "2", "flg": 0, "z": [], "xy": [2, 1, 1, 9, 9], "av": {"1": "1"}},
        },
        "view": {"1": {"fid_list": ["1"]}, "2": {"fid_list": ["2"]}},
    }
    write(src, {"via3.json": data})
    report = take(src)
    assert report.written == ["a"] and within_a_pixel(masks(report)["a"], PAINTED)
    assert "class person has a box" in report.failed[0]


# Masks with a list of classes beside them, and one mask for each object

LISTS = {
    "_classes.csv": "Pixel Value, Class\n0, background\n1, dog\n2, person\n",
    "classes.txt": "0 background\n1 dog\n2 person\n",
    "class_dict.csv": "name,value\nbackground,0\ndog,1\nperson,2\n",
    "class_names.txt": "__ignore__\n_background_\ndog\nperson\n",
    "labels.txt": "background\ndog\nperson\n",
    "label_map.json": '{"background": 0, "dog": 1, "person": 2}',
    "categories.json": '[{"id": 1, "name": "dog"}, {"id": 2, "name": "person"}]',
    "data.yaml": "names: {0: background, 1: dog, 2: person}\n",
}


@pytest.mark.parametrize("name", LISTS)
def test_a_list_of_classes_says_what_the_numbers_of_a_mask_mean(src, name):
    labels = np.where(RING, 2, np.where(BLOCK, 1, 0)).astype(np.uint8)
    (src / name).write_text(LISTS[name])
    for picture_name, values in (("a", labels), ("b", (labels == 1).astype(np.uint8))):
        save(src / "masks" / f"{picture_name}.png", values)
    report = take(src)
    assert np.array_equal(masks(report)["a"], RING) and not masks(report)["b"].any()
    assert report.used == "person; not used: dog"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("background\ndog\n", "holds 2, which is no class"),
        ("dog\nperson\ncat\n", "names no background"),
        ("0 background\n2 cat\n2 person\n", "gives 2 to cat and to person"),
    ],
)
def test_a_list_that_does_not_fit_is_refused_by_name(src, text, words):
    (src / "classes.txt").write_text(text)
    save(src / "masks" / "a.png", RING * np.uint8(2))
    with pytest.raises(UserError, match=words):
        take(src, classes="dog" if "dog" in text else None)


def test_a_class_that_nobody_has_a_pixel_of_fails(src, command):
    (src / "classes.txt").write_text("0 background\n1 dog\n2 person\n")
    save(src / "masks" / "a.png", RING * np.uint8(1))
    code, out, _ = command("data", "import", src, "-o", src.parent / "out")
    assert code == 1 and "no picture has a pixel of person" in out


@pytest.mark.parametrize(
    "found",
    [
        {"a_0": RING, "a_1": BLOCK},
        {"a/first": RING, "a/second": BLOCK},
        {"person/a_0": RING, "person/a_1": BLOCK, "dog/a": ~BLOCK},
    ],
)
def test_one_mask_for_each_object(src, found):
    for name, mask in found.items():
        save(src / "masks" / f"{name}.png", mask)
    report = take(src)
    assert np.array_equal(masks(report)["a"], RING | BLOCK) and len(people(report, "a")) == 2


# COCO


def note(**changes) -> dict:
    one = {"id": 7, "image_id": 1, "category_id": 1, "segmentation": [[1, 1, 9, 1, 9, 9]], "iscrowd": 0}
    return one | changes


def coco(src: Path, name: str = "a.json", pictures: Sequence[str] = "ab", **changes) -> None:
    """Write a file in which the ring and the block of the first picture are people, and share an id."""
    rle = codec.encode(np.asfortranarray(RING.astype(np.uint8)))
    block = note(segmentation=[[30, 4, 44, 4, 44, 20, 30, 20]], iscrowd=1)
    data = {
        "images": [
            {"id": k, "file_name": f"{n}.jpg", "height": H, "width": W} for k, n in enumerate(pictures, 1)
        ],
        "categories": [{"id": 1, "name": "person"}, {"id": 2, "name": "dog"}],
        "annotations": [note(segmentation=rle | {"counts": rle["counts"].decode()}), block],
    }
    data["annotations"] += [note(image_id=2, category_id=2)] * (len(pictures) > 1)
    write(src, {name: data | changes})


def test_a_coco_mask_is_the_union_of_the_persons(src):
    coco(src)
    save(src / "images" / "c.jpg")
    report = take(src)
    assert np.array_equal(masks(report)["a"], RING | BLOCK) and len(people(report, "a")) == 2
    assert not masks(report)["b"].any() and report.empty == 1, "a dog was annotated, and nobody else is there"
    assert report.left_out == ["c.jpg"] and report.used == "person; not used: dog"
    assert "COCO JSON, 3 images, classes person (2), dog (1)" in str(report)
    alone = take(src, "alone", crowd="skip-image")
    assert alone.written == ["b"] and "it holds a crowd region: a" in str(alone)
    assert masks(take(src, "dogs", classes=["dog"]))["b"].any()
    with pytest.raises(UserError, match=r"class cat is not there. Found: dog, person"):
        take(src, "cats", classes=["cat"])


def test_one_coco_file_can_be_named_where_several_would_clash(src):
    for name in ("annotations/instances.json", "annotations/keypoints.json"):
        coco(src, name)
    with pytest.raises(UserError, match="annotate the same pictures"):
        take(src)
    one, out = src / "annotations" / "instances.json", src.parent / "out"
    assert np.array_equal(masks(import_folder(one, out, progress=False))["a"], RING | BLOCK)
    with pytest.raises(UserError, match="does not look like this"):
        import_folder(one, src.parent / "again", layout="cutouts")


def test_a_coco_object_without_an_outline_or_picture_fails_alone(src):
    coco(src, pictures="abz", annotations=[note(segmentation=[]), note(image_id=2, category_id=2)])
    report = take(src, empty="keep")
    assert report.written == ["b"], "what somebody annotated is never taken for nobody"
    assert any("z.jpg" in line for line in report.failed)
    assert any("a box but no outline" in line and "a.jpg" in line for line in report.failed)


def test_coco_files_of_one_split_each_name_the_pictures_of_theirs(bare):
    group = {"id": 9, "name": "ears", "supercategory": "none"}  # as Roboflow writes
    categories = [group, {"id": 1, "name": "ear", "supercategory": "ears"}]
    for split, notes in (("train", [note(iscrowd="0")]), ("val", [])):
        save(bare / "images" / split / "a.jpg")
        coco(bare, f"instances_{split}.json", "a", categories=categories, annotations=notes)
    report = take(bare, crowd="skip-image", empty="keep")
    assert report.used == "ear" and not report.failed
    assert {name: mask.any() for name, mask in masks(report).items()} == {
        "images_train_a": True,
        "images_val_a": False,
    }
    coco(bare, "panoptic.json", "a", annotations=[{"image_id": 1, "segments_info": []}])
    with pytest.raises(UserError, match="Panoptic"):
        take(bare, "again")


@pytest.mark.parametrize("nested", [False, True])
def test_coco_corners_may_be_pairs_or_one_flat_list_and_names_percent_encoded(src, nested):
    ring = [30, 4, 44, 4, 44, 20, 30, 20]
    coco(
        src,
        "a.json",
        ["%61"],
        annotations=[note(segmentation=[np.reshape(ring, (-1, 2)).tolist()] if nested else ring)],
    )
    assert np.array_equal(masks(take(src))["a"], BLOCK)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"annotations": [note(image_id=9)]}, "image_id 9, which nothing"),
        ({"annotations": [note(category_id=None)]}, "category_id None, which nothing"),
        (
            {"categories": [{"id": 1, "name": "person"}, {"id": 1, "name": "dog"}]},
            "gives the id 1 to 'person'",
        ),
        ({"categories": [{"id": 1}]}, "without id or name"),
        ({"images": [{"id": 1, "file_name": None}]}, "without id or file_name"),
        ({"annotations": [note(segmentation={"size": [H, W], "counts": "52"})]}, "run lengths cover"),
        ({"annotations": [note(segmentation={"size": [W, H], "counts": [W * H]})]}, "run lengths of"),
        ({"annotations": [note(segmentation=[[1, 1, 1e12, 1, 9, 9]])]}, "far outside"),
        ({"annotations": [note(segmentation=[[900, 900, 910, 900, 910, 910]])]}, "far outside|not one pixel"),
        ({"images": [{"id": 1, "file_name": "a.jpg", "height": 60000, "width": 60000}]}, "they must agree"),
        ({"annotations": [note(segmentation=[[]])]}, "not one has an area"),
        ({"annotations": [note(segmentation=[[6, 4, 20, 4, 20, 12, 6]])]}, "7 numbers"),
        ({"annotations": [note(segmentation=[[0.2, 0.2, 0.6, 0.2, 0.6, 0.5]])]}, "expected pixels"),
        ({"annotations": [note(segmentation="run lengths")]}, "cannot be read"),
    ],
)
def test_a_coco_file_that_does_not_fit_together_is_refused_by_name(src, changes, words):
    coco(src, **({"annotations": [note()]} | changes))
    with pytest.raises(UserError, match=words):
        take(src)


def test_run_lengths_of_both_spellings_are_one_mask_and_short_ones_are_refused():
    text = codec.encode(np.asfortranarray(RING.astype(np.uint8)))["counts"].decode()
    flat = RING.ravel(order="F")
    counts = np.diff([0, *(np.flatnonzero(np.diff(flat)) + 1), flat.size]).tolist()
    assert all(np.array_equal(runs(one, shape=(H, W)), RING) for one in (text, counts))
    for wrong, words in ((counts[:-1], "cover"), ([-5, H * W + 5], "below 0")):
        with pytest.raises(UserError, match=words):
            runs(wrong, shape=(H, W))


def test_annotations_that_cannot_be_read_are_no_cutouts(src):
    rgba = np.dstack([np.zeros((H, W, 3), np.uint8), RING * np.uint8(255)])
    save(src / "images" / "cut.png", rgba)
    (src / "labels.ndjson").write_text("{}")
    with pytest.raises(UserError, match=r"labels\.ndjson.*--layout cutouts"):
        take(src)
    assert take(src, layout="cutouts").written == ["cut"]


# Written and read back


@pytest.fixture
def exported(tmp_path):
    """A set of two people that touch, told apart, and a ring with a hole; exported in every format."""
    folder = tmp_path / "set"
    two = np.zeros((H, W), np.uint8)
    cv2.ellipse(two, (14, 17), (8, 13), 20, 0, 360, 1, -1)
    cv2.circle(two, (31, 20), 12, 2, -1)
    for name, mask in (("two", two), ("ring", RING.astype(np.uint8))):
        save(folder / "images" / f"{name}.jpg")
        save(folder / "masks" / f"{name}.png", (mask > 0))
    save(folder / "instances" / "two.png", two)
    assert export_dataset(folder, tmp_path / "out", list(FORMATS), progress=False).written == 2
    return tmp_path / "out", {"two": [two == 1, two == 2], "ring": [RING]}


def test_pycocotools_reads_our_coco_file_to_the_same_masks(exported):
    out, expected = exported
    read = COCO(str(out / "annotations.json"))
    for key, record in read.imgs.items():
        found = [read.annToMask(one) > 0 for one in read.imgToAnns[key]]
        assert np.array_equal(found, expected[Path(record["file_name"]).stem])


def test_supervision_reads_our_yolo_files_to_the_same_masks(exported, sv):
    out, expected = exported
    places = (str(out / part) for part in ("images", "labels", "data.yaml"))
    for path, _, found in sv.DetectionDataset.from_yolo(*places, force_masks=True):
        for one, other in zip(found.mask, expected[Path(path).stem], strict=True):
            assert within_a_pixel(one, other) and one[18, 16] == other[18, 16], "the hole is kept"


def test_our_cvat_file_holds_the_same_masks(exported):
    out, expected = exported
    for image in ElementTree.parse(out / "annotations.xml").iterfind("image"):
        for mask, other in zip(image, expected[Path(image.get("name")).stem], strict=True):
            left, top, width, height = (int(mask.get(key)) for key in ("left", "top", "width", "height"))
            pixels, value = [], 0  # row by row within the box, as the format's documentation says
            for count in map(int, mask.get("rle").split(",")):
                pixels += [value] * count
                value = 1 - value
            box = np.array(pixels, bool).reshape(height, width)
            assert (
                np.array_equal(box, other[top : top + height, left : left + width])
                and box.sum() == other.sum()
            )


@pytest.mark.parametrize("name", FORMATS)
def test_what_is_exported_comes_back_through_import(exported, tmp_path, name):
    out, expected = exported
    report = take(out, "back", layout=name)
    assert not report.failed and sorted(report.written) == ["ring", "two"]
    for key, mask in masks(report).items():
        whole = np.any(expected[key], axis=0)
        exact = name in ("coco", "cvat", "label-studio")
        assert np.array_equal(mask, whole) if exact else within_a_pixel(mask, whole), key
    assert len(people(report, "two")) == 2


@pytest.mark.parametrize("name", ["labelme", "yolo"])
def test_what_is_thinner_than_the_tolerance_survives_as_a_polygon(tmp_path, name):
    thin = np.eye(H, W, dtype=bool)
    thin[3, 10:30] = thin[30, 5] = True
    save(tmp_path / "set" / "images" / "a.jpg")
    save(tmp_path / "set" / "masks" / "a.png", thin)
    export_dataset(tmp_path / "set", tmp_path / "out", [name], progress=False)
    report = take(tmp_path / "out", "back")
    assert (masks(report)["a"] & thin).sum() > 0.9 * thin.sum()
    with pytest.raises(UserError, match="lies inside"):
        export_dataset(tmp_path / "set", tmp_path / "set" / "images" / "more", [name], progress=False)


def test_a_person_in_two_pieces_is_one_person_in_labelme_too(exported, tmp_path):
    apart = np.asarray(Image.open(tmp_path / "set" / "instances" / "two.png")).copy()
    apart[1:4, 30:40] = 2
    save(tmp_path / "set" / "instances" / "two.png", apart)
    save(tmp_path / "set" / "masks" / "two.png", (apart > 0))
    export_dataset(tmp_path / "set", tmp_path / "labelme", ["labelme"], progress=False)
    report = take(tmp_path / "labelme", "back")
    assert within_a_pixel(people(report, "two")[1], apart == 2) and len(people(report, "two")) == 2


def test_a_mask_of_another_size_is_not_exported_and_the_rest_is(exported, tmp_path, command):
    folder = tmp_path / "set"
    save(folder / "masks" / "two.png", RING[1:])
    code, _, err = command("data", "export", folder, "-o", tmp_path / "rest", "--format", "coco")
    assert code == 1 and "they must agree" in err
    assert take(tmp_path / "rest", "back").written == ["ring"]
    save(folder / "masks" / "ring.png", RING[1:])
    with pytest.raises(UserError, match=r"nothing of .* could be exported: .*they must agree"):
        export_dataset(folder, tmp_path / "none", ["coco"], progress=False)


def test_an_unknown_format_is_a_sentence(tmp_path):
    with pytest.raises(UserError, match="a format is one of coco, labelme, yolo, cvat, label-studio"):
        export_dataset(tmp_path, tmp_path / "out", ["voc"])


@pytest.mark.parametrize("name", FORMATS)
def test_the_splits_travel_and_odd_names_with_them_and_what_is_dropped_is_said(tmp_path, name, command):
    folder, names = tmp_path / "set", ["a?x=1", "100%41", "b#1", "c&d=e", "sub/it's", "k\u00f6, \u00e4"]
    rows = [["name", "split", "group"]]
    for i, one in enumerate(names):
        save(folder / "images" / f"{one}.jpg")
        save(folder / "masks" / f"{one}.png", RING)
        rows.append([one, ("train", "val", "test")[i % 3], "g"])
    save(folder / "ignore" / "b#1.png", BLOCK)
    with (folder / "splits.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    _, said, _ = command("data", "export", folder, "-o", tmp_path / "tool", "--format", name)
    assert "no place for ignore/, the groups of splits.csv" in said
    report = take(tmp_path / "tool", "again")
    assert not report.failed
    with (tmp_path / "again" / "splits.csv").open(encoding="utf-8") as file:
        found = sorted(csv.reader(file))
    assert found == sorted([one.replace("/", "_"), split] for one, split, _ in rows)


def test_more_people_than_eight_bits_can_count_are_exported(tmp_path):
    numbers = np.zeros((40, 40), np.uint16)
    numbers[::2, ::2] = np.arange(1, 401).reshape(20, 20)
    save(tmp_path / "set" / "images" / "a.png", np.zeros((40, 40, 3), np.uint8))
    save(tmp_path / "set" / "masks" / "a.png", (numbers > 0))
    save(tmp_path / "set" / "instances" / "a.png", numbers)
    export_dataset(tmp_path / "set", tmp_path / "out", ["coco"], progress=False)
    assert len(COCO(str(tmp_path / "out" / "annotations.json")).anns) == 400
