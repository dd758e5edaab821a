# SPDX-License-Identifier: MIT
"""Contact sheets for review by eye, and the datasheet's pictures and tables."""

import csv
import json
from collections import Counter

import numpy as np
from PIL import Image, ImageDraw

from dataset import PALETTE, PARTS

CELL, COLUMNS, ROWS = 192, 8, 5
BEGIN, END = "<!-- statistics: written by render.py stats -->", "<!-- end of statistics -->"


def read_rows(folder):
    with open(folder / "splits.csv", newline="") as file:
        return list(csv.DictReader(file))


def overlay(folder, name):
    """The picture with its parts in colour over it."""
    image = np.asarray(Image.open(folder / "images" / f"{name}.jpg").convert("RGB"), float)
    parts = np.asarray(Image.open(folder / "parts" / f"{name}.png"))
    colors = np.array(PALETTE, float).reshape(-1, 3)[parts]
    inside = (parts > 0)[..., None]
    return Image.fromarray(np.where(inside, 0.4 * image + 0.6 * colors, 0.6 * image).astype(np.uint8))


def contact_sheet(tiles, cell=CELL, columns=COLUMNS):
    """tiles: (picture, caption) pairs."""
    rows = -(-len(tiles) // columns)
    sheet = Image.new("RGB", (columns * cell, rows * cell))
    for i, (picture, caption) in enumerate(tiles):
        picture = picture.copy()
        picture.thumbnail((cell, cell))
        x, y = i % columns * cell, i // columns * cell
        sheet.paste(picture, (x, y))
        ImageDraw.Draw(sheet).text((x + 3, y + 2), caption, fill=(255, 0, 255))
    return sheet


def write_sheets(folder, target):
    """Every picture of the set, 40 to a sheet, and the same with its parts."""
    target.mkdir(parents=True, exist_ok=True)
    for old in target.glob("sheet_*.png"):
        old.unlink()
    names = [row["name"] for row in read_rows(folder)]
    for number, start in enumerate(range(0, len(names), COLUMNS * ROWS)):
        chosen = names[start:start + COLUMNS * ROWS]
        contact_sheet([(Image.open(folder / "images" / f"{n}.jpg"), n) for n in chosen]).save(target / f"sheet_{number:02d}.png")
        contact_sheet([(overlay(folder, n), n) for n in chosen]).save(target / f"sheet_{number:02d}_parts.png")
    print(f"{target}: {2 * (number + 1)} sheets of {len(names)} pictures")


def write_statistics(folder, datasheet):
    """Write the datasheet's pictures beside it, and its tables between the two marks inside it."""
    target = datasheet.parent / "pictures"
    target.mkdir(parents=True, exist_ok=True)
    rows = read_rows(folder)
    rng = np.random.default_rng(7)
    chosen = [rows[i]["name"] for i in sorted(rng.choice(len(rows), min(40, len(rows)), replace=False))]
    contact_sheet([(Image.open(folder / "images" / f"{n}.jpg"), "") for n in chosen], 160).save(target / "examples.jpg", quality=82)
    contact_sheet([(overlay(folder, n), "") for n in chosen[:16]], 160).save(target / "parts.jpg", quality=82)
    _heat_map(folder, rows).save(target / "where_people_are.png", optimize=True)
    before, _, rest = datasheet.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    datasheet.write_text(before + BEGIN + "\n\n" + _tables(folder, rows) + "\n" + END + after)
    print(f"{target}: examples.jpg, parts.jpg, where_people_are.png; tables in {datasheet}")


def _heat_map(folder, rows, size=160):
    """How often a person covers each place of the picture: black never, white most often."""
    mean = np.mean([np.asarray(Image.open(folder / "masks" / f"{r['name']}.png").convert("L").resize((size, size)), float)
                    for r in rows], 0)
    return Image.fromarray((255 * mean / mean.max()).astype(np.uint8))


def _tables(folder, rows):
    size = lambda paths: sum(p.stat().st_size for p in paths if p.is_file()) / 1e6
    lines = ["| | images | masks | parts | clips | all |", "|---|---|---|---|---|---|",
              "| MB | " + " | ".join(f"{size((folder / k).rglob('*')):.1f}" for k in ("images", "masks", "parts", "clips"))
              + f" | {size(folder.rglob('*')):.1f} |", ""]
    splits = {s: [r for r in rows if r["split"] == s] for s in ("train", "val", "test")}
    lines += ["| split | images | scenes |", "|---|---|---|"]
    lines += [f"| {s} | {len(rs)} | {len({r['scene'] for r in rs})} |" for s, rs in splits.items()]
    lines += [f"| all | {len(rows)} | {len({r['scene'] for r in rows})} |", ""]
    for column in ("framing", "place", "light", "pose", "people", "occluder", "holding", "from_behind"):
        counts = Counter(r[column] or "none" for r in rows).most_common()
        lines += [f"**{column.replace('_', ' ')}**: " + ", ".join(f"{value} {count}" for value, count in counts) + ".", ""]
    share = np.array([float(r["person_share"]) for r in rows])
    edges = [0, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 1]
    counts = np.histogram(share, edges)[0]
    lines += ["| people cover | " + " | ".join(f"{a:.0%} to {b:.0%}" for a, b in zip(edges, edges[1:])) + " |",
              "|---" * len(edges) + "|", "| images | " + " | ".join(map(str, counts)) + " |", ""]
    pixels, present = np.zeros(len(PARTS)), np.zeros(len(PARTS))
    for r in rows:
        count = np.bincount(np.asarray(Image.open(folder / "parts" / f"{r['name']}.png")).ravel(), minlength=len(PARTS))
        pixels += count
        present += count > 0
    lines += ["| part | share of person pixels | images that show it |", "|---|---|---|"]
    lines += [f"| {p} | {pixels[i] / pixels[1:].sum():.1%} | {int(present[i])} |" for i, p in enumerate(PARTS) if i]
    clips = sorted(p for p in (folder / "clips").glob("*") if p.is_dir())
    if clips:
        lines += ["", "| clip | frames | frames a second |", "|---|---|---|"]
        for clip in clips:
            facts = json.loads((clip / "clip.json").read_text())
            lines.append(f"| {clip.name} | {facts['frames']} | {facts['fps']} |")
    return "\n".join(lines) + "\n"
