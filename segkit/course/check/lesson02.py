"""Checks of lesson 02: pairs, splits that stay put, clean masks, batches, twins."""

import builtins
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

import numpy as np
import torch

from segkit.course.check.core import Unanswered, Wrong, exercise, from_start
from segkit.data import Preprocessing, SegmentationDataset, find_samples
from segkit.files import embedded_path

SPLITS = ("train", "val", "test")


@exercise
def without_mask(answer):
    """File names of pictures and of masks -> sorted names, without ending, of pictures without a mask."""
    for seed in range(5):
        rng = np.random.default_rng(from_start(seed))
        stems = [f"{word}{number}" for word in ("tim", "lea.cut", "IMG_") for number in range(4)]
        rng.shuffle(stems)
        images = [stem + str(rng.choice([".jpg", ".png", ".jpeg"])) for stem in stems]
        masks = [f"{stem}.png" for stem in stems[4:]] + ["stranger.png"]
        rng.shuffle(masks)
        got, expected = answer(list(images), list(masks)), sorted(stems[:4])
        told = {"given": f"{images} and {masks}", "got": got, "expected": expected}
        if got is None:
            raise Wrong("the function returns nothing: is there a return?", **told)
        if isinstance(got, str) or not isinstance(got, list | tuple | set | np.ndarray):
            raise Wrong("a list of names is asked for.", **told)
        got = list(got)
        if got == expected and not isinstance(told["got"], set):
            continue
        if set(got) == set(expected):
            raise Wrong("the right ones, but not in a sorted list: sorted(...) makes one.", **told)
        if any(not isinstance(name, str) for name in got):
            raise Wrong("names are text: strings are asked for.", **told)
        if any("." in name and name[:-1] in stems for name in got if name.endswith(".")):
            raise Wrong(
                "an ending need not have four characters: .jpeg has five. Try Path(name).stem.", **told
            )
        if set(got) == {image for image in images if image.rpartition(".")[0] in expected}:
            raise Wrong("leave the ending out: Path(name).stem does.", **told)
        if "stranger" in got or "stranger.png" in got:
            raise Wrong("that one is a mask without a picture: the reverse is asked for.", **told)
        if set(expected) < {name.rpartition(".")[0] or name for name in got} and len(got) > len(masks) - 2:
            raise Wrong("tim.jpg and tim.png are a pair: compare the names without their endings.", **told)
        if any(name.startswith("lea") and name not in stems for name in got):
            raise Wrong(
                "a name may hold a dot of its own: only the last one starts the ending. Try Path.stem.",
                **told,
            )
        raise Wrong("take the names of the pictures, and take away those that have a mask.", **told)


@contextmanager
def _calls_of_hash() -> Iterator[list]:
    """What is handed to Python's own `hash` in this thread meanwhile, by whatever function."""
    plain, here, seen = builtins.hash, threading.get_ident(), []

    def watched(value):
        if threading.get_ident() == here and isinstance(value, str | bytes | tuple):
            seen.append(value)
        return plain(value)

    builtins.hash = watched
    try:
        yield seen
    finally:
        builtins.hash = plain


@exercise
def split_by_scene(answer):
    """Names such as "s0342a" -> name -> split, whole scenes, 70/15/15, and nobody moves."""
    names = [f"s{number:04d}{view}" for number in range(600) for view in "abcd"[: 1 + number % 4]]
    with _calls_of_hash() as hashed:
        got = answer(list(names))
    if got is None:
        raise Wrong("the function returns nothing: is there a return?", expected="a dictionary")
    if not isinstance(got, dict):
        raise Wrong("return a dictionary from name to split.", got=type(got).__name__, expected="dict")
    if set(got) != set(names):
        raise Wrong(
            "every picture needs its split, under its own name.",
            f"{len(names)} names, such as {names[1]}",
            f"{len(got)} keys, such as {next(iter(got), None)!r}",
        )
    if odd := set(got.values()) - set(SPLITS):
        raise Wrong("the splits are called train, val and test.", got=sorted(map(str, odd)), expected=SPLITS)
    if hashed:
        raise Wrong(
            "hash() gives other numbers each time Python starts, so tomorrow's split is another. "
            "Take hashlib.sha256(scene.encode()).",
            f"hash({hashed[0]!r})",
        )
    for first, second in pairwise(names):
        if first[:-1] == second[:-1] and got[first] != got[second]:
            raise Wrong(
                "one scene on two sides: hash the scene, name[:-1], not the picture.",
                f"{first} and {second}",
                f"{got[first]} and {got[second]}",
                "one split for both",
            )
    for kind, others in {
        "the same names again": names,
        "the same names, in another order": names[::-1],
        "fewer names": names[100:],
        "one name more": ["a0000a", *names],
    }.items():
        again = answer(list(others))
        if moved := [name for name in names if name in again and again[name] != got[name]]:
            raise Wrong(
                "the place of a scene may depend on its own name alone, not on a list, an order or on luck.",
                kind,
                f"{len(moved)} moved, such as {moved[0]} from {got[moved[0]]} to {again[moved[0]]}",
                "nobody moves",
            )
    scenes = {name[:-1]: split for name, split in got.items()}
    shares = [list(scenes.values()).count(split) / len(scenes) for split in SPLITS]
    if not np.allclose(shares, (0.7, 0.15, 0.15), atol=0.05):
        raise Wrong(
            "the shares are off: a number between 0 and 1, below 0.7 train, below 0.85 val, above test.",
            f"{len(scenes)} scenes",
            " / ".join(f"{share:.2f}" for share in shares),
            "about 0.70 / 0.15 / 0.15",
        )


@exercise
def clean_mask(answer):
    """uint8 labels: 0/1, 0/255, or a JPEG of 0/255 -> uint8 {0, 1}."""
    for seed in range(4):
        rng = np.random.default_rng(from_start(seed))
        truth = np.zeros((6, 8), np.uint8)
        truth[1 : 4 + seed % 2, 2 : 5 + seed] = 1
        dirt = rng.integers(0, 40, truth.shape, dtype=np.uint8)
        dirt[rng.random(truth.shape) < 0.5] = 0
        dirt[0, 0] = dirt[2, 3] = 105  # a poor JPEG comes near the middle, from both sides
        cases = {
            "0 and 1": truth,
            "0 and 255": truth * np.uint8(255),
            "a JPEG": np.where(truth > 0, 255 - dirt, dirt),
            "0 and 1, nobody there": np.zeros_like(truth),
            "0 and 1, all person": np.ones_like(truth),
        }
        for kind, labels in cases.items():
            handed, expected = labels.copy(), truth
            if kind.startswith("0 and 1,"):
                expected = labels
            got = answer(handed)
            told = {"given": f"{kind}: {np.unique(labels).tolist()}", "got": got, "expected": expected}
            if not np.array_equal(handed, labels):
                raise Wrong("the labels that came in were changed: make a new array.", **told)
            if got is None:
                raise Wrong("the function returns nothing: is there a return?", **told)
            got = np.asarray(got)
            if got.shape != labels.shape:
                raise Wrong("one answer for each pixel: keep the shape.", **told)
            if np.array_equal(got, expected):
                if got.dtype != np.uint8:
                    told |= {"got": got.dtype, "expected": "uint8"}
                    raise Wrong("right, but of the wrong type: .astype(np.uint8).", **told)
                continue
            if np.array_equal(got, expected * 255):
                raise Wrong("0 and 1 are asked for, not 0 and 255.", **told)
            if kind == "a JPEG" and np.array_equal(got > 0, labels > 0):
                raise Wrong("> 0 makes a person of all the dirt: cut in the middle.", **told)
            if kind == "a JPEG" and np.array_equal(got, labels == 255):
                raise Wrong("a person pixel of a JPEG need not be exactly 255: cut in the middle.", **told)
            if kind.startswith("0 and 1") and not got.any() and expected.any():
                raise Wrong("a mask of 0 and 1 comes out empty. Where is *its* middle?", **told)
            if got.dtype.kind == "f":
                raise Wrong("dividing leaves fractions: compare, then .astype(np.uint8).", **told)
            raise Wrong("half of the largest value is a cut that suits all three kinds.", **told)


@exercise
def make_batch(answer):
    """Pairs of uint8 arrays (H, W, 3) and (H, W) -> uint8 tensors (N, 3, H, W) and (N, 1, H, W)."""
    for count, height, width in ((3, 4, 6), (1, 5, 5), (4, 8, 3)):
        rng = np.random.default_rng(from_start(count))
        images = rng.integers(0, 256, (count, height, width, 3), dtype=np.uint8)
        masks = rng.integers(0, 2, (count, height, width), dtype=np.uint8)
        got = answer([(image.copy(), mask.copy()) for image, mask in zip(images, masks, strict=True)])
        given = f"{count} pairs of {height} x {width} pixels"
        if not isinstance(got, tuple | list) or len(got) != 2:
            raise Wrong("return two tensors: images, masks.", given, type(got).__name__, "two tensors")
        expected = {
            "images": torch.from_numpy(images).permute(0, 3, 1, 2),
            "masks": torch.from_numpy(masks)[:, None],
        }
        if [getattr(part, "shape", None) for part in got] == [part.shape for part in expected.values()][::-1]:
            raise Wrong("masks and images are exchanged: images come first.", given)
        for part, (name, right) in zip(got, expected.items(), strict=True):
            told = {"given": given, "got": part, "expected": right}
            if not isinstance(part, torch.Tensor):
                raise Wrong(
                    f"the {name} are a {type(part).__name__}: torch.from_numpy makes a tensor.", given
                )
            shape = tuple(part.shape)
            if shape != tuple(right.shape):
                told |= {"got": shape, "expected": tuple(right.shape)}
                if name == "masks" and shape == masks.shape:
                    raise Wrong("the masks lack their one colour: masks[:, None] adds it.", **told)
                if name == "images" and shape == images.shape:
                    raise Wrong("the colours still come last: .permute(0, 3, 1, 2).", **told)
                if shape == tuple(right.permute(0, 1, 3, 2).shape):
                    raise Wrong("rows and columns are exchanged.", **told)
                raise Wrong(f"the {name} have the wrong shape.", **told)
            if part.dtype != torch.uint8:
                told |= {"got": part.dtype, "expected": torch.uint8}
                raise Wrong(f"keep the {name} whole: decimals take four times the memory.", **told)
            if torch.equal(part, right):
                continue
            if name == "images" and torch.equal(part, torch.from_numpy(images).reshape(part.shape)):
                raise Wrong("reshape deals the numbers out anew and scrambles the picture: permute.", **told)
            if name == "images" and torch.equal(part, right.flip(1)):
                raise Wrong("red and blue are exchanged.", **told)
            raise Wrong(f"the shape of the {name} is right, the numbers are not in their places.", **told)


def _twins_and_others(rng: np.random.Generator) -> np.ndarray:
    """Grey pictures (12, 8, 8): copies of some, and what looks like a copy only to a careless eye."""
    pictures = rng.uniform(110, 140, (12, 8, 8))  # all of a middling grey: a cosine calls them all alike
    pictures[4] = pictures[1] + 40  # brighter
    pictures[7] = 0.5 * pictures[2] + 10  # darker, with less contrast
    pictures[8] = pictures[7] + rng.normal(0, 0.3, (8, 8))  # saved again
    pictures[5] = 255 - pictures[3]  # a negative is no copy
    pictures[9] = pictures[6] + rng.normal(0, 4, (8, 8))  # alike, about 0.9, and another picture
    pictures[10] = pictures[0][rng.permutation(8)]  # the same rows elsewhere: columns have the same means
    pictures[11] = pictures[0][:, rng.permutation(8)]
    return pictures


@exercise
def find_twins(answer):
    """Grey pictures (N, H, W) -> pairs (i, j), i < j, whose correlation is above 0.98."""
    for seed in range(5):
        rng = np.random.default_rng(from_start(seed))
        pictures = _twins_and_others(rng)[order := rng.permutation(12)]
        matrix = np.corrcoef(pictures.reshape(12, -1))
        expected = [(int(i), int(j)) for i, j in np.argwhere(np.triu(matrix, 1) > 0.98)]
        got = answer(pictures.copy())
        told = {"given": "12 pictures of 8 x 8 pixels", "got": got, "expected": expected}
        if got is None:
            raise Wrong("the function returns nothing: is there a return?", **told)
        try:
            pairs = [(int(i), int(j)) for i, j in got]
        except (TypeError, ValueError):
            raise Wrong("a list of pairs (i, j) is asked for.", **told) from None
        told["got"] = pairs
        if sorted(pairs) == expected:
            continue
        found = set(pairs)
        if any(i == j for i, j in pairs):
            raise Wrong("every picture is its own twin: leave i = j out.", **told)
        if found == set(expected) | {(j, i) for i, j in expected}:
            raise Wrong("every pair is there twice: keep the ones with i < j.", **told)
        if found == set(expected):
            raise Wrong("a pair is in the list more than once.", **told)
        negative = tuple(sorted(int(np.flatnonzero(order == one)[0]) for one in (3, 5)))
        if found == set(expected) | {negative}:
            raise Wrong("a negative (correlation -1) is not a copy: no abs().", **told)
        if found == {(i + 1, j + 1) for i, j in expected}:
            raise Wrong("count the pictures from 0.", **told)
        if {one for pair in found for one in pair} - set(range(12)):
            raise Wrong("a pair holds two places in the array, from 0 to 11.", **told)
        if len(found) > 30:
            raise Wrong(
                "nearly all pairs: take each picture's mean away first, or all grey ones are alike.", **told
            )
        if found < set(expected):
            raise Wrong(
                "some copies are missing: a brighter one, or one with less contrast, has correlation 1 too.",
                **told,
            )
        if found > set(expected):
            most = max(matrix[i, j] for i, j in found - set(expected))
            raise Wrong(f"one pair's correlation over all pixels is {most:.2f}: 0.98 is the border.", **told)
        raise Wrong("np.corrcoef(pictures.reshape(len(pictures), -1)) holds all correlations.", **told)


@exercise
def pair_dataset(answer):
    """A class: answer(samples, size) with a length, and [i] -> (image, mask) as segkit's own."""
    if not callable(answer):
        raise Wrong("hand over the class itself, without calling it.", got=type(answer).__name__)
    samples = find_samples(embedded_path("people"))
    random = np.random.default_rng(from_start(0))
    for size, count in ((64, 5), (40, 3)):
        chosen = [samples[i] for i in random.choice(len(samples), count, replace=False)]
        dataset, given = answer(list(chosen), size), f"{count} samples, size {size}"
        if not isinstance(dataset, torch.utils.data.Dataset):
            raise Wrong("derive it from torch.utils.data.Dataset, as the stub does.", given, dataset)
        length = type(dataset).__len__(dataset)
        if length is ...:
            raise Unanswered
        if length != count:
            raise Wrong("its length is the number of pairs.", f"len(...) of {given}", length, count)
        theirs = SegmentationDataset(chosen, Preprocessing(size=size), cache="none")
        for index in range(count):
            asked = f"[{index}] of {given}: {chosen[index].name}"
            try:
                got = dataset[index]
            except Exception as error:
                raise Wrong(f"your code stopped with {type(error).__name__}: {error}", asked) from None
            _same_pair(got, theirs[index], asked)


def _same_pair(got, expected, given: str) -> None:
    """Raises: Wrong where a pair is not the one that segkit makes."""
    if got is ...:
        raise Unanswered
    if not isinstance(got, tuple | list) or len(got) != 2:
        raise Wrong("two tensors are asked for: return image, mask", given, got, "(image, mask)")
    if any(part is ... for part in got):
        raise Unanswered
    for part, right, name in zip(got, expected, ("image", "mask"), strict=True):
        if not isinstance(part, torch.Tensor):
            raise Wrong(
                f"the {name} is no tensor: torch.from_numpy makes one.", given, type(part).__name__, "Tensor"
            )
        shape, wanted = tuple(part.shape), tuple(right.shape)
        if shape != wanted:
            hint = f"the {name} has another shape: resize to size x size."
            if name == "image" and shape == (*wanted[1:], 3):
                hint = "the colours come first in PyTorch: .permute(2, 0, 1)."
            elif name == "mask" and shape == wanted[1:]:
                hint = "the mask needs one colour: [None] puts it in front."
            raise Wrong(hint, given, shape, wanted)
        if part.dtype != torch.uint8:
            raise Wrong(f"keep the {name} in whole bytes, uint8.", given, part.dtype, torch.uint8)
    (image, mask), (right_image, right_mask) = got, expected
    if not torch.equal(mask, right_mask):
        hint = "the mask is that of this pair, shrunk by cv2.INTER_NEAREST_EXACT."
        if set(mask.unique().tolist()) - {0, 1}:
            hint = "the mask holds more than 0 and 1: read_mask and nearest neighbour keep to these two."
        elif (mask != right_mask).float().mean() < 0.05:
            hint = "the mask sits beside the person: INTER_NEAREST_EXACT takes the middle of a square."
        raise Wrong(hint, given, mask, right_mask)
    difference = (image.float() - right_image.float()).abs().mean().item()
    if difference > 4:  # another decoder's rounding, or a JPEG that was not decoded small, is no mistake
        hint = "the picture is another one, or its colours or axes are exchanged."
        if (image.flip(0).float() - right_image.float()).abs().mean() <= 4:
            hint = "red and blue are exchanged: read_image gives RGB already."
        elif np.corrcoef(image.flatten(), right_image.flatten())[0, 1] > 0.6:
            hint = "shrinking must average, or thin things flicker: cv2.INTER_AREA."
        raise Wrong(hint, given, f"{difference:.1f} grey levels off on average", "the same picture")
