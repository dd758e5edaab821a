# SPDX-License-Identifier: MIT
"""The human body: shape, face and pose, as vertices.

Everything here is numpy on top of the Anny body model (Apache-2.0 code, CC0 data). Nothing
in this file knows about Blender. Lengths are metres; a body faces -y, its left side is +x.
"""

import functools
import os
import re
from dataclasses import dataclass, field
from pathlib import Path

os.environ.setdefault("ANNY_CACHE_DIR", str(Path(__file__).parent / ".cache" / "anny"))

import anny
import numpy as np
import torch
from scipy.spatial.transform import Rotation

torch.set_num_threads(1)

# Body regions by skinning weight, in the order of the columns of `Body.region_weights`.
HEAD, NECK, TORSO, UPPER_ARM, LOWER_ARM, HAND, UPPER_LEG, LOWER_LEG, FOOT = range(9)
REGION_BONES = [
    ("head", "jaw", "special.*", "oris.*", "tongue.*", "levator.*", "eye.*", "orbic.*", "tempor.*",
     "oculi.*", "risor.*"),
    ("neck.*",),
    ("root", "pelvis.*", "spine.*", "breast.*", "clavicle.*", "shoulder.*"),
    ("upperarm.*",),
    ("lowerarm.*",),
    ("wrist.*", "finger.*", "metacarpal.*"),
    ("upperleg.*",),
    ("lowerleg.*",),
    ("foot.*", "toe.*"),
]


class Body:
    """The Anny model and what we read off its template once."""

    def __init__(self):
        self.anny = anny.Anny(
            rig="makehuman", topology="makehuman-full", phenotypes="all", local_changes="default",
            facial_actions="all", pose_parameterization="local-ref",
        ).to(torch.float32)
        self.bones = list(self.anny.bone_labels)
        self.index = {name: i for i, name in enumerate(self.bones)}
        self.weights = self.anny.vertex_bone_weights.numpy()
        self.weight_bones = self.anny.vertex_bone_indices.numpy()
        self.num_vertices = len(self.weights)
        self.groups = _read_face_groups()
        self.skin_vertices = np.unique(self.groups["body"])
        self.eye_vertices = {"L": np.unique(self.groups["helper-l-eye"]),
                             "R": np.unique(self.groups["helper-r-eye"])}
        self.region = np.stack([self._bone_weight(*names) for names in REGION_BONES], 1).argmax(1)
        template = self.rest_shape({}, {})
        self.lips = self._changed_by(template, "mouth-upperlip-volume-incr", "mouth-lowerlip-volume-incr")
        self.ears = self._changed_by(template, "l-ear-scale-incr", "r-ear-scale-incr")
        self.nose = self._changed_by(template, "nose-scale-horiz-incr")

    def _bone_weight(self, *patterns):
        chosen = np.array([any(re.fullmatch(p, b) for p in patterns) for b in self.bones])
        return (self.weights * chosen[self.weight_bones]).sum(1)

    def _changed_by(self, template, *changes):
        """How far each vertex moves (0 to 1) when a local change is switched on: a soft feature mask."""
        moved = np.zeros(self.num_vertices)
        for name in changes:
            shape = self.rest_shape({}, {name: 1.0})
            moved = np.maximum(moved, np.linalg.norm(shape - template, axis=1))
        return moved / max(moved.max(), 1e-9)

    def rest_shape(self, phenotype, local_changes):
        average = {name: 0.5 for name in self.anny.phenotype_labels}
        return self.forward(average | phenotype, local_changes, {})["rest_vertices"]

    def forward(self, phenotype, local_changes, face, pose=None):
        """Run the model. Returns rest vertices, bone heads, tails and poses as float64 arrays."""
        if pose is None:
            pose = np.tile(np.eye(4), (len(self.bones), 1, 1))
        as_tensors = lambda values: {k: torch.tensor([v], dtype=torch.float32) for k, v in values.items()}
        with torch.no_grad():
            out = self.anny(
                pose_parameters=torch.tensor(pose, dtype=torch.float32)[None],
                phenotype_kwargs=as_tensors(phenotype), local_changes_kwargs=as_tensors(local_changes),
                facial_actions=as_tensors(face))
        return {name: value[0].numpy().astype(np.float64) for name, value in out.items()}

    def skin(self, points, source, transforms):
        """Move rest points (n, 3) with the bones of their source vertices (n,). transforms: (bones, 4, 4)."""
        blended = (self.weights[source][:, :, None, None] * transforms[self.weight_bones[source]]).sum(1)
        return np.einsum("nij,nj->ni", blended[:, :3, :3], points) + blended[:, :3, 3]


@functools.cache
def load_body() -> Body:
    """The one Body of this process. The first call on a machine takes a minute and fills a cache."""
    return Body()


def _read_face_groups():
    """Faces of each named group of the MakeHuman base mesh: body, eyes, teeth, clothes helpers."""
    groups, current = {}, None
    path = Path(anny.__file__).parent / "data" / "mpfb2" / "3dobjs" / "base.obj"
    for line in path.read_text().splitlines():
        if line.startswith("g "):
            current = groups.setdefault(line.split()[1], [])
        elif line.startswith("f "):
            current.append([int(corner.split("/")[0]) - 1 for corner in line.split()[1:]])
    return {name: np.array(faces) for name, faces in groups.items() if not name.startswith("joint")}


def triangles(faces):
    return np.concatenate([faces[:, [0, 1, 2]], faces[:, [0, 2, 3]]]) if faces.shape[1] == 4 else faces


def vertex_normals(vertices, faces):
    tri = triangles(faces)
    face_normals = np.cross(vertices[tri[:, 1]] - vertices[tri[:, 0]], vertices[tri[:, 2]] - vertices[tri[:, 0]])
    normals = np.zeros_like(vertices)
    for corner in range(3):
        np.add.at(normals, tri[:, corner], face_normals)
    return unit(normals)


def unit(vectors):
    return vectors / (np.linalg.norm(vectors, axis=-1, keepdims=True) + 1e-12)


# ---------------------------------------------------------------------------------------------
# Who: shape and face

SHAPED = ("nose", "chin", "mouth", "head", "forehead", "l-eye", "l-cheek", "neck", "stomach-tone",
          "hip-scale", "torso-scale")
NOT_SHAPED = ("head-angle", "head-trans", "neck-trans", "nose-trans-out", "mouth-trans")


@dataclass
class Person:
    """A drawn person: who, not how they stand or what they wear."""

    phenotype: dict
    local_changes: dict
    face: dict
    is_child: bool
    origin: np.ndarray  # mixing weights of Anny's three shape origins

    @property
    def age(self):
        return self.phenotype["age"]

    @property
    def is_feminine(self):
        return self.phenotype["gender"] < 0.5


def draw_person(rng) -> Person:
    body = load_body().anny
    is_child = rng.random() < 0.13
    gender = float(rng.random() < 0.5)
    gender = abs(gender - rng.uniform(0, 0.25))
    origin = rng.dirichlet([0.45, 0.45, 0.45])
    phenotype = dict(
        gender=gender, age=rng.uniform(0.22, 0.5) if is_child else rng.uniform(0.55, 1.0),
        muscle=rng.uniform(0.3, 0.75), weight=float(np.clip(rng.normal(0.5, 0.18), 0.1, 0.98)),
        height=rng.uniform(0.3, 0.7), proportions=rng.uniform(0.3, 0.9),
        cupsize=rng.uniform(0.3, 0.65), firmness=rng.uniform(0.4, 0.8),
        african=origin[0], asian=origin[1], caucasian=origin[2])
    local_changes = {}
    for name in body.local_change_labels:
        if name.startswith(SHAPED) and not name.startswith(NOT_SHAPED):
            local_changes[name] = float(np.clip(rng.normal(0, 0.2), -0.5, 0.5))
            if name.startswith("l-"):  # faces are nearly symmetric
                local_changes["r-" + name[2:]] = local_changes[name]
    return Person(phenotype, local_changes, _draw_face(rng), is_child, origin)


def _draw_face(rng):
    face = {}
    mood = rng.random()
    if mood < 0.45:
        smile = rng.uniform(0.25, 0.85)
        face.update(mouthSmileLeft=smile, mouthSmileRight=smile, cheekSquintLeft=smile / 2, cheekSquintRight=smile / 2)
        if rng.random() < 0.4:
            face["jawOpen"] = rng.uniform(0, 0.12)
    elif mood < 0.55:
        face["jawOpen"] = rng.uniform(0.08, 0.3)
    elif mood < 0.65:
        face["browInnerUp"] = 0.6
    lids = 0.95 if rng.random() < 0.05 else rng.uniform(0, 0.3)
    face.update(eyeBlinkLeft=lids, eyeBlinkRight=lids)
    return face


# ---------------------------------------------------------------------------------------------
# How: pose

# Directions of (upper arm, forearm) as (azimuth, elevation) in degrees.
# Azimuth 0 is straight ahead, 90 outward; elevation -90 is straight down.
ARMS = {
    "side": ((80, -78), (40, -75)), "relax": ((75, -70), (15, -55)), "hips": ((85, -50), (-70, -30)),
    "pocket": ((90, -68), (10, -60)), "crossed": ((35, -65), (-80, 5)), "wave": ((85, -20), (60, 75)),
    "forward": ((10, -20), (5, 0)), "hold": ((30, -60), (-15, 50)), "raise": ((70, 50), (40, 80)),
    "point": ((60, 0), (60, 5)), "selfie": ((20, -5), (8, 12)), "chin": ((15, -55), (-25, 70)),
    "clasp": ((40, -68), (-60, -20)), "behind": ((150, -65), (-160, -45)), "run": ((160, -50), (20, 0)),
    "head": ((80, 35), (-100, 40)), "lap": ((35, -62), (-15, -12)), "carry": ((40, -70), (-10, 0)),
    "read": ((30, -65), (-22, 20)), "swing": ((20, -62), (10, -30)), "spread": ((88, -8), (80, 0)),
    "eat": ((35, -50), (-40, 55)),
}
# Directions of (thigh, shin), as above.
LEGS = {
    "stand": ((60, -87), (60, -88)), "wide": ((85, -76), (85, -82)), "step": ((5, -70), (180, -80)),
    "back": ((175, -75), (178, -55)), "run": ((0, -35), (180, -60)), "sit": ((12, -5), (5, -85)),
    "stretch": ((20, 0), (0, -60)), "squat": ((40, 15), (160, -60)), "bent": ((20, -60), (175, -65)),
    "pass": ((10, -80), (178, -70)),
}
RAISED = ("raise", "wave", "head")


@dataclass
class Pose:
    """What a pose is asked to be; `solve_pose` turns it into bone rotations."""

    name: str = "standing"
    arms: dict = field(default_factory=lambda: {"L": "relax", "R": "relax"})
    legs: dict = field(default_factory=lambda: {"L": "stand", "R": "stand"})
    curl: dict = field(default_factory=dict)  # degrees of finger curl, by side
    bend: float = 0.0  # degrees, forward
    head: tuple = (0.0, 0.0, 0.0)
    jitter: float = 1.0
    lift: float = 0.0  # metres above the ground: a jump

    @property
    def sits(self):
        return self.name == "sitting"


def solve_pose(rng, rest, pose: Pose):
    """Bone rotations (bones, 4, 4) that bring the limbs of `rest` into the asked directions."""
    body = load_body()
    heads, tails = rest["rest_bone_heads"], rest["rest_bone_tails"]
    at = body.index
    rotations = np.tile(np.eye(4), (len(body.bones), 1, 1))
    shake = lambda degrees: rng.normal(0, degrees) * pose.jitter

    def turn(bone, matrix):
        rotations[at[bone], :3, :3] = matrix

    bend, lean, twist = pose.bend + shake(4), shake(3), shake(6)
    for i in range(1, 6):
        turn(f"spine0{i}", _euler(bend / 5, lean / 5, twist / 5))
    for bone, share in (("neck01", 0.25), ("neck02", 0.2), ("head", 0.55)):
        turn(bone, _euler(*(share * angle for angle in pose.head)))

    for side, sign in (("L", 1), ("R", -1)):
        mirror = np.array([sign, 1, 1.0])

        (u_az, u_el), (f_az, f_el) = ARMS[pose.arms[side]]
        upper = _direction(u_az + shake(8), np.clip(u_el + shake(5), -86, 80)) * mirror
        fore = _direction(f_az + shake(8), f_el + shake(8)) * mirror
        if pose.arms[side] in RAISED:
            turn("clavicle." + side, _euler(0, -sign * 12, 0))
        rest_upper = tails[at["upperarm02." + side]] - heads[at["upperarm01." + side]]
        rest_fore = tails[at["lowerarm02." + side]] - heads[at["lowerarm01." + side]]
        clavicle = rotations[at["clavicle." + side], :3, :3]
        to_upper = _rotation_between(rest_upper, upper)
        to_fore = _rotation_between(to_upper @ rest_fore, fore) @ to_upper
        turn("upperarm01." + side, clavicle.T @ to_upper)
        turn("lowerarm01." + side, to_upper.T @ to_fore)
        roll = np.radians(sign * (-5 + 30 * pose.jitter * rng.uniform(-1, 1)))
        turn("lowerarm02." + side, Rotation.from_rotvec(unit(rest_fore) * roll).as_matrix())
        turn("wrist." + side, _euler(shake(8), shake(10), shake(8)))
        curl = pose.curl.get(side, 25 + 20 * pose.jitter * rng.uniform(-1, 1))
        for finger in (2, 3, 4, 5):
            for joint in (1, 2, 3):
                bone = f"finger{finger}-{joint}.{side}"
                along = tails[at[bone]] - heads[at[bone]]
                axis = unit(np.cross(along, palm_normal(rest, side, along)))
                angle = np.radians(curl * (0.8 if joint == 1 else 1) + shake(4))
                turn(bone, Rotation.from_rotvec(axis * angle).as_matrix())

        (t_az, t_el), (s_az, s_el) = LEGS[pose.legs[side]]
        thigh = _direction(t_az + shake(8), t_el + shake(2.4)) * mirror
        shin = _direction(s_az + shake(4), s_el + shake(2.4)) * mirror
        rest_thigh = tails[at["upperleg02." + side]] - heads[at["upperleg01." + side]]
        rest_shin = tails[at["lowerleg02." + side]] - heads[at["lowerleg01." + side]]
        to_thigh = _rotation_between(rest_thigh, thigh)
        to_shin = _rotation_between(to_thigh @ rest_shin, shin) @ to_thigh
        turn("upperleg01." + side, to_thigh)
        turn("lowerleg01." + side, to_thigh.T @ to_shin)
        if abs(s_el) > 70:  # a foot under an upright shin lies flat on the ground
            flat = _rotation_between(to_shin @ np.array([0, -1.0, 0]), np.array([0.15 * sign, -1, 0]))
            turn("foot." + side, to_shin.T @ flat @ to_shin)
    return rotations


def palm_normal(rest, side, along=None):
    """The direction that the palm looks in, in the rest pose (palms look down there)."""
    body = load_body()
    knuckle = lambda finger: rest["rest_bone_heads"][body.index[f"finger{finger}-1.{side}"]]
    if along is None:
        along = knuckle(3) - rest["rest_bone_heads"][body.index["wrist." + side]]
    normal = unit(np.cross(along, knuckle(5) - knuckle(2)))
    return normal if normal[2] < 0 else -normal


def bone_transforms(out):
    """Rest to posed, one matrix per bone."""
    return out["bone_poses"] @ np.linalg.inv(out["rest_bone_poses"])


def _euler(x, y, z):
    return Rotation.from_euler("xyz", [x, y, z], degrees=True).as_matrix()


def _direction(azimuth, elevation):
    a, e = np.radians(azimuth), np.radians(elevation)
    return np.array([np.sin(a) * np.cos(e), -np.cos(a) * np.cos(e), np.sin(e)])


def _rotation_between(a, b):
    a, b = unit(a), unit(b)
    axis, cosine = np.cross(a, b), a @ b
    sine = np.linalg.norm(axis)
    if sine < 1e-8:
        return np.eye(3) if cosine > 0 else Rotation.from_rotvec([0, 0, np.pi]).as_matrix()
    return Rotation.from_rotvec(axis / sine * np.arctan2(sine, cosine)).as_matrix()
