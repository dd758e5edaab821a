"""Other domains: the exercises of notebook 15."""

from collections import Counter
from collections.abc import Iterable, Iterator

import cv2
import numpy as np

from segkit.course.check.core import Wrong, as_number, exercise, from_start
from segkit.metrics import hausdorff, surface_distances


def _number(value, given) -> float:
    if (number := as_number(value)) is None:
        raise Wrong("return one number.", given, value, "one number")
    return number


def _name_mistake(got: float, expected: float, mistakes: dict[str, float], otherwise: str) -> None:
    """Raise Wrong for a wrong number, with the hint of the mistake that gives this very number."""
    if np.isclose(got, expected, rtol=1e-4):
        return
    fitting = [hint for hint, value in mistakes.items() if np.isclose(got, value, rtol=1e-4)]
    raise Wrong(fitting[0] if fitting else otherwise, got=got, expected=expected)


@exercise
def window(answer) -> None:
    """CT values as a grey picture, answer(values, centre, width): float (H, W) -> uint8 (H, W)."""
    for seed, (centre, width) in enumerate(((40, 400), (-600, 1500), (50, 80))):
        values = np.random.default_rng(from_start(seed)).uniform(-1000, 1500, (3, 4)).round()
        values[0, :3] = centre, centre - width, centre + width
        given = f"values from {values.min():.0f} to {values.max():.0f}, centre {centre}, width {width}"
        share = (values - (centre - width / 2)) / width
        expected = share.clip(0, 1) * 255
        got = answer(values.copy(), centre, width)
        if not isinstance(got, np.ndarray) or got.shape != values.shape:
            raise Wrong("return a picture of the same shape.", given, got, "uint8 (H, W)")
        if not np.isfinite(got.astype(float)).all():
            raise Wrong("some values are no numbers.", given, got, expected.round())
        double = ((values - (centre - width)) / (2 * width)).clip(0, 1) * 255
        stretched = (values - values.min()) / np.ptp(values) * 255
        for hint, mistake in {
            "these lie between 0 and 1: a picture of uint8 goes to 255.": share.clip(0, 1),
            "the window is twice as wide: it goes from centre - width / 2 to centre + width / 2.": double,
            "this stretches whatever range the picture has: the same tissue then looks different in every "
            "scan. Use the window.": stretched,
            "black and white are exchanged.": 255 - expected,
            "values outside of the window wrap around in uint8: clip before you convert.": (
                (share * 255).astype(np.int64) & 255
            ),
        }.items():
            if np.abs(got.astype(float) - mistake).max() <= 1 and np.abs(mistake - expected).max() > 1:
                raise Wrong(hint, given, got, expected.round())
        if np.abs(got.astype(float) - expected).max() > 1:
            raise Wrong(
                "black at centre - width / 2 and below, white at centre + width / 2 and above, even between.",
                given,
                got,
                expected.round(),
            )
        if got.dtype != np.uint8:
            raise Wrong("the values are right; convert them to uint8.", given, got.dtype, "uint8")


@exercise
def split_patients(answer) -> None:
    """Names for the test split, answer(names, count): all names of the first `count` patients by number."""
    for seed, count in enumerate((1, 2, 3)):
        rng = np.random.default_rng(from_start(seed))
        numbers = sorted(rng.choice(60, 7, replace=False).tolist())
        names = [f"p{p:02}_z{z:02}" for p in numbers for z in range(10, 10 + int(rng.integers(3, 9)))]
        names = [names[-1], *rng.permutation(names[:-1]).tolist()]  # the last patient comes first
        given = f"{len(names)} names of the patients {numbers}, such as {names[0]} first; count {count}"
        first = {f"p{number:02}" for number in numbers[:count]}
        expected = [name for name in names if name[:3] in first]
        got = answer(list(names), count)
        if not isinstance(got, Iterable) or isinstance(got, str):
            raise Wrong("return a list of names.", given, got, "a list")
        got = list(map(str, got))
        test, words = set(got), f"{len(expected)} names, all of {', '.join(sorted(first))}"
        shown = f"{len(got)} names of {', '.join(sorted({name[:3] for name in got})) or 'nobody'}"
        if test and test <= {name[:3] for name in names}:
            raise Wrong(
                "these are patients: return the names of all their slices.", given, sorted(test), words
            )
        if not test <= set(names):
            raise Wrong("some of these names were not given.", given, sorted(test - set(names))[:3], words)
        if len(test) < len(got):
            raise Wrong("some names come twice: each picture is tested once.", given, shown, words)
        if cut := sorted({n[:3] for n in test} & {n[:3] for n in set(names) - test}):
            hint = f"{', '.join(cut)} has slices on both sides: the network then knows who is tested."
            raise Wrong(hint, given, shown, words)
        if len({n[:3] for n in test}) != count:
            raise Wrong("the number of patients is not the one asked for.", given, shown, words)
        if test != set(expected):
            hint = "whole patients, but not the first by number: in `names` they come in any order."
            raise Wrong(hint, given, shown, words)


@exercise
def millilitres(answer) -> None:
    """Volume of a mask, answer(mask, affine): bool (X, Y, Z), affine (4, 4) from voxels to mm -> ml."""
    for seed in range(5):
        rng = np.random.default_rng(from_start(seed))
        sizes = rng.uniform(0.6, 4, 3).round(1) * rng.choice([-1, 1], 3)
        sizes[0] = -abs(sizes[0]) if seed % 2 else abs(sizes[0])
        sizes[1:] = np.abs(sizes[1:])
        affine = np.eye(4)
        affine[:3, :3] = np.diag(sizes)
        if seed == 2:
            affine[:3, :3] = affine[[1, 2, 0], :3]  # the scanner's axes come in another order
        if seed >= 3:
            c, s = np.cos(0.4), np.sin(0.4)
            affine[:3, :3] = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ affine[:3, :3]
        affine[:3, 3] = rng.uniform(-100, 100, 3).round(1)
        mask = rng.random((9, 8, 7)) < 0.4
        voxel, count = abs(np.linalg.det(affine[:3, :3])), int(mask.sum())
        given = f"{count} of {mask.size} voxels are marked, affine {affine.round(2).tolist()}"
        diagonal = np.prod(np.diag(affine)[:3])
        _name_mistake(
            _number(answer(mask.copy(), affine.copy()), given),
            count * voxel / 1000,
            {
                "these are cubic millimetres: a millilitre is a thousand of them.": count * voxel,
                "a volume is not negative: this scanner counts one axis backwards.": -count * voxel / 1000,
                "the diagonal is the spacing only where no axis is turned: take the length of each column, "
                "or the determinant.": count * diagonal / 1000,
                "the diagonal is the spacing only where no axis is turned; take the length of each column.": (
                    count * abs(diagonal) / 1000
                ),
                "these are voxels: each has a size in mm, in the affine.": count,
                "these are all voxels: count the marked ones.": mask.size * voxel / 1000,
            },
            "the marked voxels, times the volume of one in mm, divided by 1000.",
        )


def _two_discs(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(from_start(seed))
    masks = []
    for _ in range(2):
        x, y = (int(v) for v in rng.integers(14, 27, 2))
        masks.append(cv2.circle(np.zeros((40, 48), np.uint8), (x, y), int(rng.integers(4, 9)), 1, -1) > 0)
    masks[0][36, 3 + 4 * seed] = True  # one stray pixel
    return masks[0], masks[1]


@exercise
def hausdorff_in_mm(answer) -> None:
    """Hausdorff distance in millimetres, answer(pred, target, spacing): bool (H, W), (mm down, mm across)."""
    for seed, spacing in enumerate(((1.0, 1.0), (3.0, 0.5), (0.7, 2.0))):
        pred, target = _two_discs(seed)
        there, back = surface_distances(pred, target, spacing)
        given = f"two masks {pred.shape}, spacing {spacing} mm"
        _name_mistake(
            _number(answer(pred.copy(), target.copy(), spacing), given),
            hausdorff(pred, target, spacing=spacing),
            {
                "this looks one way only, from target to pred. A stray piece of pred is then never seen.": (
                    back.max()
                ),
                "these are pixels: a step down or across has its own length in mm.": hausdorff(pred, target),
                "the spacing is the wrong way round: first down, then across.": (
                    hausdorff(pred, target, spacing=spacing[::-1])
                ),
                "this is the mean distance. Hausdorff is the worst one.": (
                    np.concatenate([there, back]).mean()
                ),
                "this is HD95. Here the worst pixel counts, however lonely.": (
                    hausdorff(pred, target, 95, spacing)
                ),
                "the two ways are added: take the larger.": there.max() + back.max(),
                "this is the smaller of the two ways: take the larger.": min(there.max(), back.max()),
            },
            "the farthest that any surface pixel of one is from the nearest of the other, both ways, in mm.",
        )


@exercise
def lesions_found(answer) -> None:
    """How many true lesions were touched, and how many predicted ones touch none: answer(pred, target).

    pred, target: bool (H, W).   Wanted: two whole numbers, (found, false_alarms). Pixels that meet at a
    corner belong to one lesion.
    """
    for seed in range(4):
        rng = np.random.default_rng(from_start(seed))
        target, pred = np.zeros((40, 40), bool), np.zeros((40, 40), bool)
        cells = rng.permutation(16)
        for i, cell in enumerate(cells[:9]):
            y, x = 10 * (cell // 4) + 2, 10 * (cell % 4) + 2
            if i < 6:
                target[y : y + 3, x : x + 3] = True
                target[y + 3, x + 3] = True  # hangs on by a corner
            if i < 3:
                pred[y + 1 : y + 5, x + 2 : x + 5] = True
            if i in (1, 2):
                pred[y, x] = True  # a second piece on the same lesion
            if i >= 6:
                pred[y : y + 2, x : x + 2] = True
                pred[y + 2, x + 2] = seed % 2
        pred[-1, -1] = seed == 3
        true, called = (cv2.connectedComponents(m.astype(np.uint8), connectivity=8) for m in (target, pred))
        found = sum(pred[true[1] == i].any() for i in range(1, true[0]))
        alarms = sum(not target[called[1] == i].any() for i in range(1, called[0]))
        given, expected = f"{true[0] - 1} true lesions, {called[0] - 1} predicted", (int(found), int(alarms))
        got = answer(pred.copy(), target.copy())
        if not isinstance(got, tuple | list | np.ndarray) or len(got) != 2:
            raise Wrong("return two numbers: found, false_alarms.", given, got, expected)
        got = (int(got[0]), int(got[1]))
        if got == expected:
            continue
        of_four = cv2.connectedComponents(target.astype(np.uint8), connectivity=4)
        touched = sum(pred[of_four[1] == i].any() for i in range(1, of_four[0]))
        of_both = cv2.connectedComponents((pred & target).astype(np.uint8), connectivity=8)[0] - 1
        for hint, mistake in {
            "the two numbers are exchanged.": expected[::-1],
            "two predicted pieces may touch one lesion: it is found once.": (of_both, expected[1]),
            "these are pixels: count pieces. cv2.connectedComponents numbers them.": (
                int((pred & target).sum()),
                int((pred & ~target).sum()),
            ),
            "two predicted pieces may touch one lesion: count those that touch none.": (
                expected[0],
                called[0] - 1 - expected[0],
            ),
        }.items():
            if got == mistake:
                raise Wrong(hint, given, got, expected)
        if got[0] == touched and touched != found:
            raise Wrong("pixels that meet at a corner are one lesion: connectivity 8.", given, got, expected)
        if got[0] == found + 1 or got[1] == alarms + 1:
            raise Wrong("piece 0 is the ground, not a lesion: start at 1.", given, got, expected)
        if got[1] == called[0] - 1:
            raise Wrong(
                "all predicted lesions are counted: a false alarm touches no true one.", given, got, expected
            )
        raise Wrong("found: true pieces with any predicted pixel. Alarms: the reverse.", given, got, expected)


def _enough(counts, means, allowed) -> int:
    return int(counts[means >= means.max() - allowed - 1e-9].min())


def _curves() -> Iterator[tuple[np.ndarray, np.ndarray, dict[str, int]]]:
    """Counts, scores and what each known mistake makes of them: until every mistake has shown twice."""
    shown, seed = Counter(), from_start(0)
    while not shown or min(shown.values()) < 2:
        rng = np.random.default_rng(seed)
        seed += 1
        counts = np.sort(rng.choice(np.arange(2, 90), 6, replace=False))
        curve = 0.9 - 0.4 * np.exp(-np.arange(6) / rng.uniform(0.8, 2.5))
        curve[rng.integers(0, 6)] += rng.uniform(-0.1, 0.1)  # a curve may fall
        dice = (curve[:, None] + rng.normal(0, rng.uniform(0.005, 0.06, (6, 1)), (6, 4))).clip(0, 1).round(3)
        means, spreads = dice.mean(1), dice.std(1)
        best = int(means.argmax())
        right = _enough(counts, means, spreads[best])
        if _enough(counts, means, dice.std(1, ddof=1)[best]) != right:
            continue  # either form of the standard deviation is right
        near = means >= means[best] - spreads[best]
        mistakes = {
            "this is the best mean. Fewer pictures may do as well, within what seeds alone change.": counts[
                best
            ],
            "this is the place in the list, not the count.": int((counts == right).argmax()),
            "the highest single run is luck: compare means.": counts[dice.max(1).argmax()],
            "these are all pictures there are.": counts[-1],
            "the spread is that of the best count's seeds, not of each count's own.": (
                counts[means >= means[best] - spreads].min()
            ),
            "the spread is over the seeds of the best count, not over all runs.": (
                _enough(counts, means, dice.std())
            ),
            "this allows two standard deviations, one is asked for.": _enough(
                counts, means, 2 * spreads[best]
            ),
            "this allows the standard error: the deviation of the seeds is not divided here.": (
                _enough(counts, means, spreads[best] / 2)
            ),
            "this is the largest count that is good enough: the smallest is asked for.": counts[near].max(),
        }
        mistakes = {hint: int(value) for hint, value in mistakes.items()}
        useful = [hint for hint, value in mistakes.items() if value != right and shown[hint] < 2]
        shown.update(dict.fromkeys(mistakes, 0) | dict.fromkeys(useful, 1))
        if useful:
            yield counts, dice, {"": right, **mistakes}


@exercise
def enough_pictures(answer) -> None:
    """The smallest count that is as good as the best, within noise: answer(counts, dice).

    counts: (K,), growing.   dice: (K, S), one column per seed.   Wanted: the smallest count whose mean lies
    at most one standard deviation of the best count's seeds below the best mean.
    """
    cases = list(_curves())
    got = [_number(answer(counts.copy(), dice.copy()), counts.tolist()) for counts, dice, _ in cases]
    wrong = [i for i, (_, _, answers) in enumerate(cases) if got[i] != answers[""]]
    if not wrong:
        return
    counts, dice, answers = cases[wrong[0]]
    given = f"counts {counts.tolist()}, means {dice.mean(1).round(3).tolist()}, "
    given += f"spread of the best {dice.std(1)[dice.mean(1).argmax()]:.3f}"
    # One curve fits several mistakes: the one that fits them all is meant.
    fitting = [hint for hint in answers if all(g == c[2][hint] for g, c in zip(got, cases, strict=True))]
    hint = "means over seeds; the best mean minus its standard deviation; the smallest count at or above."
    raise Wrong(fitting[0] if fitting else hint, given, got[wrong[0]], answers[""])
