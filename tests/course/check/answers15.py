"""Right and common wrong answers to the exercises of notebook 15; test_answers.py asks the checks."""

import numpy as np
from scipy.ndimage import binary_erosion, label
from solutions import solutions

from segkit.metrics import surface_distances

solution = solutions("15")


def enough_by_loop(counts, dice):
    rows = sorted(zip(counts.tolist(), dice.tolist(), strict=True), key=lambda row: np.mean(row[1]))
    least = np.mean(rows[-1][1]) - np.std(rows[-1][1], ddof=1)
    return min(count for count, scores in rows if np.mean(scores) >= least)


def window_by_loop(values, centre, width):
    low, out = centre - width / 2, np.zeros(values.shape, np.uint8)
    for place in np.ndindex(values.shape):
        out[place] = int(255 * min(1, max(0, (values[place] - low) / width)))
    return out


def window_of(values):
    """The centre and the width of a scan's own range."""
    return (values.min() + values.max()) / 2, np.ptp(values)


def patients_in_turn(names, count):
    of = {}
    for name in names:
        of.setdefault(int(name[1:3]), []).append(name)
    return np.concatenate([of[number] for number in sorted(of)[:count]])


def volume_by_columns(mask, affine):
    return np.float32(mask.sum() * np.prod(np.sqrt((affine[:3, :3] ** 2).sum(0))) / 1000)


def volume_by_cross(mask, affine):
    a, b, c = affine[:3, :3].T
    return np.array([np.count_nonzero(mask) * abs(np.dot(a, np.cross(b, c))) * 1e-3])


def hausdorff_by_pairs(pred, target, spacing):
    rims = [np.argwhere(m & ~binary_erosion(m)) * np.array(spacing) for m in (pred, target)]
    far = np.sqrt(((rims[0][:, None] - rims[1][None]) ** 2).sum(-1))
    return max(far.min(0).max(), far.min(1).max())


def lesions_by_scipy(pred, target):
    true, _ = label(target, np.ones((3, 3)))
    called, m = label(pred, np.ones((3, 3)))
    return [len(set(true[pred].tolist()) - {0}), m - len(set(called[target].tolist()) - {0})]


RIGHT = {
    "window": [
        lambda v, c, w: np.interp(v, [c - w / 2, c + w / 2], [0, 255]).round().astype(np.uint8),
        window_by_loop,
    ],
    "split_patients": [lambda *given: set(solution.split_patients(*given)), patients_in_turn],
    "millilitres": [volume_by_columns, volume_by_cross],
    "hausdorff_in_mm": [lambda p, t, s: max(map(max, surface_distances(p, t, s))), hausdorff_by_pairs],
    "lesions_found": [lesions_by_scipy, lambda p, t: np.array(solution.lesions_found(p, t))],
    "enough_pictures": [enough_by_loop, lambda c, d: np.float32(solution.enough_pictures(c, d))],
}


WRONG = {
    "window": [
        ("width / 2", "width // 2", "black at"),
        (lambda v, c, w: np.uint8(np.interp(v, [c - w // 2, c + w // 2], [0, 255])), "black at"),
        (".astype(np.uint8)", "", "must be uint8"),
        ("centre -", "centre + 50 -", "black at"),
        (lambda v, c, w: solution.window(v, *window_of(v.clip(c - w / 2, c + w / 2))), "its own range"),
        (lambda v, c, w: np.where(v > c, np.nan, solution.window(v, c, w)), "no numbers"),
    ],
    "split_patients": [
        (lambda names, count: solution.split_patients(names[1:], count), "both sides"),
        (lambda names, count: names[: 5 * count], "both sides"),
        (lambda names, count: sorted({name[:3] for name in names})[:count], "these are patients"),
        ("[:count]", "[: count + 1]", "not the one asked for"),
        (lambda names, count: ["other"], "not given"),
        (lambda names, count: 3, "a list of names"),
        ("sorted({", "list({", "for name in names})", ": 0 for name in names})", "not the first by number"),
        ("in patients]", "in patients] * 2", "come twice"),
        ("in patients]", "in patients][1:]", "both sides"),
    ],
    "millilitres": [
        (lambda m, a: m.sum() * abs(np.diag(a)[:3].prod()) / 1000, "an axis is turned"),
        (lambda m, a: m.sum() * np.prod(np.sqrt((a[:3, :3] ** 2).sum(1))) / 1000, "marked voxels, times"),
    ],
    "hausdorff_in_mm": [
        ("mask & ~binary_erosion(mask)", "mask", "both ways"),
        (lambda p, t, s: 1.5, "both ways"),
        (lambda p, t, s: surface_distances(p, t, s)[0].max(), "from each to the other"),
        (lambda p, t, s: surface_distances(p, t, s)[1].max(), "from each to the other"),
    ],
    "lesions_found": [
        (lambda p, t: (99, 99), "the reverse"),
    ],
    "enough_pictures": [
        (">=", ">", "IndexError"),
        (lambda counts, dice: counts[dice.mean(1).argmax()], "the best mean"),
        ("return counts", "return np.arange(len(counts))", "place in the list"),
        (lambda counts, dice: 700, "means over seeds"),
        (lambda counts, dice: counts[-1], "all pictures there are"),
        (lambda counts, dice: counts[dice.max(1).argmax()], "single run"),
        ("dice[best].std()", "2 * dice[best].std()", "two standard deviations"),
        ("dice[best].std()", "0.5 * dice[best].std()", "standard error"),
        ("dice[best].std()", "dice.std(1)", "each count's own"),
        ("dice[best].std()", "dice.std()", "not over all runs"),
        ("[0]", "[-1]", "the largest count"),
    ],
}
