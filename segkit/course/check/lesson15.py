"""Other domains: the exercises of notebook 15."""

import cv2
import numpy as np

from segkit.course.check.core import Case, cases, draws, either, exercise, generator
from segkit.metrics import hausdorff, surface_distances


@cases("black at centre - width / 2 and below, white at centre + width / 2.", dtype="uint8", rtol=0, atol=1)
def window():
    """CT values as a grey picture, answer(values, centre, width): float (H, W) -> uint8 (H, W)."""
    windows = (40, 400), (-600, 1500), (50, 75), (0, 4000)  # the last is wider than what the scan holds
    for (_, rng), (centre, width) in zip(draws(4), windows, strict=True):
        values = rng.uniform(-1000, 1500, (3, 4)).round()
        values[0] = centre + np.array([0, -width, width, -0.4 * width]) * (width < 4000)
        share = (values - (centre - width / 2)) / width
        grey = share.clip(0, 1) * 255
        own_range = (values - values.min()) / np.ptp(values)
        wrapped = ((share * 255).astype(np.int64) & 255).astype(float)
        mistakes = {
            "some values are no numbers.": lambda got: not np.isfinite(got).all(),
            "these lie between 0 and 1: a picture of uint8 goes to 255.": share.clip(0, 1),
            "twice as wide: it goes from centre - width / 2.": (share / 2 + 0.25).clip(0, 1) * 255,
            "by its own range, the same tissue is another grey in every scan.": 255 * own_range,
            "black and white are exchanged.": 255 - grey,
            "values outside of the window wrap around in uint8: clip before you convert.": wrapped,
        }
        yield (values, centre, width), grey, mistakes


@exercise
def split_patients(answer) -> None:
    """Names for the test split, answer(names, count): all names of the first `count` patients by number."""
    for count, (_, rng) in zip((1, 3, 7), draws(3), strict=True):
        numbers = sorted(rng.choice(60, 7, replace=False).tolist())
        names = [f"p{p:02}_z{z:02}" for p in numbers for z in range(10, 10 + int(rng.integers(3, 9)))]
        names = [names[-1], *rng.permutation(names[:-1]).tolist()]  # the last patient comes first
        first = {f"p{number:02}" for number in numbers[:count]}
        expected = {name for name in names if name[:3] in first}
        given = f"{len(names)} names of the patients {numbers}, such as {names[0]} first; count {count}"
        case = Case(f"{len(expected)} names, all of {', '.join(sorted(first))}", given)
        got = list(map(str, case.listed(answer(names, count), "a list of names")))
        test, patients = set(got), {name[:3] for name in got}
        shown = f"{len(got)} names of {', '.join(sorted(patients)) or 'nobody'}"
        if test and test <= {name[:3] for name in names}:
            case.wrong("these are patients: return the names of all their slices.", sorted(test))
        if not test <= set(names):
            case.wrong("some of these names were not given.", sorted(test - set(names))[:3])
        cut = patients & {name[:3] for name in set(names) - test}
        mistakes = {
            "some names come twice: each picture is tested once.": len(test) < len(got),
            "a patient has slices on both sides: the network then knows who is tested.": bool(cut),
            "the number of patients is not the one asked for.": len(patients) != count,
        }
        otherwise = "whole patients, but not the first by number: in `names` they come in any order."
        Case(sorted(expected), given).compare(sorted(got), mistakes, otherwise, (shown, case.expected))


@cases("marked voxels, times the volume of one in mm, over 1000.", rtol=1e-4)
def millilitres():
    """Volume of a mask, answer(mask, affine): bool (X, Y, Z), affine (4, 4) from voxels to mm -> ml."""
    for seed, rng in draws(5):
        sizes = rng.uniform(0.6, 4, 3).round(1)
        sizes[0] *= -1 if seed % 2 else 1
        axes = np.diag(sizes)
        if seed == 2:
            axes = axes[[1, 2, 0]]  # the scanner's axes come in another order
        if seed >= 3:
            c, s = np.cos(0.4), np.sin(0.4)
            axes = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ axes
        affine = np.eye(4)
        affine[:3] = np.column_stack([axes, rng.uniform(-100, 100, 3).round(1)])
        mask = rng.random((9, 8, 7)) < 0.4
        count, of_one = int(mask.sum()), np.prod(np.abs(sizes)) / 1000
        of_diagonal = either(*(sign * count * np.prod(np.diag(axes)) / 1000 for sign in (1, -1)))
        mistakes = {
            "these are cubic millimetres: a millilitre is a thousand of them.": 1000 * count * of_one,
            "a volume is not negative: this scanner counts one axis backwards.": -count * of_one,
            "the diagonal is no spacing where an axis is turned: take the determinant.": of_diagonal,
            "these are voxels: each has a size in mm, in the affine.": count,
            "these are all voxels: count the marked ones.": mask.size * of_one,
        }
        given = f"{count} of {mask.size} voxels are marked, affine {affine.round(2).tolist()}"
        yield (mask, affine), count * of_one, mistakes, given


@cases("the farthest surface pixel of one from the nearest of the other, both ways, in mm.", rtol=1e-4)
def hausdorff_in_mm():
    """Hausdorff distance in millimetres, answer(pred, target, spacing): bool (H, W), (mm down, mm across)."""
    for seed, spacing in enumerate(((3.0, 0.5), (0.7, 2.0), (1.0, 1.0), (2.0, 1.0))):
        rng = generator(seed)
        pred, target = np.zeros((2, 40, 48), np.uint8)
        for mask in (pred, target):
            cv2.circle(mask, rng.integers(14, 27, 2).tolist(), int(rng.integers(4, 9)), 1, -1)
        (pred, target)[seed % 2][36, 3 + 4 * seed] = 1  # one stray pixel
        if seed == 3:  # a hole has a surface too
            pred = np.pad(np.ones((9, 9), np.uint8), ((12, 19), (14, 25)))
            target, pred[16, 18] = pred.copy(), 0
        pred, target = pred > 0, target > 0
        there, back = surface_distances(pred, target, spacing)
        mistakes = {
            "this looks one way only: from each to the other.": either(there.max(), back.max()),
            "these are pixels: a step down or across has its own length in mm.": hausdorff(pred, target),
            "the spacing is the wrong way round.": hausdorff(pred, target, spacing=spacing[::-1]),
            "this is the mean distance. Hausdorff is the worst one.": np.concatenate([there, back]).mean(),
            "this is HD95. Here the worst pixel counts.": hausdorff(pred, target, 95, spacing),
            "the two ways are added: take the larger.": there.max() + back.max(),
        }
        yield (pred, target, spacing), hausdorff(pred, target, spacing=spacing), mistakes


@cases("found: true pieces with any predicted pixel. Alarms: the reverse.", "2 numbers: found, false_alarms")
def lesions_found():
    """How many true lesions were touched, and how many predicted ones touch none: answer(pred, target).

    pred, target: bool (H, W).   Wanted: two whole numbers, (found, false_alarms). Pixels that meet at a
    corner belong to one lesion.
    """
    for seed, rng in draws(4):
        target, pred = np.zeros((40, 40), bool), np.zeros((40, 40), bool)
        cells = rng.permutation(16)
        for i, cell in enumerate(cells[:10]):
            y, x = 10 * (cell // 4) + 2, 10 * (cell % 4) + 2
            if i < 7:
                target[y : y + 3, x : x + 3] = True
                target[y + 3, x + 3] = True  # hangs on by a corner
            if i < 3:
                pred[y + 1 : y + 5, x + 2 : x + 5] = True
            if i in (1, 2):
                pred[y, x] = True  # a second piece on the same lesion
            if i > 6:
                pred[y : y + 2, x : x + 2] = True
                pred[y + 2, x + 2] = seed % 2
        pred[-1, -1] = seed == 3
        (trues, true), (calls, called) = _pieces(target), _pieces(pred)
        found = len(set(true[pred]) - {0})
        alarms = calls - len(set(called[target]) - {0})
        in_four, in_both = len(set(_pieces(target, connectivity=4)[1][pred]) - {0}), _pieces(pred & target)[0]
        mistakes = {
            "the two numbers are exchanged.": (alarms, found),
            "these are all true lesions: count those with a predicted pixel.": (trues, alarms),
            "two predicted pieces may touch one lesion: it is found once.": (in_both, alarms),
            "these are pixels: count pieces.": (int((pred & target).sum()), int((pred & ~target).sum())),
            "two predicted pieces may touch one lesion: count those that touch none.": (found, calls - found),
            "pixels that meet at a corner are one lesion: connectivity 8.": (in_four, alarms),
            "piece 0 is the ground, not a lesion: start at 1.": (found + 1, alarms),
            "all predicted lesions are counted: a false alarm touches no true one.": (found, calls),
        }
        yield (pred, target), (found, alarms), mistakes, f"{trues} true lesions, {calls} predicted"


def _pieces(mask: np.ndarray, connectivity: int = 8) -> tuple[int, np.ndarray]:
    """How many connected pieces a mask has, and the number of the piece at every pixel, 0 at none."""
    count, numbers = cv2.connectedComponents(mask.astype(np.uint8), connectivity=connectivity)
    return count - 1, numbers


def _enough(counts, means, allowed) -> int:
    return int(counts[means >= means.max() - allowed - 1e-9].min())


@cases("means over seeds; the best mean minus its deviation; the smallest count at or above.")
def enough_pictures():
    """The smallest count that is as good as the best, within noise: answer(counts, dice).

    counts: (K,), growing.   dice: (K, S), one column per seed.   Wanted: the smallest count whose mean lies
    at most one standard deviation of the best count's seeds below the best mean.
    """
    for seed, rng in draws(60):
        counts = np.sort(rng.choice(np.arange(2, 90), 6, replace=False))
        curve = 0.9 - 0.4 * np.exp(-np.arange(6) / rng.uniform(0.8, 2.5))
        curve[rng.integers(0, 6)] += rng.uniform(-0.1, 0.1)  # a curve may fall
        dice = (curve[:, None] + rng.normal(0, rng.uniform(0.005, 0.06, (6, 1)), (6, 4))).clip(0, 1).round(3)
        if seed == 0:
            dice[:] = dice[:, :1]  # all seeds agree: nothing but the best is good enough
        means, spreads = dice.mean(1), dice.std(1)
        spread = spreads[best := int(means.argmax())]
        right = _enough(counts, means, spread)
        if _enough(counts, means, dice.std(1, ddof=1)[best]) != right:
            continue  # either form of the standard deviation is right
        by_own = counts[means >= means[best] - spreads].min()
        mistakes = {
            "this is the best mean. Fewer pictures may do as well, within the noise of seeds.": counts[best],
            "this is the place in the list, not the count.": (counts == right).argmax(),
            "the highest single run is luck: compare means.": counts[dice.max(1).argmax()],
            "these are all pictures there are.": counts[-1],
            "the spread is that of the best count's seeds, not of each count's own.": by_own,
            "the spread is of the best count's seeds, not over all runs.": _enough(counts, means, dice.std()),
            "this allows two standard deviations, one is asked for.": _enough(counts, means, 2 * spread),
            "this allows the standard error: do not divide.": _enough(counts, means, spread / 2),
            "this is the largest count that is good enough.": counts[means >= means[best] - spread].max(),
        }
        given = f"counts {counts.tolist()}, means {means.round(3).tolist()}, spread of the best {spread:.3f}"
        yield (counts, dice), right, mistakes, given
