"""Masks that are pictures: which picture each belongs to, by folders and by names; and cut-outs.

Introduced in notebook 02.
"""

import contextlib
import itertools
import re
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from segkit.data import read_class_name
from segkit.files import (
    UserError,
    mask_values,
    name_some,
    open_picture,
    orientation,
    read_mask,
    same_name,
    to_srgb,
)
from segkit.sets.classes import OVER_127, find_class_list, read_by_list, rgb_codes, values_named
from segkit.sets.tree import IMAGE_FOLDERS, MASK_FOLDERS, Example, Layout, Tree

WORDS = {
    # 0000 is the first channel of nnU-Net's.
    "image": "images?|imgs?|im|photos?|pictures?|originals?|data|inputs?|0000|(?:left)?img8bit",
    # gtFine and the like are of Cityscapes, out of rembg, cutout of segkit predict, the last of remove.bg.
    "mask": (
        "masks?|label(?:s|ed|led)?|mattes?|matting|alphas?|pha|seg(?:s|m|mentations?)?|targets?|gts?|ground|"
        "(?:ground)?truth|ann(?:o|ot|otation)?s?|gtfine|gtcoarse|label(?:train)?ids|out|cutout|removebg-preview"
    ),
    "shown": "overlays?|vi[sz]|visuali[sz]ations?|preview|instances?|objects?",
}
"""Words in the names of folders and files that say what they hold."""


def find_folders(tree: Tree, loosely: bool = False) -> Layout | None:
    """images/ beside masks/ at any depth, with the same subfolders and stems in both.

    loosely: under any names that say so, such as img_dir and ann_dir, or train and train_masks.
    """
    images, masks, said = {}, {}, set()
    stems = {(path.parent, same_name(path.stem)) for path in tree.images}
    for path in tree.images:
        roles = [_role(part, loosely) for part in tree.below(path)[:-1]]
        place = tuple(rest for _, rest in roles if rest)
        role = next((role for role, _ in reversed(roles) if role), "")
        labels = re.sub("_(color|instanceids|labeltrainids)$", "_labelids", same_name(path.stem))
        if labels != same_name(path.stem) and (path.parent, labels) in stems:
            continue  # Cityscapes says the same in several ways
        if role == "mask":
            masks[path] = place
        elif role == "image" or (loosely and not role):
            images[path] = place
            said |= {path} if role else set()
    if loosely:  # a folder that only one of the two sides has tells nothing
        both = {*itertools.chain(*images.values())} & {*itertools.chain(*masks.values())}
        for places in (images, masks):
            places |= {path: tuple(part for part in place if part in both) for path, place in places.items()}
        there = {*masks.values()}
        images = {p: place for p, place in images.items() if place in there and (p in said or not said)}
    layout = _pair("folders", tree, images, masks)
    if loosely and masks and not layout and (images or tree.is_mask(min(masks))):
        raise UserError(
            f"'{tree.root}' has masks such as {min(masks).name}, and no picture has the name of one: "
            "x.jpg belongs to x.png or x_mask.png."
        )
    if layout:
        tree.read_table_of_splits(layout)
        with contextlib.suppress(UserError):  # a dataset.yaml may be another tool's
            layout.class_name = read_class_name(tree.root)
            layout.read.add(tree.root / "dataset.yaml")
        rest = (path for path in tree.images if path not in images and path not in masks)
        if others := [str(p.relative_to(tree.root)) for p in rest if "SegmentationObject" not in p.parts]:
            layout.tell("in neither of the two folders, so not used", *others)
    return layout


def _role(folder: str, loosely: bool) -> tuple[str, str]:
    """Whether the name of a folder says image or mask, or neither, and what else it says."""
    for role, names in (("image", IMAGE_FOLDERS), ("mask", MASK_FOLDERS)):
        if folder.lower() in names:
            return role, ""
    if not loosely:
        return "", same_name(folder)
    text = re.sub(r"(?<=[a-z])(?=[A-Z]|annot)", "_", folder)  # trainannot, PedMasks
    words = [word for word in re.split(r"[\W_]+", same_name(text)) if word]
    known = {word: role for role in WORDS for word in words if re.fullmatch(WORDS[role], word)}
    role = next((role for role in ("shown", "mask", "image") if role in known.values()), "")
    return role, "_".join(word for word in words if word not in known)


def find_beside(tree: Tree) -> Layout | None:
    """x.jpg beside x_mask.png, or x.jpg beside a grey x.png."""
    images, masks, shown = {}, {}, []
    stems = {path: same_name(path.stem) for path in tree.images}
    names = {(path.parent, name) for path, stem in stems.items() for name in (stem, _bare(stem, "image"))}
    for path, stem in stems.items():
        plain = {stem, _without_number(stem)}
        ended = {_bare(name, "mask") for name in plain} - plain
        if (path.parent, of := _bare(stem, "shown")) in names and of != stem:
            shown.append(path.name)
        elif _is_grey_twin(path, tree) or any((path.parent, name) in names for name in ended):
            masks[path] = path.parent.parts
        else:
            images[path] = path.parent.parts
    layout = _pair("beside", tree, images, masks)
    if layout and shown:
        layout.tell("pictures of a mask over its photograph are not used", *shown)
    return layout


def _is_grey_twin(path: Path, tree: Tree) -> bool:
    """Whether a PNG is the mask, the cut-out, or the mask of one object (x_0.png), of the JPEG x.jpg."""
    if path.suffix.lower() != ".png":
        return False
    stems = {path.stem, _without_number(path.stem)}
    twins = [twin for stem in stems for twin in tree.same_stem(path.with_name(f"{stem}.x"))]
    if not any(twin.suffix.lower() in (".jpg", ".jpeg") for twin in twins):
        return False
    with contextlib.suppress(UserError), open_picture(path) as picture:
        if picture.mode in ("1", "L", "P"):
            return True
    return _least_alpha(path) < 255  # a cut-out


def _bare(stem: str, role: str) -> str:
    """A name without the words at its start or its end that say image or mask: "" where they are all."""
    word = WORDS[role]
    return re.sub(rf"^({word})([ _.-]+|$)|([ _.-]+({word}))+$", "", stem)


def _without_number(stem: str) -> str:
    return re.sub(r"[ _.-]+\(?\d+\)?$|(?<=\D)\(?\d+\)?$", "", stem)


def _pair(name: str, tree: Tree, images: dict[Path, tuple], masks: dict[Path, tuple]) -> Layout | None:
    """Give every picture the masks of its place and name: one for all, or one for each object.

    images, masks: their places, the folders above; the last of a mask may stand for a picture or a class.
    """
    # A picture is called by its very name, else by one that no other picture there may have.
    called, bare = defaultdict(list), defaultdict(list)
    for image, place in images.items():
        called[place, same_name(image.stem)].append(image)
        bare[place, _bare(same_name(image.stem), "image")].append(image)
    called = {key: found for key, found in bare.items() if len(found) == 1} | called
    layout, given = Layout(name, tree.root), defaultdict(list)
    for path, place in sorted(masks.items()):
        fitting = [(how, called[at, one]) for how, at, one in _meanings(path, place) if (at, one) in called]
        how, found = fitting[0] if fitting else ("", [])
        found = [image for image in found if image.stem == path.stem] or found  # A.jpg beside a.jpg
        if len(found) > 1:
            listed = name_some([str(path.relative_to(tree.root)) for path in sorted(found)])
            raise UserError(f"'{tree.root}' has one mask for several pictures ({listed}): keep one of them.")
        if found:
            given[found[0]].append((path, how))
        else:
            layout.tell("masks without a picture", path.name)
    for image in images:
        found = given.get(image, [])
        if len(found) > 1 and any(how == "whole" for _, how in found):
            listed = name_some([str(path.relative_to(tree.root)) for path, _ in found])
            raise UserError(f"'{image}' has several masks ({listed}): keep the one you mean.")
        read = []
        for path, how in found:
            known = find_class_list(tree, path, layout)
            if known is None and how == "class":
                known = path.parent.name
                layout.classes[known] += 1
            elif known is None:
                layout.value_files.append(path)
            read.append((path, known))
        mask = partial(_read_several, read) if read else None
        layout.examples.append(Example(image, mask, tree.split(image.parent)))
    if several := sum(found[0][1] != "whole" for found in given.values()):
        layout.tell(f"pictures with one mask per object: {several}")
    return layout if given else None


def _meanings(path: Path, place: tuple) -> list[tuple[str, tuple, str]]:
    """What a mask may be (whole, object or class), and of the picture at which place and name; best first."""
    up, folder, stem = place[:-1], "".join(place[-1:]), same_name(path.stem)
    # a_mask.png and a.jpg.png belong to a, mask_1.png to img_1, a_L.png to CamVid's a
    names = [stem, _bare(stem, "mask"), stem.removesuffix("_l"), *([Path(stem).stem] * ("." in stem))]
    plain = [*map(_without_number, names)]
    meant = [("whole", place, one) for one in names]
    meant += [("object", place, one) for one in plain + [_bare(one, "mask") for one in plain]]  # a_0.png
    if folder:  # masks/a/0.png, or a/masks/0.png beside a/images/a.png
        meant += [("object", up, folder), ("object", place, folder)]
    if folder == same_name(path.parent.name):  # masks/person/a.png
        meant += [("class", up, one) for _, _, one in meant]
    return meant


def _read_several(masks: Sequence[tuple[Path, dict | list | str | None]], wanted: set[str]) -> np.ndarray:
    """One or several masks of a picture, the objects numbered in their order, or as VOC's: uint16 (H, W).

    masks: of each the path, and the classes that a list gives its values, or the class of all of it.
    """
    people, first = None, masks[0][0]
    for number, (path, known) in enumerate(masks, start=1):
        if isinstance(known, dict | list):
            mask = read_by_list(path, known, wanted)
        elif known is None:
            mask = read_mask(path) > 0 if wanted == {OVER_127} else values_named(path, wanted)
        else:
            values = mask_values(path)
            if values.max() <= 127 and len(np.unique(values[values > 0])) > 1:
                raise UserError(f"mask '{path}' of class {known} holds several values: expected one.")
            mask = (values > (127 if values.max() > 127 else 0)) & (known in wanted)
        people = np.zeros(mask.shape, np.uint16) if people is None else people
        if people.shape != mask.shape:
            raise UserError(f"'{path}' and '{first}' belong to one picture and differ in size.")
        people[mask] = number
    objects = Path("SegmentationObject".join(str(first).rsplit("SegmentationClass", 1)))
    if objects == first or not objects.is_file():
        return people
    values = rgb_codes(objects)
    if values.shape != people.shape:
        raise UserError(f"'{first}' and '{objects}' differ in size.")
    numbers = np.unique(values, return_inverse=True)[1].reshape(people.shape) + 1
    return np.where(people, numbers, 0).astype(np.uint16)


def find_cutouts(tree: Tree) -> Layout | None:
    """Pictures with an alpha channel; one that is opaque everywhere cuts nothing out."""
    layout = Layout("cutouts", tree.root)
    for path in tree.images:
        alpha = _least_alpha(path)
        layout.examples.append(Example(path, partial(read_cutout, path) if alpha < 255 else None))
        if alpha == 255:
            layout.tell("opaque everywhere, so no cut-outs", path.name)
    return layout if any(example.mask for example in layout.examples) else None


def _least_alpha(path: Path) -> int:
    """The lowest value of an alpha channel; 256 without one."""
    with contextlib.suppress(UserError), open_picture(path) as picture:
        if picture.has_transparency_data:
            return picture.convert("RGBA").getchannel("A").getextrema()[0]
    return 256


def read_cutout(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """The colours as displayed, uint8 RGB (H, W, 3), and where alpha is over 127, bool (H, W)."""
    with open_picture(path) as picture:
        painted = to_srgb(picture, picture.info.get("icc_profile")).convert("RGBA")
        rgba = turned(np.asarray(painted), orientation(picture))
    return np.ascontiguousarray(rgba[..., :3]), rgba[..., 3] > 127


def turned(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Pixels (H, W, ...) as stored, turned as an EXIF orientation says: as they are displayed."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    flip = {2: (1,), 3: (0, 1), 4: (0,), 6: (1,), 7: (0, 1), 8: (0,)}
    return np.flip(pixels, flip.get(orientation, ()))
