"""Other domains: the exercises of notebook 15."""

from collections.abc import Iterable

import cv2
import numpy as np

from segkit.course.check.core import Wrong, exercise, from_start
from segkit.course.check.lesson05 import name_mistake
from segkit.course.check.lesson14 import one_number
from segkit.metrics import hausdorff, surface_distances


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
            raise Wrong("return a picture of the same shape.", given, type(got).__name__, "uint8 (H, W)")
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
    """Names for the test split, answer(names, count): all names of `count` patients, nobody cut in two."""
    for seed, count in enumerate((1, 2, 3)):
        rng = np.random.default_rng(from_start(seed))
        names = [f"p{p:02}_z{z:02}" for p in range(7) for z in range(10, 10 + int(rng.integers(3, 9)))]
        rng.shuffle(names)
        given = f"{len(names)} names of 7 patients, such as {names[0]}; count {count}"
        got = answer(list(names), count)
        if not isinstance(got, Iterable) or isinstance(got, str):
            raise Wrong("return a list of names.", given, type(got).__name__, "a list")
        test = set(map(str, got))
        if test and test <= {name[:3] for name in names}:
            raise Wrong("these are patients: return the names of all their slices.", given, sorted(test))
        if not test <= set(names):
            raise Wrong("some of these names were not given.", given, sorted(test - set(names))[:3])
        cut = sorted({n[:3] for n in test} & {n[:3] for n in set(names) - test})
        if cut:
            raise Wrong(
                f"{', '.join(cut)} has slices on both sides: the network then knows who is tested.",
                given,
                f"{len(test)} names",
                f"all slices of {count} patients",
            )
        if len({n[:3] for n in test}) != count:
            raise Wrong("the number of patients is not the one asked for.", given, len({n[:3] for n in test}))


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
        name_mistake(
            one_number(answer(pred.copy(), target.copy(), spacing), given),
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
        for hint, mistake in {
            "the two numbers are exchanged.": expected[::-1],
            "these are pixels: count pieces. cv2.connectedComponents numbers them.": (
                int((pred & target).sum()),
                int((pred & ~target).sum()),
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


@exercise
def enough_pictures(answer) -> None:
    """The smallest count that is as good as the best, within noise: answer(counts, dice).

    counts: (K,), growing.   dice: (K, S), one column per seed.   Wanted: the smallest count whose mean lies
    at most one standard deviation of the best count's seeds below the best mean.
    """
    for seed in range(6):
        rng = np.random.default_rng(from_start(seed))
        counts = np.array([2, 4, 8, 16, 32, 64])
        curve = 0.9 - 0.4 * np.exp(-np.arange(6) / rng.uniform(0.8, 2.5))
        dice = (curve[:, None] + rng.normal(0, rng.uniform(0.005, 0.04), (6, 4))).clip(0, 1)
        means, spreads = dice.mean(1), dice.std(1)
        best = means.argmax()
        enough = int(counts[means >= means[best] - spreads[best]].min())
        given = f"counts {counts.tolist()}, means {means.round(3).tolist()}, "
        given += f"spread of the best {spreads[best]:.3f}"
        got = one_number(answer(counts.copy(), dice.copy()), given)
        with_one_less = int(counts[means >= means[best] - dice.std(1, ddof=1)[best]].min())
        if got in (enough, with_one_less):  # either form of the standard deviation
            continue
        for hint, mistake in {
            "this is the best mean. Fewer pictures may do as well, within what seeds alone change.": (
                counts[best]
            ),
            "this is the place in the list, not the count.": counts.tolist().index(enough),
            "the highest single run is luck: compare means.": counts[dice.max(1).argmax()],
            "these are all pictures there are.": counts[-1],
        }.items():
            if got == mistake:
                raise Wrong(hint, given, got, enough)
        raise Wrong(
            "means over seeds; the best mean minus its standard deviation; the smallest count at or above.",
            given,
            got,
            enough,
        )
