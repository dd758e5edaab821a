"""Body parts after a short and a longer training, over several seeds: the table of lesson 14.

    python notebooks/studies/14_parts.py        # about a quarter of an hour on one quiet core

Trains and scores as the lesson does, by the lesson's own cells. Seeds that stand in 14_parts.csv are not
trained again.
"""

import csv
import tempfile
from dataclasses import replace
from pathlib import Path

from lesson_cells import cells_that

HERE = Path(__file__).parent
LESSON = HERE.parent / "14_body_parts.ipynb"
TABLE = HERE / "14_parts.csv"
SEEDS, EPOCHS = range(5), (5, 20)


def main() -> None:
    names: dict = {}
    words = "start_from: str", "show_versions", "folder = embedded_path", "recipe = Recipe("
    exec(cells_that(LESSON, *words, until="work = Path("), names)  # not the training itself
    done = TABLE.read_text().splitlines() if TABLE.exists() else []
    if not done:
        TABLE.write_text("epochs,seed,part,dice\n")
    for num_epochs in EPOCHS:
        for seed in SEEDS:
            if any(line.startswith(f"{num_epochs},{seed},") for line in done):
                continue
            config = replace(names["config"], num_epochs=num_epochs, seed=seed)
            with tempfile.TemporaryDirectory() as room, names["capture_output"]():
                run = names["train"]([names["folder"]], Path(room) / "run", names["recipe"], config)
                ours = names["Segmenter"].load(run.checkpoint)
            labels = names["np"].stack([ours.labels(ours(image)) for image in names["images"]])
            counts = names["count_classes"](labels, names["parts"], len(names["names"]))
            rows = zip(names["names"], counts.pooled().dice()[0].tolist(), strict=True)
            with TABLE.open("a", newline="") as file:
                csv.writer(file).writerows((num_epochs, seed, part, round(dice, 4)) for part, dice in rows)
            print(f"{num_epochs:3} epochs, seed {seed}: done", flush=True)


if __name__ == "__main__":
    main()
