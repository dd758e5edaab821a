"""Make cutout.jpg, the picture of the README: python data/pictures/make_readme_picture.py RUN

RUN is a run folder of `segkit train`, or a checkpoint. The photograph is NASA's portrait of Eileen
Collins, in the public domain, which ships inside scikit-image; no network here has trained on it.
"""

import sys
from pathlib import Path

import numpy as np
import skimage.data

from segkit import Segmenter
from segkit.plots import save_figure, show_row
from segkit.predict import overlay, replace_background, soft_alpha

image = skimage.data.astronaut()
person = Segmenter.load(sys.argv[1])
prob = person(image, flip=True)
rows = np.arange(image.shape[0])[:, None] + np.zeros(image.shape[1])
dusk = np.stack([60 + rows * 0.3, 90 + rows * 0.15, 150 - rows * 0.05], axis=-1).astype(np.uint8)
figure = show_row(
    [image, prob, overlay(image, prob > person.threshold), replace_background(image, soft_alpha(prob), dusk)],
    ["a photograph", "probability of person", f"mask: probability > {person.threshold}", "on a new background"],
)
print(save_figure(figure, Path(__file__).with_name("cutout.jpg"), dpi=90))
