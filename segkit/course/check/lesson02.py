"""Checks of lesson 02: pairs, splits that stay put, clean masks, batches, twins."""

import threading
from itertools import pairwise
from pathlib import Path
from unittest import mock

import numpy as np
import torch

from segkit.course.check.core import Case, cases, draws, exercise, reordered
from segkit.data import Preprocessing, find_samples, load_pair_full
from segkit.files import embedded_path

SPLITS = ("train", "val", "test")


def _unpaired(images: list[str], masks: list[str], name_of) -> list[str]:
    return sorted({*map(name_of, images)} - {*map(name_of, masks)})


@cases("take the names of the pictures, and take away those that have a mask.", "a list of names")
def without_mask():
    """File names of pictures and of masks -> sorted names, without ending, of pictures without a mask."""
    for _, rng in draws(5):
        # Some are a part of others, and some end in letters of an ending.
        stems = [word + end for word in ("tim", "lea.cut", "IMG_") for end in ("1", "2", "12", "2_open")]
        rng.shuffle(stems)
        images = [stem + str(rng.choice([".jpg", ".png", ".jpeg"])) for stem in stems]
        masks = [f"{stem}.png" for stem in stems[2:-2]] + ["stranger.png"]
        rng.shuffle(masks)
        cuts = lambda name: Path(name).stem, lambda name: name.split(".")[0], lambda name: name[:-4], str
        right, first_dot, of_four, whole = (_unpaired(images, masks, cut) for cut in cuts)
        inside = [stem for stem in right if not any(stem in name for name in masks)]
        mistakes = {
            "names are text: strings.": lambda got: not all(isinstance(name, str) for name in got),
            "the right ones, but not in a sorted list: sorted(...) makes one.": reordered(right),
            "an ending need not have four characters: .jpeg has five. Try Path(name).stem.": of_four,
            "leave the ending out: Path(name).stem does.": sorted(images[:2] + images[-2:]),
            "tim1 stands in tim12.png, which is no mask of it: compare whole names.": inside,
            "that one is a mask without a picture: the reverse is asked for.": ["stranger"],
            "tim.jpg and tim.png are a pair: compare the names without their endings.": whole,
            "a name may hold a dot of its own: only the last starts the ending. Try Path.stem.": first_dot,
        }
        yield (images, masks), right, mistakes


@exercise
def split_by_scene(answer):
    """Names such as "s0342a" -> name -> split, whole scenes, 70/15/15, and nobody moves."""
    names = [f"s{number:04d}{view}" for number in range(3000) for view in "abcd"[: 1 + number % 4]]
    case = Case("a dictionary from name to split", f"{len(names)} names, such as {names[1]}")
    plain, here, hashed = hash, threading.get_ident(), []

    def watched(value):
        if threading.get_ident() == here and isinstance(value, str | bytes | tuple):
            hashed.append(value)
        return plain(value)

    with mock.patch("builtins.hash", watched):  # whatever function of the reader's calls it
        got = answer(names)
    if not isinstance(got, dict):
        case.refuse(got, "a dictionary from name to split")
    if set(got) != set(names):
        keys = f"{len(got)} keys, such as {next(iter(got), None)!r}"
        case.wrong("every picture needs its split, under its own name.", keys)
    if odd := set(got.values()) - set(SPLITS):
        case.wrong("the splits are called train, val and test.", sorted(map(str, odd)), SPLITS)
    if hashed:
        case.wrong("hash() is another each time Python starts: use hashlib.sha256.", f"hash({hashed[0]!r})")
    for first, second in pairwise(names):
        if first[:-1] == second[:-1] and got[first] != got[second]:
            case.given = f"{first} and {second}"
            case.wrong("one scene on two sides: hash the scene.", f"{got[first]} and {got[second]}")
    for others in (names, names[::-1], names[100:], ["a0000a", *names]):
        case.given, again = f"{len(others)} names after those, {others[0]} first", answer(others)
        if moved := [name for name in names if name in again and again[name] != got[name]]:
            hint = "the place of a scene may depend on its own name alone: no list, no order, no luck."
            shown = f"{len(moved)} moved, such as {moved[0]} from {got[moved[0]]} to {again[moved[0]]}"
            case.wrong(hint, shown, "nobody moves")
    scenes = {name[:-1]: split for name, split in got.items()}
    shares = [list(scenes.values()).count(split) / len(scenes) for split in SPLITS]
    case = Case((0.7, 0.15, 0.15), f"{len(scenes)} scenes")
    hint = "the shares are off: a number between 0 and 1, below 0.7 train, below 0.85 val, above test."
    case.compare(tuple(shares), {}, hint, atol=0.05)
    if len({(name[:-2], split) for name, split in got.items()}) == len({name[:-2] for name in names}):
        case.wrong("ten scenes stay together: a scene is all of its name but the last letter, name[:-1].")


@cases("half of the largest value is a cut that suits all three kinds.", dtype="uint8")
def clean_mask():
    """uint8 labels: 0/1, 0/255, or a JPEG of 0/255 -> uint8 {0, 1}."""
    for seed, rng in draws(4):
        truth = np.zeros((6, 8), np.uint8)
        truth[1 : 4 + seed % 2, 2 : 5 + seed] = 1
        dirt = rng.integers(0, 40, truth.shape, dtype=np.uint8)
        dirt[rng.random(truth.shape) < 0.5] = 0
        dirt[0, 0] = dirt[2, 3] = 105  # a poor JPEG comes near the middle, from both sides
        nobody, everybody, jpeg = truth * 0, truth * 0 + 1, np.where(truth > 0, 255 - dirt, dirt)
        of_truth = [(labels, truth) for labels in (truth, truth * 255, jpeg)]
        for labels, right in (*of_truth, (nobody, nobody), (everybody, everybody)):
            at_largest = np.uint8(labels == max(1, labels.max()))
            mistakes = {
                "twice 255 is 254 in uint8: halve the largest.": np.uint8(labels * 2 > labels.max()),
                "0 and 1 are asked for, not 0 and 255.": right * 255,
                "> 0 makes a person of all the dirt: cut in the middle.": np.uint8(labels > 0),
                "a person pixel of a JPEG need not be exactly 255: cut in the middle.": at_largest,
                "a mask of 0 and 1 comes out empty. Where is *its* middle?": np.uint8(labels > 127),
                "dividing leaves fractions: compare instead.": lambda got: got.dtype.kind == "f",
            }
            yield (labels,), right, mistakes, f"labels {np.unique(labels).tolist()}"


@exercise
def make_batch(answer):
    """Pairs of uint8 arrays (H, W, 3) and (H, W) -> uint8 tensors (N, 3, H, W) and (N, 1, H, W)."""
    for (_, rng), (count, height, width) in zip(draws(3), ((3, 4, 6), (1, 5, 5), (4, 8, 3)), strict=True):
        images = rng.integers(0, 256, (count, height, width, 3), dtype=np.uint8)
        masks = rng.integers(0, 2, (count, height, width), dtype=np.uint8)
        case = Case(given=f"{count} pairs of {height} x {width} pixels")
        got = case.items(answer(list(zip(images, masks, strict=True))), 2, "two tensors: images, masks")
        right = images.transpose(0, 3, 1, 2), masks[:, None]
        parts = zip(("images", "masks"), got, right, right[::-1], strict=True)
        for name, part, case.expected, other in parts:
            mistakes = {
                "masks and images are exchanged: images come first.": other,
                "rows and columns are exchanged.": case.expected.swapaxes(2, 3),
                "reshape deals the numbers out anew: permute.": images.reshape(right[0].shape),
                "red and blue are exchanged.": case.expected[:, ::-1],
            }
            array = _bytes(part, name, case, mistakes)
            case.compare(array, mistakes, f"the {name} have the right shape, but not the right numbers.")


def _bytes(part, name: str, case: Case, mistakes: dict) -> np.ndarray:
    """A tensor of bytes as an array of the expected shape.   mistakes: of shape.   Raises: Wrong."""
    colours_last, no_colour = np.moveaxis(case.expected, -3, -1), case.expected[..., 0, :, :]
    if not isinstance(part, torch.Tensor):
        case.wrong(f"the {name}: torch.from_numpy makes a tensor.", type(part).__name__, "Tensor")
    shapes = {
        "the colours still come last: .permute brings them before rows and columns.": colours_last,
        "the one colour of a mask is missing: [:, None] adds it to many, [None] to one.": no_colour,
    }
    array = case.array(part, f"{name} of shape {tuple(case.expected.shape)}", shapes | mistakes)
    case.dtype(array, "uint8", f"keep the {name} whole: decimals take four times the memory.")
    return array


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
    for _, rng in draws(12):
        pictures = _twins_and_others(rng)[order := rng.permutation(12)]
        matrix = np.corrcoef(pictures.reshape(12, -1))
        twins = [(int(i), int(j)) for i, j in np.argwhere(np.triu(matrix, 1) > 0.98)]
        case, result = Case(twins, "12 pictures of 8 x 8 pixels"), answer(pictures)
        try:
            pairs = sorted((int(i), int(j)) for i, j in result)
        except (TypeError, ValueError):
            case.refuse(result, "a list of pairs (i, j)")
        found, right, turned = set(pairs), set(twins), {tuple(sorted(pair)) for pair in pairs}
        negative = tuple(sorted(int(np.flatnonzero(order == one)[0]) for one in (3, 5)))
        most = max((matrix[i % 12, j % 12] for i, j in found - right), default=0)
        mistakes = {
            "every picture is its own twin: leave i = j out.": any(i == j for i, j in pairs),
            "a pair is there twice, or its larger number first: keep the ones with i < j.": turned == right,
            "a negative (correlation -1) is not a copy: no abs().": found == right | {negative},
            "count the pictures from 0.": found == {(i + 1, j + 1) for i, j in twins},
            "nearly all pairs: take each picture's mean away, or all greys are alike.": len(found) > 30,
            "copies are missing: one that is brighter, or has less contrast, correlates too.": found < right,
            f"one pair's correlation over all pixels is {most:.2f}: 0.98 is the border.": found > right,
        }
        otherwise = "np.corrcoef(pictures.reshape(len(pictures), -1)) holds all correlations."
        case.compare(pairs, mistakes, otherwise)


@exercise
def pair_dataset(answer):
    """A class: answer(samples, size) with a length, and [i] -> (image, mask) as segkit's own."""
    if not callable(answer):
        Case().wrong("hand over the class itself, without calling it.", type(answer).__name__)
    samples = find_samples(embedded_path("people"))
    for (_, rng), (size, count) in zip(draws(2), ((64, 10), (80, 2)), strict=True):
        chosen = [samples[i] for i in rng.choice(len(samples), count, replace=False)]
        dataset, case = answer(chosen, size), Case(given=f"{count} samples, size {size}")
        if not isinstance(dataset, torch.utils.data.Dataset):
            case.wrong("derive it from torch.utils.data.Dataset, as the stub does.", dataset)
        if (length := case.run(dataset.__len__)) != count:
            case.wrong("its length is the number of pairs.", length, count)
        shrink = Preprocessing(size=size)
        for index, sample in enumerate(chosen):
            asked = Case(given=f"[{index}] of {case.given}: {sample.name}")
            image, mask = load_pair_full(sample)
            right = shrink.resize(image).transpose(2, 0, 1), shrink.resize_mask(mask)[None]
            _same_pair(asked.run(dataset.__getitem__, index), *right, asked)


def _same_pair(got, right_image: np.ndarray, right_mask: np.ndarray, case: Case) -> None:
    """Raises: Wrong where a pair is not the one that segkit makes."""
    parts = case.items(got, 2, "two tensors: image, mask")
    case.expected = right_image
    image = _bytes(parts[0], "image", case, {})
    case.expected = right_mask
    mask = _bytes(parts[1], "mask", case, {})
    beside = (mask != right_mask).mean() < 0.05
    mistakes = {
        "the mask is empty: read_mask gives 0 and 1, of which none is over 127.": not mask.any(),
        "the mask holds more than 0 and 1: read_mask and nearest neighbour keep to these.": mask.max() > 1,
        "the mask sits beside the person: INTER_NEAREST_EXACT takes the middle of a square.": beside,
    }
    case.compare(mask, mistakes, "the mask is that of this pair, shrunk by cv2.INTER_NEAREST_EXACT.")
    off = np.abs(image.astype(float) - right_image).mean()
    if off > 4:  # another decoder's rounding is no mistake
        hint = "the picture is another one, or its colours or axes are exchanged."
        if np.abs(image[::-1].astype(float) - right_image).mean() <= 4:
            hint = "red and blue are exchanged: read_image gives RGB already."
        elif np.corrcoef(image.flat, right_image.flat)[0, 1] > 0.6:
            hint = "shrinking must average, or thin things flicker: cv2.INTER_AREA."
        case.wrong(hint, f"{off:.1f} grey levels off on average", "the same picture")
