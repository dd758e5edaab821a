"""Our cut-outs beside those of pymatting's estimators: errors of alpha and time, from the same mask.

    pip install pymatting
    python data/weights/mattes.py people-more --count 12
    python data/weights/mattes.py people-more --estimators          # ours alone, on all portraits
    python data/weights/mattes.py people-more --estimators --weights person-small

An estimator is told what is person and what is not (a trimap) and finds alpha in between: here, everything
further from the mask's edge than a share of the longer side, each of RADII in turn. People: the portraits
with a soft matte in FOLDER/alphas, and rendered test pictures shrunk to half, whose exact masks average to an
alpha.
Errors are mean absolute errors per 1000 pixels: of the whole picture, and of the band around what is soft.
With estimators, the table goes between the marks of cutouts.md beside this file as well.
"""

import argparse
import itertools
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from card import replace_between

from segkit.data import find_samples, load_pair_full
from segkit.files import embedded_path, read_image, read_labels
from segkit.matting.edges import refine_alpha
from segkit.predict import Segmenter

PAGE = Path(__file__).parent / "cutouts.md"
RADII = (0.01, 0.02)


def portraits(folder: Path) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for path in sorted((folder / "alphas").iterdir()):
        (image,) = (folder / "images").glob(f"{path.stem}.*")
        yield read_image(image), read_labels(path).astype(np.float32) / 255


def rendered() -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for sample in find_samples(embedded_path("people")):
        if sample.split == "test":
            image, mask = load_pair_full(sample)
            if mask.mean() > 0.2:
                size = mask.shape[1] // 2, mask.shape[0] // 2
                yield tuple(
                    cv2.resize(x, size, interpolation=cv2.INTER_AREA)
                    for x in (image, mask.astype(np.float32))
                )


def errors(alpha: np.ndarray, exact: np.ndarray) -> tuple[float, float]:
    """Mean absolute error per 1000 pixels: everywhere, and within 10 of where the exact one is soft."""
    soft = ((exact > 0.04) & (exact < 0.96)).astype(np.uint8)
    band = cv2.dilate(soft, np.ones((21, 21), np.uint8)) > 0
    difference = np.abs(alpha - exact)
    return 1000 * float(difference.mean()), 1000 * float(difference[band].mean())


def estimate(image: np.ndarray, prob: np.ndarray, name: str, radius: float) -> np.ndarray:
    import pymatting

    mask = (prob > 0.5).astype(np.uint8)
    near = cv2.distanceTransform(mask, cv2.DIST_L2, 5) + cv2.distanceTransform(1 - mask, cv2.DIST_L2, 5)
    trimap = np.where(near <= radius * max(mask.shape), 0.5, mask)
    if not ((trimap == 0).any() and (trimap == 1).any()):  # an estimator needs both
        return mask.astype(np.float32)
    return getattr(pymatting, f"estimate_alpha_{name}")(image / 255.0, trimap.astype(np.float64))


def ways(estimators: list[str]) -> dict[str, Callable]:
    found = {
        "the mask itself": lambda image, prob: (prob > 0.5).astype(np.float32),
        "**`refine_alpha`**": refine_alpha,
    }
    return found | {
        f"pymatting `{name}`, {radius:.0%}": partial(estimate, name=name, radius=radius)
        for name, radius in itertools.product(estimators, RADII)
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path, help="people-more")
    parser.add_argument("--count", type=int, help="of each kind, spread over all of them")
    parser.add_argument("--estimators", nargs="*", default=["cf", "lbdm", "rw", "knn"])
    parser.add_argument("--weights", default="person-base")
    given = parser.parse_args()
    person = Segmenter.load(given.weights, "cpu")
    kinds = {"portraits": list(portraits(given.folder)), "rendered": list(rendered())}
    if given.count:
        kinds = {k: v[:: -(-len(v) // given.count)] for k, v in kinds.items()}
    probs = {k: [person(image) for image, _ in v] for k, v in kinds.items()}
    heads = [f"{len(v)} {kind}: all (soft band)" for kind, v in kinds.items()]
    lines = [f"| | {' | '.join(heads)} | ms a portrait |", "|---|---|---|---|"]
    for name, way in ways(given.estimators).items():
        cells, busy = [], []
        for kind, pairs in kinds.items():
            scores = []
            for (image, exact), prob in zip(pairs, probs[kind], strict=True):
                start = time.process_time()
                alpha = way(image, prob)
                busy.append(time.process_time() - start)
                scores.append(errors(alpha, exact))
            cells.append("{:.1f} ({:.0f})".format(*np.mean(scores, axis=0)))
            if kind == "portraits":
                milliseconds = 1000 * np.median(busy)
        lines.append(f"| {name} | {' | '.join(cells)} | {milliseconds:.0f} |")
        print(lines[-1], flush=True)
    if given.estimators:
        PAGE.write_text(replace_between(PAGE.read_text(), "estimators", lines))


if __name__ == "__main__":
    main()
