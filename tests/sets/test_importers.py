"""Each layout, made small and real in a temporary folder, becomes the folder format; nothing is guessed."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps
from small_sets import OUTLINE, RNG, SQUARE, H, W, masks, pair, save, take, write

from segkit.files import UserError
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
    save(src / folders[1] / f"a{ending}.png", SQUARE)
    report = take(src)
    assert report.layout.name == "folders" and not report.failed
    assert np.array_equal(masks(report)["a"], SQUARE)
    assert (report.out / "images" / "a.jpg").read_bytes() == original.read_bytes()


@pytest.mark.parametrize(
    ("image", "mask"),
    [("images/a.jpg", "masks/a-seg0.png"), ("a.jpg", "a-seg0.png"), ("a.jpg", "mask_a.png"),
     ("images/img_1.jpg", "masks/mask_1.png"), ("images/a_0000.png", "masks/a.png"),
     ("a/image.jpg", "a/mask.png"), ("a.jpg", "a alpha.png"),
     ("leftImg8bit/train/a/a_1_leftImg8bit.png", "gtFine/train/a/a_1_gtFine_labelIds.png"),
     ("leftImg8bit/train/a/a_1_leftImg8bit.png", "gtFine/train/a/a_1_gtFine_labelTrainIds.png"),
     ("701_StillsRaw_full/1_6.png", "LabeledApproved_full/1_6_L.png"), ("images/1.jpg", "masks/1_L.png")],
)  # fmt: skip
def test_masks_are_found_by_the_names_that_people_give_them(src, image, mask):
    save(src / image)
    mask = save(src / mask, SQUARE)
    if "labelTrainIds" in mask.name:  # 11 for person and 0 for road
        save(mask, SQUARE * np.uint8(11))
    if "labelIds" in mask.name:  # these say the same in other ways, 24 for person and 7 for road
        save(mask, np.where(SQUARE, np.uint8(24), np.uint8(7)))
        save(mask.with_name(mask.name.replace("labelIds", "color")))
        save(mask.with_name(mask.name.replace("labelIds", "instanceIds")), SQUARE * np.uint8(7))
    assert np.array_equal(masks(take(src))[Path(image).stem], SQUARE)


def test_one_mask_for_two_pictures_is_not_guessed_and_strange_names_are_told(src):
    twin = save(pair(src).with_suffix(".png"))
    with pytest.raises(UserError, match=r"one mask for several pictures \(images/a.jpg, images/a.png\)"):
        take(src)
    twin.unlink()
    (src / "masks" / "a.png").rename(src / "masks" / "b_x.png")
    with pytest.raises(UserError, match=r"masks such as b_x\.png, and no pict"):
        take(src)


@pytest.mark.parametrize("lines", ["{0}", "./images/{0}.jpg", "images/{0}.jpg masks/{0}.png", '"{0}"'])
def test_lists_beside_any_layout_are_its_splits(src, lines):
    for name in "abc":
        pair(src, name=name)
    for split, names in (("train", "ab"), ("val", "bc")):
        (src / f"{split}_list.txt").write_text("".join(lines.format(name) + "\n" for name in names))
    report = take(src)
    assert (report.out / "splits.csv").read_text().split()[1:] == ["a,train", "b,val", "c,val"]
    assert "in more than one split, and counted in one: b.jpg" in report.notes


def test_image_and_mask_side_by_side(src):
    save(src / "a.jpg")
    save(src / "a_mask.png", SQUARE)
    save(src / "a_overlay.jpg")
    save(src / "deep" / "b.jpeg")
    save(src / "deep" / "b.png", SQUARE)
    report = take(src)
    assert report.layout.name == "beside"
    assert {name: mask.sum() for name, mask in masks(report).items()} == dict.fromkeys("ab", SQUARE.sum())


def test_a_cut_out_beside_its_photograph_is_a_mask_and_the_photograph_stays(src):
    for name in ("a.png", "b.out.png"):
        original = save(src / f"{name[0]}.jpg")
        save(src / name, np.dstack([RNG.integers(0, 256, (H, W, 3), np.uint8), SQUARE * np.uint8(255)]))
    report = take(src, empty="keep")
    assert report.layout.name == "beside" and set(report.written) == {"a", "b"}
    assert all(np.array_equal(mask, SQUARE) for mask in masks(report).values())
    assert (report.out / "images" / "b.jpg").read_bytes() == original.read_bytes()


def test_folders_that_may_be_patients_are_kept_for_the_split(src):
    for name in ("P1/images/a", "P1/images/b", "P2/images/c"):
        save(src / f"{name}.jpg")
        save(src / f"{name.replace('images', 'masks')}.png", SQUARE)
    report = take(src)
    assert f"segkit data split {report.out} --group {report.out / 'groups.csv'}" in str(report)
    rows = (report.out / "groups.csv").read_text().split()
    assert rows == ["name,group", "a,P1", "b,P1", "c,P2"]
    for split, patient in (("train", "P1"), ("val", "P2")):
        shutil.move(src / patient, src / split / patient)
    assert not (take(src, "whole").out / "groups.csv").exists()
    shutil.copytree(src / "val" / "P2", src / "train" / "P2")
    torn = take(src, "torn")
    assert "P2 lie in more than one split" in str(torn) and "--overwrite --group" in str(torn)


def test_a_mask_of_one_class_id_is_written_as_255_and_it_says_so(src):
    pair(src, SQUARE * np.uint8(1))
    report = take(src)
    assert np.array_equal(masks(report)["a"], SQUARE)
    assert "mask value 1, written as 255" in str(report)


def test_masks_of_several_values_are_not_guessed(src):
    labels = np.where(SQUARE, np.uint8(2), np.uint8(0))
    labels[20:] = 7
    pair(src, labels)
    with pytest.raises(UserError, match=r"several values: 0 \(.*7 \(.*2 \(.*--classes"):
        take(src)
    assert not (src.parent / "out").exists()
    with pytest.raises(UserError, match="class red is not there"):
        take(src, classes=["red"])
    report = take(src, classes=["2"])
    assert np.array_equal(masks(report)["a"], SQUARE) and "not used: 7 (" in str(report)
    pair(src, np.where(SQUARE, np.uint8(1), np.uint8(255)))
    with pytest.raises(UserError, match="several values"):  # 255 is often the void
        take(src, "again")
    save(src / "images" / "b.jpg")
    other = save(src / "masks" / "person" / "b.png", SQUARE)
    with pytest.raises(UserError, match=r"folders of classes \(person\) explain some masks"):
        take(src, "again")
    save(src / "masks" / "trimaps" / "a.png", np.where(SQUARE, np.uint8(1), np.uint8(2)))
    (src / "masks" / "a.png").unlink(), other.unlink()
    with pytest.raises(UserError, match="class trimaps holds several values"):
        take(src, "again")


def test_soft_edges_and_jpeg_masks_are_cut_at_127(src):
    soft = SQUARE * np.uint8(255)
    soft[4, :] = np.linspace(0, 255, W).astype(np.uint8)
    expected = soft > 127
    pair(src, soft)
    report = take(src)
    assert "over 127" in report.used
    assert np.array_equal(masks(report)["a"], expected)

    (src / "masks" / "a.png").unlink()
    save(src / "masks" / "a.jpg", SQUARE, quality=40)
    assert np.array_equal(masks(take(src, "again"))["a"], SQUARE)


@pytest.mark.parametrize(
    "odd", [SQUARE.astype(np.uint8), SQUARE.astype(np.uint16) * 300], ids=["of_1", "of_300_in_16_bits"]
)
def test_a_mask_that_the_common_rule_would_read_as_empty_fails_alone(src, odd):
    for name, mask in (("a", SQUARE), ("b", odd)):
        save(src / "images" / f"{name}.jpg")
        save(src / "masks" / f"{name}.{'jpg' if name == 'a' else 'png'}", mask)
    report = take(src)
    assert report.written == ["a"] and "b.png" in report.failed[0]


def test_one_colour_is_the_person_and_more_must_be_named(src):
    colours = np.zeros((H, W, 3), np.uint8)
    colours[SQUARE] = 255, 0, 0
    pair(src, colours)
    assert np.array_equal(masks(take(src))["a"], SQUARE)
    colours[20:] = 0, 0, 255  # its code must not be mixed up with the grey 255
    save(src / "masks" / "a.png", colours)
    with pytest.raises(UserError, match=r"#0000ff.*#ff0000"):
        take(src, "again")
    assert np.array_equal(masks(take(src, "again", classes=" #FF0000"))["a"], SQUARE)


def test_masks_that_look_inverted_are_pointed_out(src):
    pair(src, ~SQUARE)
    assert "are the masks inverted?" in str(take(src))


def test_two_masks_for_one_image_are_not_guessed(src):
    pair(src)
    save(src / "labels" / "a.png", SQUARE)
    with pytest.raises(UserError, match="several masks"):
        take(src)


# What is missing, broken or double


def test_images_without_an_annotation_are_named_and_left_out_unless_kept(src):
    for name in "abc":
        save(src / "images" / f"{name}.jpg")
    save(src / "masks" / "a.png", SQUARE)
    save(src / "masks" / "lonely.png", SQUARE)
    save(src / "images" / "@eaDir" / "a.jpg" / "SYNOPHOTO_THUMB_M.jpg")
    report = take(src)
    assert report.written == ["a"] and report.left_out == ["b.jpg", "c.jpg"]
    words = "2 without an annotation: b.jpg, c.jpg. --empty keep writes them as images without person."
    assert words in str(report) and "lonely.png" in str(report)
    kept = take(src, "kept", empty="keep")
    assert [name for name, mask in masks(kept).items() if mask.any()] == ["a"] and kept.empty == 2


def test_one_bad_file_does_not_stop_the_import_and_is_reported(src):
    for name in "abcd":
        save(src / "images" / f"{name}.png")
        save(src / "masks" / f"{name}.png", SQUARE)
    whole = (src / "images" / "b.png").read_bytes()
    (src / "images" / "b.png").write_bytes(whole[:300])
    (src / "masks" / "c.png").write_bytes(b"")
    save(src / "masks" / "d.png", np.full((9, 9), 255, np.uint8))
    report = take(src)
    assert list(masks(report)) == ["a"]
    assert len(report.failed) == 3
    for sentence, words in zip(report.failed, ["b.png", "c.png", "is 48x36, its mask 9x9"], strict=True):
        assert words in sentence and "\n" not in sentence
    assert (report.out / "import.txt").read_text() == f"{report}\n"


def test_nothing_usable_leaves_no_folder(src):
    (save(src / "images" / "a.png")).write_bytes(b"not a picture")
    save(src / "masks" / "a.png", SQUARE)
    with pytest.raises(UserError, match=r"nothing could be imported.*a\.png"):
        take(src)
    assert [path.name for path in src.parent.iterdir()] == ["src"]


def test_an_unknown_folder_lists_what_is_known(src):
    save(src / "a.jpg")
    with pytest.raises(UserError, match=r"no layout known here.*labelme"):
        detect_layout(src)
    write(src, {"results.json": [{"image_id": 1, "segmentation": []}]})
    with pytest.raises(UserError, match=r"results\.json, which cannot be read as annotations"):
        detect_layout(src)
    with pytest.raises(UserError, match="does not exist"):
        detect_layout(src / "nowhere")


def test_two_layouts_at_once_are_not_guessed(src):
    pair(src)
    square = {"label": "person", "shape_type": "polygon", "points": OUTLINE}
    write(src, {"images/a.json": {"imagePath": "a.jpg", "shapes": [square]}})
    with pytest.raises(UserError, match=r"more than one way.*labelme.*folders.*--layout"):
        take(src)
    assert take(src, layout="folders").written == ["a"]
    with pytest.raises(UserError, match="does not look like this: cut-outs"):
        take(src, "x", layout="cutouts")
    with pytest.raises(UserError, match=r"layout is one of auto, .*; found 'yolov3'"):
        take(src, "x", layout="yolov3")
    with pytest.raises(UserError, match="empty is one of skip, keep; found 'kepp'"):
        take(src, "x", empty="kepp")
    with pytest.raises(UserError, match="crowd is one of person, skip-image; found 'skip'"):
        take(src, "x", crowd="skip")


def test_equal_names_in_two_folders_stay_apart(src):
    pair(src / "one"), pair(src / "two")
    report = take(src)
    assert sorted(masks(report)) == ["one_images_a", "two_images_a"]
    assert "share a name" in str(report)


def test_splits_named_by_folders_are_kept(src):
    for part in ("train", "valid", "test"):
        pair(src / part, name=f"{part}1")
    rows = (take(src).out / "splits.csv").read_text().split()
    assert rows == ["name,split", "test1,test", "train1,train", "valid1,val"]


@pytest.mark.parametrize("folder", ["images", "imgs"])
def test_a_table_of_splits_names_the_pictures_of_images_or_of_the_one_other_folder(src, folder):
    for name in "ab":
        pair(src, name=name)
    save(src / "photos" / "z.png")  # without a mask
    save(src / "parts" / "a.png", SQUARE * np.uint8(3))
    write(src, {"splits.csv": "name,split,licence\na,train,CC0\nb,test,CC0\n", "images/c.psd": "not known"})
    (src / "images").rename(src / folder)
    report = take(src)
    assert report.layout.failed == []
    assert (report.out / "splits.csv").read_text().split() == ["name,split", "a,train", "b,test"]
    assert "1 pictures stand in neither" in str(report) and "not taken: 1 .psd" in str(report)


def test_the_folder_format_keeps_its_groups_and_the_names_below_folders(src):
    names = [f"Jose\u0301/{n}" for n in "abc"]
    for name in names:
        save(src / "images" / f"{name}.jpg")
        save(src / "masks" / f"Jos\u00e9/{name[-1]}.png", SQUARE)
    rows = [f"{name},{place}" for name, place in zip(names, ("train,g", "train,g", "test,h"), strict=True)]
    (src / "splits.csv").write_text("\n".join(["name,split,group", *rows]))
    report = take(src)
    expected = ["name,split,group", "a,train,g", "b,train,g", "c,test,h"]
    assert (report.out / "splits.csv").read_text().split() == expected
    (src / "splits.csv").write_text("\n".join(["name,split,group", *rows[:2], ""]))
    lost = take(src, "lost")
    assert "the source gives these no split, so its splits are not kept: c" in str(lost)


def test_out_must_be_new_and_outside(src):
    pair(src)
    with pytest.raises(UserError, match="lies inside"):
        import_folder(src, src / "out")
    (src.parent / "out").mkdir()
    assert take(src).written == ["a"], "an empty folder may be there already"
    with pytest.raises(UserError, match="exists and is not empty"):
        take(src)


def test_other_picture_formats_become_png_without_loss(src):
    pixels = RNG.integers(0, 256, (H, W, 3), dtype=np.uint8)
    save(src / "images" / "a.bmp", pixels)
    save(src / "masks" / "a.png", SQUARE)
    masks(report := take(src))
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
    save(src / "masks" / "a.png", np.asarray(mask))
    report = take(src)
    result = masks(report)["a"]
    image = Image.open(report.out / "images" / "a.jpg")
    assert image.getexif().get(0x0112, 1) == 1, "written upright"
    assert np.array_equal(result, np.asarray(image.convert("L")) > 127)
    assert ("EXIF" in str(report)) == (orientation > 1)
    assert ("the sizes cannot tell: taken as" in str(report)) == (orientation in (2, 3, 4))


# Cut-outs


@pytest.mark.parametrize("kept", [True, False])
def test_a_cutout_keeps_its_colours_and_its_alpha_becomes_the_mask(src, kept):
    rgba = RNG.integers(0, 256, (H, W, 4), dtype=np.uint8)
    rgba[~SQUARE] *= kept
    rgba[..., 3] = np.where(SQUARE, 128, 127)
    save(src / "a.png", rgba)
    save(src / "plain.jpg")
    report = take(src)
    assert np.array_equal(masks(report)["a"], SQUARE)
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
    for name in "ab":
        save(src / "VOC2012" / "JPEGImages" / f"{name}.jpg")
        save_palette(src / "VOC2012" / "SegmentationClass" / f"{name}.png", labels)
    save(src / "VOC2012" / "JPEGImages" / "unlabelled.jpg")
    lists = src / "VOC2012" / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("a\n")
    (lists / "val.txt").write_text("b\n")
    report = take(src)
    assert report.layout.name == "folders" and report.left_out == ["unlabelled.jpg"]
    assert all(np.array_equal(mask, SQUARE) for mask in masks(report).values())
    assert (report.out / "splits.csv").read_text().split() == ["name,split", "a,train", "b,val"]
    assert "void pixels count as background" in str(report)
    dogs = take(src, "dogs", classes=["dog"])
    assert np.array_equal(masks(dogs)["a"], labels == 12)


def test_voc_in_colour_is_read_by_its_labelmap(src):
    colours = np.zeros((H, W, 3), np.uint8)
    colours[SQUARE] = 192, 128, 128
    colours[20:] = 64, 0, 0
    save(src / "JPEGImages" / "a.jpg")
    save(src / "SegmentationClass" / "a.png", colours)
    own = take(src, "own")
    assert np.array_equal(masks(own)["a"], SQUARE), "these are VOC's own colours"
    colours[20:] = 64, 1, 0
    save(src / "SegmentationClass" / "a.png", colours)
    with pytest.raises(UserError, match="#400100, which is no class"):
        take(src)
    colours[20:] = 64, 0, 0
    save(src / "SegmentationClass" / "a.png", colours)
    (src / "labelmap.txt").write_text(
        "# label:color_rgb:parts:actions\nbackground:0,0,0::\ncat:64,0,0::\nperson:192,128,128::\n"
    )
    report = take(src)
    assert np.array_equal(masks(report)["a"], SQUARE) and report.used == "person; not used: cat"


@pytest.mark.parametrize("folder", ["SegmentationClass", "SegmentationClassPNG"])
def test_voc_lists_may_name_folders_and_quote_and_a_labelmap_must_name_classes(src, folder):
    numbers = SQUARE.astype(np.uint8)
    numbers[4:12, 10:] *= 2
    for name in ("d/a b", "e/a b"):
        save(src / "JPEGImages" / f"{name}.jpg")
        save(src / folder / f"{name}.png", SQUARE * np.uint8(15))
        save_palette(src / folder.replace("Class", "Object") / f"{name}.png", numbers)
    for split, line in (("train", '"d/a b"'), ("val", "e/a b")):
        path = src / "ImageSets" / "Segmentation" / f"{split}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{line}\n")
    report = take(src)
    rows = (report.out / "splits.csv").read_text().splitlines()[1:]
    assert rows == ["JPEGImages_d_a b,train", "JPEGImages_e_a b,val"]
    assert Image.open(report.out / "instances" / "JPEGImages_d_a b.png").getextrema() == (0, 2)
    (src / "labelmap.txt").write_text("# label:color_rgb:parts:actions\n")
    with pytest.raises(UserError, match=r"labelmap\.txt' names no class"):
        take(src, "again")
    shutil.rmtree(src / "JPEGImages")
    with pytest.raises(UserError, match=r"masks such as a b\.png, and no picture has the name of one"):
        take(src, "again")
