"""Ways to smooth, on five clips in several evenings: the table of lesson 13.

python notebooks/studies/13_smoothing.py [EVENINGS]    writes 13_smoothing.csv; five: 90 s on one core

Two clips are rendered, with true masks. Three are photographs under a moving camera (segkit.video.camera),
all free: an astronaut (NASA, public domain) and a cameraman (CC0) from scikit-image, Grace Hopper (US Navy,
public domain) from Matplotlib. Their true masks are not known, but nobody moves in a photograph: carried
back along the camera's known motion, whatever changes in a mask flickers. Light "day" is the clip as it is.
"""

import csv
import sys
from pathlib import Path

import matplotlib.cbook
import numpy as np
import skimage.data

from segkit import Segmenter, read_image
from segkit.video.camera import camera_over, carry_back, in_the_evening
from segkit.video.smooth import Clip, Smoother, load_clip, score_masks, segment_clip, smooth_clip

WAYS = {
    "alone": lambda: Smoother(0),
    "no gate": lambda: Smoother(0.7, gate=None),
    "gate": lambda: Smoother(0.7),
    "flow": lambda: Smoother(0.7, gate=None, flow=True),
    "gate, flow": lambda: Smoother(0.7, flow=True),
    "masks, gate": lambda: Smoother(0.7),  # what is smoothed are masks in place of probabilities
}
person = Segmenter.load("person-small")


def rendered(name):
    clip = load_clip(name)
    return clip, lambda masks: score_masks(masks, clip.masks)


def photographed(name, photo):
    frames, poses = camera_over(photo)
    clip, size = Clip(name, frames, [], 24), photo.shape[:2]

    def judge(masks):
        back = carry_back(masks, poses, size)
        back = back[:, ~np.isnan(back).any(axis=0)] > 0.5  # where all frames looked
        changed = (back[1:] != back[:-1]).sum(axis=1).mean()
        return {"iou": "", "temporal_iou": "", "flicker": changed / back.sum(axis=1).mean()}

    return clip, judge


def main():
    hopper = matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)
    clips = [
        rendered("wave"),
        rendered("walk"),
        photographed("astronaut", skimage.data.astronaut()),
        photographed("cameraman", skimage.data.camera()[..., None].repeat(3, axis=2)),
        photographed("Hopper", read_image(hopper)),
    ]
    rows = []
    for light in ["day", *range(int(sys.argv[1]) if sys.argv[1:] else 5)]:
        for clip, judge in clips:
            images = clip.images if light == "day" else in_the_evening(clip.images, light)
            clip = Clip(clip.name, images, clip.masks, clip.fps)
            probs = segment_clip(person, clip)
            for way, smoother in WAYS.items():
                given = probs
                if way.startswith("masks"):
                    given = [np.float32(prob > person.threshold) for prob in probs]
                cut = 0.5 if way.startswith("masks") else person.threshold
                masks = [prob > cut for prob in smooth_clip(smoother(), given, clip)]
                scores = {k: v if v == "" else round(v, 5) for k, v in judge(masks).items()}
                rows.append({"clip": clip.name, "light": light, "way": way} | scores)
            print(rows[-1], flush=True)
    with Path(__file__).with_suffix(".csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
