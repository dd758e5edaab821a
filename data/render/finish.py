# SPDX-License-Identifier: MIT
"""From linear light to a photograph: exposure, white balance, tone curve, blur, noise, JPEG.

A render is scene light. What makes it look like a photograph is what a camera does to it, so the
camera is imitated here, one step after the other, on plain arrays.
"""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import convolve, gaussian_filter

LUMINANCE = np.array([0.2126, 0.7152, 0.0722])


@dataclass
class Look:
    """Every choice of one camera. Drawn once per picture, or once per clip."""

    gains: np.ndarray     # exposure and white balance, per channel
    shoulder: bool        # a filmic curve, else a hard clip
    contrast: float
    saturation: float
    vignette: float
    softness: float       # sigma in pixels; negative sharpens
    motion: tuple         # (length in pixels, angle), or None
    noise: float
    noise_grain: float
    quality: int          # JPEG


def draw_look(rng, light, mask, mood) -> Look:
    """Meter the picture (H, W, 3) as a camera would, and draw the rest.

    mood "night" stays dark; "backlit" is metered on the bright background, so people go dark.
    """
    luminance = np.clip(light, 0, None) @ LUMINANCE
    weight = np.where(mask, 1.6, 0.4) if mood != "backlit" else np.where(mask, 0.25, 1.0)
    log_mean = np.exp((np.log(luminance + 1e-3) * weight).sum() / weight.sum())
    key = {"night": 0.075, "backlit": 0.2}.get(mood, 0.19) * 2 ** rng.normal(0, 0.3)
    exposure = key / log_mean
    # Never burn out the person: their 97th percentile stays below the shoulder.
    bright = np.percentile(luminance[mask], 97) if mask.any() else luminance.max()
    exposure = min(exposure, (0.6 if mood == "night" else 1.1) / max(bright, 1e-3))
    # Half-way grey world: a camera takes out most of a colour cast, not all of it.
    middle = luminance < np.percentile(luminance, 97)
    means = np.clip(light, 0, None)[middle].mean(0) + 1e-4
    balance = np.clip((means.mean() / means) ** rng.uniform(0.5, 0.9), 0.5, 2)
    balance *= 1 + rng.normal(0, 0.03, 3)
    blurred = rng.random()
    return Look(
        gains=exposure * balance, shoulder=bool(rng.random() < 0.75), contrast=rng.uniform(0.85, 1.2),
        saturation=rng.uniform(0.75, 1.2), vignette=rng.uniform(0, 0.45),
        softness=rng.uniform(0.2, 0.7) if blurred < 0.4 else rng.uniform(0.8, 1.3) if blurred < 0.5
        else -rng.uniform(0.2, 0.7) if blurred < 0.8 else 0.0,
        motion=(rng.uniform(2, 5), rng.uniform(0, np.pi)) if rng.random() < 0.12 else None,
        noise=rng.uniform(0.004, 0.028) * (1.6 if mood == "night" else 1), noise_grain=rng.uniform(0.3, 0.7),
        quality=int(rng.integers(70, 93)))


def develop(rng, light, look: Look):
    """Linear light (H, W, 3) to uint8 RGB."""
    x = np.clip(light, 0, 1e4) * look.gains
    if look.shoulder:  # a filmic curve (Narkowicz 2015), scaled so that mid grey stays
        x = 0.8 * x
        x = x * (2.51 * x + 0.03) / (x * (2.43 * x + 0.59) + 0.14)
    x = np.clip(x, 0, 1)
    x = np.where(x <= 0.0031308, 12.92 * x, 1.055 * np.maximum(x, 1e-6) ** (1 / 2.4) - 0.055)
    x = np.clip(0.45 + (x - 0.45) * look.contrast, 0, 1)
    grey = (x @ LUMINANCE)[..., None]
    x = grey + (x - grey) * look.saturation
    if look.motion:
        kernel = _motion_kernel(*look.motion)
        x = np.stack([convolve(x[..., c], kernel, mode="nearest") for c in range(3)], 2)
    if look.softness > 0:
        x = gaussian_filter(x, (look.softness, look.softness, 0))
    elif look.softness < 0:
        x = x - look.softness * (x - gaussian_filter(x, (1, 1, 0)))
    h, w = x.shape[:2]
    yy, xx = np.mgrid[0:h, 0:w]
    x = x * (1 - look.vignette * ((yy / h - 0.5) ** 2 + (xx / w - 0.5) ** 2))[..., None]
    grain = rng.normal(0, 1, x.shape)
    grain = gaussian_filter(0.6 * grain + 0.4 * grain.mean(2, keepdims=True), (look.noise_grain, look.noise_grain, 0))
    x = x + grain * look.noise * 1.6 * (1.5 - 0.5 * np.clip(x, 0, 1)) / 1.5
    return (np.clip(x, 0, 1) * 255 + 0.5).astype(np.uint8)


def _motion_kernel(length, angle, size=7):
    kernel = np.zeros((size, size))
    for t in np.linspace(-length / 2, length / 2, 13):
        kernel[int(round(size // 2 + t * np.sin(angle))), int(round(size // 2 + t * np.cos(angle)))] += 1
    return kernel / kernel.sum()


def part_map(coverage):
    """Coverage of each part (H, W, 9) to class ids uint8: background where no person covers half a pixel."""
    return np.where(coverage.sum(2) >= 0.5, coverage.argmax(2) + 1, 0).astype(np.uint8)
