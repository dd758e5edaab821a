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
import small_sets
from conftest import cases, refused
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image, ImageDraw
from pycocotools import mask as codec
from pycocotools.coco import COCO
from small_sets import BLOCK, NOBODY, RING, SQUARE, H, W, check, masks, near, people, refuse, take, write

from segkit.data import read_table
from segkit.files import UserError
from segkit.sets.exporters import FORMATS, export_dataset, outline
from segkit.sets.groups import write_splits
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
def src(bare) -> Path:
    write(bare, {"images/a.jpg": None, "images/b.jpg": None})
    return bare


# labelme


def shape(label: str, kind: str, points: list, **more) -> dict:
    return {"label": label, "shape_type": kind, "points": points, "group_id": None, "flags": {}} | more


def labelme(image: str, *shapes: dict) -> dict:
    about = {"imagePath": image, "imageData": None, "imageHeight": H, "imageWidth": W}
    return {"version": "5.5.0", "flags": {}, "shapes": shapes} | about


PERSON = shape("person", "polygon", small_sets.OUTLINE)
POINT = shape("person", "point", [[1, 1]])
CORNER = [[0, 0], [3, 0], [0, 3]]


def png(picture: Image.Image, **options) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", **options)
    return buffer.getvalue()


def test_labelme_polygons_rectangles_circles_and_masks(bare):
    patch = base64.b64encode(png(Image.fromarray(SQUARE[4:12, 6:20]))).decode()
    shapes = {
        "polygon": PERSON,
        "rotation": PERSON | {"shape_type": "rotation", "direction": 0.0},  # of X-AnyLabeling
        "rectangle": shape("person", "rectangle", [[19, 11], [6, 4]]),  # drawn from the lower right
        "mask": shape("person", "mask", [[6, 4], [19, 11]], mask=patch),
    }
    circle = shape("person", "circle", [[15, 12], [15, 17]])
    files = {"circle.json": labelme("..\\photos\\circle.jpg", circle)}
    for kind, one in shapes.items():
        files[f"{kind}.json"] = labelme(f"{kind}.jpg", one, shape("dog", "polygon", CORNER))
    files |= {name.replace(".json", ".jpg"): None for name in files}
    distance = np.hypot(small_sets.COLUMNS - 15.5, small_sets.ROWS - 12.5)
    circle = lambda found: found[distance < 4.5].all() and not found[distance > 6].any()  # noqa: E731
    report = check(bare, files, dict.fromkeys(shapes, SQUARE) | {"circle": circle}, ["person; not used: dog"])
    assert report.layout.name == "labelme"


def test_labelme_shapes_without_area_and_empty_files_are_told(bare):
    files = {"a.json": labelme("a.jpg", PERSON, POINT), "b.json": labelme("b.jpg"), "c.json": '{"shapes": ['}
    files |= {"d.json": labelme("d.jpg", POINT)} | {f"{name}.jpg": None for name in "abcd"}
    # a person who is a point alone is no empty mask
    failed = ["c.json' is not readable JSON", "not one has an area"]
    report = check(bare, files, {"a": SQUARE}, ["without an area are not used: point (2)"], failed)
    assert report.left_out == ["b.jpg"]  # and c.jpg is not taken for a picture that nobody annotated


def test_labelme_shapes_of_one_group_are_one_person_and_two_files_of_one_picture_are_refused(bare):
    for group, count in ((0, 1), (None, 2)):
        far = shape("person", "polygon", [[22, 15], [30, 15], [30, 20]], group_id=group)
        report = take(bare, {"a.jpg": None, "a.json": labelme("a.jpg", PERSON | {"group_id": 0}, far)})
        assert max(1, len(people(report, "a"))) == count
    refuse(bare, {"a copy.json": labelme("a.jpg")}, r"the same pictures \(a.jpg\)")


def test_labelme_in_folders_of_its_own_finds_the_picture_of_the_same_folder(bare):
    files = {f"images/{day}/1.jpg": None for day in ("mon", "tue")}
    files |= {"labels/mon/1.json": labelme("1.jpg"), "labels/tue/1.json": labelme("1.jpg", PERSON)}
    check(bare, files, {"images_tue_1": SQUARE})


def test_labelme_finds_a_renamed_picture_by_the_name_of_its_json(bare):
    me = PERSON | {"label": "me"}
    files = {"new.jpg": None, "new.json": labelme("old.jpg", me), "gone.json": labelme("gone.jpg", me)}
    report = check(bare, files, {"new": SQUARE}, failed=["'gone.jpg': found 0 times"])
    assert report.used == "me", "the only class there is"


def test_classes_that_are_not_called_person_are_not_guessed(bare):
    shapes = [PERSON | {"label": "alice, 7"}, shape("no person", "polygon", CORNER)]
    words = r"no class .* is called person .*alice, 7, no person.*--classes"
    refuse(bare, {"a.jpg": None, "a.json": labelme("a.jpg", *shapes)}, words)
    check(bare, {}, {"a": SQUARE}, classes="alice, 7")


# Supervisely


def supervisely(*objects: dict, **more) -> dict:
    return {"size": {"height": H, "width": W}, "tags": [], "objects": objects} | more


def geometry(kind: str, title: str = "person_bmp", **geometry) -> dict:
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
    outer, hole, holed = {"exterior": small_sets.OUTLINE}, [[10, 6], [13, 6], [13, 9], [10, 9]], SQUARE.copy()
    holed[6:10, 10:14] = False
    objects = {
        "bitmap": (geometry("bitmap", bitmap=bitmap(SQUARE[2:14, 3:24], 3, 2, style)), SQUARE),
        "polygon": (geometry("polygon", "person_poly", points=outer | {"interior": []}), SQUARE),
        "holed": (geometry("polygon", "person_poly", points=outer | {"interior": [hole]}), holed),
        "neutral": (geometry("bitmap", "neutral", bitmap=bitmap(SQUARE, 0, 0, style)), NOBODY),
    }
    files = {"meta.json": {"classes": [], "tags": []}}
    for name, (one, _) in objects.items():
        files |= {f"ds1/img/{name}.jpg": None, f"ds1/ann/{name}{ending}": supervisely(one)}
        files |= {f"ds1/masks_human/{name}.png": SQUARE}  # exports carry these too
    expected = {name: mask for name, (_, mask) in objects.items()}
    report = check(bare, files, expected, ["person_bmp, person_poly; not used: neutral"])
    assert report.layout.name == "supervisely"


def test_a_bitmap_that_reaches_over_the_edge_is_cut_and_a_broken_one_fails_alone(bare):
    patches = [bitmap(np.ones((5, 6), bool), x, y) for x, y in [(-3, -2), (W - 3, H - 3)]]
    large = {"data": base64.b64encode(png(Image.new("1", (12_300, 12_300)))).decode(), "origin": [0, 0]}
    broken = [{"data": "!!!!", "origin": [0, 0]}]
    files = {f"img/{name}.jpg": None for name in "abd"} | {"other/img/c.jpg": None}  # of another data set
    for name, found in {"a": patches, "b": broken, "c": patches, "d": [large]}.items():
        files[f"ann/{name}.json"] = supervisely(*(geometry("bitmap", "person", bitmap=one) for one in found))
    expected = NOBODY.copy()
    expected[:3, :3] = expected[-3:, -3:] = True
    failed = ["c.json' belongs to a picture in", "b.jpg", "more than 150,000,000 pixels"]
    check(bare, files, {"a": expected}, failed=failed)


@cases(
    "layout written expected count",
    ("cvat", "cvat_masks.xml", {"a": RING | BLOCK, "b": NOBODY}, 2),
    ("cvat", "cvat_shapes.xml", {"a": near(PAINTED), "b": NOBODY}, 0),
    ("folders", "segmentation_mask", {"a": RING | BLOCK, "b": NOBODY}, 2),
    ("folders", "segmentation_mask_coloured", {"a": RING | BLOCK, "b": NOBODY}, 2),
    ("label-studio", "label_studio_min.json", {"a": RING, "b": near(PAINTED)}, 0),
    ("label-studio", "label_studio.json", {"a": near(PAINTED | BLOCK), "b": near(PAINTED)}, 2),
    ("via", "via.json", {"a": near(PAINTED | BLOCK), "b": near(PAINTED)}, 2),
)
def test_what_other_programs_wrote_is_read_as_meant(src, layout, written, expected, count):
    """Who wrote it: written_elsewhere/README.md."""
    path = small_sets.ELSEWHERE / written
    shutil.copytree(path, src, dirs_exist_ok=True) if path.is_dir() else shutil.copy(path, src)
    report = check(src, {}, expected, ["person"])
    assert report.layout.name == layout and len(people(report, "a")) == count


def test_roboflow_masks_number_their_classes_anew_in_each_split(bare):
    shutil.copytree(small_sets.ELSEWHERE / "roboflow_masks", bare, dirs_exist_ok=True)
    expected = {"0": RING | BLOCK, "1": RING}
    report = check(bare, {"train/0.jpg": None, "valid/1.jpg": None}, expected, ["person; not used: dog"])
    assert small_sets.rows(report) == ["0,train", "1,val"]


def test_every_layout_has_a_reader():
    assert TITLES.keys() == TOOLS.keys() | {"folders", "beside", "cutouts"}


# CVAT


def cvat(*images: tuple[str, ...]) -> dict:
    """annotations.xml: of each image the name, what stands inside, and attributes if any."""
    text = "<annotations><version>1.1</version>"
    for name, shapes, *more in images:
        text += f'<image id="0" name="{name}" width="{W}" height="{H}" {" ".join(more)}>{shapes}</image>'
    return {"annotations.xml": f"{text}</annotations>"}


TRIANGLE = '<polygon label="{}" points="1,1;9,1;9,9"/>'


def test_frames_of_a_film_have_no_ending_in_cvat_and_groups_are_one_person(bare):
    corner = '<polygon label="person" points="{0},1;{1},1;{1},9" {2}/>'
    grouped = [corner.format(at, at + 8, 'group_id="3"' if at < 20 else "") for at in (1, 11, 21)]
    report = take(bare, {"f/frame_7.PNG": None} | cvat(("frame_7", "".join(grouped))))
    assert report.written == ["frame_7"] and len(people(report, "frame_7")) == 2


def test_subsets_of_cvat_are_splits_and_two_files_of_one_picture_are_refused(src):
    polygon = TRIANGLE.format("person")
    files = cvat(("a.jpg", polygon, 'subset="Train"'), ("b.jpg", polygon, 'subset="Validation"'))
    assert [example.split for example in take(src, files).layout.examples] == ["train", "val"]
    refuse(src, {"job2.xml": files["annotations.xml"]}, "annotate the same pictures")
    film = {"annotations.xml": '<annotations><track id="0" label="person"/></annotations>', "job2.xml": ""}
    refuse(src, film, "annotates a video")


def test_cvat_draws_in_the_order_of_depth_and_an_ellipse_is_one(src):
    ellipse = '<ellipse label="person" cx="24" cy="18" rx="16" ry="10" z_order="1"/>'
    hole = '<polygon label="background" points="20,14;28,14;28,22;20,22" z_order="2"/>'
    expected = ((small_sets.COLUMNS - 24) / 16) ** 2 + ((small_sets.ROWS - 18) / 10) ** 2 <= 1
    expected[14:22, 20:28] = False
    check(src, cvat(("a.jpg", hole + ellipse)), {"a": expected})


@cases(
    "inside words",
    ('<box label="person" xtl="1" ytl="1" xbr="9" ybr="9"/>', "class person has a box but no outline"),
    ('<cuboid label="person"/>', "class person has a cuboid"),
    ('<mask label="person" rle="3, 4" left="0" top="0" width="5" height="2"/>', "cover 7 pixels"),
    ('<polygon label="person" points="1,1;9,x;3,3"/>', "cannot be read"),
    ('<polygon label="person" points="1,1;1e9,1;3,3"/>', "far outside"),
    ('<polyline label="person" points="1,1;9,9"/>', "no picture has a pixel of person"),
)
def test_what_cvat_cannot_say_as_an_area_fails_by_name(src, inside, words):
    report = take(src, cvat(("a.jpg", inside), ("b.jpg", TRIANGLE.format("dog"))))
    assert any(words in sentence for sentence in report.failed), report.failed


# YOLO

LINE = "0 .1 .1 .9 .1 .9 .9\n"


@pytest.fixture(scope="module")
def sv():
    return pytest.importorskip("supervision")


def test_yolo_files_that_supervision_wrote_are_read_within_a_pixel(src, sv):
    found, quad = {}, PAINTED & ~BLOCK
    for name, objects, ids in (("a", [quad, BLOCK], [1, 1]), ("b", [BLOCK], [0])):
        boxes = [(*np.argwhere(m).min(0)[::-1], *np.argwhere(m).max(0)[::-1]) for m in objects]
        one = sv.Detections(np.array(boxes, float), mask=np.array(objects), class_id=np.array(ids))
        found[str(src / "images" / f"{name}.jpg")] = one
    data = sv.DetectionDataset(["dog", "person"], list(found), found)
    data.as_yolo(annotations_directory_path=str(src / "labels"), data_yaml_path=str(src / "data.yaml"))
    report = check(src, {}, {"a": near(quad | BLOCK), "b": NOBODY})
    assert report.layout.name == "yolo" and len(people(report, "a")) == 2


def test_splits_of_yolo_are_kept_by_folder_and_by_list(src):
    files = {"labels/a.txt": LINE, "labels/b.txt": "", "held.txt": "./images/b.jpg\n"}
    files["data.yaml"] = "train: [none, held.txt]\nval: held.txt\nnames: [person]\n"
    report = check(src, files, said=["in more than one split, and counted in one: b.jpg"])
    assert report.empty == 1 and [e.split for e in report.layout.examples] == ["", "val"]


@cases(
    "entries",
    "train: /content/x/images/p1\nval: ../images/p2",
    "path: C:\\data\ntrain: train.txt\nval: lists/val.txt",
)
def test_splits_of_yolo_are_found_by_the_ends_of_paths_of_another_machine(src, entries):
    files = {"data.yaml": f"{entries}\nnames: [person]\n", "args.yaml": "epochs: 100\n"}
    for split, place in (("train", "p1"), ("val", "p2")):
        files |= {f"images/{place}/0001.jpg": None, f"labels/{place}/0001.txt": LINE}
        files[f"{split}.txt"] = f"/home/x/{place}/0001.jpg\n"
    splits = {e.image.parent.name: e.split for e in take(src, files).layout.examples}
    assert splits["p1"] == "train" and splits["p2"] == "val"


@cases(
    "line words",
    ("3 .1 .1 .9 .1 .9 .9", "has the class 3 in line 1, which no list there names"),
    ("0 .5 .5 .2 .2", "class person has a box but no outline"),
    ("0 10 10 90 10 90 90", "outside of 0 to 1"),
    ("0 .1 .1 .9 .1 .9 .9 .75", "7 numbers after the class in line 1"),
    ("0 ,1 ,1 ,9 ,1 ,9 ,9", "holds more than numbers"),
)
def test_a_wrong_line_of_yolo_fails_by_name(src, line, words):
    files = {"labels/a.txt": f".5{LINE[1:]}", "labels/b.txt": LINE}
    check(src, files, {"b": np.any}, failed=["has the class 0.5 in line 1"])
    files = {"labels/a.txt": line, "labels/b.txt": LINE, "data.yaml": "names: {0: person}"}
    check(src, files, {"b": np.any}, failed=[words], empty="keep")


@pytest.mark.parametrize("image", ["a.jpg", "img/a.jpg"])
def test_labels_of_yolo_lie_below_or_beside_their_pictures(bare, image):
    files = {image: None, "labels/a.txt": LINE, "data.yaml": "names: [person]"}
    predicted = {"runs/predict/a.jpg": None} if "/" in image else {}
    assert take(bare, files | predicted).written == ["img_a" if "/" in image else "a"]
    wrong = {"to itself": b"a: &a [x]\nnames: [*a]", "utf-8": b"names: [F\xfc\xdfe]"}
    wrong |= {"YAML": b'path: "C:\\Users"', "no list": b"names: x"}
    for words, broken in wrong.items():
        refuse(bare, {"data.yaml": broken}, words)


@cases("names", "[dog, no, person]", "{0: dog, 1: 1, 2: person}")
def test_a_class_of_yolo_may_be_called_no_or_a_number(src, names):
    files = {"labels/a.txt": LINE, "labels/b.txt": f"2{LINE[1:]}", "data.yaml": f"names: {names}"}
    check(src, files, {"a": NOBODY, "b": np.any}, ["person; not used: "])


def test_key_points_of_yolo_are_not_taken_for_corners(src):
    lines, names = "0 .5 .5 .2 .2 .1 .1 .2 .2\n", "kpt_shape: [2, 2]\nnames: [person]\n"
    refuse(src, {"labels/a.txt": lines, "data.yaml": names}, "poses")


# Label Studio


def result(**value) -> dict:
    kind = next(key for key in value if key.endswith("labels"))
    return {"type": kind, "original_width": W, "original_height": H, "image_rotation": 0, "value": value}


def outline_of(points, *labels: str, **more) -> dict:
    points = (np.array(points) * 100 / [W, H]).tolist()
    return result(points=points, polygonlabels=labels or ["person"], **more)


def test_label_studio_brush_strokes_polygons_and_addresses(src):
    brush = json.loads((small_sets.ELSEWHERE / "label_studio_brush.json").read_text())
    stroke = result(format="rle", rle=brush, brushlabels=["person"])
    addresses = {"/data/upload/1/0a1b2c3d-a.jpg": stroke}
    addresses["s3://x/y/b.jpg?v=1"] = outline_of(QUAD) | {"image_rotation": 90}
    tasks = [{"data": {"img": at}, "annotations": [{"result": [one]}]} for at, one in addresses.items()]
    ellipse = result(x=80, y=50, radiusX=12.5, radiusY=25, rotation=90, ellipselabels=["person"])
    tasks[1]["annotations"][0]["result"].append(ellipse)
    turned = ((small_sets.COLUMNS - 38.4) / 9) ** 2 + ((small_sets.ROWS - 18) / 6) ** 2 <= 1
    report = check(src, {"project-1.json": tasks}, {"a": RING, "b": near(PAINTED | turned)})
    assert report.layout.name == "label-studio"


def test_label_studio_bitmasks_are_black_on_nothing(src):
    tasks = []
    for name, mask in (("a", RING), ("b", RING[1:])):
        file = io.BytesIO()
        black = np.zeros((*mask.shape, 4), np.uint8)
        black[..., 3] = mask * 255
        Image.fromarray(black).save(file, "PNG")
        address = f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
        done = [{"result": [result(imageDataURL=address, bitmasklabels=["person"])]}]
        tasks.append({"data": {"image": f"{name}.jpg"}, "annotations": done})
    report = check(src, {"project-1.json": tasks}, {"a": RING}, failed=["b.jpg': a bitmask is"])
    assert report.layout.classes == {"person": 2}


def test_the_short_export_of_label_studio_may_call_its_pictures_data(src):
    text = (small_sets.ELSEWHERE / "label_studio_min.json").read_text().replace('"image": ', '"data": ')
    said = ["several annotations", "person; not used: dog"]
    report = check(src, {"project-1-min.json": text}, {"a": RING, "b": near(PAINTED)}, said)
    assert "without an area" not in str(report)


def test_label_studio_changes_names_and_two_projects_in_one_file_share_ids(bare):
    drawn = outline_of(QUAD)["value"] | {"original_width": W, "original_height": H}
    files, about = {"a.jpg": None, "img 2 (1).jpg": None}, {"id": 1, "annotation_id": 1, "tag": [drawn]}
    addresses = ("/data/upload/1/0a1b2c3d-a.jpg", "/data/upload/2/4e5f6071-img_2_1.jpg")
    files["project-1-min.json"] = [{"image": address, **about} for address in addresses]
    assert not check(bare, files, {"a": near(PAINTED), "img 2 (1)": near(PAINTED)}).notes


def test_label_studio_leaves_cancelled_work_out_and_says_which_of_several_counts(src):
    old = outline_of([[0, 0], [9, 0], [9, 9]])
    unfinished = outline_of([[0, 0], [9, 0], [9, 9]], closed=False)
    done = [
        {"result": [old], "was_cancelled": True, "updated_at": "2025-03-01"},
        {"result": [unfinished, outline_of(QUAD)], "updated_at": "2025-02-01"},
        {"result": [old], "updated_at": "2025-01-01"},
    ]
    task = {"id": 1, "data": {"image": "a.jpg"}, "annotations": done}
    report = check(src, {"project-1.json": [task]}, {"a": near(PAINTED)}, ["several annotations"])
    assert report.left_out == ["b.jpg"]


@pytest.mark.parametrize("pictures", [{"image": "gone.jpg"}, {"left": "a.jpg", "right": "b.jpg"}])
def test_a_label_studio_task_without_one_picture_fails_alone(src, pictures):
    quad = outline_of(QUAD, "standing", "person")  # each label counts
    done = {"id": 7, "annotations": [{"result": [quad]}]}
    tasks = [{"id": 1, "data": {"image": "b.jpg"}, "predictions": []}]
    tasks += [{"data": {"x": "a.jpg", "next frame": "b"}, **done}, {"data": pictures, **done}]
    report = check(src, {"project-1.json": tasks}, {"a": np.any}, failed=["task 7"])
    assert report.left_out == ["b.jpg"] and "expected one" in report.failed[0]


@settings(max_examples=100, deadline=None)
@given(arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12))))
def test_brush_strokes_come_back(mask):
    strokes, (height, width) = brush_encode(mask), mask.shape
    assert np.array_equal(brush_decode(strokes, shape=mask.shape), mask)
    refused(f"cover {mask.size} pixels", brush_decode, strokes, shape=(height + 1, width))
    refused("end before the picture does", brush_decode, strokes[:6], shape=mask.shape)


def test_our_brush_strokes_are_those_of_label_studio():
    theirs = json.loads((small_sets.ELSEWHERE / "label_studio_brush.json").read_text())
    ours = brush_encode(RING)
    assert theirs[: len(ours)] == ours and not any(theirs[len(ours) :])


# VGG Image Annotator: names and numbers as in the samples and the source of its repository


@cases("kind", "export", "project", "version 1", "table")
def test_via_is_read_from_its_exports_and_its_project(src, kind):
    shapes = {"a.jpg": {"name": "circle", "cx": 24, "cy": 18, "r": 9}}
    shapes["b.jpg"] = {"name": "ellipse", "cx": 24, "cy": 18, "rx": 16, "ry": 8, "theta": np.pi / 2}
    records, table = {}, io.StringIO()
    rows = csv.writer(table)
    rows.writerow(["filename", "file_size", "region_id", "region_shape_attributes", "region_attributes"])
    for name, one in shapes.items():
        ticked = {"class": {"dog": False, "person": True}}
        region = {"shape_attributes": one, "region_attributes": ticked}
        about = {"filename": name, "size": 1234, "file_attributes": {}}
        records[f"{name}1234"] = about | {"regions": {"0": region} if kind == "version 1" else [region]}
        rows.writerow([name, 1234, 0, json.dumps(one), '{"class":"person"}'])
    project = {"_via_settings": {}, "_via_img_metadata": records, "_via_attributes": {}}
    written = {"project": {"via.json": project}, "table": {"via_csv.csv": table.getvalue()}}
    y, x = small_sets.ROWS - 18, small_sets.COLUMNS - 24
    expected = {"a": np.hypot(y, x) <= 9, "b": np.hypot(y / 16, x / 8) <= 1}
    report = check(src, written.get(kind, {"via.json": records}), expected)
    assert report.layout.name == "via"


def via(said: dict[str, dict]) -> dict:
    """The quad in each picture, of which this is said."""
    xs, ys = np.array(QUAD).T.tolist()
    shape = {"name": "polygon", "all_points_x": xs, "all_points_y": ys}
    regions = {name: [{"shape_attributes": shape, "region_attributes": one}] for name, one in said.items()}
    return {"via.json": {name: {"filename": name, "regions": one} for name, one in regions.items()}}


def test_half_a_character_in_a_file_of_annotations_is_no_traceback(src):
    half = "\ud83d"  # as a text that was cut off in the middle of a pair has it
    files = via({name: {"class": f"man{half}"} for name in ("a.jpg", f"{half}.jpg")})
    assert "man\ufffd" in str(check(src, files, {"a": near(PAINTED)}, failed=["\ufffd.jpg"]))


def test_a_via_region_of_which_no_attribute_is_the_class_fails_by_name(src):
    said = {"a.jpg": {"kind": "person", "quality": ""}, "b.jpg": {"quality": "good", "kind": "person"}}
    check(src, via(said), {"a": near(PAINTED)}, failed=["the attributes quality, kind"])


@cases("xy words", ([2, 1, 1, 9, 9], "a box"), ([9, 1, 1, 9, 1, 5, 9], "a circle of three points"))
def test_via_3_is_read_with_its_options_and_what_has_no_outline_fails_by_name(src, xy, words):
    names = {"1": "a.jpg", "2": "b.jpg"}
    about = {"flg": 0, "z": [], "av": {"1": "1"}}
    data = {
        "project": {"pid": "__VIA_PROJECT_ID__", "vid_list": ["1", "2"]},
        "config": {},
        "attribute": {"1": {"aname": "kind", "type": 3, "options": {"0": "dog", "1": "person"}}},
        "file": {k: {"fid": k, "fname": name, "type": 2, "loc": 1} for k, name in names.items()},
        "metadata": {
            "1_x": {"vid": "1", "xy": [7, *np.array(QUAD).ravel().tolist()]} | about,
            "1_y": {"vid": "1", "xy": []} | about,  # of the whole picture
            "2_z": {"vid": "2", "xy": xy} | about,
        },
        "view": {k: {"fid_list": [k]} for k in names},
    }
    check(src, {"via3.json": data}, {"a": near(PAINTED)}, failed=[f"class person has {words} but no outline"])


# Masks with a list of classes beside them, and one mask for each object

LISTS = {
    "_classes.csv": "Pixel Value, Class\n0, background\n1, dog\n2, person\n",
    "classes.txt": "0 background\n1 dog\n2 person\n",
    "class_dict.csv": "name,value\nbackground,0\ndog,1\nperson,2\n",
    "class_names.txt": "__ignore__\n_background_\ndog\nperson\n",
    "labels.txt": "background\ndog\nperson\n",
    "label_map.json": '{"background": 0, "dog": 1, "person": 2}',
    "colors.json": '{"background": [0, 0, 0], "dog": "#010101", "person": [2, 2, 2]}',
    "categories.json": '[{"id": 1, "name": "dog"}, {"id": 2, "name": "person"}]',
    "data.yaml": "names: {0: background, 1: dog, 2: person}\n",
}


@pytest.mark.parametrize("name", LISTS)
def test_a_list_of_classes_says_what_the_numbers_of_a_mask_mean(src, name):
    labels = np.where(RING, 2, np.where(BLOCK, 1, 0)).astype(np.uint8)
    files = {name: LISTS[name], "masks/a.png": labels, "masks/b.png": (labels == 1).astype(np.uint8)}
    check(src, files, {"a": RING, "b": NOBODY}, ["person; not used: dog"])


@cases(
    "text words",
    ("background\ndog\n", "holds 2, which is no class"),
    ("dog\nperson\ncat\n", "names no background"),
    ("0 background\n2 cat\n2 person\n", "gives 2 to cat and to person"),
    ("0 background\ndog\n2 person\n", "numbers some classes and others not"),
)
def test_a_list_that_does_not_fit_is_refused_by_name(src, text, words):
    files = {"classes.txt": text, "masks/a.png": RING * np.uint8(2)}
    refuse(src, files, words, classes="dog" if "dog" in text else None)


@cases(
    "name text",
    ("_classes.csv", 'Pixel Value, Class\n0, background\n1, "dog, big"\n2, person 1\n3, 2 people\n'),
    ("labelmap.txt", "background:0,0,0::\ndog, big:9,9,9::\nperson 1:0,0,200::\n2 people:0,200,0::\n"),
    ("class_dict.csv", 'name,r,g,b\n"dog, big",9,9,9\nperson 1,0,0,200\n2 people,0,200,0\n'),
    (
        "classes.json",
        '[{"name": "dog, big", "color": "#090909"}, {"name": "person 1", "color": [0, 0, 200]}, '
        '{"name": "2 people", "color": "#00C800"}]',
    ),
)
def test_digits_and_commas_may_be_part_of_a_class_name(src, name, text):
    numbers = np.where(RING, 2, np.where(BLOCK, 3, 0)).astype(np.uint8)
    colours = np.array([[0, 0, 0], [9, 9, 9], [0, 0, 200], [0, 200, 0]], np.uint8)[numbers]
    files = {name: text, "masks/a.png": numbers if "Pixel" in text else colours}
    check(src, files, {"a": RING | BLOCK}, ["2 people, person 1; not used: dog, big"])
    check(src, {}, {"a": RING & (numbers == 2)}, classes=["person 1"])


def test_lists_that_disagree_or_are_not_in_utf_8_are_refused(src):
    lists = {"classes.txt": "0 background\n2 cat\n", "labels.txt": "0 background\n2 person\n"}
    refuse(src, lists | {"masks/a.png": RING * np.uint8(2)}, "disagree about the classes: keep one")
    refuse(
        src, {"labels.txt": b"0 background\n2 caf\xe9\n"}, "labels.txt' names the classes, and is not text"
    )


def test_a_class_that_nobody_has_a_pixel_of_fails(src, command):
    write(src, {"classes.txt": "0 background\n1 dog\n2 person\n", "masks/a.png": RING * np.uint8(1)})
    code, out, _ = command("data", "import", src, "-o", src.parent / "out")
    assert code == 1 and "no picture has a pixel of person" in out


@cases(
    "found",
    {"a_0": RING, "a_1": BLOCK},
    {"a/first": RING, "a/second": BLOCK},
    {"person/a_0": RING, "person/a_1": BLOCK, "dog/a": ~BLOCK},
)
def test_one_mask_for_each_object(src, found):
    report = check(src, {f"masks/{name}.png": mask for name, mask in found.items()}, {"a": RING | BLOCK})
    assert len(people(report, "a")) == 2
    smaller = next(f"masks/{name}.png" for name, mask in reversed(found.items()) if mask is BLOCK)
    refuse(src, {smaller: BLOCK[1:]}, "belong to one picture and differ in size")


# COCO

RLE = codec.encode(np.asfortranarray(RING.astype(np.uint8)))
RLE |= {"counts": RLE["counts"].decode()}


def note(**changes) -> dict:
    one = {"id": 7, "image_id": 1, "category_id": 1, "segmentation": [[1, 1, 9, 1, 9, 9]], "iscrowd": 0}
    return one | changes


def coco(pictures: Sequence[str] = "ab", **changes) -> dict:
    """A file in which the ring and the block of the first picture are people, and share an id."""
    names = enumerate(pictures, 1)
    block = note(segmentation=[[30, 4, 44, 4, 44, 20, 30, 20]], iscrowd=1)
    data = {
        "images": [{"id": k, "file_name": f"{n}.jpg", "height": H, "width": W} for k, n in names],
        "categories": [{"id": 1, "name": "person"}, {"id": 2, "name": "dog"}],
        "annotations": [note(segmentation=RLE), block],
    }
    data["annotations"] += [note(image_id=2, category_id=2)] * (len(pictures) > 1)
    return data | changes


def test_a_coco_mask_is_the_union_of_the_persons(src):
    files = {"a.json": coco(), "images/c.jpg": None}
    said = ["person; not used: dog", "COCO JSON, 3 images, classes person (2), dog (1)"]
    report = check(src, files, {"a": RING | BLOCK, "b": NOBODY}, said)  # in b, a dog was annotated
    assert len(people(report, "a")) == 2 and report.empty == 1 and report.left_out == ["c.jpg"]
    nobody = ["no picture has a pixel of person"]
    check(src, {}, {"b": NOBODY}, ["it holds a crowd region: a"], nobody, crowd="skip-image")
    assert masks(take(src, classes=["dog"]))["b"].any()
    refuse(src, {}, r"class cat is not there. Found: dog, person", classes=["cat"])


def test_one_coco_file_can_be_named_where_several_would_clash(src):
    files = {f"annotations/{name}.json": coco() for name in ("instances", "keypoints")}
    refuse(src, files, "annotate the same pictures")
    one, out = src / "annotations" / "instances.json", src.parent / "out"
    assert np.array_equal(masks(import_folder(one, out, progress=False))["a"], RING | BLOCK)
    refused("does not look like this", import_folder, one, src.parent / "again", layout="cutouts")


def test_a_coco_object_without_an_outline_or_picture_fails_alone(src):
    data = coco("abz", annotations=[note(segmentation=[]), note(image_id=2, category_id=2)])
    failed = ["z.jpg", "a box but no outline", "no picture has a pixel of person"]
    report = check(src, {"a.json": data}, {"b": NOBODY}, failed=failed, empty="keep")
    assert "a.jpg" in report.failed[1], "what somebody annotated is never taken for nobody"


def test_coco_files_of_one_split_each_name_the_pictures_of_theirs(bare):
    group = {"id": 9, "name": "ears", "supercategory": "none"}  # as Roboflow writes
    categories, files = [group, {"id": 1, "name": "ear", "supercategory": "ears"}], {}
    for split, notes in (("train", [note(iscrowd="0")]), ("val", [])):
        files[f"images/{split}/a.jpg"] = None
        files[f"instances_{split}.json"] = coco("a", categories=categories, annotations=notes)
    expected = {"images_train_a": np.any, "images_val_a": NOBODY}
    assert check(bare, files, expected, crowd="skip-image", empty="keep").used == "ear"
    panoptic = coco("a", annotations=[{"image_id": 1, "segments_info": []}])
    refuse(bare, {"panoptic.json": panoptic}, "Panoptic")


@pytest.mark.parametrize(("nested", "name"), [(False, "%61"), (True, "https://there/b/%61.jpg?key=1&type=")])
def test_coco_corners_may_be_pairs_or_one_flat_list_and_names_encoded_or_signed(src, nested, name):
    ring = [30, 4, 44, 4, 44, 20, 30, 20]
    shape = [np.reshape(ring, (-1, 2)).tolist()] if nested else ring
    check(src, {"a.json": coco([name], annotations=[note(segmentation=shape)])}, {"a": BLOCK})


def test_records_that_name_one_picture_count_together(src):
    notes = [note(segmentation=RLE), note(image_id=2, segmentation=[30, 4, 44, 4, 44, 20, 30, 20])]
    said = ["several records name one picture and count together: a.jpg"]
    check(src, {"a.json": coco("aa", annotations=notes)}, {"a": RING | BLOCK}, said)


@cases(
    "changes words",
    ({"annotations": [note(image_id=9)]}, "image_id 9, which nothing"),
    ({"annotations": [note(category_id=None)]}, "category_id None, which nothing"),
    ({"categories": [{"id": 1, "name": "person"}, {"id": 1, "name": "dog"}]}, "gives the id 1 to 'per"),
    ({"categories": [{"id": 1}]}, "without id or name"),
    ({"images": [{"id": 1, "file_name": None}]}, "without id or file_name"),
    ({"images": [{"id": 1, "file_name": "a.jpg", "height": 60000, "width": 60000}]}, "they must agree"),
    ({"segmentation": {"size": [H, W], "counts": "52"}}, "run lengths cover"),
    ({"segmentation": {"size": [W, H], "counts": [W * H]}}, "run lengths of"),
    ({"segmentation": [[1, 1, 1e12, 1, 9, 9]]}, "far outside"),
    ({"segmentation": [[900, 900, 910, 900, 910, 910]]}, "far outside|not one pixel"),
    ({"segmentation": [[]]}, "not one has an area"),
    ({"segmentation": [[6, 4, 20, 4, 20, 12, 6]]}, "7 numbers"),
    ({"segmentation": [[0.2, 0.2, 0.6, 0.2, 0.6, 0.5]]}, "expected pixels"),
    ({"segmentation": "run lengths"}, "cannot be read"),
)
def test_a_coco_file_that_does_not_fit_together_is_refused_by_name(src, changes, words):
    notes = {"annotations": [note(**changes) if "segmentation" in changes else note()]}
    refuse(src, {"a.json": coco(**(notes | changes))}, words)


def test_run_lengths_of_both_spellings_are_one_mask_and_short_ones_are_refused():
    flat = RING.ravel(order="F")
    counts = np.diff([0, *(np.flatnonzero(np.diff(flat)) + 1), flat.size]).tolist()
    assert all(np.array_equal(runs(one, shape=(H, W)), RING) for one in (RLE["counts"], counts))
    for wrong, words in (
        (counts[:-1], "cover"),
        ([-5, H * W + 5], "below 0"),
        ([2**63 - 1, 2**63 - 1, 2 + H * W], "longer than"),  # their sum fits, in 64 bits
        ("o" * 2_000_000, "longer than"),
    ):
        refused(words, runs, wrong, shape=(H, W))
    refused("more than 150,000,000", runs, [10**10], shape=(10**5, 10**5))


def test_annotations_that_cannot_be_read_are_no_cutouts(src):
    rgba = np.dstack([np.zeros((H, W, 3), np.uint8), RING * np.uint8(255)])
    refuse(src, {"images/cut.png": rgba, "labels.ndjson": "{}"}, r"labels\.ndjson.*--layout cutouts")
    assert take(src, layout="cutouts").written == ["cut"]


# Written and read back


@pytest.fixture
def exported(tmp_path):
    """A set of two people that touch, told apart, and a ring with a hole; exported in every format."""
    folder = tmp_path / "set"
    two = np.zeros((H, W), np.uint8)
    cv2.ellipse(two, (14, 17), (8, 13), 20, 0, 360, 1, -1)
    cv2.circle(two, (31, 20), 12, 2, -1)
    files = small_sets.pairs("two", mask=two > 0) | small_sets.pairs("ring", mask=RING)
    write(folder, files | {"instances/two.png": two})
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
            assert near(other)(one) and one[18, 16] == other[18, 16], "the hole is kept"


def test_pillow_draws_our_labelme_polygons_to_the_same_masks(exported):
    """As labelme itself makes masks of them: shape_to_mask in labelme.utils."""
    out, expected = exported
    for path in (out / "images").rglob("*.json"):
        content = json.loads(path.read_text())
        for shape, other in zip(content["shapes"], expected[path.stem], strict=True):
            picture = Image.new("1", (content["imageWidth"], content["imageHeight"]))
            ImageDraw.Draw(picture).polygon([*map(tuple, shape["points"])], fill=1, outline=1)
            one = np.asarray(picture)
            assert near(other)(one) and one[18, 16] == other[18, 16], "the hole is kept"


@pytest.mark.parametrize("hole", [(14, 18), (14, 14)])
def test_pillow_loses_no_row_along_the_way_to_a_hole(hole):
    """Between two rings a polygon walks to and fro, and of a flat line Pillow left out a dozen pixels."""
    mask = cv2.ellipse(np.zeros((H, W), np.uint8), (24, 18), (21, 15), 20, 0, 360, 1, -1)
    mask = cv2.circle(mask, hole, 3, 0, -1) > 0
    picture = Image.new("1", (W, H))
    ImageDraw.Draw(picture).polygon([*map(tuple, outline(mask, 0.5).tolist())], fill=1, outline=1)
    assert near(mask)(np.asarray(picture))


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
    whole = {key: np.any(found, axis=0) for key, found in expected.items()}
    exact = name in ("coco", "cvat", "label-studio")
    report = check(out, {}, whole if exact else {key: near(mask) for key, mask in whole.items()}, layout=name)
    assert len(people(report, "two")) == 2


@pytest.mark.parametrize("name", ["labelme", "yolo"])
def test_what_is_thinner_than_the_tolerance_survives_as_a_polygon(tmp_path, name):
    thin = np.eye(H, W, dtype=bool)
    thin[3, 10:30] = thin[30, 5] = True
    write(tmp_path / "set", small_sets.pairs("a", mask=thin))
    export_dataset(tmp_path / "set", tmp_path / "out", [name], progress=False)
    check(tmp_path / "out", {}, {"a": lambda mask: (mask & thin).sum() > 0.9 * thin.sum()})
    with pytest.raises(UserError, match="lies inside"):
        export_dataset(tmp_path / "set", tmp_path / "set" / "images" / "more", [name], progress=False)


def test_a_person_in_two_pieces_is_one_person_in_labelme_too(exported, tmp_path):
    apart = np.asarray(Image.open(tmp_path / "set" / "instances" / "two.png")).copy()
    apart[1:4, 30:40] = 2
    write(tmp_path / "set", {"instances/two.png": apart, "masks/two.png": apart > 0})
    export_dataset(tmp_path / "set", tmp_path / "labelme", ["labelme"], progress=False)
    found = people(take(tmp_path / "labelme"), "two")
    assert near(apart == 2)(found[1]) and len(found) == 2


def test_a_mask_of_another_size_is_not_exported_and_the_rest_is(exported, tmp_path, command):
    folder = tmp_path / "set"
    small_sets.save(folder / "masks" / "two.png", RING[1:])
    code, _, err = command("data", "export", folder, "-o", tmp_path / "rest", "--format", "coco")
    assert code == 1 and "they must agree" in err
    assert take(tmp_path / "rest").written == ["ring"]
    small_sets.save(folder / "instances" / "ring.png", BLOCK)
    with pytest.raises(UserError, match=r"nothing of .* could be exported: .*show different people"):
        export_dataset(folder, tmp_path / "none", ["coco"], progress=False)
    small_sets.save(folder / "masks" / "ring.png", RING[1:])
    with pytest.raises(UserError, match=r"nothing of .* could be exported: .*they must agree"):
        export_dataset(folder, tmp_path / "none", ["coco"], progress=False)


def test_an_unknown_format_is_a_sentence(tmp_path):
    with pytest.raises(UserError, match="a format is one of coco, labelme, yolo, cvat, label-studio"):
        export_dataset(tmp_path, tmp_path / "out", ["voc"])


@pytest.mark.parametrize("name", FORMATS)
def test_the_splits_travel_and_odd_names_with_them_and_what_is_dropped_is_said(tmp_path, name, command):
    folder, names = tmp_path / "set", ["a?x=1", "100%41", "b#1", "c&d=e", "sub/it's", "k\u00f6, \u00e4"]
    write(folder, small_sets.pairs(*names, mask=RING) | {"ignore/b#1.png": BLOCK})
    splits = {name: ("train", "val", "test")[i % 3] for i, name in enumerate(names)}
    write_splits(folder, splits, dict.fromkeys(names, "g"))
    _, said, _ = command("data", "export", folder, "-o", tmp_path / "tool", "--format", name)
    assert "no place for ignore/, the groups of splits.csv" in said
    check(tmp_path / "tool", {}, {name.replace("/", "_"): near(RING) for name in names})
    found = {name: row["split"] for name, row in read_table(tmp_path / "out0" / "splits.csv").items()}
    assert found == {name.replace("/", "_"): split for name, split in splits.items()}


def test_more_people_than_eight_bits_can_count_are_exported(tmp_path):
    numbers = np.zeros((40, 40), np.uint16)
    numbers[::2, ::2] = np.arange(1, 401).reshape(20, 20)
    photo = {"images/a.png": np.zeros((40, 40, 3), np.uint8)}
    write(tmp_path / "set", photo | {"masks/a.png": numbers > 0, "instances/a.png": numbers})
    export_dataset(tmp_path / "set", tmp_path / "out", ["coco"], progress=False)
    assert len(COCO(str(tmp_path / "out" / "annotations.json")).anns) == 400
