# SPDX-License-Identifier: MIT
"""From the work folder to a data set folder: develop, drop, split, check, swap in.

The folder is built beside its final place and then moved there, so a reader never sees half of it.
"""

import csv
import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
from PIL import Image

from finish import develop, draw_look

HERE = Path(__file__).parent
PARTS = ["background", "head", "hair", "torso", "arms", "hands", "legs", "feet"]
PALETTE = [0, 0, 0, 230, 120, 90, 120, 60, 20, 60, 120, 220, 240, 200, 60, 240, 140, 190, 60, 180, 90, 170, 80, 200]
COLUMNS = ["name", "split", "scene", "framing", "place", "light", "people", "pose", "holding", "occluder", "from_behind",
           "width", "height", "person_share"]
SPLIT_SHARES = (("train", 0.70), ("val", 0.15), ("test", 0.15))
LEAST_SHARE, MOST_SHARE = 0.004, 0.9  # of the picture that people cover
CLIP_FPS = 12


def read_dropped(path=HERE / "dropped.txt"):
    """Pictures that a person looked at and left out: {name: reason}."""
    lines = (line.split(None, 1) for line in path.read_text().splitlines() if line.strip() and not line.startswith("#"))
    return {name: reason.strip() for name, reason in lines}


def split_of_scenes(scenes):
    """Whole scenes go to a split; the order is a hash, so it does not follow the seed."""
    ordered = sorted(scenes, key=lambda s: hashlib.sha256(s.encode()).hexdigest())
    splits, start = {}, 0
    for i, (split, share) in enumerate(SPLIT_SHARES):
        end = len(ordered) if i == len(SPLIT_SHARES) - 1 else start + round(share * len(ordered))
        splits |= dict.fromkeys(ordered[start:end], split)
        start = end
    return splits


def load_raw(path):
    with np.load(path, allow_pickle=False) as raw:
        return raw["light"].astype(np.float32), raw["parts"], json.loads(str(raw["facts"]))


def seed_of(name):
    """A stable number from a name: the camera of a picture does not depend on which others exist."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:6], "big")


def save_pair(folder, name, image, parts, quality):
    Image.fromarray(image).save(folder / "images" / f"{name}.jpg", quality=quality, optimize=True)
    mask = Image.fromarray((parts > 0).astype(np.uint8) * 255).convert("1")  # reads back as 0 and 255
    mask.save(folder / "masks" / f"{name}.png", optimize=True)
    labels = Image.fromarray(parts).convert("P")
    labels.putdata(parts.ravel().tolist())
    labels.putpalette(PALETTE)
    labels.save(folder / "parts" / f"{name}.png", optimize=True, bits=4)


def make_folders(folder):
    for kind in ("images", "masks", "parts"):
        (folder / kind).mkdir(parents=True, exist_ok=True)


def difference_hash(image, size=16):
    """A small fingerprint (size * size bits): near-duplicates differ in few bits."""
    grey = np.asarray(Image.fromarray(image).convert("L").resize((size + 1, size), Image.BILINEAR), int)
    return (grey[:, 1:] > grey[:, :-1]).ravel()


def write_dataset(work, out):
    staging = out.with_name(out.name + ".new")
    shutil.rmtree(staging, ignore_errors=True)
    make_folders(staging)
    dropped, rows, skipped = read_dropped(), [], {}
    for path in sorted((work / "raw").glob("s*.npz")):
        if path.name.endswith(".part.npz"):
            continue
        name = path.stem
        light, parts, facts = load_raw(path)
        share = float((parts > 0).mean())
        reason = dropped.get(name) or _why_not(light, share)
        if reason:
            skipped[name] = reason
            continue
        rng = np.random.default_rng(seed_of(name))
        look = draw_look(rng, light, parts > 0, facts["light"])
        save_pair(staging, name, develop(rng, light, look), parts, look.quality)
        rows.append(dict(name=name, **facts, width=parts.shape[1], height=parts.shape[0], person_share=f"{share:.4f}"))
    splits = split_of_scenes({row["scene"] for row in rows})
    with open(staging / "splits.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(row | {"split": splits[row["scene"]]} for row in rows)
    (staging / "parts.json").write_text(json.dumps({str(i): name for i, name in enumerate(PARTS)}, indent=2) + "\n")
    shutil.copy(HERE / "LICENSE-CC0.txt", staging / "LICENSE")
    for folder in sorted(p for p in (work / "clips").glob("*") if p.is_dir()):
        _write_clip(folder, staging / "clips" / folder.name)
    _swap(staging, out)
    total = sum(p.stat().st_size for p in out.rglob("*") if p.is_file())
    print(f"{out}: {len(rows)} images, {total / 1e6:.1f} MB; left out {len(skipped)}")


def _why_not(light, share):
    if not LEAST_SHARE <= share <= MOST_SHARE:
        return f"people cover {share:.1%}"
    if not np.isfinite(light).all() or np.ptp(light) < 1e-3:
        return "nothing to see"
    return ""


def _write_clip(raw, target):
    frames = sorted(p for p in raw.glob("*.npz") if not p.name.endswith(".part.npz"))
    if not frames:
        return
    make_folders(target)
    look = None
    for path in frames:
        light, parts, facts = load_raw(path)
        rng = np.random.default_rng(seed_of(f"{raw.name}/{path.stem}"))
        if look is None:  # one camera for the whole clip
            look = draw_look(np.random.default_rng(seed_of(raw.name)), light, parts > 0, facts["light"])
            look.motion, look.softness, look.quality, look.noise = None, 0.4, 84, min(look.noise, 0.012)
        save_pair(target, path.stem, develop(rng, light, look), parts, look.quality)
    (target / "clip.json").write_text(json.dumps({"fps": CLIP_FPS, "frames": len(frames)}, indent=2) + "\n")


def _swap(staging, out):
    """Move the finished folder into place; the old one goes last."""
    old = out.with_name(out.name + ".old")
    shutil.rmtree(old, ignore_errors=True)
    if out.exists():
        out.rename(old)
    staging.rename(out)
    shutil.rmtree(old, ignore_errors=True)
