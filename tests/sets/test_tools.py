"""The files of annotation tools, read and written: against other people's programs and published samples."""

import csv
import json
import shutil
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

from segkit.cli import main
from segkit.files import UserError, read_mask, write_image
from segkit.sets.exporters import FORMATS, export_dataset
from segkit.sets.importers import import_folder
from segkit.sets.regions import brush_decode, brush_encode, runs

# pycocotools 2.0.11 under NumPy 2; nothing a user can see.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
ELSEWHERE = Path(__file__).parent / "written_elsewhere"
H, W = 36, 48
RING, BLOCK = (np.asarray(Image.open(ELSEWHERE / f"{name}.png")) > 0 for name in ("ring", "block"))
QUAD = [[5, 6], [25, 4], [28, 30], [9, 32]]
PAINTED = cv2.fillPoly(np.zeros((H, W), np.uint8), [np.array(QUAD)], 1) > 0


@pytest.fixture
def src(tmp_path) -> Path:
    for name in "ab":
        picture(tmp_path / "src" / "images" / f"{name}.jpg")
    return tmp_path / "src"


def picture(path: Path) -> Path:
    return write_image(path, np.random.default_rng(0).integers(0, 255, (H, W, 3), dtype=np.uint8))


def write(src: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (src / name).parent.mkdir(parents=True, exist_ok=True)
        (src / name).write_text(text)


def take(src: Path, **options):
    return import_folder(src, src.parent / "out", progress=False, **options)


def masks(report) -> dict[str, np.ndarray]:
    return {name: read_mask(report.out / "masks" / f"{name}.png") > 0 for name in report.written}


def people(report, name: str) -> list[np.ndarray]:
    numbers = np.asarray(Image.open(report.out / "instances" / f"{name}.png"))
    return [numbers == number for number in np.unique(numbers[numbers > 0])]


def within_a_pixel(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two masks differ at their outlines alone, and by no more than a pixel."""
    cross = cv2.getStructuringElement(cv2.MORPH_RECT, (3, 3))
    border = cv2.dilate(other.astype(np.uint8), cross) - cv2.erode(other.astype(np.uint8), cross) > 0
    return bool(one.any()) and not ((one != other) & ~border).any()


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
        picture(src / "images" / place / "0001.jpg")
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
    picture(src / image)
    write(src, {label: TRIANGLE, "data.yaml": "names: [person]"})
    if "/" in image:
        picture(src / "runs" / "predict" / "a.jpg")
    assert take(src).written == ["img_a" if "/" in image else "a"]
    wrong = {"utf-8": b"names: [F\xfc\xdfe]", "YAML": b'path: "C:\\Users"', "no list": b"names: x"}
    for words, broken in wrong.items():
        (src / "data.yaml").write_bytes(broken)
        with pytest.raises(UserError, match=words):
            import_folder(src, src.parent / "again", progress=False)


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
    (src / "project-1.json").write_text(json.dumps(tasks))


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
    assert report.used == "person; not used: dog" and not report.layout.unused


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
    assert np.array_equal(brush_decode(brush_encode(mask), mask.shape), mask)


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
        heads = ["filename", "file_size", "file_attributes", "region_count", "region_id"]
        with (src / "via_csv.csv").open("w", newline="") as file:
            csv.writer(file).writerows(
                [[*heads, "region_shape_attributes", "region_attributes"]]
                + [
                    [f"{n}.jpg", 1234, "{}", 1, 0, json.dumps(shape), '{"class":"person"}']
                    for n, shape in (("a", polygon), ("b", circle))
                ]
            )
    else:
        (src / "via.json").write_text(json.dumps(project if kind == "project" else records))
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
    (src / "via3.json").write_text(json.dumps(data))
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
        write_image(src / "masks" / f"{picture_name}.png", values)
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
    write_image(src / "masks" / "a.png", RING * np.uint8(2))
    with pytest.raises(UserError, match=words):
        take(src, classes="dog" if "dog" in text else None)


def test_a_class_that_nobody_has_a_pixel_of_fails(src, capsys):
    (src / "classes.txt").write_text("0 background\n1 dog\n2 person\n")
    write_image(src / "masks" / "a.png", RING * np.uint8(1))
    with pytest.raises(SystemExit) as done:
        main(["data", "import", str(src), "-o", str(src.parent / "out")])
    assert done.value.code == 1 and "no picture has a pixel of person" in capsys.readouterr().out


def objects_numbered(src):
    write_image(src / "masks" / "a_0.png", RING * np.uint8(255))
    write_image(src / "masks" / "a_1.png", BLOCK * np.uint8(255))


def objects_in_folders(src):
    write_image(src / "masks" / "a" / "first.png", RING * np.uint8(255))
    write_image(src / "masks" / "a" / "second.png", BLOCK * np.uint8(255))


def objects_in_classes(src):
    write_image(src / "masks" / "person" / "a_0.png", RING * np.uint8(255))
    write_image(src / "masks" / "person" / "a_1.png", BLOCK * np.uint8(255))
    write_image(src / "masks" / "dog" / "a.png", ~BLOCK * np.uint8(255))


@pytest.mark.parametrize("make", [objects_numbered, objects_in_folders, objects_in_classes])
def test_one_mask_for_each_object(src, make):
    make(src)
    report = take(src)
    assert np.array_equal(masks(report)["a"], RING | BLOCK) and len(people(report, "a")) == 2


# Ids and meanings


def coco(src, **changes) -> None:
    rle = codec.encode(np.asfortranarray(RING.astype(np.uint8)))
    rle["counts"] = rle["counts"].decode()
    data = {
        "images": [
            {"id": k, "file_name": f"{n}.jpg", "height": H, "width": W} for k, n in ((1, "a"), (2, "b"))
        ],
        "categories": [{"id": 1, "name": "person"}, {"id": 2, "name": "dog"}],
        "annotations": [
            {"id": 7, "image_id": 1, "category_id": 1, "segmentation": rle},
            {"id": 7, "image_id": 1, "category_id": 1, "segmentation": [[30, 4, 44, 4, 44, 20, 30, 20]]},
        ],
    }
    (src / "a.json").write_text(json.dumps(data | changes))


def test_annotations_that_share_an_id_all_count(src):
    coco(src)
    report = take(src)
    assert np.array_equal(masks(report)["a"], RING | BLOCK) and len(people(report, "a")) == 2


def note(**changes) -> list[dict]:
    one = {"id": 1, "image_id": 1, "category_id": 1, "segmentation": [[1, 1, 9, 1, 9, 9]], "iscrowd": 0}
    return [one | changes]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"annotations": note(image_id=9)}, "image_id 9, which nothing"),
        ({"annotations": note(category_id=None)}, "category_id None, which nothing"),
        (
            {"categories": [{"id": 1, "name": "person"}, {"id": 1, "name": "dog"}]},
            "gives the id 1 to 'person'",
        ),
        ({"categories": [{"id": 1}]}, "without id or name"),
        ({"images": [{"id": 1, "file_name": None}]}, "without id or file_name"),
        ({"annotations": note(segmentation={"size": [H, W], "counts": "52"})}, "run lengths cover"),
        ({"annotations": note(segmentation={"size": [W, H], "counts": [W * H]})}, "run lengths of"),
        ({"annotations": note(segmentation=[[1, 1, 1e12, 1, 9, 9]])}, "far outside"),
        ({"annotations": note(segmentation=[[900, 900, 910, 900, 910, 910]])}, "far outside|not one pixel"),
        ({"images": [{"id": 1, "file_name": "a.jpg", "height": 60000, "width": 60000}]}, "they must agree"),
    ],
)
def test_a_coco_file_that_does_not_fit_together_is_refused_by_name(src, changes, words):
    coco(src, **({"annotations": note()} | changes))
    with pytest.raises(UserError, match=words):
        take(src)


def test_run_lengths_of_both_spellings_are_one_mask_and_short_ones_are_refused():
    text = codec.encode(np.asfortranarray(RING.astype(np.uint8)))["counts"].decode()
    flat = RING.ravel(order="F")
    counts = np.diff([0, *(np.flatnonzero(np.diff(flat)) + 1), flat.size]).tolist()
    assert np.array_equal(runs(text, (H, W)), RING) and np.array_equal(runs(counts, (H, W)), RING)
    for wrong, words in ((counts[:-1], "cover"), ([-5, H * W + 5], "below 0")):
        with pytest.raises(UserError, match=words):
            runs(wrong, (H, W))


def test_annotations_that_cannot_be_read_are_no_cutouts(src):
    rgba = np.dstack([np.zeros((H, W, 3), np.uint8), RING * np.uint8(255)])
    write_image(src / "images" / "cut.png", rgba)
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
    two[6:30, 4:20], two[10:34, 20:40] = 1, 2
    for name, mask in (("two", two), ("ring", RING.astype(np.uint8))):
        picture(folder / "images" / f"{name}.jpg")
        write_image(folder / "masks" / f"{name}.png", (mask > 0) * np.uint8(255))
    write_image(folder / "instances" / "two.png", two)
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
    report = import_folder(out, tmp_path / "back", layout=name, progress=False)
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
    picture(tmp_path / "set" / "images" / "a.jpg")
    write_image(tmp_path / "set" / "masks" / "a.png", thin * np.uint8(255))
    export_dataset(tmp_path / "set", tmp_path / "out", [name], progress=False)
    report = import_folder(tmp_path / "out", tmp_path / "back", progress=False)
    assert (masks(report)["a"] & thin).sum() > 0.9 * thin.sum()
    with pytest.raises(UserError, match="lies inside"):
        export_dataset(tmp_path / "set", tmp_path / "set" / "images" / "more", [name], progress=False)


def test_a_person_in_two_pieces_is_one_person_in_labelme_too(exported, tmp_path):
    apart = np.asarray(Image.open(tmp_path / "set" / "instances" / "two.png")).copy()
    apart[1:4, 30:40] = 2
    write_image(tmp_path / "set" / "instances" / "two.png", apart)
    write_image(tmp_path / "set" / "masks" / "two.png", (apart > 0) * np.uint8(255))
    export_dataset(tmp_path / "set", tmp_path / "labelme", ["labelme"], progress=False)
    report = import_folder(tmp_path / "labelme", tmp_path / "back", progress=False)
    assert within_a_pixel(people(report, "two")[1], apart == 2) and len(people(report, "two")) == 2


def test_a_mask_of_another_size_is_not_exported_and_the_rest_is(exported, tmp_path, capsys):
    folder = tmp_path / "set"
    write_image(folder / "masks" / "two.png", RING[1:] * np.uint8(255))
    with pytest.raises(SystemExit) as done:
        main(["data", "export", str(folder), "-o", str(tmp_path / "rest"), "--format", "coco"])
    assert done.value.code == 1 and "they must agree" in capsys.readouterr().err
    assert import_folder(tmp_path / "rest", tmp_path / "back", progress=False).written == ["ring"]
    write_image(folder / "masks" / "ring.png", RING[1:] * np.uint8(255))
    with pytest.raises(UserError, match=r"nothing of .* could be exported: .*they must agree"):
        export_dataset(folder, tmp_path / "none", ["coco"], progress=False)


def test_an_unknown_format_is_a_sentence(tmp_path):
    with pytest.raises(UserError, match="a format is one of coco, labelme, yolo, cvat, label-studio"):
        export_dataset(tmp_path, tmp_path / "out", ["voc"])


@pytest.mark.parametrize("name", FORMATS)
def test_the_splits_travel_and_odd_names_with_them_and_what_is_dropped_is_said(tmp_path, name, capsys):
    folder, names = tmp_path / "set", ["a?x=1", "100%41", "b#1", "c&d=e", "sub/it's", "k\u00f6, \u00e4"]
    rows = [["name", "split", "group"]]
    for i, one in enumerate(names):
        picture(folder / "images" / f"{one}.jpg")
        write_image(folder / "masks" / f"{one}.png", RING * np.uint8(255))
        rows.append([one, ("train", "val", "test")[i % 3], "g"])
    write_image(folder / "ignore" / "b#1.png", BLOCK * np.uint8(255))
    with (folder / "splits.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    with pytest.raises(SystemExit):
        main(["data", "export", str(folder), "-o", str(tmp_path / "tool"), "--format", name])
    assert "no place for ignore/, the groups of splits.csv" in capsys.readouterr().out
    report = import_folder(tmp_path / "tool", tmp_path / "again", progress=False)
    assert not report.failed
    with (tmp_path / "again" / "splits.csv").open(encoding="utf-8") as file:
        found = sorted(csv.reader(file))
    assert found == sorted([one.replace("/", "_"), split] for one, split, _ in rows)


def test_more_people_than_eight_bits_can_count_are_exported(tmp_path):
    numbers = np.zeros((40, 40), np.uint16)
    numbers[::2, ::2] = np.arange(1, 401).reshape(20, 20)
    write_image(tmp_path / "set" / "images" / "a.png", np.zeros((40, 40, 3), np.uint8))
    write_image(tmp_path / "set" / "masks" / "a.png", (numbers > 0) * np.uint8(255))
    write_image(tmp_path / "set" / "instances" / "a.png", numbers)
    export_dataset(tmp_path / "set", tmp_path / "out", ["coco"], progress=False)
    assert len(COCO(str(tmp_path / "out" / "annotations.json")).anns) == 400
