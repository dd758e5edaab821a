"""Makes the README's moving picture, a slider over trained networks: python data/pictures/slider.py"""

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw

from segkit.course.knobs.explorer import FONT
from segkit.course.knobs.lesson05 import NetworkExplorer
from segkit.data import load_dataset
from segkit.files import embedded_path

studies = embedded_path("studies")
arrays = np.load(studies / "05_alpha.npz")
alphas = sorted(pd.read_csv(studies / "05_alpha.csv")["alpha"].unique())
cuts = np.linspace(0.05, 0.95, 19)
pictures = load_dataset(embedded_path("people"), split="val", size=128)
rows = [[sample.name for sample in pictures.samples].index(name) for name in arrays["names"]]
images, masks = (array[rows] for array in pictures.arrays)
dice = dict(zip(alphas, arrays["dice"], strict=True))
explorer = NetworkExplorer(images, masks, arrays["probs"], alphas, dice, cuts)
WIDTH, TOP = 960, 56


def frame() -> Image.Image:
    """What a reader sees: the sliders at their places, the picture under them, the line of words."""
    picture = Image.fromarray(explorer.draw())
    page = Image.new("RGB", (WIDTH, TOP + picture.height + 30), "white")
    page.paste(picture, (8, TOP))
    pen = ImageDraw.Draw(page)
    share = {"alpha": alphas.index(explorer.alpha.value) / (len(alphas) - 1)}
    share["threshold"] = (explorer.threshold.value - cuts[0]) / (cuts[-1] - cuts[0])
    for left, (name, place) in zip((8, 400), share.items(), strict=True):
        pen.text((left, 18), name, fill="black", font=FONT)
        pen.line([(left + 90, 26), (left + 290, 26)], fill="#bbbbbb", width=4)
        x = left + 90 + 200 * place
        pen.ellipse([x - 9, 17, x + 9, 35], fill="white", outline="#0072B2", width=3)
        pen.text((left + 305, 18), f"{getattr(explorer, name).value:.2f}", fill="black", font=FONT)
    pen.text((8, page.height - 22), explorer.describe(), fill="black", font=FONT)
    return page


frames = []
for name, values in (
    ("alpha", [*alphas, *alphas[::-1][1:-1]]),
    ("threshold", [0.5, 0.3, 0.1, 0.3, 0.5, 0.7, 0.9, 0.7]),
):
    explorer.alpha.value, explorer.threshold.value = (0.5 if name == "alpha" else 1.0), 0.5
    for value in values:
        getattr(explorer, name).value = min(
            alphas if name == "alpha" else cuts.tolist(), key=lambda one: abs(one - value)
        )
        frames.append(frame())
# All frames of a PNG share one palette: 256 colours that suit every one of them.
every = Image.fromarray(np.vstack([np.asarray(one)[::2, ::2] for one in frames])).quantize(256)
frames = [one.quantize(palette=every, dither=Image.Dither.NONE) for one in frames]
out = Path(__file__).with_suffix(".png")
frames[0].save(out, save_all=True, append_images=frames[1:], duration=700, loop=0, optimize=True)
print(f"{out}: {len(frames)} frames, {out.stat().st_size / 1e6:.2f} MB")
