"""Right and common wrong answers to the exercises of notebook 02; test_answers.py asks the checks."""

import hashlib
import random

import numpy as np
import torch
from PIL import Image
from solutions import solutions

from segkit.data import load_pair_full
from segkit.files import read_labels, read_mask

solution = solutions("02")
changed = solution.changed


def without_by_endings(images, masks):
    found = {name[: name.rindex(".")] for name in images}
    for name in masks:
        found.discard(name[: name.rindex(".")])
    return tuple(sorted(found))


def split_at(where, train=0.7, val=0.85):
    return "train" if where < train else "val" if where < val else "test"


def split_by_md5(names):
    numbers = {name: int(hashlib.md5(name[:-1].encode()).hexdigest()[:8], 16) for name in names}
    return {name: split_at(number / 16**8) for name, number in numbers.items()}


def hash_in_a_helper(scene):
    return hash(scene) % 1000 / 1000


def shuffled(names, seed=0):
    scenes = sorted({name[:-1] for name in names})
    order = np.random.default_rng(seed).permutation(scenes)
    places = {scene: i / len(order) for i, scene in enumerate(order)}
    return {name: split_at(places[name[:-1]]) for name in names}


def by_luck(names):
    luck = {name[:-1]: random.random() for name in names}
    return {name: split_at(luck[name[:-1]]) for name in names}


def tensors(pair):
    return torch.tensor(pair[0]).movedim(-1, 0), torch.tensor(pair[1]).unsqueeze(0)


def twins_by_hand(pictures):
    flat = pictures.reshape(len(pictures), -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    flat /= np.linalg.norm(flat, axis=1, keepdims=True)
    return {(i, j) for j in range(len(flat)) for i in range(j) if flat[i] @ flat[j] > 0.98}


class PairsByPillow(torch.utils.data.Dataset):
    def __init__(self, samples, size):
        files = [(Image.open(sample.image), Image.open(sample.mask)) for sample in samples]
        self.pairs = [(image.convert("RGB"), mask.convert("L")) for image, mask in files]
        self.size = (size, size)

    def __len__(self):
        return len(self.pairs)

    def __getitem__(self, index):
        image, mask = self.pairs[index]
        image = np.array(image.resize(self.size, Image.Resampling.BOX))
        mask = np.array(mask.resize(self.size, Image.Resampling.NEAREST)) > 127
        return torch.tensor(image).permute(2, 0, 1), torch.tensor(mask)[None].byte()


PLACE = 'int.from_bytes(digest[:8], "big") / 2**64'
CORRELATIONS = "np.corrcoef(pictures.reshape(len(pictures), -1))"
SIZES = "np.sqrt((pictures**2).sum((1, 2)))"
COSINES = f"np.einsum('ikl,jkl->ij', pictures, pictures) / {SIZES} / {SIZES}[:, None]"
CHANNELS_FIRST = ".permute(0, 3, 1, 2)"

RIGHT = {
    "without_mask": [lambda names, masks: np.array(solution.without_mask(names, masks)), without_by_endings],
    "split_by_scene": [
        split_by_md5,
        lambda names: {n: split_at(random.Random(n[:5]).random()) for n in names},
    ],
    "clean_mask": [
        lambda labels: np.uint8(labels > 127) if labels.max() > 1 else labels.copy(),
        lambda labels: np.where(labels >= max(1, labels.max() // 2), 1, 0).astype("uint8"),
    ],
    "make_batch": [
        lambda pairs: [torch.stack(parts) for parts in zip(*map(tensors, pairs), strict=True)],
        lambda pairs: tuple(part.contiguous() for part in solution.make_batch(pairs)),
    ],
    "find_twins": [lambda pictures: np.array(solution.find_twins(pictures)[::-1]), twins_by_hand],
    "pair_dataset": [
        changed("PairDataset", "return torch", "return list((torch", "(mask)[None]", "(mask)[None]))"),
        PairsByPillow,
    ],
}
WRONG = {
    "without_mask": [
        ("return sorted", "return set", "sorted"),
        ("return sorted", "return list", "sorted"),
        (lambda images, masks: [1, 2], "strings"),
        ("in images if", "in images[:-1] if", "take the names"),
        (
            "in images if Path(name).stem not in have",
            "in images if Path(name).stem not in ' '.join(masks)",
            "whole names",
        ),
        ("sorted(Path(name).stem for", "sorted(name.rstrip('.jpegn') for", "take the names"),
    ],
    "split_by_scene": [
        (lambda names: list(names), "dictionary"),
        ("splits[name]", "splits[name[:-1]]", "under its own name"),
        ('"train"', '"training"', "called train"),
        (PLACE, "hash(name[:-1]) % 1000 / 1000", "hash()"),
        (changed("split_by_scene", PLACE, "helper(name[:-1])", helper=hash_in_a_helper), "hash()"),
        ("name[:-1]", "name", "hash the scene"),
        ("name[:-1]", "name[:-2]", "ten scenes"),
        ("0.7", "1.0", "0.7 train"),
        (shuffled, "its own name alone"),
        (by_luck, "no luck"),
        ("0.7", "0.8", "0.85", "0.9", "0.7 train"),
    ],
    "clean_mask": [
        (".astype(np.uint8)", "", "must be uint8"),
        ("/ 2", "* 0.2", "half of the largest"),
        ("/ 2", "* 0.84", "half of the largest"),
        (lambda labels: labels / 255, "fractions"),
        ("labels > labels.max() / 2", "2 * labels > labels.max()", "twice 255"),
        ("return", "labels[labels < 128] = 0\n    return", "changed"),
    ],
    "make_batch": [
        (", torch.from_numpy(masks)[:, None]", "", "two tensors"),
        (lambda pairs: solution.make_batch(pairs)[::-1], "images come first"),
        ("torch.from_numpy(masks)", "masks", "from_numpy"),
        (CHANNELS_FIRST, "", "colours still come last"),
        ("(0, 3, 1, 2)", "(0, 3, 2, 1)", "rows and columns"),
        (CHANNELS_FIRST, f"[:1]{CHANNELS_FIRST}", "images of shape (3, 3, 4, 6)"),
        ("[:, None]", "", "one colour"),
        (CHANNELS_FIRST, f"{CHANNELS_FIRST} / 255", "memory"),
        (CHANNELS_FIRST, ".reshape(len(images), 3, *images.shape[1:3])", "permute"),
        (CHANNELS_FIRST, f"{CHANNELS_FIRST}.flip(1)", "red and blue"),
        ("torch.from_numpy(masks)", "1 - torch.from_numpy(masks)", "not the right numbers"),
    ],
    "find_twins": [
        ("i < j", "i < j - 1", "copies are missing"),
        (lambda pictures: 3, "list of pairs"),
        (" if i < j", "", "its own twin"),
        ("i < j", "i > j", "larger number first"),
        ("i < j", "i != j", "i < j"),
        (lambda pictures: solution.find_twins(pictures) * 2, "there twice"),
        ("matrix >", "abs(matrix) >", "negative"),
        (CORRELATIONS, COSINES, "mean away"),
        (CORRELATIONS, "2 - np.abs(pictures[:, None] - pictures).mean((2, 3))", "> 0.98", "> 0", "contrast"),
        (lambda pictures: [(0, 1), (0, 2)], "np.corrcoef"),
        ("> 0.98", "> 0.5", "0.98 is the border"),
        (lambda pictures: solution.find_twins(pictures.mean(axis=1)), "over all pixels"),
        (lambda pictures: solution.find_twins(pictures.mean(axis=2)), "over all pixels"),
        ("[(i, j)", "[(i + 1, j + 1)", "from 0"),
    ],
    "pair_dataset": [
        (solution.PairDataset([], 8), "the class itself"),
        (lambda samples, size: [load_pair_full(one) for one in samples], "Dataset"),
        ("len(self.samples)", "1 + len(self.samples)", "number of pairs"),
        (", torch.from_numpy(mask)[None]", "", "two tensors"),
        ("torch.from_numpy(image).permute(2, 0, 1)", "image", "makes a tensor"),
        (".permute(2, 0, 1)", "", "colours still come last"),
        ("(2, 0, 1)", "(2, 1, 0)", "axes"),
        ("(2, 0, 1)", "(2, 0, 1).flip(0)", "RGB"),
        ("(2, 0, 1)", "(2, 0, 1) / 255", "image whole"),
        ("[None]", "", "one colour"),
        ("INTER_AREA", "INTER_NEAREST", "must average"),
        ("INTER_AREA", "INTER_LINEAR", ", at_least=self.size", "", "must average"),
        ("INTER_NEAREST_EXACT", "INTER_NEAREST", "beside the person"),
        (changed("PairDataset", read_mask=read_labels), "more than 0 and 1"),
        (changed("PairDataset", read_mask=lambda path: np.uint8(read_mask(path) > 127)), "mask is empty"),
        (changed("PairDataset", read_mask=lambda path: 1 / 0), "ZeroDivisionError"),
    ],
}
