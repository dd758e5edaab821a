"""Which change of an augmentation helps, on how many pictures? The table that lesson 06 reads.

    python notebooks/studies/06_transforms.py

Trains as the lesson does, by the lesson's own cells: the same seeds give the same pictures, first weights and
order to every row. Goes on where it was stopped. About twelve minutes on one quiet core.
"""

import csv
import functools
import itertools
from pathlib import Path

from lesson_cells import cells_that

HERE = Path(__file__).parent
LESSON = HERE.parent / "06_augmentation.ipynb"
SOLUTIONS = HERE.parent / "solutions" / "06_augmentation_solutions.ipynb"
TABLE = HERE / "06_transforms.csv"
COLUMNS = ("pictures", "transform", "seed", "dice")
SEEDS = range(10)
STEPS = 200  # of every training, however many pictures it has


def lesson() -> dict:
    """What the lesson's parameters, imports and functions define, by their names."""
    names: dict = {}
    exec(cells_that(LESSON, "data_dir: str", "show_versions"), names)
    names["folder"] = names["embedded_path"]("people")
    names["load_dataset"] = functools.cache(names["load_dataset"])  # pictures are decoded once
    exec(cells_that(LESSON, "few = load_dataset", "def as_batch", "def judge"), names)
    exec(cells_that(SOLUTIONS, "def paired"), names)
    return names


def transforms(names: dict) -> dict:
    def only(*groups):
        augment = names["Augmentation"](1.0, only=groups)
        return lambda image, mask, seed: augment(image, mask, seed=seed)

    groups = ("mirror", "move", "colour", "quality")
    augment = only(*groups)

    def two_draws(image, mask, seed):
        return augment(image, mask, seed)[0], augment(image, mask, seed + 1000)[1]

    alone = {group: only(group) for group in groups}
    whole = {"all four": augment, "by hand": names["paired"], "two draws": two_draws}
    return {"none": names["as_it_is"], **alone, **whole}


def main() -> None:
    names = lesson()
    done = set()
    if TABLE.exists():
        with TABLE.open(newline="") as file:
            done = {tuple(row[:3]) for row in csv.reader(file)}
    else:
        TABLE.write_text(",".join(COLUMNS) + "\n")
    few, ways = names["num_train"], transforms(names)
    more = [(count, name) for count in (4 * few, 16 * few) for name in ("none", "all four")]
    for rows in ([(few, name) for name in ways], more):
        for seed, (pictures, name) in itertools.product(SEEDS, rows):
            if (str(pictures), name, str(seed)) in done:
                continue
            names.update(num_train=pictures, num_epochs=STEPS * names["batch_size"] // pictures)
            net, _ = names["learn"](ways[name], seed)
            dice = names["judge"](net, names["test_images"], names["test_masks"])["Dice"]
            with TABLE.open("a", newline="") as file:
                csv.writer(file).writerow((pictures, name, seed, round(dice, 5)))
            print(f"{pictures:4} pictures, {name:10} seed {seed}: {dice:.3f}", flush=True)


if __name__ == "__main__":
    main()
