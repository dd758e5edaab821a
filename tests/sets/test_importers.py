"""Each layout, made small and real in a temporary folder, becomes the folder format; nothing is guessed."""

import base64
import io
import json
import shutil
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from segkit.files import UserError
from segkit.sets.importers import import_folder
from segkit.sets.layouts import TITLES, detect_layout
from segkit.sets.tools import TOOLS

# pycocotools 2.0.11 under NumPy 2; nothing a user can see.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
RNG = np.random.default_rng(0)
H, W = 24, 32
SQUARE = np.zeros((H, W), bool)
SQUARE[4:12, 6:20] = True
OUTLINE = [[6, 4], [19, 4], [19, 11], [6, 11]]  # Pillow paints the corners too


@pytest.fixture
def src(tmp_path) -> Path:
    (tmp_path / "src").mkdir()
    return tmp_path / "src"


def save(path: Path, pixels: np.ndarray | None = None, **options) -> Path:
    """Write a picture; without pixels, a photo of H x W."""
    pixels = RNG.integers(0, 256, (H, W, 3), dtype=np.uint8) if pixels is None else pixels
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return path


def pair(src: Path, mask: np.ndarray = SQUARE, name: str = "a") -> Path:
    """Write images/NAME.jpg, which is returned, and masks/NAME.png: 255 where it is true, or as it is."""
    save(src / "masks" / f"{name}.png", mask * np.uint8(255) if mask.dtype == bool else mask)
    return save(src / "images" / f"{name}.jpg")


def save_json(path: Path, data) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data))
    return path


def run(src: Path, **options):
    return import_folder(src, src.parent / "out", progress=False, **options)


def masks_of(report) -> dict[str, np.ndarray]:
    """Read the result back, checking that it is the folder format."""
    images = {path.stem: path for path in (report.out / "images").iterdir()}
    masks = {path.stem: np.asarray(Image.open(path)) for path in (report.out / "masks").iterdir()}
    assert images.keys() == masks.keys() == set(report.written)
    for name, mask in masks.items():
        assert images[name].suffix in (".jpg", ".png")
        assert mask.dtype == np.uint8 and set(np.unique(mask)) <= {0, 255}
        upright = ImageOps.exif_transpose(Image.open(images[name]))
        assert upright.size == mask.shape[::-1]
    return {name: mask > 0 for name, mask in masks.items()}


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
    save(src / folders[1] / f"a{ending}.png", SQUARE * np.uint8(255))
    report = run(src)
    assert report.layout.name == "folders" and not report.failed
    assert np.array_equal(masks_of(report)["a"], SQUARE)
    assert (report.out / "images" / "a.jpg").read_bytes() == original.read_bytes()


@pytest.mark.parametrize(
    ("image", "mask"),
    [("images/a.jpg", "masks/a-seg0.png"), ("a.jpg", "a-seg0.png"), ("a.jpg", "mask_a.png"),
     ("images/img_1.jpg", "masks/mask_1.png"), ("images/a_0000.png", "masks/a.png"),
     ("a/image.jpg", "a/mask.png"), ("a.jpg", "a alpha.png"),
     ("leftImg8bit/train/a/a_1_leftImg8bit.png", "gtFine/train/a/a_1_gtFine_labelIds.png"),
     ("701_StillsRaw_full/1_6.png", "LabeledApproved_full/1_6_L.png"), ("images/1.jpg", "masks/1_L.png")],
)  # fmt: skip
def test_masks_are_found_by_the_names_that_people_give_them(src, image, mask):
    save(src / image)
    mask = save(src / mask, SQUARE * np.uint8(255))
    if "labelIds" in mask.name:  # these say the same in other ways, 24 for person and 7 for road
        save(mask, np.where(SQUARE, np.uint8(24), np.uint8(7)))
        save(mask.with_name(mask.name.replace("labelIds", "color")))
        save(mask.with_name(mask.name.replace("labelIds", "instanceIds")), SQUARE * np.uint8(7))
    assert np.array_equal(masks_of(run(src))[Path(image).stem], SQUARE)


def test_one_mask_for_two_pictures_is_not_guessed_and_strange_names_are_told(src):
    twin = save(pair(src).with_suffix(".png"))
    with pytest.raises(UserError, match=r"one mask for several pictures \(images/a.jpg, images/a.png\)"):
        run(src)
    twin.unlink()
    (src / "masks" / "a.png").rename(src / "masks" / "b_x.png")
    with pytest.raises(UserError, match=r"masks such as b_x\.png, and no pict"):
        run(src)


@pytest.mark.parametrize("lines", ["{0}", "./images/{0}.jpg", "images/{0}.jpg masks/{0}.png", '"{0}"'])
def test_lists_beside_any_layout_are_its_splits(src, lines):
    for name in "abc":
        pair(src, name=name)
    for split, names in (("train", "ab"), ("val", "bc")):
        (src / f"{split}_list.txt").write_text("".join(lines.format(name) + "\n" for name in names))
    report = run(src)
    assert (report.out / "splits.csv").read_text().split()[1:] == ["a,train", "b,val", "c,val"]
    assert "in more than one split, and counted in one: b.jpg" in report.notes


def test_image_and_mask_side_by_side(src):
    save(src / "a.jpg")
    save(src / "a_mask.png", SQUARE * np.uint8(255))
    save(src / "a_overlay.jpg")
    save(src / "deep" / "b.jpeg")
    save(src / "deep" / "b.png", SQUARE * np.uint8(255))
    report = run(src)
    assert report.layout.name == "beside"
    assert {name: mask.sum() for name, mask in masks_of(report).items()} == dict.fromkeys("ab", SQUARE.sum())


def test_a_cut_out_beside_its_photograph_is_a_mask_and_the_photograph_stays(src):
    for name in ("a.png", "b.out.png"):
        original = save(src / f"{name[0]}.jpg")
        save(src / name, np.dstack([RNG.integers(0, 256, (H, W, 3), np.uint8), SQUARE * np.uint8(255)]))
    report = run(src, empty="keep")
    assert report.layout.name == "beside" and set(report.written) == {"a", "b"}
    assert all(np.array_equal(mask, SQUARE) for mask in masks_of(report).values())
    assert (report.out / "images" / "b.jpg").read_bytes() == original.read_bytes()


def test_folders_that_may_be_patients_are_kept_for_the_split(src):
    for name in ("P1/images/a", "P1/images/b", "P2/images/c"):
        save(src / f"{name}.jpg")
        save(src / f"{name.replace('images', 'masks')}.png", SQUARE * np.uint8(255))
    report = run(src)
    assert f"segkit data split {report.out} --group {report.out / 'groups.csv'}" in str(report)
    rows = (report.out / "groups.csv").read_text().split()
    assert rows == ["name,group", "a,P1", "b,P1", "c,P2"]
    for split, patient in (("train", "P1"), ("val", "P2")):
        shutil.move(src / patient, src / split / patient)
    assert not (import_folder(src, src.parent / "whole", progress=False).out / "groups.csv").exists()
    shutil.copytree(src / "val" / "P2", src / "train" / "P2")
    torn = import_folder(src, src.parent / "torn", progress=False)
    assert "P2 lie in more than one split" in str(torn) and "--overwrite --group" in str(torn)


def test_a_trimap_in_a_folder_is_no_class(src):
    save(src / "images" / "a.jpg")
    save(src / "masks" / "trimaps" / "a.png", np.where(SQUARE, 1, 2).astype(np.uint8))
    with pytest.raises(UserError, match="class trimaps holds several values"):
        run(src)


def test_a_mask_of_one_class_id_is_written_as_255_and_it_says_so(src):
    pair(src, SQUARE * np.uint8(1))
    report = run(src)
    assert np.array_equal(masks_of(report)["a"], SQUARE)
    assert "mask value 1, written as 255" in str(report)


def test_a_mask_of_several_values_is_not_guessed(src):
    labels = SQUARE * np.uint8(2)
    labels[20:] = 7
    pair(src, labels)
    with pytest.raises(UserError, match=r"several values: 0 \(.*7 \(.*2 \(.*--classes"):
        run(src)
    assert not (src.parent / "out").exists()
    report = run(src, classes=["2"])
    assert np.array_equal(masks_of(report)["a"], SQUARE) and "not used: 7 (" in str(report)


def test_the_void_value_255_is_not_taken_for_person(src):
    labels = SQUARE * np.uint8(1)
    labels[0] = 255
    pair(src, labels)
    with pytest.raises(UserError, match="several values"):
        run(src)


def test_soft_edges_and_jpeg_masks_are_cut_at_127(src):
    soft = SQUARE * np.uint8(255)
    soft[4, :] = np.linspace(0, 255, W).astype(np.uint8)
    expected = soft > 127
    pair(src, soft)
    report = run(src)
    assert "over 127" in report.used
    assert np.array_equal(masks_of(report)["a"], expected)

    other = src.parent / "jpeg"
    save(other / "images" / "a.jpg")
    save(other / "masks" / "a.jpg", SQUARE * np.uint8(255), quality=40)
    report = import_folder(other, src.parent / "out2", progress=False)
    assert np.array_equal(masks_of(report)["a"], SQUARE)


@pytest.mark.parametrize(
    "odd", [SQUARE.astype(np.uint8), SQUARE.astype(np.uint16) * 300], ids=["of_1", "of_300_in_16_bits"]
)
def test_a_mask_that_the_common_rule_would_read_as_empty_fails_alone(src, odd):
    for name, mask in (("a", SQUARE * np.uint8(255)), ("b", odd)):
        save(src / "images" / f"{name}.jpg")
        save(src / "masks" / f"{name}.{'jpg' if name == 'a' else 'png'}", mask)
    report = run(src)
    assert report.written == ["a"] and "b.png" in report.failed[0]


def test_one_colour_is_the_person_and_more_must_be_named(src):
    colours = np.zeros((H, W, 3), np.uint8)
    colours[SQUARE] = 255, 0, 0
    pair(src, colours)
    assert np.array_equal(masks_of(run(src))["a"], SQUARE)
    colours[20:] = 0, 0, 255  # its code must not be mixed up with the grey 255
    save(src / "masks" / "a.png", colours)
    again = src.parent / "again"
    with pytest.raises(UserError, match=r"#0000ff.*#ff0000"):
        import_folder(src, again, progress=False)
    report = import_folder(src, again, classes=" #FF0000", progress=False)
    assert np.array_equal(masks_of(report)["a"], SQUARE)


def test_a_palette_that_starts_with_white_is_read_by_its_colours(src):
    save(src / "images" / "a.jpg")
    picture = Image.frombytes("P", (W, H), (~SQUARE).astype(np.uint8).tobytes())
    picture.putpalette([255, 255, 255, 0, 0, 0])  # 0 is white: the person; 1 is black
    (src / "masks").mkdir()
    picture.save(src / "masks" / "a.png")
    assert np.array_equal(masks_of(run(src))["a"], SQUARE)


def test_a_wrong_mask_value_is_a_sentence(src):
    pair(src, SQUARE * np.uint8(1))
    with pytest.raises(UserError, match="class red is not there"):
        run(src, classes=["red"])


def test_masks_that_look_inverted_are_pointed_out(src):
    pair(src, ~SQUARE)
    assert "are the masks inverted?" in str(run(src))


def test_two_masks_for_one_image_are_not_guessed(src):
    pair(src)
    save(src / "labels" / "a.png", SQUARE * np.uint8(255))
    with pytest.raises(UserError, match="several masks"):
        run(src)


# What is missing, broken or double


def test_images_without_an_annotation_are_named_and_left_out_unless_kept(src):
    for name in "abc":
        save(src / "images" / f"{name}.jpg")
    save(src / "masks" / "a.png", SQUARE * np.uint8(255))
    save(src / "masks" / "lonely.png", SQUARE * np.uint8(255))
    save(src / "images" / "@eaDir" / "a.jpg" / "SYNOPHOTO_THUMB_M.jpg")
    report = run(src)
    assert report.written == ["a"] and report.left_out == ["b.jpg", "c.jpg"]
    words = "2 without an annotation: b.jpg, c.jpg. --empty keep writes them as images without person."
    assert words in str(report) and "lonely.png" in str(report)
    kept = import_folder(src, src.parent / "kept", empty="keep", progress=False)
    assert [name for name, mask in masks_of(kept).items() if mask.any()] == ["a"] and kept.empty == 2


def test_one_bad_file_does_not_stop_the_import_and_is_reported(src):
    for name in "abcd":
        save(src / "images" / f"{name}.png")
        save(src / "masks" / f"{name}.png", SQUARE * np.uint8(255))
    whole = (src / "images" / "b.png").read_bytes()
    (src / "images" / "b.png").write_bytes(whole[:300])
    (src / "masks" / "c.png").write_bytes(b"")
    save(src / "masks" / "d.png", np.full((9, 9), 255, np.uint8))
    report = run(src)
    assert list(masks_of(report)) == ["a"]
    assert len(report.failed) == 3
    for sentence, words in zip(report.failed, ["b.png", "c.png", "is 32x24, its mask 9x9"], strict=True):
        assert words in sentence and "\n" not in sentence
    assert (report.out / "import.txt").read_text() == f"{report}\n"


def test_nothing_usable_leaves_no_folder(src):
    (save(src / "images" / "a.png")).write_bytes(b"not a picture")
    save(src / "masks" / "a.png", SQUARE * np.uint8(255))
    with pytest.raises(UserError, match=r"nothing could be imported.*a\.png"):
        run(src)
    assert [path.name for path in src.parent.iterdir()] == ["src"]


def test_an_unknown_folder_lists_what_is_known(src):
    save(src / "a.jpg")
    with pytest.raises(UserError, match=r"no layout known here.*labelme"):
        detect_layout(src)
    save_json(src / "results.json", [{"image_id": 1, "segmentation": []}])
    with pytest.raises(UserError, match=r"results\.json, which cannot be read as annotations"):
        detect_layout(src)
    with pytest.raises(UserError, match="does not exist"):
        detect_layout(src / "nowhere")


def test_two_layouts_at_once_are_not_guessed(src):
    pair(src)
    make_labelme(src / "images" / "a.json", "a.jpg", [shape("person", "polygon", OUTLINE)])
    with pytest.raises(UserError, match=r"more than one way.*labelme.*folders.*--layout"):
        run(src)
    assert run(src, layout="folders").written == ["a"]
    with pytest.raises(UserError, match="does not look like this: cut-outs"):
        import_folder(src, src.parent / "x", layout="cutouts")
    with pytest.raises(UserError, match=r"layout is one of auto, .*; found 'yolov3'"):
        import_folder(src, src.parent / "x", layout="yolov3")


def test_equal_names_in_two_folders_stay_apart(src):
    pair(src / "one"), pair(src / "two")
    report = run(src)
    assert sorted(masks_of(report)) == ["one_images_a", "two_images_a"]
    assert "share a name" in str(report)


def test_splits_named_by_folders_are_kept(src):
    for part in ("train", "valid", "test"):
        pair(src / part, name=f"{part}1")
    rows = (run(src).out / "splits.csv").read_text().split()
    assert rows == ["name,split", "test1,test", "train1,train", "valid1,val"]


def test_the_folder_format_itself_keeps_its_splits(src):
    for name in "ab":
        pair(src, name=name)
    save(src / "parts" / "a.png", SQUARE * np.uint8(3))
    (src / "splits.csv").write_text("name,split,licence\na,train,CC0\nb,test,CC0\n")
    (src / "images" / "c.psd").write_text("a kind that is not known")
    report = run(src)
    assert (report.out / "splits.csv").read_text().split() == ["name,split", "a,train", "b,test"]
    assert "1 pictures stand in neither" in str(report) and "not taken: 1 .psd" in str(report)


@pytest.mark.parametrize("folder", ["images", "imgs"])
def test_a_table_of_splits_names_the_pictures_of_images_or_of_the_one_other_folder(src, folder):
    for name in "ab":
        pair(src, name=name)
    save(src / "photos" / "z.png")  # without a mask
    (src / "images").rename(src / folder)
    (src / "splits.csv").write_text("name,split\na,train\nb,test\n")
    report = run(src)
    assert report.layout.failed == []
    assert (report.out / "splits.csv").read_text().split()[1:] == ["a,train", "b,test"]


def test_the_folder_format_keeps_its_groups_and_the_names_below_folders(src):
    names = [f"Jose\u0301/{n}" for n in "abc"]
    for name in names:
        save(src / "images" / f"{name}.jpg")
        save(src / "masks" / f"Jos\u00e9/{name[-1]}.png", SQUARE * np.uint8(255))
    rows = [f"{name},{place}" for name, place in zip(names, ("train,g", "train,g", "test,h"), strict=True)]
    (src / "splits.csv").write_text("\n".join(["name,split,group", *rows]))
    report = run(src)
    expected = ["name,split,group", "a,train,g", "b,train,g", "c,test,h"]
    assert (report.out / "splits.csv").read_text().split() == expected
    (src / "splits.csv").write_text("\n".join(["name,split,group", *rows[:2], ""]))
    lost = import_folder(src, src.parent / "lost", progress=False)
    assert "the source gives these no split, so its splits are not kept: c" in str(lost)


def test_out_must_be_new_and_outside(src):
    pair(src)
    with pytest.raises(UserError, match="lies inside"):
        import_folder(src, src / "out")
    (src.parent / "out").mkdir()
    assert run(src).written == ["a"], "an empty folder may be there already"
    with pytest.raises(UserError, match="exists and is not empty"):
        run(src)


def test_other_picture_formats_become_png_without_loss(src):
    pixels = RNG.integers(0, 256, (H, W, 3), dtype=np.uint8)
    save(src / "images" / "a.bmp", pixels)
    save(src / "masks" / "a.png", SQUARE * np.uint8(255))
    masks_of(report := run(src))
    assert np.array_equal(np.asarray(Image.open(report.out / "images" / "a.png")), pixels)


# EXIF rotation


# Rotations that keep width and height, and a mask of the stored picture: the sizes cannot tell; see below.
CASES = [(n, "displayed") for n in range(1, 9)] + [(n, "stored") for n in (1, 5, 6, 7, 8)]


@pytest.mark.parametrize(("orientation", "drawn_on"), CASES)
def test_masks_of_rotated_photos_follow_the_picture(src, orientation, drawn_on):
    """The bright square of the photo and the mask must end in the same place."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(SQUARE * np.uint8(255))
    (src / "images").mkdir()
    stored.convert("RGB").save(src / "images" / "a.jpg", exif=exif, quality=95)
    shown = ImageOps.exif_transpose(Image.open(src / "images" / "a.jpg")).convert("L")
    mask = stored if drawn_on == "stored" else shown.point(lambda v: 255 * (v > 127))
    save(src / "masks" / "a.png", np.asarray(mask))
    report = run(src)
    result = masks_of(report)["a"]
    image = Image.open(report.out / "images" / "a.jpg")
    assert image.getexif().get(0x0112, 1) == 1, "written upright"
    assert np.array_equal(result, np.asarray(image.convert("L")) > 127)
    assert ("EXIF" in str(report)) == (orientation > 1)


def test_a_rotation_that_the_sizes_cannot_tell_is_pointed_out(src):
    exif = Image.Exif()
    exif[0x0112] = 3
    save(src / "images" / "a.jpg", exif=exif)
    save(src / "masks" / "a.png", SQUARE * np.uint8(255))
    report = run(src)
    assert "the sizes cannot tell" in str(report) and "a.jpg" in str(report)
    assert np.array_equal(masks_of(report)["a"], SQUARE)


# Cut-outs


def test_a_cutout_keeps_its_colours_and_its_alpha_becomes_the_mask(src):
    rgba = RNG.integers(0, 256, (H, W, 4), dtype=np.uint8)
    rgba[..., 3] = np.where(SQUARE, 128, 127)
    save(src / "a.png", rgba)
    save(src / "plain.jpg")
    report = run(src)
    assert np.array_equal(masks_of(report)["a"], SQUARE)
    assert np.array_equal(np.asarray(Image.open(report.out / "images" / "a.png")), rgba[..., :3])
    assert report.left_out == ["plain.jpg"] and "no background is left" not in str(report)


def test_a_cutout_without_a_background_is_pointed_out(src):
    rgba = RNG.integers(0, 256, (H, W, 4), dtype=np.uint8)
    rgba[~SQUARE] = 0
    rgba[SQUARE, 3] = 255
    save(src / "a.png", rgba)
    assert "no background is left under the transparency" in str(run(src))


# COCO


def coco_data(names=("a.jpg", "b.jpg", "c.jpg")) -> dict:
    box = [[6, 4, 20, 4, 20, 12, 6, 12]]
    notes = [(1, 1, 0, box), (1, 2, 0, [[0, 0, 5, 0, 5, 23, 0, 23]]), (2, 2, 0, box)]
    notes.append((1, 1, 1, {"size": [H, W], "counts": [H * W - H * 2, H * 2]}))  # the last two columns
    return {
        "images": [{"id": i + 1, "file_name": n, "height": H, "width": W} for i, n in enumerate(names)],
        "annotations": [
            dict(zip(("image_id", "category_id", "iscrowd", "segmentation"), note, strict=True), id=i)
            for i, note in enumerate(notes, 1)
        ],
        "categories": [{"id": 1, "name": "person"}, {"id": 2, "name": "dog"}],
    }


@pytest.fixture
def coco(src):
    oracle = pytest.importorskip("pycocotools.mask")
    for name in "abc":
        save(src / "images" / f"{name}.jpg")
    data = coco_data()
    save_json(src / "annotations" / "instances_default.json", data)
    coded = oracle.frPyObjects(data["annotations"][0]["segmentation"], H, W)
    crowd = oracle.frPyObjects(data["annotations"][3]["segmentation"], H, W)
    return src, oracle.decode(oracle.merge([*coded, crowd])) > 0


def test_a_coco_mask_is_the_union_of_the_persons(coco):
    src, expected = coco
    report = run(src)
    masks = masks_of(report)
    assert np.array_equal(masks["a"], expected)
    assert not masks["b"].any() and report.empty == 1, "a dog was annotated, and nobody else is there"
    assert report.left_out == ["c.jpg"]
    assert "COCO JSON, 3 images, classes person (2), dog (2)" in str(report)
    assert "person; not used: dog" in str(report)


def test_another_coco_class_can_be_the_person(coco):
    src, _ = coco
    assert masks_of(run(src, classes=["dog"]))["b"].any()
    with pytest.raises(UserError, match=r"class cat is not there. Found: dog, person"):
        import_folder(src, src.parent / "x", classes=["cat"])


def test_a_coco_image_with_a_crowd_can_be_left_out(coco):
    src, _ = coco
    report = run(src, crowd="skip-image")
    assert report.written == ["b"] and "it holds a crowd region: a" in str(report)


def test_one_coco_file_can_be_named_where_several_would_clash(coco):
    src, expected = coco
    save_json(src / "annotations" / "person_keypoints.json", coco_data())
    with pytest.raises(UserError, match="annotate the same pictures"):
        run(src)
    one = src / "annotations" / "instances_default.json"
    report = import_folder(one, src.parent / "out", progress=False)
    assert np.array_equal(masks_of(report)["a"], expected)
    with pytest.raises(UserError, match="does not look like this"):
        import_folder(one, src.parent / "again", layout="cutouts")


@pytest.mark.parametrize(
    ("segmentation", "words"),
    [
        ([], "a box but no outline"),
        ([[]], "not one has an area"),
        ([[6, 4, 20, 4, 20, 12, 6]], "7 numbers"),
        ([[0.2, 0.2, 0.6, 0.2, 0.6, 0.5]], "expected pixels"),
        ("run lengths", "cannot be read"),
    ],
)
def test_a_coco_object_without_an_outline_or_picture_fails_alone(coco, segmentation, words):
    src, _ = coco
    data = coco_data(("a.jpg", "b.jpg", "missing.jpg"))
    data["annotations"][0]["segmentation"] = segmentation
    del data["annotations"][3]
    save_json(src / "annotations" / "instances_default.json", data)
    report = run(src, empty="keep")
    assert report.written == ["b", "c"], "what somebody annotated is never taken for nobody"
    assert any("missing.jpg" in line for line in report.failed)
    assert any(words in line and "a.jpg" in line for line in report.failed)


def test_coco_files_of_one_split_each_name_the_pictures_of_theirs(src):
    data = coco_data(("0001.jpg",))
    group = {"id": 9, "name": "ears", "supercategory": "none"}  # as Roboflow writes
    data["categories"] = [group, {"id": 1, "name": "ear", "supercategory": "ears"}]
    data["annotations"] = [data["annotations"][0] | {"iscrowd": "0"}]
    for split, change in (("train", {}), ("val", {"annotations": []})):
        save(src / "images" / split / "0001.jpg")
        save_json(src / "annotations" / f"instances_{split}.json", data | change)
    report = run(src, crowd="skip-image", empty="keep")
    assert report.used == "ear" and not report.failed
    assert {name: mask.any() for name, mask in masks_of(report).items()} == {
        "images_train_0001": True,
        "images_val_0001": False,
    }
    save_json(src / "annotations" / "p.json", data | {"annotations": [{"image_id": 1, "segments_info": []}]})
    with pytest.raises(UserError, match="Panoptic"):
        import_folder(src, src.parent / "again", progress=False)


@pytest.mark.parametrize("nested", [False, True])
def test_coco_corners_may_be_pairs_or_one_flat_list_and_names_percent_encoded(coco, nested):
    src, _ = coco
    data = coco_data(("%61.jpg", "b.jpg", "c.jpg"))
    ring = data["annotations"][0]["segmentation"][0]
    data["annotations"][0]["segmentation"] = [np.reshape(ring, (-1, 2)).tolist()] if nested else ring
    del data["annotations"][3]
    save_json(src / "annotations" / "instances_default.json", data)
    assert np.array_equal(masks_of(run(src))["a"], SQUARE)


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
    report = run(src)
    assert report.layout.name == "folders" and report.left_out == ["unlabelled.jpg"]
    assert all(np.array_equal(mask, SQUARE) for mask in masks_of(report).values())
    assert (report.out / "splits.csv").read_text().split() == ["name,split", "a,train", "b,val"]
    assert "void pixels count as background" in str(report)
    dogs = import_folder(src, src.parent / "dogs", classes=["dog"], progress=False)
    assert np.array_equal(masks_of(dogs)["a"], labels == 12)


def test_voc_in_colour_is_read_by_its_labelmap(src):
    colours = np.zeros((H, W, 3), np.uint8)
    colours[SQUARE] = 192, 128, 128
    colours[20:] = 64, 0, 0
    save(src / "JPEGImages" / "a.jpg")
    save(src / "SegmentationClass" / "a.png", colours)
    own = import_folder(src, src.parent / "own", progress=False)
    assert np.array_equal(masks_of(own)["a"], SQUARE), "these are VOC's own colours"
    colours[20:] = 64, 1, 0
    save(src / "SegmentationClass" / "a.png", colours)
    with pytest.raises(UserError, match="#400100, which is no class"):
        run(src)
    colours[20:] = 64, 0, 0
    save(src / "SegmentationClass" / "a.png", colours)
    (src / "labelmap.txt").write_text(
        "# label:color_rgb:parts:actions\nbackground:0,0,0::\ncat:64,0,0::\nperson:192,128,128::\n"
    )
    report = run(src)
    assert np.array_equal(masks_of(report)["a"], SQUARE) and report.used == "person; not used: cat"


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
    report = run(src)
    rows = (report.out / "splits.csv").read_text().splitlines()[1:]
    assert rows == ["JPEGImages_d_a b,train", "JPEGImages_e_a b,val"]
    assert Image.open(report.out / "instances" / "JPEGImages_d_a b.png").getextrema() == (0, 2)
    (src / "labelmap.txt").write_text("# label:color_rgb:parts:actions\n")
    with pytest.raises(UserError, match=r"labelmap\.txt' names no class"):
        import_folder(src, src.parent / "again", progress=False)
    shutil.rmtree(src / "JPEGImages")
    with pytest.raises(UserError, match=r"masks such as a b\.png, and no picture has the name of one"):
        import_folder(src, src.parent / "again", progress=False)


# labelme


def shape(label: str, kind: str, points: list, **more) -> dict:
    return {"label": label, "shape_type": kind, "points": points, "group_id": None, "flags": {}} | more


def make_labelme(path: Path, image: str, shapes: list) -> Path:
    about = {"imagePath": image, "imageData": None, "imageHeight": H, "imageWidth": W}
    return save_json(path, {"version": "5.5.0", "flags": {}, "shapes": shapes} | about)


def png64(pixels: np.ndarray, **options) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", **options)
    return buffer.getvalue()


def test_labelme_polygons_rectangles_circles_and_masks(src):
    patch = base64.b64encode(png64(SQUARE[4:12, 6:20])).decode()
    shapes = {
        "polygon": shape("person", "polygon", OUTLINE),
        "rectangle": shape("person", "rectangle", [[19, 11], [6, 4]]),  # drawn from the lower right
        "mask": shape("person", "mask", [[6, 4], [19, 11]], mask=patch),
    }
    dog = shape("dog", "polygon", [[0, 0], [3, 0], [0, 3]])
    for kind, one in shapes.items():
        save(src / f"{kind}.jpg")
        make_labelme(src / f"{kind}.json", f"{kind}.jpg", [one, dog])
    save(src / "circle.jpg")
    circle = shape("person", "circle", [[15, 12], [15, 17]])
    make_labelme(src / "circle.json", "..\\photos\\circle.jpg", [circle])
    report = run(src)
    assert report.layout.name == "labelme" and not report.failed
    masks = masks_of(report)
    for kind in shapes:
        assert np.array_equal(masks[kind], SQUARE), kind
    rows, columns = np.mgrid[:H, :W]
    distance = np.hypot(columns - 15, rows - 12)
    assert masks["circle"][distance < 4.5].all() and not masks["circle"][distance > 6].any()
    assert report.used == "person; not used: dog"


def test_labelme_shapes_without_area_and_empty_files_are_told(src):
    for name in "abc":
        save(src / f"{name}.jpg")
    point = shape("person", "point", [[1, 1]])
    make_labelme(src / "a.json", "a.jpg", [shape("person", "polygon", OUTLINE), point])
    make_labelme(src / "b.json", "b.jpg", [])
    (src / "c.json").write_text('{"shapes": [')
    save(src / "d.jpg")
    make_labelme(src / "d.json", "d.jpg", [point])
    report = run(src)
    assert np.array_equal(masks_of(report)["a"], SQUARE)
    assert "without an area are not used: point (2)" in str(report)
    assert report.left_out == ["b.jpg"]  # and c.jpg is not taken for a picture that nobody annotated
    assert "not one has an area" in report.failed[1], "a person who is a point alone is no empty mask"
    assert len(report.failed) == 2 and "c.json' is not readable JSON" in report.failed[0]


def test_labelme_shapes_of_one_group_are_one_person_and_two_files_of_one_picture_are_refused(src):
    save(src / "a.jpg")
    far = [shape("person", "polygon", [[22, 15], [30, 15], [30, 20]], group_id=group) for group in (0, None)]
    make_labelme(src / "a.json", "a.jpg", [shape("person", "polygon", OUTLINE, group_id=0), far[0]])
    report = run(src)
    assert not (report.out / "instances").exists()
    make_labelme(src / "a.json", "a.jpg", [shape("person", "polygon", OUTLINE, group_id=0), far[1]])
    report = import_folder(src, src.parent / "two", progress=False)
    assert Image.open(report.out / "instances" / "a.png").getextrema() == (0, 2)
    make_labelme(src / "a copy.json", "a.jpg", [])
    with pytest.raises(UserError, match=r"the same pictures \(a.jpg\)"):
        import_folder(src, src.parent / "again", progress=False)


def test_labelme_in_folders_of_its_own_finds_the_picture_of_the_same_folder(src):
    for day, shapes in ("mon", []), ("tue", [shape("person", "polygon", OUTLINE)]):
        save(src / "images" / day / "1.jpg")
        make_labelme(src / "labels" / day / "1.json", "1.jpg", shapes)
    assert masks_of(run(src)).keys() == {"images_tue_1"}


def test_labelme_finds_a_renamed_picture_by_the_name_of_its_json(src):
    save(src / "new.jpg")
    make_labelme(src / "new.json", "old.jpg", [shape("me", "polygon", OUTLINE)])
    report = run(src)
    assert report.used == "me", "the only class there is"
    make_labelme(src / "gone.json", "gone.jpg", [shape("me", "polygon", OUTLINE)])
    report = import_folder(src, src.parent / "again", progress=False)
    assert report.written == ["new"] and "'gone.jpg': found 0 times" in report.failed[0]


def test_classes_that_are_not_called_person_are_not_guessed(src):
    save(src / "a.jpg")
    shapes = [shape("alice, 7", "polygon", OUTLINE), shape("no person", "polygon", [[0, 0], [3, 0], [0, 3]])]
    make_labelme(src / "a.json", "a.jpg", shapes)
    with pytest.raises(UserError, match=r"no class .* is called person .*alice, 7, no person.*--classes"):
        run(src)
    assert np.array_equal(masks_of(run(src, classes="alice, 7"))["a"], SQUARE)


# Supervisely


def supervisely(kind: str, title: str = "person_bmp", **geometry) -> dict:
    return {"classTitle": title, "geometryType": kind, "tags": []} | geometry


def bitmap(patch: np.ndarray, x: int, y: int, style: str) -> dict:
    """As Supervisely packs it: a palette PNG whose 0 is transparent, zlib, base64. Other styles exist too."""
    picture = Image.fromarray(patch.astype(np.uint8))
    options = {}
    if style == "palette":
        picture = Image.frombytes("P", picture.size, picture.tobytes())
        picture.putpalette([0, 0, 0, 255, 255, 255])
        options = {"transparency": 0}
    elif style == "rgba":
        rgba = np.full((*patch.shape, 4), 255, np.uint8)
        rgba[..., 3] = patch * 255
        picture = Image.fromarray(rgba)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", **options)
    return {"data": base64.b64encode(zlib.compress(buffer.getvalue())).decode(), "origin": [x, y]}


@pytest.mark.parametrize("style", ["palette", "rgba", "grey"])
@pytest.mark.parametrize("ending", [".jpg.json", ".json"])
def test_supervisely_bitmaps_and_polygons(src, style, ending):
    hole = [[10, 6], [13, 6], [13, 9], [10, 9]]
    objects = {
        "bitmap": [supervisely("bitmap", bitmap=bitmap(SQUARE[2:14, 3:24], 3, 2, style))],
        "polygon": [supervisely("polygon", "person_poly", points={"exterior": OUTLINE, "interior": []})],
        "holed": [supervisely("polygon", "person_poly", points={"exterior": OUTLINE, "interior": [hole]})],
        "neutral": [supervisely("bitmap", "neutral", bitmap=bitmap(SQUARE, 0, 0, style))],
    }
    size = {"height": H, "width": W}
    for name, listed in objects.items():
        save(src / "ds1" / "img" / f"{name}.jpg")
        save(src / "ds1" / "masks_human" / f"{name}.png", SQUARE * np.uint8(255))  # exports carry these too
        save_json(src / "ds1" / "ann" / f"{name}{ending}", {"size": size, "tags": [], "objects": listed})
    save_json(src / "meta.json", {"classes": [], "tags": []})
    report = run(src)
    assert report.layout.name == "supervisely" and not report.failed
    assert report.used == "person_bmp, person_poly; not used: neutral"
    masks = masks_of(report)
    assert np.array_equal(masks["bitmap"], SQUARE) and np.array_equal(masks["polygon"], SQUARE)
    holed = SQUARE.copy()
    holed[6:10, 10:14] = False
    assert np.array_equal(masks["holed"], holed)
    assert not masks["neutral"].any()


def test_a_bitmap_that_reaches_over_the_edge_is_cut(src):
    patches = [bitmap(np.ones((5, 6), bool), x, y, "grey") for x, y in [(-3, -2), (29, 21)]]
    objects = [supervisely("bitmap", "person", bitmap=patch) for patch in patches]
    save(src / "img" / "a.jpg")
    save_json(src / "ann" / "a.json", {"size": {"height": H, "width": W}, "objects": objects})
    expected = np.zeros((H, W), bool)
    expected[:3, :3] = expected[21:, 29:] = True
    assert np.array_equal(masks_of(run(src))["a"], expected)


def test_every_layout_has_a_reader():
    assert TITLES.keys() == TOOLS.keys() | {"folders", "beside", "cutouts"}


def test_a_strange_annotation_fails_alone(src):
    for name, patch in (("a", bitmap(SQUARE, 0, 0, "grey")), ("b", {"data": "!!!!", "origin": [0, 0]})):
        objects = [supervisely("bitmap", "person", bitmap=patch)]
        save(src / "img" / f"{name}.jpg")
        save_json(src / "ann" / f"{name}.json", {"size": {"height": H, "width": W}, "objects": objects})
    report = run(src)
    assert report.written == ["a"] and len(report.failed) == 1 and "b.jpg" in report.failed[0]
