"""Annotate, correct, retrain: the loop of lesson 16 with several cameras. The table that the lesson reads.

    python notebooks/studies/16_loop.py        # about six minutes on one quiet core

Goes through the loop by the lesson's own cells. Each seed draws other pictures, other noise, other
corrections and another order of training. Seeds that stand in 16_loop.csv are not gone through again.
"""

import csv
import tempfile
from pathlib import Path

import torch
from lesson_cells import cells_that

HERE = Path(__file__).parent
LESSON = HERE.parent / "16_applications.ipynb"
TABLE = HERE / "16_loop.csv"
SEEDS = range(10)


def main() -> None:
    torch.set_num_threads(1)  # several add up in another order, and a score moves by up to .02
    names: dict = {}
    words = "weights: str", "show_versions", "people = embedded_path", "def put_up_camera"
    exec(cells_that(LESSON, *words, "def corrected", "def choices", "def retrain"), names)
    names["network"] = names["Segmenter"].load(names["learner"])
    exec(cells_that(LESSON, "def score(", until="\n\n\nnetwork"), names)  # the function alone
    done = TABLE.read_text() if TABLE.exists() else ""
    if not done:
        TABLE.write_text("seed,trained_on,dice\n")
    for seed in SEEDS:
        if f"\n{seed}," in done:
            continue
        with tempfile.TemporaryDirectory() as room, names["capture_output"]():
            home = names["put_up_camera"](Path(room), seed)
            report = names["annotate_folder"](names["network"], home / "train" / "images", home / "mine")
            rows = {"not retrained": names["score"](names["network"], home / "test")}
            for name, which in names["choices"](list(report.confidence), seed).items():
                rows[name] = names["retrain"](home, name, which, seed)
        with TABLE.open("a", newline="") as file:
            means = ((seed, name, round(sum(dice) / len(dice), 4)) for name, dice in rows.items())
            csv.writer(file).writerows(means)
        print(f"seed {seed}: done", flush=True)


if __name__ == "__main__":
    main()
