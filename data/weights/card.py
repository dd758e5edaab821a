"""The measured part of the model card: scores, slices and failures of the weights that ship.

    python data/weights/card.py                  # on the embedded pictures
    python data/weights/card.py people-test      # and on a folder of data sets, one per kind of photograph
    python data/weights/card.py --clothes runs/clothes       # person-parts alone, on what clothes.py wrote

Writes the tables between the marks of README.md, limits.md and person-parts.md beside this file, and
failures.jpg.
"""

import argparse
import csv
import re
from pathlib import Path

import cv2
import numpy as np

from segkit.data import load_pair_full, read_class_names
from segkit.evaluate import Evaluation, evaluate
from segkit.files import embedded_path, read_image, read_labels
from segkit.metrics import interval, resampled_means
from segkit.plots import contact_sheet, outlined, overlay, save_figure
from segkit.predict import Segmenter

HERE = Path(__file__).parent
WEIGHTS = ("person-base", "person-small")
# Measured on the same photographs, each at threshold 0.5 and the photograph's own size.
PEERS = {
    "MediaPipe selfie, general (0.1 M)": ".850 (.33) | .936 (.75) | .931 (.68) | .925 (.71) | .470 (.21)",
    "RobustVideoMatting (3.7 M)": ".867 (.40) | .943 (.81) | .946 (.71) | .948 (.77) | .745 (.41)",
    "ISNet of imgly 1.4.5 (1024 pixels)": ".729 (.35) | .953 (.84) | .954 (.77) | .930 (.78) | .518 (.29)",
}


def row_of(name: str, result: Evaluation, chosen=np.s_[:]) -> str:
    """A row of the table of slices; the interval draws whole groups, such as the views of one scene."""
    values, groups = result.scores("dice")[chosen], np.array(result.groups)[chosen]
    low, high = interval(resampled_means(values, groups))
    row = (name, len(values), len(set(groups)), f"{values.mean():.3f}", f"{low:.3f} to {high:.3f}")
    return f"| {' | '.join(map(str, row))} |"


def kinds_table(people: dict[str, Segmenter], folder: Path) -> list[str]:
    """A row per network, a column per data set in the folder: mean Dice (boundary F), and both means.

    The intervals draw the photographs of each kind anew, whole groups where there are any, and average over
    the kinds.
    """
    kinds = sorted(path.name for path in folder.iterdir() if (path / "images").is_dir())
    lines = ["| | " + " | ".join(kinds) + " | mean Dice (95 %) | mean boundary F (95 %) |"]
    lines += ["|---" * (len(kinds) + 3) + "|"]
    for name, scores in PEERS.items():
        pairs = np.array(re.findall(r"(\.\d+) \((\.\d+)\)", scores), float)
        dice, edges = pairs.mean(axis=0)
        lines.append(f"| {name} | {scores} | {dice:.3f} | {edges:.3f} |")
    for name, person in people.items():
        results = [evaluate(person, folder / kind) for kind in kinds]
        columns = [(result.scores("dice"), result.boundary_f) for result in results]
        cells = [f"{dice.mean():.3f} ({edges.mean():.2f})" for dice, edges in columns]
        for values in zip(*columns, strict=True):
            drawn = [resampled_means(v, results[i].groups, seed=i) for i, v in enumerate(values)]
            low, high = interval(np.mean(drawn, axis=0))
            cells.append(f"{np.mean([kind.mean() for kind in values]):.3f} ({low:.3f} to {high:.3f})")
        lines.append(f"| **{name}** | " + " | ".join(cells) + " |")
    return lines


def classes_table(result: Evaluation) -> list[str]:
    """Dice and IoU of each class over all pixels; the intervals draw whole photographs anew."""
    counts = {name: getattr(result.counts, name).numpy() for name in ("tp", "fp", "fn")}
    lines = ["| class | photographs | Dice (95 %) | IoU (95 %) |", "|---|---|---|---|"]
    for i, name in enumerate(result.classes):
        tp, fp, fn = (values[:, i] for values in counts.values())
        cells = []
        for hit, miss in ((2 * tp, fp + fn), (tp, fp + fn)):
            drawn, of = resampled_means(hit), resampled_means(hit + miss)  # the same draws
            low, high = interval(drawn[of > 0] / of[of > 0])
            cells.append(f"{hit.sum() / (hit + miss).sum():.3f} ({low:.3f} to {high:.3f})")
        lines.append(f"| {name} | {(tp + fn > 0).sum()} | {' | '.join(cells)} |")
    return lines


def skin_tone(image: np.ndarray, parts: np.ndarray, head: int) -> float | None:
    """Individual typology angle of the face in degrees, high is light; None where too little is seen.

    Chardon et al. (1991): arctan((L - 50) / b) in CIELAB. Light and shade move it too, so it sorts
    pictures roughly, not people exactly.
    """
    if (parts == head).sum() < 60:
        return None
    lab = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[parts == head]
    lightness, _, yellow = np.median(lab, axis=0)
    return float(np.degrees(np.arctan2(lightness - 50, yellow)))


def slices_table(result: Evaluation, folder: Path) -> list[str]:
    """Dice by how much of the picture the person fills, and by skin tone where one face is seen."""
    facts = {row["name"]: row for row in csv.DictReader((folder / "splits.csv").open())}
    share = np.array([float(facts[s.name]["person_share"]) for s in result.samples])
    lines = ["| slice | pictures | scenes | mean Dice | 95 % interval |", "|---|---|---|---|---|"]
    for label, low, high in (("below 5 %", 0, 0.05), ("5 to 20 %", 0.05, 0.2), ("above 20 %", 0.2, 1.01)):
        lines.append(row_of(f"person fills {label}", result, (share >= low) & (share < high)))
    head = read_class_names(folder).index("head")
    tones = [
        skin_tone(read_image(s.image), read_labels(folder / "parts" / f"{s.name}.png"), head)
        if facts[s.name]["people"] == "1"
        else None
        for s in result.samples
    ]
    seen = np.array([tone is not None for tone in tones])
    angle = np.array([tone for tone in tones if tone is not None])
    order = np.argsort(-angle)
    for label, third in zip(("lightest", "middle", "darkest"), np.array_split(order, 3), strict=True):
        name = f"skin, {label} third ({angle[third].min():.0f} to {angle[third].max():.0f} degrees)"
        lines.append(row_of(name, result, np.flatnonzero(seen)[third]))
    return lines


def draw_failures(people: dict[str, Segmenter], results: dict[str, Evaluation], count: int = 6) -> None:
    """The pictures with the lowest Dice, one line for each network: prediction tinted, truth in orange."""
    pictures, titles = [], []
    for name, person in people.items():
        dice = results[name].scores("dice")
        for i in np.argsort(dice)[:count]:
            image, truth = load_pair_full(results[name].samples[i])
            pictures.append(outlined(overlay(image, person.labels(person(image))), truth))
            titles.append(f"{name}, Dice {dice[i]:.2f}")
    save_figure(contact_sheet(pictures, titles, columns=count), HERE / "failures.jpg")


def replace_between(text: str, mark: str, lines: list[str]) -> str:
    block = f"<!-- {mark} -->\n" + "\n".join(lines) + f"\n<!-- /{mark} -->"
    changed, count = re.subn(rf"(?s)<!-- {mark} -->.*?<!-- /{mark} -->", lambda _: block, text)
    assert count == 1, f"the page must hold <!-- {mark} --> ... <!-- /{mark} --> once"
    return changed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photographs", type=Path, nargs="?", help="a folder of data sets, one per kind")
    parser.add_argument("--clothes", type=Path)
    given = parser.parse_args()
    if given.clothes:
        table = classes_table(evaluate(Segmenter.load("person-parts", "cpu"), given.clothes, "test"))
        page = HERE / "person-parts.md"
        page.write_text(replace_between(page.read_text(), "classes", table))
        return
    folder = given.photographs
    people = {name: Segmenter.load(name, "cpu") for name in WEIGHTS}
    card, limits = HERE / "README.md", HERE / "limits.md"
    if folder:
        card.write_text(replace_between(card.read_text(), "scores", kinds_table(people, folder)))
    embedded = embedded_path("people")
    results, lines = {}, []
    for name, person in people.items():
        results[name] = test = evaluate(person, embedded, "test")
        lines += ["", f"`{name}`, test split of `data/people`:", "", *slices_table(test, embedded)]
        lines += [row_of("all of test", test), row_of("all of val", evaluate(person, embedded, "val"))]
    limits.write_text(replace_between(limits.read_text(), "slices", lines[1:]))
    draw_failures(people, results)


if __name__ == "__main__":
    main()
