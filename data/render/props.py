# SPDX-License-Identifier: GPL-3.0-or-later
"""Furniture, plants, cars and other things that fill a place. Positions are (x, y, z) of the base."""

import math

import bpy
import numpy as np
from mathutils import Matrix

import shade


def _frame(place, turn):
    """Local to world coordinates for a thing at `place`, turned about z."""
    c, s = math.cos(turn), math.sin(turn)
    return lambda x, y, z: (place[0] + c * x - s * y, place[1] + s * x + c * y, place[2] + z)


def _material(rng):
    return shade.surface(rng, str(rng.choice(["wood", "paint", "plaster"])))


def shelf(stage, rng, place, width, height, depth=0.3, turn=0.0):
    at, rows, boards = _frame(place, turn), int(rng.integers(2, 6)), []
    for k in range(rows + 1):
        boards.append(((width, depth, 0.03), at(0, 0, height * k / rows), turn))
    for side in (-1, 1):
        boards.append(((0.03, depth, height), at(side * width / 2, 0, height / 2), turn))
    stage.boxes(boards, _material(rng))
    colors = [[] for _ in range(6)]
    for k in range(rows):
        x = -width / 2 + 0.03
        while x < width / 2 - 0.06:
            w, h = rng.uniform(0.02, 0.14), rng.uniform(0.4, 0.9) * height / rows
            if rng.random() < 0.8:
                colors[rng.integers(6)].append(
                    ((w * 0.92, depth * 0.7, h), at(x + w / 2, 0, height * k / rows + h / 2 + 0.015), turn))
            x += w
    for group in colors:
        stage.boxes(group, shade.surface(rng, "paint"))


def table(stage, rng, place, width, depth, height, turn=0.0, clutter=6):
    at, material = _frame(place, turn), _material(rng)
    stage.boxes([((width, depth, 0.04), at(0, 0, height), turn)] +
                [((0.05, 0.05, height), at(a * width * 0.45, b * depth * 0.42, height / 2), turn)
                 for a in (-1, 1) for b in (-1, 1)], material)
    for _ in range(int(rng.integers(0, clutter + 1))):
        spot = at(rng.uniform(-0.4, 0.4) * width, rng.uniform(-0.35, 0.35) * depth, height + 0.02)
        paint = shade.plain(shade.random_color(rng), rng.uniform(0.1, 0.9))
        if rng.random() < 0.45:
            r, h = rng.uniform(0.03, 0.09), rng.uniform(0.05, 0.28)
            stage.lathe([(0.001, 0), (r, 0), (r * rng.uniform(0.5, 1.2), h), (0.001, h)], paint, spot)
        else:
            size = (rng.uniform(0.05, 0.32), rng.uniform(0.05, 0.22), rng.uniform(0.02, 0.25))
            stage.box(size, (spot[0], spot[1], spot[2] + size[2] / 2), paint, rng.uniform(0, 3))


def screen(stage, rng, place, turn=0.0, size=0.5):
    at = _frame(place, turn)
    stage.boxes([((size, 0.03, size * 0.6), at(0, 0, 0.12 + size * 0.3), turn), ((0.05, 0.05, 0.15), at(0, 0.02, 0.07), turn)],
                shade.plain((0.01, 0.01, 0.01), 0.3))
    stage.boxes([((size * 0.95, 0.01, size * 0.54), at(0, -0.02, 0.12 + size * 0.3), turn)],
                shade.glowing(shade.random_color(rng), rng.uniform(0, 2)))


def sofa(stage, rng, place, turn=0.0):
    at, cover, w = _frame(place, turn), shade.fabric(rng), rng.uniform(1.2, 2.2)
    stage.boxes([((w, 0.8, 0.4), at(0, 0, 0.22), turn), ((w, 0.22, 0.5), at(0, 0.38, 0.6), turn),
                 ((0.2, 0.8, 0.6), at(-w / 2 - 0.05, 0, 0.32), turn), ((0.2, 0.8, 0.6), at(w / 2 + 0.05, 0, 0.32), turn)],
                cover, 0.07)
    for _ in range(int(rng.integers(0, 4))):
        stage.box((0.4, 0.15, 0.38), at(rng.uniform(-0.4, 0.4) * w, 0.2, 0.6), shade.fabric(rng), turn + rng.normal(0, 0.2), 0.07)


def seat(stage, rng, place, turn, height):
    """Something to sit on, its top at `height`: chair, stool, armchair, bench or crate."""
    at, material = _frame(place, turn), _material(rng)
    kind = str(rng.choice(["chair", "stool", "armchair", "bench", "crate"], p=[0.35, 0.15, 0.2, 0.2, 0.1]))
    h = max(height, 0.12)
    legs = lambda w, d: [((0.04, 0.04, h), at(a * w, b * d, h / 2), turn) for a in (-1, 1) for b in (-1, 1)]
    if kind in ("chair", "stool"):
        boxes = [((0.48, 0.46, 0.05), at(0, 0.08, h - 0.025), turn)] + legs(0.21, 0.2)
        if kind == "chair":
            boxes.append(((0.46, 0.04, 0.45), at(0, 0.33, h + 0.3), turn))
        stage.boxes(boxes, material, 0.01)
    elif kind == "armchair":
        stage.boxes([((0.75, 0.75, h), at(0, 0.12, h / 2), turn), ((0.75, 0.2, 0.6), at(0, 0.46, h + 0.15), turn),
                     ((0.16, 0.75, h + 0.2), at(-0.42, 0.12, h / 2 + 0.1), turn),
                     ((0.16, 0.75, h + 0.2), at(0.42, 0.12, h / 2 + 0.1), turn)], shade.fabric(rng), 0.06)
    elif kind == "bench":
        stage.boxes([((1.7, 0.12, 0.05), at(0, 0.14 * k - 0.05, h - 0.025), turn) for k in range(3)]
                    + [((1.7, 0.04, 0.12), at(0, 0.36, h + 0.18 + 0.18 * k), turn) for k in range(2)] + legs(0.75, 0.15), material)
    else:
        stage.box((rng.uniform(0.5, 1.2), 0.5, h), at(0, 0.1, h / 2), shade.surface(rng), turn, 0.01)


def lamp(stage, rng, place):
    x, y, z = place
    stage.boxes([((0.03, 0.03, 1.5), (x, y, z + 0.75))], shade.surface(rng, "paint"))
    stage.lathe([(0.18, 0), (0.1, 0.28)], shade.glowing((1, 0.75, 0.45), rng.uniform(1, 5)), (x, y, z + 1.45))


def potted_plant(stage, rng, place, height):
    n = int(rng.integers(60, 160))
    around, rise, length = rng.uniform(0, 2 * np.pi, n), rng.uniform(0.2, 1.3, n), height * rng.uniform(0.3, 0.8, n)
    base = np.stack([0 * around, 0 * around, rng.uniform(0.1, 0.6, n) * height], 1)
    along = np.stack([np.cos(around) * np.cos(rise), np.sin(around) * np.cos(rise), np.sin(rise)], 1)
    side = np.cross(along, [0, 0, 1.0])
    side /= np.linalg.norm(side, axis=1, keepdims=True)
    wide = height * rng.uniform(0.02, 0.08)
    rows = []
    for t, w in zip((0, 0.3, 0.65, 1), (0.2, 1, 0.8, 0.02)):
        middle = base + along * (length * t)[:, None] - [[0, 0, 1]] * (length * t ** 2 * 0.45)[:, None]
        rows += [middle - side * wide * w, middle + side * wide * w]
    faces = [[8 * i + 2 * k, 8 * i + 2 * k + 1, 8 * i + 2 * k + 3, 8 * i + 2 * k + 2] for i in range(n) for k in range(3)]
    stage.mesh(np.stack(rows, 1).reshape(-1, 3), faces, shade.leaf(rng)).location = place
    r = height * 0.14
    stage.lathe([(0.001, 0), (r * 0.8, 0), (r, height * 0.22), (0.001, height * 0.22)], shade.surface(rng, "paint"), place)


def leaves(stage, rng, clusters, spread, count, material, leaf_size=(0.05, 0.12)):
    """A cloud of leaves around cluster centres (k, 3)."""
    q = rng.normal(0, 1, (count, 3))
    q /= np.linalg.norm(q, axis=1, keepdims=True)
    c = clusters[rng.integers(len(clusters), size=count)] + q * rng.random((count, 1)) ** 0.4 * spread
    a = rng.normal(0, 1, (count, 3))
    a /= np.linalg.norm(a, axis=1, keepdims=True)
    b = np.cross(a, rng.normal(0, 1, (count, 3)))
    size = rng.uniform(*leaf_size, (count, 1))
    corners = np.stack([c - a * size, c + b * size * 0.5, c + a * size, c - b * size * 0.5], 1).reshape(-1, 3)
    stage.mesh(corners, np.arange(4 * count).reshape(-1, 4), material, smooth=False)


def tree(stage, rng, place):
    place, h = np.array(place, float), rng.uniform(2.5, 7)
    bark = shade.surface(rng, "wood")
    stage.lathe([(0.14, 0), (0.08, h * 0.7)], bark, place, 10)
    if rng.random() < 0.25:  # a conifer
        tiers = np.linspace(0.25, 1, 9)
        clusters = np.concatenate([place + np.stack([(1.05 - t) * h * 0.3 * np.cos(a), (1.05 - t) * h * 0.3 * np.sin(a),
                                                     np.full(7, t * h)], 1) for t in tiers
                                   for a in [np.linspace(0, 2 * np.pi, 7)]])
        leaves(stage, rng, clusters, h * 0.08, 2500, shade.leaf(rng))
    else:
        clusters = place + rng.normal(0, 0.45, (8, 3)) * h * 0.3 * [1, 1, 0.6] + [0, 0, h * 0.75]
        leaves(stage, rng, clusters, h * 0.2, 2500, shade.leaf(rng))


def bush(stage, rng, place, size):
    clusters = np.array(place) + rng.normal(0, 0.4, (6, 3)) * size * [1, 1, 0.3] + [0, 0, size * 0.4]
    leaves(stage, rng, clusters, size * 0.5, 1500, shade.leaf(rng), (0.03, 0.08))


def rock(stage, rng, place, size):
    thing = stage.ball(place, size, shade.surface(rng, "gravel"), (1, rng.uniform(0.6, 1.2), rng.uniform(0.4, 0.8)))
    texture = thing.modifiers.new("lumps", "DISPLACE")
    texture.texture = bpy.data.textures.new("lumps", "CLOUDS")
    texture.strength = size * 0.4


def car(stage, rng, place, turn=0.0):
    at = _frame(place, turn)
    body = shade.plain(shade.random_color(rng), 0.2, coat=1.0)
    dark = shade.plain((0.01, 0.01, 0.012), 0.1)
    tall = rng.uniform(0.9, 1.6)
    stage.boxes([((4.2, 1.7, 0.6), at(0, 0, 0.65), turn)], body, 0.18)
    stage.boxes([((2.3, 1.5, 0.55 * tall), at(0.2, 0, 0.9 + 0.27 * tall), turn)], dark, 0.18)
    stage.boxes([((2.0, 1.45, 0.08), at(0.2, 0, 0.93 + 0.55 * tall), turn)], body, 0.03)
    for x in (-1.3, 1.3):
        for y in (-0.75, 0.75):
            wheel = stage.ball(at(x, y, 0.32), 0.33, dark, (1, 0.35, 1))
            wheel.rotation_euler = (0, 0, turn)


def bicycle(stage, rng, place, turn=0.0):
    at, dark = _frame(place, turn), shade.plain((0.02, 0.02, 0.02), 0.5)
    frame = shade.plain(shade.random_color(rng), 0.3)
    ring = np.linspace(0, 2 * np.pi, 25)
    for x in (-0.52, 0.52):
        stage.tube([at(x + 0.33 * math.cos(a), 0, 0.34 + 0.33 * math.sin(a)) for a in ring], 0.018, dark)
    for line in ([(-.52, .34), (-.15, .85)], [(-.15, .85), (.4, .82)], [(.4, .95), (.52, .34)], [(-.1, .3), (.4, .82)],
                 [(-.52, .34), (-.1, .3)], [(-.1, .3), (-.17, .95)]):
        stage.tube([at(x, 0, z) for x, z in line], 0.016, frame)
    stage.tube([at(0.35, y, 1.0) for y in (-0.28, 0, 0.28)], 0.014, dark)


def fence(stage, rng, y, x_range=(-12, 12)):
    material, step = _material(rng), rng.uniform(0.12, 1.2)
    h = rng.uniform(0.7, 1.6)
    posts = [((0.05, 0.04, h), (x, y, h / 2)) for x in np.arange(*x_range, step)]
    rails = [((x_range[1] - x_range[0], 0.04, 0.06), (0, y + 0.03, h * f)) for f in (0.35, 0.85)]
    stage.boxes(posts + rails, material)


def sign(stage, rng, place, turn=0.0, size=0.5, pole=True):
    """Random letters: writing is part of the world, and it is not a person."""
    words = "".join(rng.choice(list("ABCDEFGHIKLMNOPRSTUVZ"), int(rng.integers(2, 7))))
    paint, ink = shade.plain(shade.random_color(rng)), shade.plain(shade.random_color(rng))
    at = _frame(place, turn)
    width = size * (0.75 * len(words) + 0.6)
    stage.boxes([((width, 0.06, size * 1.6), at(0, 0, 0), turn)], paint)
    if pole:
        stage.boxes([((0.06, 0.06, place[2]), at(0, 0.05, -place[2] / 2), turn)], shade.plain((.2, .2, .2), 0.4))
    stage.text(words, size, Matrix.Translation(at(0, -0.04, 0)) @ Matrix.Rotation(turn, 4, "Z"), ink)
