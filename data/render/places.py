# SPDX-License-Identifier: GPL-3.0-or-later
"""Places: rooms, shops, streets, parks, beaches, courts, studios. People stand near the origin.

The camera comes from -y. Each builder fills the stage with things and light and returns a `Place`
that says how far round the camera may go.
"""

from dataclasses import dataclass

import numpy as np
import bpy  # noqa: F401  (mathutils only exists once bpy is imported)
from mathutils import Matrix
from skimage import data as skimage_data

import props
import shade
from stage import BUNDLED_HDRI_DIR, HDRI_DIR

OUTDOORS = ["bl_city", "bl_courtyard", "bl_forest", "bl_sunrise", "bl_sunset", "pm_bridge", "pm_city", "pm_dawn",
            "pm_esplanade", "pm_forest", "pm_park", "pm_sunrise", "pm_sunset", "pm_venice", "pm_sky"]
INDOORS = ["bl_interior", "bl_studio", "pm_apartment", "pm_hall", "pm_lab", "pm_lobby", "pm_studio", "pm_warehouse",
           "pm_workshop"]
NIGHT = ["bl_night", "pm_night"]
# Photographs inside scikit-image that are CC0 or public domain.
WALL_PICTURES = ["coffee.png", "chelsea.png", "rocket.jpg", "grass.png", "hubble_deep_field.jpg", "gravel.png", "brick.png"]


def hdri_path(name):
    source, stem = name.split("_")
    return BUNDLED_HDRI_DIR / f"{stem}.exr" if source == "bl" else HDRI_DIR / f"{stem}.exr"


@dataclass
class Place:
    kind: str
    light: str               # day, indoor, studio, night or backlit
    max_azimuth: float       # degrees that the camera may go round to either side
    x_limit: float = 50.0    # the camera stays inside |x| < x_limit and z < z_limit
    z_limit: float = 50.0
    y_limit: float = 50.0    # and y > -y_limit


def surround(stage, rng, names, brightness=(0.6, 1.5)):
    stage.surround(hdri_path(str(rng.choice(names))), rng.uniform(*brightness), rng.uniform(0, 2 * np.pi))


def daylight(stage, rng):
    """Outdoor light: mostly panoramas, now and then a clear sky; sometimes an extra hard sun."""
    if rng.random() < 0.3:
        stage.sky(rng.uniform(8, 70), rng.uniform(0, 2 * np.pi), rng.uniform(0.7, 1.2))
    else:
        surround(stage, rng, OUTDOORS)
        if rng.random() < 0.5:
            stage.light("SUN", (rng.uniform(-5, 5), rng.uniform(-6, 4), rng.uniform(3, 8)), (0, 0, 1), rng.uniform(1.5, 5),
                        0.01, (1, 0.94, 0.86))


def dark(stage, rng):
    """Night outdoors: a dark panorama, street lamps, sometimes a flash."""
    surround(stage, rng, NIGHT, (0.06, 0.2))
    for _ in range(int(rng.integers(2, 5))):
        stage.light("POINT", (rng.uniform(-6, 6), rng.uniform(-4, 6), rng.uniform(2.5, 5)), (0, 0, 0), rng.uniform(80, 500), 0.15,
                    (1, rng.uniform(0.7, 0.95), rng.uniform(0.4, 0.9)))
    if rng.random() < 0.35:
        stage.light("POINT", (0.2, -3, 1.8), (0, 0, 0), rng.uniform(60, 150), 0.05)


def _warmth(rng):
    t = rng.uniform(-1, 1)
    return (1, 1 - 0.22 * t, 1 - 0.45 * t) if t > 0 else (1 + 0.2 * t, 1 + 0.07 * t, 1)


def room(stage, rng):
    """A lived-in room; rolls decide whether it leans to a living room, office, kitchen or shop."""
    flavour = str(rng.choice(["living", "office", "kitchen", "shop", "bare"], p=[0.34, 0.2, 0.16, 0.18, 0.12]))
    night = rng.random() < 0.15
    surround(stage, rng, INDOORS + OUTDOORS, (0.08, 0.2) if night else (0.5, 1.4))
    w, d, h = rng.uniform(3, 8), rng.uniform(0.9, 5.5), rng.uniform(2.4, 3.4)
    wall, side_wall = (shade.surface(rng, str(rng.choice(shade.INDOOR_WALLS, p=[.22, .24, .1, .1, .07, .08, .09, .1]))) for _ in "ab")
    if rng.random() < 0.6:
        side_wall = wall
    floor = shade.surface(rng, str(rng.choice(shade.FLOORS)))
    stage.box((w, 10 + d, 0.1), (0, -5 + d / 2, -0.05), floor, bevel=0)
    stage.box((w, 0.1, h), (0, d, h / 2), wall, bevel=0)
    for side in (-1, 1):
        stage.box((0.1, 10 + d, h), (side * w / 2, -5 + d / 2, h / 2), side_wall, bevel=0)
    if rng.random() < 0.7:
        stage.box((w, 10 + d, 0.1), (0, -5 + d / 2, h + 0.05), shade.surface(rng, "paint", color=(.7, .7, .68)), bevel=0)
    stage.boxes([((w, 0.03, 0.1), (0, d - 0.06, 0.05))], shade.surface(rng, "paint"))
    if rng.random() < 0.6:
        _window(stage, rng, w, d, night)
    for _ in range(int(rng.integers(0, 5))):
        _wall_picture(stage, rng, w, d)
    if rng.random() < 0.35:
        stage.box((rng.uniform(1.5, 3), rng.uniform(1, 2), 0.015), (rng.normal(0, 0.5), rng.uniform(0, d), 0.01), shade.fabric(rng), bevel=0)
    _furnish(stage, rng, flavour, w, d)
    for _ in range(int(rng.integers(1, 4))):
        stage.light("AREA", (rng.uniform(-0.45, 0.45) * w, rng.uniform(-2.5, d * 0.8), rng.uniform(1.6, h - 0.1)), (0, 0, 1.2),
                    rng.uniform(40, 170), rng.uniform(0.2, 1.6), _warmth(rng))
    light = "indoor"
    if not night and rng.random() < 0.1:
        stage.light("AREA", (rng.uniform(-1, 1), d - 0.3, 1.8), (0, -2, 1.2), rng.uniform(300, 600), 1.5)
        light = "backlit"
    return Place(flavour, light, 35, w / 2 - 0.25, h - 0.15, 5.5)


def _window(stage, rng, w, d, night):
    width, height = rng.uniform(0.7, 2.4), rng.uniform(0.8, 1.7)
    x, z = rng.uniform(-0.35, 0.35) * w, rng.uniform(1.2, 1.7)
    view = hdri_path(str(rng.choice(NIGHT if night else OUTDOORS)))
    crop = (rng.random(), rng.uniform(0.38, 0.45), 0.15, 0.22)
    stage.plane(width, height, Matrix.Translation((x, d - 0.07, z)), shade.picture(view, rng.uniform(0.1, 0.3) if night else rng.uniform(0.6, 2.2), crop))
    bars = int(rng.integers(1, 4))
    frame = [((0.05, 0.05, height + 0.1), (x + q * width / 2, d - 0.08, z)) for q in np.linspace(-1, 1, bars + 1)]
    frame += [((width + 0.1, 0.05, 0.05), (x, d - 0.08, z + q * height / 2)) for q in (-1, 1)]
    stage.boxes(frame, shade.surface(rng, "paint"))
    if rng.random() < 0.5:
        cloth = shade.fabric(rng)
        for side in (-1, 1):
            xs = np.linspace(0, 0.5, 24)
            rows = [np.stack([x + side * (width / 2 + 0.1) + xs - 0.25, d - 0.14 + 0.03 * np.sin(xs * 60), 0 * xs + level], 1)
                    for level in (0.05, z + height / 2 + 0.15)]
            stage.mesh(np.concatenate(rows), [[i, i + 1, 25 + i, 24 + i] for i in range(23)], cloth)


def _wall_picture(stage, rng, w, d):
    width, height = rng.uniform(0.3, 1.1), rng.uniform(0.3, 0.9)
    x, z = rng.uniform(-0.45, 0.45) * w, rng.uniform(1.2, 2.1)
    stage.boxes([((width + 0.06, 0.03, height + 0.06), (x, d - 0.07, z))], shade.surface(rng, "paint"))
    if rng.random() < 0.35:
        crop = (rng.uniform(0, 0.5), rng.uniform(0, 0.5), rng.uniform(0.3, 0.5), rng.uniform(0.3, 0.5))
        image = shade.picture(skimage_data_path(str(rng.choice(WALL_PICTURES))), crop=crop)
    else:
        image = shade.surface(rng, str(rng.choice(["wallpaper", "stripes", "checker", "carpet"])))
    stage.plane(width, height, Matrix.Translation((x, d - 0.1, z)), image)


def skimage_data_path(name):
    from pathlib import Path
    return Path(skimage_data.__file__).parent / name


def _furnish(stage, rng, flavour, w, d):
    menu = {"living": ["shelf", "table", "sofa", "plant", "lamp", "door", "cabinet"],
            "office": ["desk", "desk", "shelf", "plant", "door", "cabinet"],
            "kitchen": ["counter", "cabinet", "table", "shelf", "door"],
            "shop": ["shelf", "shelf", "shelf", "sign", "rack", "table"],
            "bare": ["door", "plant", "balls", "cabinet"]}[flavour]
    for _ in range(int(rng.integers(2, 7))):
        kind = str(rng.choice(menu))
        x, y = rng.uniform(-0.48, 0.48) * w, d - rng.uniform(0.25, 0.6) * min(1, d)
        if d > 2 and rng.random() < 0.35:  # along a side wall instead
            x, y = rng.choice([-1, 1]) * (w / 2 - 0.45), rng.uniform(0.3, d - 0.3)
        if kind == "shelf":
            props.shelf(stage, rng, (x, min(y, d - 0.2), 0), rng.uniform(0.6, 2.2), rng.uniform(0.8, 2.3))
        elif kind == "table":
            props.table(stage, rng, (x, y, 0), rng.uniform(0.8, 1.6), 0.6, rng.uniform(0.45, 0.9))
        elif kind == "desk":
            props.table(stage, rng, (x, y, 0), rng.uniform(1.2, 1.7), 0.65, 0.74)
            props.screen(stage, rng, (x, y, 0.76), rng.normal(0, 0.3))
        elif kind == "sofa":
            props.sofa(stage, rng, (x, d - 0.55, 0))
        elif kind == "plant":
            props.potted_plant(stage, rng, (x, y, 0), rng.uniform(0.5, 1.8))
        elif kind == "lamp":
            props.lamp(stage, rng, (x, y, 0))
        elif kind == "door":
            stage.box((0.9, 0.06, 2.05), (x, d - 0.05, 1.02), shade.surface(rng, str(rng.choice(["wood", "paint"]))))
            stage.ball((x + 0.36, d - 0.12, 1.0), 0.03, shade.plain((.5, .45, .3), 0.2, metallic=1.0))
        elif kind == "cabinet":
            tall = rng.uniform(0.5, 2.1)
            stage.box((rng.uniform(0.4, 1.2), 0.5, tall), (x, d - 0.3, tall / 2), shade.surface(rng))
        elif kind == "counter":
            wide = rng.uniform(1.2, 3)
            stage.boxes([((wide, 0.6, 0.86), (x, d - 0.35, 0.43))], shade.surface(rng, "paint"))
            props.table(stage, rng, (x, d - 0.35, 0), wide, 0.62, 0.88, clutter=9)
            stage.boxes([((wide / 3 - 0.03, 0.35, 0.7), (x + k * wide / 3, d - 0.22, 1.9)) for k in (-1, 0, 1)],
                        shade.surface(rng, str(rng.choice(["wood", "paint"]))))
        elif kind == "rack":  # clothes without people in them
            for k in range(int(rng.integers(4, 9))):
                stage.box((0.04, 0.45, rng.uniform(0.6, 1.0)), (x + 0.09 * k, y, 1.1), shade.fabric(rng), rng.normal(0, 0.1), 0.01)
            stage.boxes([((1.0, 0.03, 0.03), (x + 0.4, y, 1.65))], shade.plain((.4, .4, .4), 0.2, metallic=1.0))
        elif kind == "sign":
            props.sign(stage, rng, (x, d - 0.2, rng.uniform(1.7, 2.2)), size=rng.uniform(0.12, 0.3), pole=False)
        else:
            for _ in range(3):
                stage.ball((x + rng.uniform(-0.5, 0.5), y, rng.uniform(0.1, 1.6)), rng.uniform(0.05, 0.25), shade.surface(rng))


def street(stage, rng):
    """Fronts across the view, or a street canyon that runs away from the camera."""
    night = rng.random() < 0.16
    dark(stage, rng) if night else daylight(stage, rng)
    stage.ground(shade.surface(rng, str(rng.choice(shade.PAVINGS))))
    if rng.random() < 0.45:
        half = rng.uniform(3, 9)
        for side in (-1, 1):
            y = rng.uniform(-6, -3)
            while y < 40:
                wide = rng.uniform(3, 9)
                _front(stage, rng, (side * half, y + wide / 2), wide, -side * np.pi / 2, night)
                y += wide
        if rng.random() < 0.7:
            stage.box((half * 0.9, 80, 0.02), (0, 20, 0.005), shade.surface(rng, "asphalt"), bevel=0)
            stage.boxes([((0.14, 1.5, 0.02), (0, y, 0.012)) for y in range(-4, 40, 4)], shade.plain((.7, .7, .65), 0.6))
        reach, width = 14, half - 0.8
    else:
        back = rng.uniform(3, 16)
        x = -18 + rng.uniform(-3, 3)
        while x < 18:
            wide = rng.uniform(3, 9)
            _front(stage, rng, (x + wide / 2, back + rng.uniform(0, 0.8)), wide, 0.0, night)
            x += wide + (rng.uniform(1, 4) if rng.random() < 0.2 else 0)
        reach, width = back, 8
    for _ in range(int(rng.integers(0, 4))):
        props.tree(stage, rng, (rng.uniform(-width, width), rng.uniform(2, reach + 1), 0))
    for _ in range(int(rng.integers(1, 6))):
        x, y = rng.uniform(-width, width), rng.uniform(1.5, max(reach - 0.6, 2))
        kind = str(rng.choice(["car", "bench", "pole", "hedge", "bin", "sign", "bicycle", "table", "bollards"]))
        if kind == "car":
            props.car(stage, rng, (x, max(y, 2.8), 0), rng.choice([0, np.pi / 2]) + rng.normal(0, 0.1))
        elif kind == "bench":
            props.seat(stage, rng, (x, y, 0), rng.normal(0, 0.4), 0.45)
        elif kind == "pole":
            stage.tube([(x, y, 0), (x, y, 5)], 0.06, shade.plain((.2, .2, .2), 0.4))
        elif kind == "hedge":
            stage.box((rng.uniform(1, 5), 0.7, rng.uniform(0.6, 1.6)), (x, y, 0.5), shade.surface(rng, "grass"), bevel=0.1)
        elif kind == "bin":
            stage.lathe([(0.22, 0), (0.27, 0.85), (0.001, 0.9)], shade.plain(shade.random_color(rng)), (x, y, 0))
        elif kind == "sign":
            props.sign(stage, rng, (x, y, rng.uniform(2, 3)), rng.normal(0, 0.3), rng.uniform(0.15, 0.4))
        elif kind == "bicycle":
            props.bicycle(stage, rng, (x, y, 0), rng.uniform(0, 3))
        elif kind == "table":
            props.table(stage, rng, (x, y, 0), 0.7, 0.7, 0.72)
        else:
            for k in range(4):
                stage.lathe([(0.09, 0), (0.09, 0.9), (0.001, 1.0)], shade.plain((.1, .1, .1)), (x + k * 1.3, y, 0))
    return Place("street", "night" if night else _sky_light(rng), 60, max(width, 2.5))


def _front(stage, rng, place, wide, turn, night):
    """One house front, `wide` metres, facing -y before `turn`: walls, windows, a shop or a door."""
    tall, floor = rng.uniform(3, 13), rng.uniform(2.6, 3.4)
    at = lambda x, y, z: (place[0] + np.cos(turn) * x - np.sin(turn) * y, place[1] + np.sin(turn) * x + np.cos(turn) * y, z)
    wall = shade.surface(rng, str(rng.choice(["brick", "plaster", "concrete", "paint", "tile"])), rng.uniform(0.5, 1.5))
    stage.box((wide, 3, tall), at(0, 1.5, tall / 2), wall, turn, bevel=0)
    ratio, size = rng.uniform(0.7, 2.2), rng.uniform(0.6, 1.3)
    columns = max(1, int(wide // (size * rng.uniform(1.3, 2.2))))
    shop = rng.random() < 0.45
    frames, panes, lit = [], [], []
    for level in np.arange(floor * (1.45 if shop else 0.5), tall - 0.8, floor):
        for i in range(columns):
            x, h = (i + 0.5) * wide / columns - wide / 2, min(size * ratio, floor * 0.75)
            frames.append(((size + 0.16, 0.1, h + 0.16), at(x, 0, level), turn))
            (lit if rng.random() < (0.4 if night else 0.06) else panes).append(((size, 0.12, h), at(x, -0.01, level), turn))
    if shop:
        (lit if night else panes).append(((wide * 0.8, 0.12, 2.0), at(0, -0.01, 1.35), turn))
        stage.boxes([((wide * 0.9, rng.uniform(0.3, 1.2), 0.1), at(0, -0.3, 2.6), turn)], shade.fabric(rng))
        props.sign(stage, rng, at(0, -0.1, 3.0), turn, min(0.5, wide * 0.08), pole=False)
    else:
        stage.boxes([((1.0, 0.1, 2.1), at(rng.uniform(-0.3, 0.3) * wide, -0.02, 1.05), turn)], shade.surface(rng, str(rng.choice(["wood", "paint"]))))
    if rng.random() < 0.25:
        stage.boxes([((wide * 0.9, 0.9, 0.12), at(0, -0.45, level), turn) for level in np.arange(floor * 1.1, tall - 1, floor)], wall)
    stage.boxes(frames, shade.surface(rng, "paint"))
    stage.boxes(panes, shade.plain(shade.random_color(rng) * 0.1 + [.01, .02, .03], 0.08))
    stage.boxes(lit, shade.glowing((1, 0.75, 0.4), rng.uniform(0.3, 1.5)))


def _sky_light(rng):
    return "backlit" if rng.random() < 0.1 else "day"


def nature(stage, rng):
    """A park, field, beach or snow: ground with relief, plants, rocks, a fence or water."""
    kind = str(rng.choice(["park", "park", "field", "beach", "snow", "wood"]))
    daylight(stage, rng)
    cover = {"park": "grass", "field": str(rng.choice(["grass", "earth"])), "beach": "sand", "snow": "snow", "wood": "earth"}[kind]
    n = 60
    gx, gy = np.meshgrid(np.linspace(-40, 40, n), np.linspace(-15, 65, n))
    waves, phase = rng.normal(0, 0.12, (6, 2)), rng.uniform(0, 6, 6)
    relief = sum(np.sin(gx * a + gy * b + p) for (a, b), p in zip(waves, phase))
    far = np.clip((np.hypot(gx, gy) - 6) / 30, 0, 1)  # flat where people stand
    gz = relief * far * rng.uniform(0, 1.5)
    if kind == "beach":
        gz = -0.04 * np.clip(gy - 5, 0, None)
        stage.ground(shade.surface(rng, "water"), z=-0.15)
    faces = [[r * n + c, r * n + c + 1, (r + 1) * n + c + 1, (r + 1) * n + c] for r in range(n - 1) for c in range(n - 1)]
    stage.mesh(np.stack([gx, gy, gz], 2).reshape(-1, 3), faces, shade.surface(rng, cover))
    if kind == "park" and rng.random() < 0.6:
        stage.box((rng.uniform(1.5, 3), 60, 0.02), (rng.uniform(-2, 2), 20, 0.005), shade.surface(rng, "gravel"), rng.normal(0, 0.3), 0)
    trees = {"park": (1, 5), "field": (0, 3), "beach": (0, 2), "snow": (0, 4), "wood": (5, 10)}[kind]
    for _ in range(int(rng.integers(*trees))):
        props.tree(stage, rng, (rng.uniform(-9, 9), rng.uniform(2, 16), 0))
    for _ in range(int(rng.integers(0, 6))):
        x, y = rng.choice([-1, 1]) * rng.uniform(0.8, 7), rng.uniform(1, 9)
        thing = str(rng.choice(["bush", "bush", "rock", "bench", "bicycle", "parasol", "sign"]))
        if thing == "bush":
            props.bush(stage, rng, (x, y, 0), rng.uniform(0.5, 1.3))
        elif thing == "rock":
            props.rock(stage, rng, (x, y, 0.1), rng.uniform(0.2, 0.9))
        elif thing == "bench":
            props.seat(stage, rng, (x, y, 0), rng.normal(0, 0.5), 0.45)
        elif thing == "bicycle":
            props.bicycle(stage, rng, (x, y, 0), rng.uniform(0, 3))
        elif thing == "sign":
            props.sign(stage, rng, (x, y, rng.uniform(1.2, 2.2)), rng.normal(0, 0.4), rng.uniform(0.12, 0.3))
        else:
            stage.tube([(x, y, 0), (x, y, 2.2)], 0.03, shade.plain((.8, .8, .8)))
            stage.lathe([(1.3, 1.8), (0.01, 2.25)], shade.fabric(rng), (x, y, 0), 16)
    if rng.random() < 0.3:
        props.fence(stage, rng, rng.uniform(2, 10))
    return Place(kind, _sky_light(rng), 150)


def court(stage, rng):
    """A sports ground or hall floor with lines, a net or fence, a ball."""
    daylight(stage, rng)
    stage.ground(shade.surface(rng, str(rng.choice(["grass", "clay", "asphalt", "paint", "wood"]))))
    white = shade.plain((.8, .8, .8), 0.7)
    stage.boxes([((0.08, 40, 0.01), (x, 8, 0.006)) for x in (-4, 0.7, 4)] + [((40, 0.08, 0.01), (0, y, 0.006)) for y in (-1, 3, 9)], white)
    y, h = rng.uniform(1.5, 7), rng.uniform(0.9, 3)
    stage.boxes([((0.012, 0.012, h), (x, y, h / 2)) for x in np.arange(-8, 8, 0.15)] +
                [((16, 0.012, 0.012), (0, y, z)) for z in np.arange(0.05, h, 0.15)] + [((16, 0.05, 0.07), (0, y, h))], white)
    if rng.random() < 0.6:
        steps = [((24, 0.8, 0.45 * k), (0, 11 + 0.8 * k, 0.225 * k)) for k in range(1, 8)]
        stage.boxes(steps, shade.surface(rng, "concrete"))
    for _ in range(int(rng.integers(0, 4))):
        stage.ball((rng.uniform(-3, 3), rng.uniform(-0.5, 4), 0.11), 0.11, shade.surface(rng, "checker"))
    return Place("court", _sky_light(rng), 60)


def open_air(stage, rng):
    """Nothing but a panorama and a floor."""
    night = rng.random() < 0.12
    names = NIGHT if night else OUTDOORS + INDOORS
    surround(stage, rng, names, (0.5, 1.5))
    if night:
        stage.light("AREA", (rng.uniform(-2, 2), -3, 2.5), (0, 0, 1.2), rng.uniform(40, 120), 0.5, _warmth(rng))
    stage.ground(shade.surface(rng, str(rng.choice(["grass", "asphalt", "tile", "concrete", "wood", "paving"]))))
    return Place("panorama", "night" if night else _sky_light(rng), 180)


def studio(stage, rng):
    """A seamless backdrop under studio light."""
    surround(stage, rng, ["bl_studio", "pm_studio", "pm_sky", "bl_interior"], (0.4, 1.1))
    profile = [(-8, 0), (1.2, 0), (1.7, 0.15), (1.95, 0.5), (2, 1), (2, 5)]
    points = [(x * 8, y, z) for y, z in profile for x in (-1, 1)]
    paper = shade.surface(rng, str(rng.choice(["paint", "plaster"])))
    stage.mesh(points, [[2 * i, 2 * i + 1, 2 * i + 3, 2 * i + 2] for i in range(len(profile) - 1)], paper, subdivide=2)
    stage.light("AREA", (rng.uniform(-2, 2), -1.5, 2.4), (0, 0, 1.5), rng.uniform(40, 140), rng.uniform(0.4, 1.5))
    if rng.random() < 0.4:
        stage.light("AREA", (rng.choice([-1, 1]) * 1.8, 1.2, 2), (0, 0, 1.5), rng.uniform(30, 100), 0.5, _warmth(rng))
    return Place("studio", "studio", 25)


BUILDERS = {room: 0.37, street: 0.25, nature: 0.17, court: 0.05, open_air: 0.1, studio: 0.06}


def build_place(stage, rng) -> Place:
    weights = np.array(list(BUILDERS.values()))
    return list(BUILDERS)[rng.choice(len(BUILDERS), p=weights / weights.sum())](stage, rng)
