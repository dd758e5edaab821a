"""How fast `segkit video` is here: python tests/bench/video_speed.py [--engine openvino] [--size 640x360]

A noisy, panning photograph with sound is segmented, smoothed, put on a blurred background and written as
H.264. Besides the frames per second, the processor time of one frame is shown: it does not depend on what
else the machine is doing, and two free cores can make at most 2 / that many frames in a second.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import torch

from segkit.files import embedded_path, list_images, read_image
from segkit.matting.compose import cover
from segkit.predict import Segmenter
from segkit.video.files import write_video
from segkit.video.replace import replace_in_video
from segkit.video.smooth import Smoother

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--model", default="person-small")
parser.add_argument("--engine", default="", help="torch, openvino, ...; empty takes the default")
parser.add_argument("--size", default="640x360")
parser.add_argument("--frames", type=int, default=300)
parser.add_argument("--background", default="blur")
parser.add_argument("--smooth", type=float, default=0.7)
parser.add_argument("--flow", action="store_true")
args = parser.parse_args()

width, height = map(int, args.size.split("x"))
photo = read_image(list_images(embedded_path("people") / "images")[0])
wide = cover(photo, height + 40, width + 40)
rng = np.random.default_rng(0)
grain = [rng.integers(0, 9, (height, width, 3), np.uint8) for _ in range(8)]


def frames():
    for t in range(args.frames):
        x, y = round(20 + 20 * np.sin(t / 20)), round(20 + 20 * np.cos(t / 30))
        yield cv2.add(wide[y : y + height, x : x + width], grain[t % 8])


with tempfile.TemporaryDirectory() as folder:
    source = write_video(Path(folder) / "in.mp4", frames(), 25)
    person = Segmenter.load(args.model, **({"engine": args.engine} if args.engine else {"device": "cpu"}))
    person(photo)
    background = args.background
    if background not in ("blur", "transparent"):
        background = tuple(bytes.fromhex(background.lstrip("#")))
    busy, clock = sum(os.times()[:2]), time.perf_counter()
    report = replace_in_video(
        person, source, Path(folder) / "out.mp4", background, Smoother(args.smooth, flow=args.flow)
    )
    busy, clock = sum(os.times()[:2]) - busy, time.perf_counter() - clock
cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
threads, each = torch.get_num_threads(), 1000 * busy / report.frames
print(f"{args.model}, {args.engine or 'torch'}, {args.size}, {cores} cores, {threads} threads")
print(f"{report.frames / clock:.1f} frames per second; {each:.1f} ms of processor time a frame")
