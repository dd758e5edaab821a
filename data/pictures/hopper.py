"""Makes the README's first picture with the shipped weights: python data/pictures/hopper.py"""

from pathlib import Path

import numpy as np
from matplotlib.cbook import get_sample_data

from segkit import Segmenter, read_image
from segkit.files import write_image
from segkit.matting.compose import on_its_own
from segkit.plots import overlay

image = read_image(get_sample_data("grace_hopper.jpg", asfileobj=False))  # public domain; ships in matplotlib
person = Segmenter.load("person-base")
prob = person(image)
colours, alpha = on_its_own(image, prob, person.threshold)
alpha = alpha[..., None]

heat = np.repeat((prob[..., None] * 255).astype(np.uint8), 3, axis=2)
checks = (np.indices(prob.shape) // 16).sum(0) % 2
paper = np.where(checks[..., None], 255, 225).astype(np.uint8)
cut = (colours * alpha + paper * (1 - alpha)).astype(np.uint8)
gap = np.full((image.shape[0], 12, 3), 255, np.uint8)
row = [image, gap, heat, gap, overlay(image, prob > person.threshold), gap, cut]
write_image(Path(__file__).with_suffix(".jpg"), np.hstack(row)[::2, ::2])
