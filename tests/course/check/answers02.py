"""Right and common wrong answers to the exercises of notebook 02; test_answers.py asks the checks."""

import hashlib
import random
from pathlib import Path

import numpy as np
import torch


def without_mask(images, masks):
    have = {Path(name).stem for name in masks}
    return sorted(stem for stem in (Path(name).stem for name in images) if stem not in have)


def place(text):
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64


def split_at(where, train=0.7, val=0.85):
    return "train" if where < train else "val" if where < val else "test"


def split_by_scene(names):
    return {name: split_at(place(name[:-1])) for name in names}


def shuffled(names, seed=0):
    scenes = sorted({name[:-1] for name in names})
    order = np.random.default_rng(seed).permutation(scenes)
    places = {scene: i / len(order) for i, scene in enumerate(order)}
    return {name: split_at(places[name[:-1]]) for name in names}


def by_luck(names):
    luck = {name[:-1]: random.random() for name in names}
    return {name: split_at(luck[name[:-1]]) for name in names}


def clean_mask(labels):
    return (labels > labels.max() / 2).astype(np.uint8)


def change_in_place(labels):
    labels[labels < 128] = 0
    return clean_mask(labels)


def make_batch(pairs):
    images = torch.from_numpy(np.stack([image for image, _ in pairs])).permute(0, 3, 1, 2)
    return images, torch.from_numpy(np.stack([mask for _, mask in pairs]))[:, None]


def batch_with(images=lambda x: x.permute(0, 3, 1, 2), masks=lambda x: x[:, None]):
    def make(pairs):
        parts = (torch.from_numpy(np.stack([pair[k] for pair in pairs])) for k in (0, 1))
        return tuple(change(part) for change, part in zip((images, masks), parts, strict=True))

    return make


def correlations(pictures):
    return np.corrcoef(pictures.reshape(len(pictures), -1))


def pairs_above(matrix, keep=lambda i, j: i < j):
    return [(i, j) for i, j in np.argwhere(matrix > 0.98).tolist() if keep(i, j)]


def find_twins(pictures):
    return pairs_above(correlations(pictures))


def cosine(pictures):
    flat = pictures.reshape(len(pictures), -1)
    flat = flat / np.linalg.norm(flat, axis=1, keepdims=True)
    return flat @ flat.T


def nearly_equal(pictures):
    return pairs_above((np.abs(pictures[:, None] - pictures[None]).mean((2, 3)) < 2) * 1.0)


RIGHT = [
    ("without_mask", without_mask),
    ("split_by_scene", split_by_scene),
    ("clean_mask", clean_mask),
    ("make_batch", make_batch),
    ("find_twins", find_twins),
]
WRONG = [
    ("without_mask", lambda images, masks: None, "return"),
    ("without_mask", lambda images, masks: len(without_mask(images, masks)), "list of names"),
    ("without_mask", lambda images, masks: set(without_mask(images, masks)), "sorted"),
    ("without_mask", lambda images, masks: without_mask(images, masks)[::-1], "sorted"),
    ("without_mask", lambda images, masks: sorted(set(images) - set(masks)), "without their endings"),
    (
        "without_mask",
        lambda images, masks: [i for i in sorted(images) if Path(i).stem in without_mask(images, masks)],
        "ending out",
    ),
    ("without_mask", lambda images, masks: without_mask(masks, images), "the reverse"),
    (
        "without_mask",
        lambda images, masks: sorted({i.split(".")[0] for i in images} - {m.split(".")[0] for m in masks}),
        "take away",
    ),
    ("without_mask", lambda images, masks: [], "take away"),
    ("split_by_scene", lambda names: list(names), "dictionary"),
    ("split_by_scene", lambda names: split_by_scene(names[:9]), "every picture"),
    ("split_by_scene", lambda names: {name[:-1]: "train" for name in names}, "under its own name"),
    ("split_by_scene", lambda names: dict.fromkeys(names, "training"), "called train"),
    ("split_by_scene", lambda names: {n: split_at(hash(n[:-1]) % 1000 / 1000) for n in names}, "hash()"),
    ("split_by_scene", lambda names: {name: split_at(place(name)) for name in names}, "hash the scene"),
    ("split_by_scene", shuffled, "its own name alone"),
    ("split_by_scene", by_luck, "on luck"),
    ("split_by_scene", lambda names: dict.fromkeys(names, "train"), "0.7 train"),
    ("split_by_scene", lambda names: {n: split_at(place(n[:-1]), 0.8, 0.9) for n in names}, "0.7 train"),
    ("clean_mask", lambda labels: None, "return"),
    ("clean_mask", lambda labels: labels > 0, "wrong type"),
    ("clean_mask", lambda labels: (labels > 0).astype(np.uint8), "all the dirt"),
    ("clean_mask", lambda labels: (labels > 127).astype(np.uint8), "comes out empty"),
    ("clean_mask", lambda labels: labels / 255, "fractions"),
    ("clean_mask", lambda labels: clean_mask(labels) * 255, "0 and 255"),
    ("clean_mask", lambda labels: (labels == max(1, labels.max())).astype(np.uint8), "exactly 255"),
    ("clean_mask", lambda labels: clean_mask(labels)[0], "keep the shape"),
    ("clean_mask", lambda labels: clean_mask(labels).astype(np.int64), "wrong type"),
    ("clean_mask", lambda labels: 1 - clean_mask(labels), "half of the largest"),
    ("clean_mask", change_in_place, "changed"),
    ("make_batch", lambda pairs: make_batch(pairs)[0], "two tensors"),
    ("make_batch", lambda pairs: make_batch(pairs)[::-1], "images come first"),
    ("make_batch", lambda pairs: tuple(part.numpy() for part in make_batch(pairs)), "from_numpy"),
    ("make_batch", batch_with(images=lambda x: x), "colours still come last"),
    ("make_batch", batch_with(images=lambda x: x.permute(0, 3, 2, 1)), "rows and columns"),
    ("make_batch", batch_with(images=lambda x: x[:1].permute(0, 3, 1, 2)), "wrong shape"),
    ("make_batch", batch_with(masks=lambda x: x), "one colour"),
    ("make_batch", batch_with(images=lambda x: x.permute(0, 3, 1, 2) / 255), "memory"),
    (
        "make_batch",
        batch_with(images=lambda x: x.reshape(len(x), 3, *x.shape[1:3])),
        "permute",
    ),
    ("make_batch", batch_with(images=lambda x: x.permute(0, 3, 1, 2).flip(1)), "red and blue"),
    ("make_batch", batch_with(masks=lambda x: 1 - x[:, None]), "in their places"),
    ("find_twins", lambda pictures: None, "return"),
    ("find_twins", lambda pictures: 3, "list of pairs"),
    ("find_twins", lambda pictures: pairs_above(correlations(pictures), lambda i, j: True), "its own twin"),
    ("find_twins", lambda pictures: pairs_above(correlations(pictures), lambda i, j: i != j), "i < j"),
    ("find_twins", lambda pictures: find_twins(pictures) * 2, "more than once"),
    ("find_twins", lambda pictures: pairs_above(np.abs(correlations(pictures))), "negative"),
    ("find_twins", lambda pictures: pairs_above(cosine(pictures)), "mean away"),
    ("find_twins", nearly_equal, "less contrast"),
    ("find_twins", lambda pictures: [(0, 1), (0, 2)], "np.corrcoef"),
]
