"""Each layout, made small and real in a temporary folder, becomes the folder format; nothing is guessed."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import small_sets
from conftest import cases, refused
from PIL import Image, ImageOps
from small_sets import NOBODY, ONE, RNG, SQUARE, H, W, check, masks, pairs, refuse, rows, save, take, write

from segkit.sets.importers import import_folder
from segkit.sets.layouts import detect_layout

# pycocotools 2.0.11 under NumPy 2; nothing a user can see.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture
def src(tmp_path) -> Path:
    (tmp_path / "src").mkdir()
    return tmp_path / "src"


# Two folders, and side by side


USUAL = [("images", "masks"), ("img", "mask"), ("imgs", "labels"), ("Images", "Masks")]
USUAL += [("img", "masks_human")]  # Supervisely's without its annotations
# mmsegmentation, SegNet's CamVid, Carvana, FiftyOne, CVC-ClinicDB, DUTS, pictures above their masks
ELSEWHERE = [("img_dir/train", "ann_dir/train"), ("train", "trainannot"), ("train", "train_masks")]
ELSEWHERE += [("data", "labels"), ("Original", "Ground Truth"), ("x/TR-Image", "x/TR-Mask"), (".", "masks")]
# DAVIS, AISegment's matting, VOC's added masks, pictures in a folder of any name
ELSEWHERE += [("JPEGImages/480p/bear", "Annotations/480p/bear"), ("clip_img/1/clip_0", "matting/1/matting_0")]
ELSEWHERE += [("JPEGImages", "SegmentationClassAug"), ("train/rgb", "train/mask"), ("input", "target")]


@pytest.mark.parametrize("folders", USUAL + ELSEWHERE)
@pytest.mark.parametrize("ending", ["", "_mask", ".jpg"])
def test_two_folders_with_common_names(src, folders, ending):
    original = save(src / folders[0] / "a.jpg")
    report = check(src, {f"{folders[1]}/a{ending}.png": SQUARE}, {"a": SQUARE})
    assert report.layout.name == "folders"
    assert (report.out / "images" / "a.jpg").read_bytes() == original.read_bytes()


CITY = "gtFine/train/a/a_1_gtFine_{}.png"
# Cityscapes says the same in several ways: 24 for person and 7 for road, or 11 and 0
LABEL_IDS = {CITY.format("labelIds"): np.where(SQUARE, np.uint8(24), np.uint8(7)), CITY.format("color"): None}
LABEL_IDS |= {CITY.format("instanceIds"): SQUARE * np.uint8(7)}


@pytest.mark.parametrize(
    ("image", "mask"),
    [("images/a.jpg", "masks/a-seg0.png"), ("a.jpg", "a-seg0.png"), ("a.jpg", "mask_a.png"),
     ("images/img_1.jpg", "masks/mask_1.png"), ("images/a_0000.png", "masks/a.png"),
     ("a/image.jpg", "a/mask.png"), ("a.jpg", "a alpha.png"), ("a/images/a.png", "a/masks/f0.png"),
     ("leftImg8bit/train/a/a_1_leftImg8bit.png", LABEL_IDS),
     ("leftImg8bit/train/a/a_1_leftImg8bit.png", {CITY.format("labelTrainIds"): SQUARE * np.uint8(11)}),
     ("701_StillsRaw_full/1_6.png", "LabeledApproved_full/1_6_L.png"), ("images/1.jpg", "masks/1_L.png")],
)  # fmt: skip
def test_masks_are_found_by_the_names_that_people_give_them(src, image, mask):
    files = {image: None} | (mask if isinstance(mask, dict) else {mask: SQUARE})
    check(src, files, {Path(image).stem: SQUARE})


def test_one_mask_for_two_pictures_is_not_guessed_and_strange_names_are_told(src):
    files = pairs("a") | {"images/a.png": None}
    refuse(src, files, r"one mask for several pictures \(images/a.jpg, images/a")
    (src / "images" / "a.png").unlink()
    (src / "masks" / "a.png").rename(src / "masks" / "b_x.png")
    refuse(src, {}, r"masks such as b_x\.png, and no pict")


def test_pictures_that_differ_by_case_alone_have_a_mask_each(src):
    """Nobody unpacks such a set where both names are one file."""
    check(src, pairs("A") | pairs("a", mask=~SQUARE), {"images_A": SQUARE, "images_a-2": ~SQUARE})


@pytest.mark.parametrize("lines", ["{0}", "./images/{0}.jpg", "images/{0}.jpg masks/{0}.png", '"{0}"'])
def test_lists_beside_any_layout_are_its_splits(src, lines):
    lists = {"train_list.txt": "ab", "val_list.txt": "bc"}
    texts = {path: "".join(lines.format(name) + "\n" for name in names) for path, names in lists.items()}
    report = check(src, pairs(*"abc") | texts, said=["in more than one split, and counted in one: b.jpg"])
    assert rows(report) == ["a,train", "b,val", "c,val"]


def test_image_and_mask_side_by_side(src):
    files = {"a.jpg": None, "a_mask.png": SQUARE, "a_overlay.jpg": None, "d/b.jpeg": None, "d/b.png": SQUARE}
    assert check(src, files, dict.fromkeys("ab", SQUARE)).layout.name == "beside"


def test_a_cut_out_beside_its_photograph_is_a_mask_and_the_photograph_stays(src):
    cut = np.dstack([RNG.integers(0, 256, (H, W, 3), np.uint8), SQUARE * np.uint8(255)])
    original = save(src / "b.jpg")
    files = {"a.png": cut, "b.out.png": cut, "a.jpg": None}
    report = check(src, files, dict.fromkeys("ab", SQUARE), empty="keep")
    assert report.layout.name == "beside"
    assert (report.out / "images" / "b.jpg").read_bytes() == original.read_bytes()


def test_folders_that_may_be_patients_are_kept_for_the_split(src):
    for name in ("P1/images/a", "P1/images/b", "P2/images/c"):
        write(src, {f"{name}.jpg": None, f"{name.replace('images', 'masks')}.png": SQUARE})
    report = take(src)
    assert f"segkit data split {report.out} --group {report.out / 'groups.csv'}" in str(report)
    assert rows(report, "groups.csv") == ["a,P1", "b,P1", "c,P2"]
    for split, patient in (("train", "P1"), ("val", "P2")):
        shutil.move(src / patient, src / split / patient)
    assert not (take(src).out / "groups.csv").exists()
    shutil.copytree(src / "val" / "P2", src / "train" / "P2")
    check(src, said=["P2 lie in more than one split", "--overwrite --group"])


# What the values of a mask mean


SOFT = SQUARE * np.uint8(255)
SOFT[4] = np.linspace(0, 255, W)
RED = SQUARE[..., None] * np.array([255, 0, 0], np.uint8)
TWO = RED.copy()
TWO[20:] = 0, 0, 255  # its code must not be mixed up with the grey 255
THREE = SQUARE * np.uint8(2)
THREE[20:] = 7
ONE_BY_CLASS = {"images/b.jpg": None, "masks/person/b.png": SQUARE}


@cases(
    "mask expected said options",
    (SQUARE * ONE, SQUARE, "mask value 1, written as 255", {}),
    (THREE, SQUARE, "not used: 7 (", {"classes": ["2"]}),
    (SOFT, SOFT > 127, "over 127", {}),
    (RED, SQUARE, "#ff0000", {}),
    (TWO, SQUARE, "not used: #0000ff", {"classes": " #FF0000"}),
    (~SQUARE, ~SQUARE, "are the masks inverted?", {}),
)
def test_the_values_of_a_mask_are_told(src, mask, expected, said, options):
    check(src, pairs("a", mask=mask), {"a": expected}, [said], **options)


@cases(
    "files words options",
    (pairs("a", mask=THREE), r"several values: 0 \(.*7 \(.*2 \(.*--classes", {}),
    (pairs("a", mask=THREE), "class red is not there", {"classes": ["red"]}),
    (pairs("a", mask=TWO), r"#0000ff.*#ff0000", {}),
    (
        pairs("a", mask=np.where(SQUARE, ONE, np.uint8(255))),
        "several values",
        {},
    ),  # 255 is often the void
    (pairs("a") | ONE_BY_CLASS, r"folders of classes \(person\) explain some", {}),
    (
        {"images/a.jpg": None, "masks/x/a.png": np.where(SQUARE, ONE, 2 * ONE)},
        "class x holds several",
        {},
    ),
    (pairs("a") | {"labels/a.png": SQUARE}, "several masks", {}),
)
def test_masks_that_can_mean_several_things_are_not_guessed(src, files, words, options):
    refuse(src, files, words, **options)
    assert not (src.parent / "out0").exists()


def test_jpeg_masks_are_cut_at_127_and_one_that_would_read_as_empty_fails_alone(src):
    save(src / "masks" / "a.jpg", SQUARE, quality=40)
    odd = {"masks/b.png": SQUARE * ONE, "masks/c.png": SQUARE * np.uint16(300)}
    photos = {f"images/{name}.jpg": None for name in "abc"}
    check(src, odd | photos, {"a": SQUARE}, failed=["b.png", "c.png"])


# What is missing, broken or double


def test_images_without_an_annotation_are_named_and_left_out_unless_kept(src):
    files = pairs("a") | {"images/b.jpg": None, "images/c.jpg": None, "masks/lonely.png": SQUARE}
    files["images/@eaDir/a.jpg/SYNOPHOTO_THUMB_M.jpg"] = None
    words = "2 without an annotation: b.jpg, c.jpg. --empty keep writes them as images without person."
    check(src, files, {"a": SQUARE}, [words, "lonely.png"])
    assert check(src, {}, {"a": SQUARE, "b": NOBODY, "c": NOBODY}, empty="keep").empty == 2


def test_one_bad_file_does_not_stop_the_import_and_is_reported(src):
    write(src, pairs(*"acd") | {"masks/b.png": SQUARE, "images/b.png": None})
    whole = (src / "images" / "b.png").read_bytes()
    files = {"images/b.png": whole[:300], "masks/c.png": b"", "masks/d.png": np.full((9, 9), 255, np.uint8)}
    failed = ["b.png", "c.png", "is 48x36, its mask 9x9"]
    report = check(src, files, {"a": SQUARE}, failed=failed)
    assert not any("\n" in sentence for sentence in report.failed)
    assert (report.out / "import.txt").read_text() == f"{report}\n"


def test_nothing_usable_leaves_no_folder(src):
    refuse(src, pairs("a") | {"images/a.jpg": b"not a picture"}, r"nothing could be imported.*a\.jpg")
    assert [path.name for path in src.parent.iterdir()] == ["src"]


def test_an_unknown_folder_lists_what_is_known(src):
    refuse(src, {"a.jpg": None}, r"no layout known here.*labelme")
    results = {"results.json": [{"image_id": 1, "segmentation": []}]}
    refuse(src, results, r"results\.json, which cannot be read as annotations")
    refused("does not exist", detect_layout, src / "nowhere")


def test_two_layouts_at_once_are_not_guessed(src):
    square = {"label": "person", "shape_type": "polygon", "points": small_sets.OUTLINE}
    files = pairs("a") | {"images/a.json": {"imagePath": "a.jpg", "shapes": [square]}}
    refuse(src, files, r"more than one way.*labelme.*folders.*--layout")
    assert take(src, layout="folders").written == ["a"]
    refuse(src, {}, "does not look like this: cut-outs", layout="cutouts")
    refuse(src, {}, r"layout is one of auto, .*; found 'yolov3'", layout="yolov3")


def test_equal_names_in_two_folders_stay_apart(src):
    write(src / "one", pairs("a")), write(src / "two", pairs("a"))
    check(src, {}, dict.fromkeys(("one_images_a", "two_images_a"), SQUARE), ["share a name"])


def test_splits_named_by_folders_are_kept(src):
    for part in ("train", "valid", "test"):
        write(src / part, pairs(f"{part}1"))
    assert rows(take(src)) == ["test1,test", "train1,train", "valid1,val"]


@pytest.mark.parametrize("folder", ["images", "imgs"])
def test_a_table_of_splits_names_the_pictures_of_images_or_of_the_one_other_folder(src, folder):
    files = pairs(*"ab") | {"photos/z.png": None, "parts/a.png": SQUARE * np.uint8(3)}  # z has no mask
    files |= {"splits.csv": "name,split,licence\na,train,CC0\nb,test,CC0\n", "images/c.psd": "not known"}
    write(src, files)
    (src / "images").rename(src / folder)
    said = ["in neither of the two folders, so not used: parts/a.png", "not taken: 1 .psd"]
    assert rows(check(src, said=said)) == ["a,train", "b,test"]


def test_the_folder_format_keeps_its_groups_and_the_names_below_folders(src):
    names = [f"Jose\u0301/{n}" for n in "abc"]
    files = {f"images/{name}.jpg": None for name in names}
    files |= {f"masks/Jos\u00e9/{name[-1]}.png": SQUARE for name in names}
    table = [f"{name},{place}" for name, place in zip(names, ("train,g", "train,g", "test,h"), strict=True)]
    files["splits.csv"] = "\n".join(["name,split,group", *table])
    assert rows(take(src, files)) == ["a,train,g", "b,train,g", "c,test,h"]
    files["splits.csv"] = "\n".join(["name,split,group", *table[:2], ""])
    files["dataset.yaml"] = "class: ear\n"
    said = ["the source gives these no split, so its splits are not kept: c", "0 of them without ear"]
    check(src, files, said=said)
    files["splits.csv"] = "\n".join(["name,split", *(f"{name},holdout" for name in names)])
    check(src, files, failed=["names the split 'holdout': the splits are train, val, test"])


def test_out_must_be_new_and_outside(src):
    write(src, pairs("a"))
    refused("lies inside", import_folder, src, src / "out")
    (src.parent / "out").mkdir()
    import_folder(src, src.parent / "out")  # an empty folder may be there already
    refused("exists and is not empty", import_folder, src, src.parent / "out")


def test_other_picture_formats_become_png_without_loss(src):
    pixels = RNG.integers(0, 256, (H, W, 3), dtype=np.uint8)
    report = check(src, {"images/a.bmp": pixels, "masks/a.png": SQUARE}, {"a": SQUARE})
    assert np.array_equal(np.asarray(Image.open(report.out / "images" / "a.png")), pixels)


# EXIF rotation


# Rotations that keep width and height, and a mask of the stored picture: the sizes cannot tell; see below.
CASES = [(n, "displayed") for n in range(1, 9)] + [(n, "stored") for n in (1, 5, 6, 7, 8)]


@pytest.mark.parametrize(("orientation", "drawn_on"), CASES)
def test_masks_of_rotated_photos_follow_the_picture(src, orientation, drawn_on):
    """The bright square of the photo and the mask must end in the same place."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(SQUARE)
    (src / "images").mkdir()
    stored.convert("RGB").save(src / "images" / "a.jpg", exif=exif, quality=95)
    shown = ImageOps.exif_transpose(Image.open(src / "images" / "a.jpg")).convert("L")
    mask = stored if drawn_on == "stored" else shown.point(lambda v: 255 * (v > 127))
    report = take(src, {"masks/a.png": np.asarray(mask)})
    image = Image.open(report.out / "images" / "a.jpg")
    assert image.getexif().get(0x0112, 1) == 1, "written upright"
    assert np.array_equal(masks(report)["a"], np.asarray(image.convert("L")) > 127)
    assert ("EXIF" in str(report)) == (orientation > 1)
    assert ("the sizes cannot tell: taken as" in str(report)) == (orientation in (2, 3, 4))


# Cut-outs


@pytest.mark.parametrize("kept", [True, False])
def test_a_cutout_keeps_its_colours_and_its_alpha_becomes_the_mask(src, kept):
    rgba = RNG.integers(0, 256, (H, W, 4), dtype=np.uint8)
    rgba[~SQUARE] *= kept
    rgba[..., 3] = np.where(SQUARE, 128, 127)
    report = check(src, {"a.png": rgba, "plain.jpg": None}, {"a": SQUARE})
    assert np.array_equal(np.asarray(Image.open(report.out / "images" / "a.png")), rgba[..., :3])
    assert report.left_out == ["plain.jpg"]
    assert ("no background is left under the transparency" in str(report)) != kept


# VOC


def save_palette(path: Path, labels: np.ndarray) -> None:
    picture = Image.frombytes("P", labels.shape[::-1], labels.tobytes())
    picture.putpalette([channel for i in range(256) for channel in (i, i // 2, 255 - i if i else 0)])
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)


def test_voc_takes_class_15_and_void_is_background(src):
    labels = SQUARE * np.uint8(15)
    labels[15:18] = 12  # a dog
    labels[0] = 255
    voc = src / "VOC2012"
    for name in "ab":
        save_palette(voc / "SegmentationClass" / f"{name}.png", labels)
    write(voc, {f"JPEGImages/{name}.jpg": None for name in ("a", "b", "unlabelled")})
    write(voc / "ImageSets" / "Segmentation", {"train.txt": "a\n", "val.txt": "b\n"})
    report = check(src, {}, dict.fromkeys("ab", SQUARE), ["void pixels count as background"])
    assert report.layout.name == "folders" and report.left_out == ["unlabelled.jpg"]
    assert rows(report) == ["a,train", "b,val"]
    check(src, {}, dict.fromkeys("ab", labels == 12), classes=["dog"])


def test_voc_in_colour_is_read_by_its_own_colours_or_a_labelmap(src):
    colours = SQUARE[..., None] * np.array([192, 128, 128], np.uint8)
    colours[20:] = 64, 1, 0
    files = {"JPEGImages/a.jpg": None, "SegmentationClass/a.png": colours}
    refuse(src, files, "#400100, which is no class")
    colours[20:] = 64, 0, 0
    check(src, files, {"a": SQUARE})
    labelmap = "# label:color_rgb:parts:actions\nbackground:0,0,0::\ncat:64,0,0::\nperson:192,128,128::\n"
    check(src, {"labelmap.txt": labelmap}, {"a": SQUARE}, ["person; not used: cat"])


@pytest.mark.parametrize("folder", ["SegmentationClass", "SegmentationClassPNG"])
def test_voc_lists_may_name_folders_and_quote_and_a_labelmap_must_name_classes(src, folder):
    numbers = SQUARE.astype(np.uint8)
    numbers[4:12, 10:] *= 2
    for name in ("d/a b", "e/a b"):
        write(src, {f"JPEGImages/{name}.jpg": None, f"{folder}/{name}.png": SQUARE * np.uint8(15)})
        save_palette(src / folder.replace("Class", "Object") / f"{name}.png", numbers)
    write(src / "ImageSets" / "Segmentation", {"train.txt": '"d/a b"\n', "val.txt": "e/a b\n"})
    report = take(src)
    assert rows(report) == ["JPEGImages_d_a b,train", "JPEGImages_e_a b,val"]
    assert len(small_sets.people(report, "JPEGImages_d_a b")) == 2
    refuse(src, {"labelmap.txt": "# label:color_rgb:parts:actions\n"}, r"labelmap\.txt' names no class")
    shutil.rmtree(src / "JPEGImages")
    refuse(src, {}, r"masks such as a b\.png, and no picture has the name of one")
