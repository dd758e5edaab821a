"""Right and common wrong answers to the exercises of notebook 02; test_answers.py asks the checks."""

import hashlib
import random

import cv2
import numpy as np
import torch
from PIL import Image
from solutions import solutions

from segkit.data import load_pair_full
from segkit.files import read_image, read_labels, read_mask

solution = solutions("02")


def without_by_endings(images, masks):
    found = {name[: name.rindex(".")] for name in images}
    for name in masks:
        found.discard(name[: name.rindex(".")])
    return tuple(sorted(found))


def place(text):
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64


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


def change_in_place(labels):
    labels[labels < 128] = 0
    return solution.clean_mask(labels)


def batch_with(images=lambda x: x.permute(0, 3, 1, 2), masks=lambda x: x[:, None]):
    def make(pairs):
        parts = (torch.from_numpy(np.stack([pair[k] for pair in pairs])) for k in (0, 1))
        return tuple(change(part) for change, part in zip((images, masks), parts, strict=True))

    return make


def tensors(pair):
    return torch.tensor(pair[0]).movedim(-1, 0), torch.tensor(pair[1]).unsqueeze(0)


def twins_by_hand(pictures):
    flat = pictures.reshape(len(pictures), -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    flat /= np.linalg.norm(flat, axis=1, keepdims=True)
    return {(i, j) for j in range(len(flat)) for i in range(j) if flat[i] @ flat[j] > 0.98}


def correlations(pictures):
    return np.corrcoef(pictures.reshape(len(pictures), -1))


def pairs_above(matrix, keep=lambda i, j: i < j, border=0.98):
    return [(i, j) for i, j in np.argwhere(matrix > border).tolist() if keep(i, j)]


def cosine(pictures):
    flat = pictures.reshape(len(pictures), -1)
    flat = flat / np.linalg.norm(flat, axis=1, keepdims=True)
    return flat @ flat.T


def nearly_equal(pictures):
    return pairs_above((np.abs(pictures[:, None] - pictures[None]).mean((2, 3)) < 2) * 1.0)


def pairs_with(
    image=lambda image: torch.from_numpy(image).permute(2, 0, 1),
    mask=lambda mask: torch.from_numpy(mask)[None],
    area=cv2.INTER_AREA,
    nearest=cv2.INTER_NEAREST_EXACT,
    read=read_mask,
    count=len,
    finish=lambda image, mask: (image, mask),
):
    """The class that the lesson asks for, with a change."""

    class Pairs(torch.utils.data.Dataset):
        def __init__(self, samples, size):
            self.samples, self.size = samples, (size, size)

        def __len__(self):
            return count(self.samples)

        def __getitem__(self, index):
            sample = self.samples[index]
            pixels = cv2.resize(read_image(sample.image), self.size, interpolation=area)
            labels = cv2.resize(read(sample.mask), self.size, interpolation=nearest)
            return finish(image(pixels), mask(labels))

    return Pairs


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
    "pair_dataset": [pairs_with(finish=lambda *pair: list(pair)), PairsByPillow],
}
WRONG = {
    "without_mask": [
        (lambda images, masks: set(solution.without_mask(images, masks)), "sorted"),
        (lambda images, masks: solution.without_mask(images, masks)[::-1], "sorted"),
        (lambda images, masks: [1, 2], "strings"),
    ],
    "split_by_scene": [
        (lambda names: list(names), "dictionary"),
        (lambda names: {name[:-1]: "train" for name in names}, "under its own name"),
        (lambda names: dict.fromkeys(names, "training"), "called train"),
        (lambda names: {n: split_at(hash(n[:-1]) % 1000 / 1000) for n in names}, "hash()"),
        (lambda names: {n: split_at(hash_in_a_helper(n[:-1])) for n in names}, "hash()"),
        (lambda names: {name: split_at(place(name)) for name in names}, "hash the scene"),
        (shuffled, "its own name alone"),
        (by_luck, "no luck"),
        (lambda names: {n: split_at(place(n[:-1]), 0.8, 0.9) for n in names}, "0.7 train"),
    ],
    "clean_mask": [
        (lambda labels: labels > 0, "must be uint8"),
        (lambda labels: np.uint8(labels > labels.max() * 0.2), "half of the largest"),
        (lambda labels: np.uint8(labels > labels.max() * 0.84), "half of the largest"),
        (lambda labels: labels / 255, "fractions"),
        (change_in_place, "changed"),
    ],
    "make_batch": [
        (lambda pairs: solution.make_batch(pairs)[0], "two tensors"),
        (lambda pairs: solution.make_batch(pairs)[::-1], "images come first"),
        (lambda pairs: tuple(part.numpy() for part in solution.make_batch(pairs)), "from_numpy"),
        (batch_with(images=lambda x: x), "colours still come last"),
        (batch_with(images=lambda x: x.permute(0, 3, 2, 1)), "rows and columns"),
        (batch_with(images=lambda x: x[:1].permute(0, 3, 1, 2)), "images of shape (3, 3, 4, 6)"),
        (batch_with(masks=lambda x: x), "one colour"),
        (batch_with(images=lambda x: x.permute(0, 3, 1, 2) / 255), "memory"),
        (batch_with(images=lambda x: x.reshape(len(x), 3, *x.shape[1:3])), "permute"),
        (batch_with(images=lambda x: x.permute(0, 3, 1, 2).flip(1)), "red and blue"),
        (batch_with(masks=lambda x: 1 - x[:, None]), "not the right numbers"),
    ],
    "find_twins": [
        (lambda pictures: 3, "list of pairs"),
        (lambda pictures: pairs_above(correlations(pictures), lambda i, j: True), "its own twin"),
        (lambda pictures: pairs_above(correlations(pictures), lambda i, j: i != j), "i < j"),
        (lambda pictures: solution.find_twins(pictures) * 2, "more than once"),
        (lambda pictures: pairs_above(np.abs(correlations(pictures))), "negative"),
        (lambda pictures: pairs_above(cosine(pictures)), "mean away"),
        (nearly_equal, "less contrast"),
        (lambda pictures: [(0, 1), (0, 2)], "np.corrcoef"),
        (lambda pictures: pairs_above(correlations(pictures), border=0.5), "0.98 is the border"),
        (lambda pictures: solution.find_twins(pictures.mean(axis=1)), "over all pixels"),
        (lambda pictures: solution.find_twins(pictures.mean(axis=2)), "over all pixels"),
        (lambda pictures: [(i + 1, j + 1) for i, j in solution.find_twins(pictures)], "from 0"),
    ],
    "pair_dataset": [
        (pairs_with()([], 8), "the class itself"),
        (lambda samples, size: [load_pair_full(one) for one in samples], "Dataset"),
        (pairs_with(count=lambda samples: 1 + len(samples)), "number of pairs"),
        (pairs_with(finish=lambda image, mask: image), "two tensors"),
        (pairs_with(image=lambda image: image), "makes a tensor"),
        (pairs_with(image=torch.from_numpy), "colours come first"),
        (pairs_with(image=lambda i: torch.from_numpy(i).permute(2, 1, 0)), "axes"),
        (pairs_with(image=lambda i: torch.from_numpy(i).permute(2, 0, 1).flip(0)), "RGB"),
        (pairs_with(image=lambda i: torch.from_numpy(i).permute(2, 0, 1) / 255), "image whole"),
        (pairs_with(mask=torch.from_numpy), "one colour"),
        (pairs_with(area=cv2.INTER_NEAREST), "must average"),
        (pairs_with(area=cv2.INTER_LINEAR), "must average"),
        (pairs_with(nearest=cv2.INTER_NEAREST), "beside the person"),
        (pairs_with(read=read_labels), "more than 0 and 1"),
        (pairs_with(read=lambda path: 1 / 0), "ZeroDivisionError"),
    ],
}
