# SPDX-License-Identifier: GPL-3.0-or-later
"""Things in a hand: simple geometry that belongs to the picture but not to the person mask."""

import numpy as np
import bpy  # noqa: F401  (mathutils only exists once bpy is imported)
from mathutils import Matrix

import shade
from body import load_body, palm_normal, unit

# What can be held, and the arm pose that shows it.
ARM_FOR = {"phone": "hold", "cup": "hold", "bottle": "relax", "bag": "side", "shopping": "side", "book": "read",
           "umbrella": "hold", "racket": "wave", "ball": "carry", "box": "carry", "stick": "relax", "sign": "hold"}
BOTH_HANDS = ("box", "ball", "book")


def add_held(stage, dressed, side, kind):
    """Objects in the person's frame, placed in the palm of the given side ("L" or "R")."""
    body = load_body()
    rng = np.random.default_rng(dressed.style.seed + 20)
    turn = dressed.transforms[body.index["wrist." + side]]
    carry = lambda p: turn[:3, :3] @ p + turn[:3, 3]
    wrist = carry(dressed.bone_heads[body.index["wrist." + side]])
    knuckles = carry(np.mean([dressed.bone_heads[body.index[f"finger{k}-1.{side}"]] for k in (2, 3, 4, 5)], 0))
    palm = unit(turn[:3, :3] @ palm_normal(dressed.rest_out, side))
    along = unit(knuckles - wrist)
    grip = 0.25 * wrist + 0.75 * knuckles + palm * 0.03
    across = unit(np.cross(along, palm))
    paint = lambda: shade.plain(shade.random_color(rng), rng.uniform(0.2, 0.8))
    up, down = np.array([0, 0, 1.0]), np.array([0, 0, -1.0])

    def slab(size, centre, x, z, material, bevel=0.003):
        """A box with its x and z axes along the given directions."""
        thing = stage.boxes([(size, (0, 0, 0))], material, bevel)
        z = unit(z - x * (x @ z))
        thing.matrix_world = Matrix.Translation(centre) @ Matrix(np.stack([x, np.cross(z, x), z], 1).tolist()).to_4x4()
        return thing

    if kind == "phone":
        return [slab((0.075, 0.009, 0.15), grip + palm * 0.01 + along * 0.02, across, along, shade.plain((.01, .01, .01), 0.1))]
    if kind == "book":
        return [slab((rng.uniform(.2, .35), 0.025, rng.uniform(.2, .3)), grip + along * 0.08, np.array([1.0, 0, 0]),
                     unit(along + 0.8 * up), paint())]
    if kind in ("cup", "bottle"):
        r, h = (0.04, 0.1) if kind == "cup" else (0.033, 0.22)
        profile = [(0.001, -h / 2), (r, -h / 2), (r, h / 2), (0.001, h / 2)] if kind == "cup" else \
            [(0.001, -h / 2), (r, -h / 2), (r, h * 0.2), (r * 0.4, h * 0.38), (r * 0.4, h / 2), (0.001, h / 2)]
        return [stage.lathe(profile, paint(), grip + palm * 0.015)]
    if kind in ("bag", "shopping"):
        w, h = rng.uniform(0.22, 0.42), rng.uniform(0.2, 0.4)
        depth = rng.uniform(0.08, 0.16)
        drop = rng.uniform(0.08, 0.2)
        material = paint() if kind == "shopping" else shade.fabric(rng)
        low = grip + down * (drop + h / 2)
        arc = np.linspace(0, np.pi, 12)
        handle = grip + down * drop + np.stack([0 * arc, w * 0.3 * np.cos(arc), drop * np.sin(arc)], 1)
        return [slab((depth, w, h), low, np.array([1.0, 0, 0]), up, material, 0.02), stage.tube(handle, 0.006, paint())]
    if kind == "umbrella":
        top = grip + up * rng.uniform(0.65, 0.8)
        angle = np.linspace(0, np.pi / 2.4, 6)
        profile = [(rng.uniform(0.5, 0.62) * np.sin(a) / np.sin(angle[-1]), 0.25 * (np.cos(a) - 1)) for a in angle[::-1]]
        return [stage.tube(np.linspace(grip + down * 0.1, top, 4), 0.006, paint()),
                stage.lathe(profile, shade.fabric(rng), top, 16)]
    if kind == "racket":
        ring = np.linspace(0, 2 * np.pi, 25)
        centre = grip + across * 0.42
        hoop = centre + 0.16 * np.cos(ring)[:, None] * across + 0.12 * np.sin(ring)[:, None] * along
        strings = [stage.tube(np.linspace(centre - 0.14 * across + k * along, centre + 0.14 * across + k * along, 2),
                              0.001, shade.plain((.8, .8, .8))) for k in (-0.06, -0.03, 0, 0.03, 0.06)]
        return [stage.tube(hoop, 0.008, paint()), stage.tube(np.linspace(grip - across * 0.1, centre - across * 0.16, 3), 0.014, paint())] + strings
    if kind == "ball":
        return [stage.ball(grip + palm * 0.1, rng.uniform(0.09, 0.13), shade.surface(rng, "checker"))]
    if kind == "box":
        w = rng.uniform(0.25, 0.45)
        inward = np.array([-np.sign(grip[0]), 0, 0])
        return [slab((w, rng.uniform(.2, .35), rng.uniform(.15, .4)), grip + inward * abs(grip[0]) + [0, -0.12, 0.08],
                     np.array([1.0, 0, 0]), up, paint(), 0.004)]
    if kind == "sign":
        pole = np.linspace(grip + down * 0.3, grip + up * 0.6, 3)
        board = slab((rng.uniform(.3, .6), 0.01, rng.uniform(.2, .4)), grip + up * 0.65, np.array([1.0, 0, 0]), up, paint())
        return [stage.tube(pole, 0.012, paint()), board]
    lean = unit(down + 0.2 * np.array([0, -1.0, 0]))  # a stick or cane
    return [stage.tube(np.linspace(grip - lean * 0.05, grip + lean * rng.uniform(0.6, 0.85), 3), 0.012, paint())]
