# SPDX-License-Identifier: GPL-3.0-or-later
"""One scene from one seed: who stands where, how, seen by which cameras."""

import math
from dataclasses import dataclass

import numpy as np

import held
import places
import props
import shade
from body import Pose, draw_person, load_body, solve_pose
from clothes import draw_style, dress
from figure import add_figure
from finish import part_map
from stage import Stage

FRAMINGS = {"portrait": 0.12, "selfie": 0.07, "half": 0.17, "knee": 0.1, "full": 0.2, "group": 0.14, "far": 0.12, "crop": 0.08}
VIEW_LETTERS = "abcd"
WHOLE_BODY = ("full", "far", "group", "knee", "crop")
SIZES = [(320, 320), (320, 240), (240, 320), (320, 213), (213, 320), (180, 320)]
SIZE_CHANCES = {"wide": [0.2, 0.4, 0.1, 0.25, 0.05, 0.0], "tall": [0.2, 0.1, 0.33, 0.05, 0.17, 0.15]}
ARM_CHANCES = {"side": .2, "relax": .14, "hips": .08, "pocket": .1, "crossed": .05, "wave": .06, "forward": .04, "hold": .05,
               "raise": .05, "point": .03, "chin": .04, "clasp": .08, "behind": .04, "head": .03, "spread": .02}


@dataclass
class View:
    """One rendered picture before the camera's work: linear light, part ids and what is in it."""

    name: str
    light: np.ndarray  # (H, W, 3) float32, linear
    parts: np.ndarray  # (H, W) uint8
    facts: dict


def draw_pose(rng, framing):
    """A pose that suits the framing, and what the hands hold ({} or {side: thing})."""
    names, chances = list(ARM_CHANCES), np.array(list(ARM_CHANCES.values()))
    pick = lambda: str(rng.choice(names, p=chances / chances.sum()))
    pose = Pose(arms={"L": pick(), "R": pick()}, bend=rng.normal(0, 4), head=(rng.normal(0, 8), rng.normal(0, 6), rng.normal(0, 18)))
    if rng.random() < 0.45:
        pose.arms["R"] = pose.arms["L"]
    roll = rng.random()
    if framing in WHOLE_BODY:
        if roll < 0.2:
            pose.name, pose.legs = "walking", {"L": "step", "R": "back"} if rng.random() < 0.5 else {"L": "back", "R": "step"}
        elif roll < 0.3:
            pose.name, pose.legs, pose.bend = "running", {"L": "run", "R": "back"}, 9
            pose.arms, pose.lift = {"L": "run", "R": "swing"}, max(0.0, rng.uniform(-0.3, 0.25))
        elif roll < 0.38:
            pose.legs = {"L": "wide", "R": "wide"}
        elif roll < 0.43:
            pose.name, pose.legs, pose.bend = "squatting", {"L": "squat", "R": "squat"}, 25
            pose.arms = {"L": "lap", "R": "lap"}
    if roll > (0.72 if framing != "knee" else 0.85) and framing not in ("selfie", "portrait"):
        pose.name, pose.legs = "sitting", {"L": "sit", "R": "sit" if rng.random() < 0.6 else "stretch"}
        pose.arms = {side: str(rng.choice(["lap", "lap", "eat", "chin", "carry", "crossed"])) for side in "LR"}
    if any(arm in ("raise", "wave", "head") for arm in pose.arms.values()) and pose.name == "standing":
        pose.name = "arms raised"
    if framing == "selfie":
        pose.name, pose.arms[str(rng.choice(["L", "R"]))] = "selfie", "selfie"
    holds = {}
    if framing != "selfie" and pose.name not in ("running", "squatting", "arms raised") and rng.random() < 0.36:
        side, thing = str(rng.choice(["L", "R"])), str(rng.choice(list(held.ARM_FOR)))
        for s in "LR" if thing in held.BOTH_HANDS else side:
            pose.arms[s], pose.curl[s] = held.ARM_FOR[thing], 55
        holds[side] = thing
    return pose, holds


def _stand(rng, framing, count):
    """Places (x, y) and turns for everybody. A group stands side by side, others behind the first."""
    spots, gap = [], rng.uniform(0.5, 0.85)
    for i in range(count):
        if framing == "group":
            x, y = (i - (count - 1) / 2) * gap + rng.normal(0, 0.06), rng.normal(0, 0.18)
        else:
            x = 0 if i == 0 else rng.uniform(0.6, 1.1) * i * (-1) ** i
            y = 0 if i == 0 else rng.uniform(0.4, 1.8)
        turn = rng.normal(0, 8) if framing == "selfie" else rng.normal(0, 28) if rng.random() < 0.72 else rng.uniform(-180, 180)
        spots.append((x, y, math.radians(turn)))
    return spots


def _count_people(rng, framing):
    if framing == "group":
        return int(rng.integers(2, 6))
    if framing == "far":
        return int(rng.integers(1, 4))
    return 1 + int(rng.random() < 0.17)


@dataclass
class Shot:
    place: np.ndarray
    target: np.ndarray
    extent: float  # metres that the longer side of the picture spans at the target


def aim(stage, rng, framing, figures, subject, place, azimuth, size) -> Shot:
    """Choose and add a camera. `extent` is what the *longer* side of the picture sees."""
    width, height = size
    longer = max(size)
    everyone = np.concatenate([f.points for f in figures]) if framing in ("group", "far") else subject.points
    body, head, tall = subject.height / 1.7, subject.head, subject.points[:, 2].max()
    spans = dict(portrait=rng.uniform(0.42, 0.66) * subject.head_scale, selfie=rng.uniform(0.42, 0.6) * subject.head_scale,
                 half=rng.uniform(0.7, 1.1) * body, knee=rng.uniform(1.1, 1.45) * body,
                 full=np.ptp(subject.points[:, 2]) * rng.uniform(1.05, 1.5), far=tall * rng.uniform(1.9, 4.2),
                 crop=rng.uniform(0.6, 1.2) * body)
    if framing == "group":
        wide, top = np.ptp(everyone[:, 0]), everyone[:, 2].max()
        whole = rng.random() < 0.5
        tall_span = max(top * 1.15, wide * 1.1 * height / width) if whole else max(wide * rng.uniform(0.8, 1.05) * height / width, 0.7)
        target = np.array([everyone[:, 0].mean(), everyone[:, 1].mean(), top / 2 if whole else top - tall_span * 0.4])
    else:
        tall_span = spans[framing]
        middle = subject.points.mean(0)
        target = {"portrait": head - [0, 0, rng.uniform(0.04, 0.12) * subject.head_scale],
                  "selfie": head - [0, 0, rng.uniform(0.02, 0.09) * subject.head_scale],
                  "half": head - [0, 0, tall_span * rng.uniform(0.2, 0.32)], "knee": head - [0, 0, tall_span * rng.uniform(0.3, 0.4)],
                  "full": np.array([middle[0], middle[1], (subject.points[:, 2].min() + tall) / 2]),
                  "far": np.array([everyone[:, 0].mean(), everyone[:, 1].mean(), tall * rng.uniform(0.3, 0.8)]),
                  "crop": np.array([middle[0], middle[1], tall * rng.uniform(0.1, 0.75)])}[framing]
    shift = {"far": 0.25, "crop": 0.28, "full": 0.12, "knee": 0.12}.get(framing, 0.08) * rng.normal()
    shift = float(np.clip(shift, -0.42, 0.42)) * tall_span * width / height
    extent = tall_span * longer / height
    fov = {"portrait": (25, 45), "selfie": (55, 72), "half": (30, 55)}.get(framing, (35, 62))
    fov = rng.uniform(*fov)
    distance = extent / 2 / math.tan(math.radians(fov / 2))
    elevation = math.radians(rng.uniform(4, 24) if framing == "selfie" else rng.uniform(18, 42) if rng.random() < 0.1 else rng.normal(3, 8))
    look = np.array([math.sin(azimuth) * math.cos(elevation), -math.cos(azimuth) * math.cos(elevation), math.sin(elevation)])
    target = target + shift * np.array([math.cos(azimuth), math.sin(azimuth), 0])
    spot = target + distance * look
    spot[0] = np.clip(spot[0], -place.x_limit, place.x_limit)
    spot[1] = max(spot[1], -place.y_limit)
    spot[2] = np.clip(spot[2], 0.15, place.z_limit)
    actual = np.linalg.norm(spot - target)  # a wall may have stopped the camera: open the lens instead
    fov = min(math.degrees(2 * math.atan(extent / 2 / actual)), 85)
    focus = float(np.linalg.norm(head - spot)) if rng.random() < 0.6 else None
    stage.camera(spot, target, fov, rng.normal(0, 3), focus, float(rng.choice([2, 2.8, 5.6, 11])))
    return Shot(spot, target, extent)


def add_occluder(stage, rng, shot):
    """Something between camera and people that hides a part of them."""
    f = rng.uniform(0.3, 0.75)
    centre, span = shot.place + (shot.target - shot.place) * f, shot.extent * f
    side, kind = rng.choice([-1, 1]), str(rng.choice(["box", "table", "plant", "ball", "post"]))
    material = shade.surface(rng) if rng.random() < 0.6 else shade.fabric(rng)
    x, y, z = centre
    if kind == "table":
        stage.box((span * 1.7, 0.3 * f, span * 0.5), (x, y, z - span * rng.uniform(0.42, 0.6)), material, rng.normal(0, 0.15))
    elif kind == "box":
        stage.box((span * rng.uniform(0.1, 0.35), 0.1 * f, span * rng.uniform(0.4, 1.6)),
                  (x + side * span * rng.uniform(0.2, 0.5), y, z + span * rng.normal(0, 0.2)), material, rng.uniform(0, 3))
    elif kind == "ball":
        stage.ball((x + side * span * rng.uniform(0.15, 0.45), y, z + span * rng.uniform(-0.45, 0.2)), span * rng.uniform(0.08, 0.2), material)
    elif kind == "post":
        stage.box((span * rng.uniform(0.03, 0.09), span * 0.04, span * 3), (x + side * span * rng.uniform(0, 0.35), y, z), material)
    else:
        props.potted_plant(stage, rng, (x + side * span * rng.uniform(0.25, 0.5), y, z - span * 0.55), span * rng.uniform(0.5, 0.9))
    return kind


def _next_view(rng, place, framing, azimuth):
    """Another framing and direction, clearly unlike the one before."""
    near, far = ["portrait", "half", "crop"], ["full", "knee", "far"]
    framing = str(rng.choice(far if framing in ("portrait", "selfie", "half", "crop") else near))
    limit = math.radians(place.max_azimuth)
    turned = azimuth + rng.choice([-1, 1]) * math.radians(rng.uniform(25, 120))
    return framing, float(np.clip(turned, -limit, limit))


def render_scene(seed, views=2, samples=14, longer_side=320):
    """Yield the `View`s of one scene. The same seed gives the same pictures."""
    rng = np.random.default_rng(seed)
    stage = Stage(samples)
    stage.scene.cycles.seed = seed
    framing = str(rng.choice(list(FRAMINGS), p=list(FRAMINGS.values())))
    place = places.build_place(stage, rng)
    rest_pose_rng = np.random.default_rng(seed + 10_000_000)
    figures, poses, holding = [], [], []
    for x, y, turn in _stand(rng, framing, _count_people(rng, framing)):
        person = draw_person(rng)
        style = draw_style(rng, person)
        pose, holds = draw_pose(rng, framing)
        rest = load_body().forward(person.phenotype, person.local_changes, person.face)
        dressed = dress(person, style, solve_pose(rest_pose_rng, rest, pose))
        figure = add_figure(stage, dressed, (x, y), turn, pose.lift, holds)
        if pose.sits:
            props.seat(stage, rng, (figure.seat[0], figure.seat[1], 0), turn, figure.seat[2])
            if rng.random() < 0.4:  # at a table
                ahead = np.array([math.sin(turn), -math.cos(turn)]) * rng.uniform(0.55, 0.75)
                props.table(stage, rng, (figure.seat[0] + ahead[0], figure.seat[1] + ahead[1], 0), rng.uniform(0.9, 1.6),
                            rng.uniform(0.5, 0.8), max(figure.seat[2] + rng.uniform(0.22, 0.3), 0.5), turn, 9)
        figures.append(figure)
        poses.append(pose.name)
        holding += holds.values()
    azimuth = math.radians(rng.normal(0, min(14, place.max_azimuth)))
    for index in range(views):
        if index:
            framing, azimuth = _next_view(rng, place, framing, azimuth)
        subject = figures[index % len(figures)]
        wide = framing in ("group", "far") or rng.random() < 0.35
        width, height = SIZES[rng.choice(len(SIZES), p=SIZE_CHANCES["wide" if wide else "tall"])]
        size = tuple(max(8, round(s * longer_side / 320)) for s in (width, height))
        shot = aim(stage, rng, framing, figures, subject, place, azimuth, size)
        if framing in ("portrait", "half", "selfie") and place.light in ("day", "indoor"):  # a little fill on near faces
            stage.light("AREA", shot.place + [0.5, 0, 0.6], subject.head, 6 * shot.extent ** 2 + 2, 0.8)
        occluder = add_occluder(stage, rng, shot) if index == 0 and rng.random() < 0.25 else ""
        light, coverage = stage.render(*size)
        from_behind = math.cos(subject.turn - azimuth) < -0.5
        yield View(f"s{seed:04d}{VIEW_LETTERS[index]}", light, part_map(coverage), dict(
            scene=f"s{seed:04d}", framing=framing, place=place.kind, light=place.light, people=len(figures),
            pose=poses[index % len(figures)], holding=" ".join(sorted(set(holding))), occluder=occluder,
            from_behind=int(from_behind)))
