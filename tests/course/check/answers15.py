"""Right and common wrong answers to the exercises of notebook 15; test_answers.py asks the checks."""

import cv2
import numpy as np

from segkit.metrics import hausdorff, mean_surface_distance, surface_distances


def share(values, centre, width):
    return (values - centre + width / 2) / width


def windowed(values, centre, width):
    return (share(values, centre, width).clip(0, 1) * 255).astype(np.uint8)


def of_patients(names, count):
    patients = sorted({name[:3] for name in names})[:count]
    return [name for name in names if name[:3] in patients]


def pieces(mask, connectivity=8):
    count, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=connectivity)
    return [labels == i for i in range(1, count)]


def lesions(pred, target, connectivity=8):
    found = sum((pred & piece).any() for piece in pieces(target, connectivity))
    return found, sum(not (target & piece).any() for piece in pieces(pred))


def enough(counts, dice):
    means = dice.mean(1)
    best = means.argmax()
    return counts[means >= means[best] - dice[best].std()][0]


RIGHT = [
    ("window", windowed),
    ("window", lambda v, c, w: np.interp(v, [c - w / 2, c + w / 2], [0, 255]).round().astype(np.uint8)),
    ("split_patients", of_patients),
    ("split_patients", lambda names, count: set(of_patients(sorted(names), count))),
    ("hausdorff_in_mm", lambda p, t, s: hausdorff(p, t, spacing=s)),
    ("hausdorff_in_mm", lambda p, t, s: max(map(max, surface_distances(p, t, s)))),
    ("lesions_found", lesions),
    ("enough_pictures", enough),
]


WRONG = {
    "window": [
        (lambda v, c, w: share(v, c, w).clip(0, 1), "between 0 and 1"),
        (lambda v, c, w: windowed(v, c, 2 * w), "twice as wide"),
        (lambda v, c, w: ((v - v.min()) / np.ptp(v) * 255).astype(np.uint8), "different in every"),
        (lambda v, c, w: 255 - windowed(v, c, w), "exchanged"),
        (lambda v, c, w: ((share(v, c, w) * 255).astype(int) % 256).astype(np.uint8), "wrap around"),
        (lambda v, c, w: windowed(v, c, w).astype(float), "convert them to uint8"),
        (lambda v, c, w: windowed(v, c + 50, w), "black at"),
        (lambda v, c, w: 3, "same shape"),
    ],
    "split_patients": [
        (lambda names, count: names[: 5 * count], "both sides"),
        (lambda names, count: sorted({name[:3] for name in names})[:count], "these are patients"),
        (lambda names, count: of_patients(names, count + 1), "not the one asked for"),
        (lambda names, count: [], "not the one asked for"),
        (lambda names, count: ["other"], "not given"),
        (lambda names, count: 3, "a list of names"),
    ],
    "hausdorff_in_mm": [
        (lambda p, t, s: max(surface_distances(p, t, s)[1]), "one way only"),
        (lambda p, t, s: hausdorff(p, t), "pixels"),
        (lambda p, t, s: hausdorff(p, t, spacing=s[::-1]), "wrong way round"),
        (lambda p, t, s: mean_surface_distance(p, t, s), "the mean distance"),
        (lambda p, t, s: hausdorff(p, t, 95, s), "HD95"),
        (lambda p, t, s: sum(map(max, surface_distances(p, t, s))), "added"),
        (lambda p, t, s: 1.5, "both ways"),
    ],
    "lesions_found": [
        (lambda p, t: lesions(p, t)[::-1], "exchanged"),
        (lambda p, t: ((p & t).sum(), (p & ~t).sum()), "pixels"),
        (lambda p, t: lesions(p, t, 4), "connectivity 8"),
        (lambda p, t: (lesions(p, t)[0] + 1, lesions(p, t)[1]), "start at 1"),
        (lambda p, t: (lesions(p, t)[0], len(pieces(p))), "touches no true one"),
        (lambda p, t: lesions(p, t)[0], "two numbers"),
        (lambda p, t: (99, 99), "the reverse"),
    ],
    "enough_pictures": [
        (lambda counts, dice: counts[dice.mean(1).argmax()], "the best mean"),
        (lambda counts, dice: list(counts).index(enough(counts, dice)), "place in the list"),
        (lambda counts, dice: 7, "means over seeds"),
    ],
}


WRONG = [(name, *case) for name, cases in WRONG.items() for case in cases]
