# SPDX-License-Identifier: GPL-3.0-or-later
"""Short clips: the same people and place in every frame, with a moving pose and a hand-held camera.

Each frame is built from the start with the same seeds. That is slower than moving things around,
but a frame can be rendered alone, in any order, by any process.
"""

import json
import math
import time
from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation, Slerp

import places
from body import Pose, draw_person, load_body, solve_pose
from clothes import draw_style, dress
from figure import add_figure
from finish import part_map
from stage import Stage

FPS = 12


@dataclass
class Clip:
    seed: int
    place: callable
    size: tuple
    frames: int
    poses: list        # key poses, evenly spread over one cycle
    cycles: float      # how often the cycle runs during the clip
    span: float        # metres that the picture is high
    centre: float      # height of its centre
    path: callable     # t in [0, 1] -> (x, y, turn in degrees)
    holds: dict
    hair: str


def _pose(left_arm, right_arm, left_leg="stand", right_leg="stand", head=0.0, **more):
    return Pose(arms={"L": left_arm, "R": right_arm}, legs={"L": left_leg, "R": right_leg}, head=(0, 0, head), jitter=0.0,
                curl={"L": 20, "R": 20}, **more)


CLIPS = {
    "wave": Clip(901, places.room, (240, 320), 30, [_pose("relax", "hips", head=-12), _pose("relax", "wave", head=10),
                                                    _pose("relax", "raise", head=16), _pose("relax", "wave", head=4)],
                 1.5, 1.45, 1.25, lambda t: (0.05 * math.sin(6 * t), 0, -8 + 12 * t), {}, "long"),
    "walk": Clip(902, places.street, (320, 240), 36, [_pose("swing", "behind", "back", "step"), _pose("relax", "relax", "stand", "pass"),
                                                      _pose("behind", "swing", "step", "back"), _pose("relax", "relax", "pass", "stand")],
                 2.5, 2.6, 1.0, lambda t: (-1.9 + 3.8 * t, 0.3, 78), {"L": "bag"}, "short"),
}


def render_clips(folder, samples=12, size=320, share=None):
    """Render the missing frames as `folder/NAME/00000.npz`. share: "i/n" takes every n-th frame from i."""
    first, step = map(int, share.split("/")) if share else (0, 1)
    for name, clip in CLIPS.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for frame in range(first, clip.frames, step):
            path = folder / name / f"{frame:05d}.npz"
            if path.exists():
                continue
            started = time.time()
            light, parts, mood = _render_frame(clip, frame, samples, size)
            part = path.with_suffix(".part.npz")
            np.savez_compressed(part, light=np.clip(light, 0, 6e4).astype(np.float16), parts=parts,
                                facts=json.dumps({"light": mood, "seed": clip.seed}))
            part.rename(path)
            print(f"clip {name}: frame {frame + 1}/{clip.frames} in {time.time() - started:.1f} s", flush=True)


def _render_frame(clip, frame, samples, longer_side):
    t = frame / (clip.frames - 1)
    rng = np.random.default_rng(clip.seed)
    stage = Stage(samples)
    stage.scene.cycles.seed = frame
    place = clip.place(stage, rng)
    person = draw_person(rng)
    person.is_child, person.phenotype["age"] = False, max(person.age, 0.6)
    style = draw_style(rng, person)
    style.hair, style.hat = clip.hair, ""
    rest = load_body().forward(person.phenotype, person.local_changes, person.face)
    keys = [solve_pose(np.random.default_rng(clip.seed), rest, pose) for pose in clip.poses]
    dressed = dress(person, style, _between(keys, t * clip.cycles))
    x, y, turn = clip.path(t)
    add_figure(stage, dressed, (x, y), math.radians(turn), holds=clip.holds, centre=dressed.rest[load_body().skin_vertices].mean(0))
    width, height = (max(8, round(s * longer_side / 320)) for s in clip.size)
    sway = np.array([0.03 * math.sin(3 * t), 0, 0.02 * math.cos(4 * t)])
    target = np.array([0.25 * x, y, clip.centre]) + sway
    extent = clip.span * max(width, height) / height
    fov = 45.0
    distance = extent / 2 / math.tan(math.radians(fov / 2))
    spot = target + distance * np.array([0.12 + 0.05 * t, -1, 0.05])
    spot[0] = np.clip(spot[0], -place.x_limit, place.x_limit)
    spot[1] = max(spot[1], -place.y_limit)
    stage.camera(spot, target, fov, 1.5 * math.sin(2 * t))
    stage.light("AREA", spot + [0.5, 0, 0.6], target, 6 * extent ** 2, 0.8)
    light, coverage = stage.render(width, height)
    return light, part_map(coverage), place.light


def _between(keys, position):
    """The pose at `position` cycles, turning every bone smoothly from key to key."""
    count = len(keys)
    at = position % 1 * count
    i, t = int(at) % count, at % 1
    t = t * t * (3 - 2 * t)
    pose = keys[i].copy()
    for bone in range(len(pose)):
        pair = Rotation.from_matrix([keys[i][bone, :3, :3], keys[(i + 1) % count][bone, :3, :3]])
        pose[bone, :3, :3] = Slerp([0, 1], pair)(t).as_matrix()
    return pose
