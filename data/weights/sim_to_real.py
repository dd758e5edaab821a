"""From rendered to real: the scores in data/README.md, and the masks that came out worst.

    python data/weights/sim_to_real.py runs/rendered-only people-real

Prints mean Dice and boundary F of a network trained on data/people alone, at several input sizes: on the
validation pictures of data/people, which choose the size, and at that size on its test pictures and on all
photographs of people-real. Writes data/pictures/sim-to-real.png: of the worst photographs the masks alone,
since the photographs may not be passed on.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from segkit.data import load_pair_full
from segkit.evaluate import Evaluation, evaluate
from segkit.files import embedded_path
from segkit.plots import contact_sheet, save_figure, show_mistakes
from segkit.predict import Segmenter

SIZES = (192, 224, 256, 288, 320)
SHEET = Path(__file__).parents[1] / "pictures" / "sim-to-real.png"


def say(name: str, result: Evaluation, chosen: np.ndarray | slice = slice(None)) -> None:
    dice, edges = result.scores("dice")[chosen], result.boundary_f[chosen]
    low = f"{(dice < 0.2).sum():4} below .2"
    print(f"{name:28}{len(dice):5} pictures   Dice {dice.mean():.3f}   boundary F {edges.mean():.2f} {low}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("run", help="a run folder or a checkpoint")
    parser.add_argument("photographs", type=Path, help="the folder people-real, see weights/README.md")
    given = parser.parse_args()
    person, best = Segmenter.load(given.run), (0.0, 0)
    for size in SIZES:
        person.preprocessing = replace(person.preprocessing, size=size)
        result = evaluate(person, embedded_path("people"), "val")
        say(f"data/people, val, at {size}", result)
        best = max(best, (result.scores("dice").mean(), size))
    person.preprocessing = replace(person.preprocessing, size=best[1])
    say(f"data/people, test, at {best[1]}", evaluate(person, embedded_path("people"), "test"))
    real = evaluate(person, given.photographs)
    wild = np.array([sample.name.startswith("coco") for sample in real.samples])
    say("people-real, street fashion", real, ~wild)
    say("people-real, in the wild", real, wild)

    dice, pictures, titles = real.scores("dice"), [], []
    for i in [i for i in np.argsort(dice) if wild[i]][:12]:
        image, mask = load_pair_full(real.samples[i])
        pictures.append(show_mistakes(np.full_like(image, 128), person.labels(person(image)), mask))
        titles.append(f"Dice {dice[i]:.2f}")
    print(save_figure(contact_sheet(pictures, titles), SHEET))


if __name__ == "__main__":
    main()
