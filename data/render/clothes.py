# SPDX-License-Identifier: MIT
"""What a person wears: a drawn style, and garments grown from the body's clothes helpers.

Anny brings along hidden "helper" meshes (tights, skirt) that follow every body. A garment is a
piece of a helper, pushed outwards, smoothed, and carried along by the same bones as the body.
"""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sparse

from body import (FOOT, HAND, HEAD, LOWER_ARM, LOWER_LEG, UPPER_ARM, UPPER_LEG, Person, bone_transforms,
                  load_body, vertex_normals)


@dataclass
class Style:
    """The fixed looks of one person: the same in every picture and every frame of a clip."""

    seed: int
    skin: float          # 0 lightest to 1 darkest
    sleeve: float        # 0.3 cap, 0.8 short, 1.2 elbow, 1.95 long
    looseness: float     # metres between skin and cloth
    top_hem: float       # how far a top reaches below the hips
    bottom: str          # trousers, shorts or skirt
    leg_looseness: float
    skirt_length: float
    is_dress: bool
    outer: str           # "", jacket or coat
    barefoot: bool
    hair: str
    hair_length: float
    melanin: float
    redness: float
    grey: float
    dyed: bool
    beard: float         # length in metres, 0 for none
    hat: str             # "", cap, beanie or brim
    glasses: str         # "", clear or sun


def draw_style(rng, person: Person) -> Style:
    feminine, (african, asian, caucasian) = person.is_feminine, person.origin
    roll = rng.random()
    bottom = "skirt" if feminine and roll < 0.3 else "shorts" if roll > 0.8 else "trousers"
    is_dress = bottom == "skirt" and rng.random() < 0.6
    outer = "" if is_dress else str(rng.choice(["", "jacket", "coat"], p=[0.66, 0.24, 0.1]))
    hair = str(rng.choice(["long", "pony", "bun", "medium", "curly", "short"], p=[0.27, 0.11, 0.1, 0.22, 0.16, 0.14])
               if feminine else rng.choice(["short", "tousled", "buzz", "curly", "medium", "bald"],
                                           p=[0.34, 0.24, 0.16, 0.13, 0.07, 0.06]))
    if person.is_child and hair in ("bald", "buzz"):
        hair = "short"
    if african > 0.6 and rng.random() < 0.6:
        hair = str(rng.choice(["curly", "buzz", "bun", "afro"]))
    hat = str(rng.choice(["", "cap", "beanie", "brim"], p=[0.84, 0.07, 0.05, 0.04]))
    if hat and hair in ("curly", "afro", "bun"):
        hair = "medium" if feminine else "short"  # big hair and a hat do not share a head here
    return Style(
        seed=int(rng.integers(1 << 30)),
        skin=float(np.clip(rng.normal(0.12 + 0.72 * african + 0.15 * asian, 0.1), 0, 1)),
        sleeve=float(rng.choice([0.35, 0.8, 1.2, 1.95], p=[0.1, 0.34, 0.08, 0.48])),
        looseness=rng.uniform(0.004, 0.022), top_hem=rng.uniform(0.02, 0.15),
        bottom=bottom, leg_looseness=rng.uniform(0.003, 0.022), skirt_length=rng.uniform(0.35, 1),
        is_dress=is_dress, outer=outer, barefoot=rng.random() < 0.05,
        hair=hair, hair_length=rng.uniform(0.8, 1.25),
        melanin=float(np.clip(rng.normal(0.88, 0.12) if caucasian < 0.5 else rng.uniform(0.15, 0.95), 0.05, 1)),
        redness=rng.uniform(0, 1), grey=float(np.clip((person.age - 0.75) * 4 * rng.random(), 0, 1)),
        dyed=rng.random() < 0.04,
        beard=float(rng.choice([0.003, 0.008, 0.018])) if not feminine and not person.is_child
        and rng.random() < 0.35 else 0.0,
        hat=hat,
        glasses=str(rng.choice(["", "clear", "sun"], p=[0.79, 0.14, 0.07])))


@dataclass
class Garment:
    kind: str             # bottom, skirt, dress, top, jacket, coat or shoe
    vertices: np.ndarray  # posed (n, 3)
    faces: np.ndarray
    source: np.ndarray    # the body vertex that each garment vertex follows


@dataclass
class Dressed:
    """A posed and dressed body, ready to become meshes. Positions are in the person's own frame."""

    person: Person
    style: Style
    rest: np.ndarray        # all model vertices in the rest pose
    posed: np.ndarray       # the same, posed
    transforms: np.ndarray  # rest to posed, per bone
    bone_heads: np.ndarray  # in the rest pose
    body_faces: np.ndarray  # the skin that clothes leave visible
    garments: list
    rest_out: dict          # the raw output of the body model
    height: float

    @property
    def eyes_rest(self):
        """Centres of the left and right eye in the rest pose."""
        eyes = load_body().eye_vertices
        return self.rest[eyes["L"]].mean(0), self.rest[eyes["R"]].mean(0)

    @property
    def head_origin(self):
        """The point between the eyes in the rest pose: the origin of everything on a head."""
        return sum(self.eyes_rest) / 2

    @property
    def head_scale(self):
        skin = load_body().skin_vertices
        return (self.rest[skin, 2].max() - self.head_origin[2]) / 0.115

    @property
    def head_transform(self):
        return self.transforms[load_body().index["head"]]

    @property
    def visible_vertices(self):
        """Posed skin that shows, and all clothes, (n, 3)."""
        return np.concatenate([self.posed[np.unique(self.body_faces)]] + [g.vertices for g in self.garments])

    def on_head(self, rest_points):
        """Carry rest-pose points along with the head bone."""
        return rest_points @ self.head_transform[:3, :3].T + self.head_transform[:3, 3]


def dress(person: Person, style: Style, bone_rotations) -> Dressed:
    """Pose the body, grow its garments, and drop the skin that they cover."""
    body = load_body()
    rng = np.random.default_rng(style.seed)
    out = body.forward(person.phenotype, person.local_changes, person.face, bone_rotations)
    transforms = bone_transforms(out)
    rest, heads = out["rest_vertices"], out["rest_bone_heads"]
    posed = body.skin(rest, np.arange(body.num_vertices), transforms)
    skin_z = rest[body.skin_vertices, 2]
    height = np.ptp(skin_z)
    scale = height / 1.66
    region = body.region
    x, y, z = rest.T

    arm, leg = _along_limbs(rest, heads)
    on_arm, on_leg = arm >= 0, leg >= 0
    trunk = ~on_arm & (region != HEAD)
    hip_z = heads[body.index["upperleg01.L"]][2]
    neck = heads[body.index["neck01"]]
    waist = hip_z + 0.135 * scale
    collar = rng.uniform(0, 0.05) * scale
    in_front = y < neck[1]
    below_collar = (z < neck[2] + 0.02 * scale - collar * in_front) | (np.abs(x) > 0.09 * scale)

    hem = hip_z if style.is_dress else hip_z - style.top_hem * scale
    in_sleeve = on_arm & (arm < style.sleeve)
    is_top = (trunk & (z > hem) & below_collar) | in_sleeve
    leg_end = {"trousers": 1.93, "shorts": 0.9, "skirt": 0.3}[style.bottom]
    leg_cut = leg < leg_end
    is_bottom = ~on_arm & (z < waist) & (leg_cut | ~on_leg) & ((region != FOOT) | (leg_end > 1.5))
    is_shoe = (region == FOOT) | (leg > 1.86)

    def flare_at_hem(amount):
        def flare(points, normals):
            weight = np.clip((waist + 0.12 * scale - points[:, 2]) / (0.2 * scale), 0, 1)
            weight *= np.abs(points[:, 0]) < 0.3 * scale
            return normals * [1, 1, 0] * (weight * amount)[:, None]
        return flare

    def flare_down_leg(amount):
        def flare(points, normals):
            down = np.clip((hip_z - points[:, 2]) / (hip_z - skin_z.min()), 0, 1)
            return normals * [1, 1, 0] * (down * amount)[:, None]
        return flare

    def grow(kind, helper, keep, **options):
        grown = _grow(rest, body.groups[helper], keep, rng, **options)
        if grown is not None:
            points, faces, source = grown
            garments.append(Garment(kind, body.skin(points, source, transforms), faces, source))

    garments = []
    cloth = "dress" if style.is_dress else "top"
    grow("bottom", "helper-tights", is_bottom, offset=style.leg_looseness * scale, least=0.003, rounds=6,
         flare=flare_down_leg(rng.uniform(0, 0.03)), folds=0.004)
    if style.bottom == "skirt":
        skirt_z = rest[np.unique(body.groups["helper-skirt"]), 2]
        lowest = skirt_z.max() - style.skirt_length * np.ptp(skirt_z)
        grow("dress" if style.is_dress else "skirt", "helper-skirt", z >= lowest, offset=0.006, least=0.003,
             rounds=2, folds=0.004)
    grow(cloth, "helper-tights", is_top, offset=(style.looseness + 0.006) * scale, least=0.008, rounds=10,
         flare=flare_at_hem(rng.uniform(0, 0.03)), folds=0.006)
    if style.outer:
        rise = (z - hip_z) / (neck[2] - hip_z)
        opening = np.abs(x) < rng.uniform(0.015, 0.06) * scale * np.clip(1.3 - rise, 0.3, 1.3)
        opening &= y < neck[1] - 0.02 * scale
        end = hip_z - (rng.uniform(0, 0.22) if style.outer == "jacket" else rng.uniform(0.3, 0.5)) * scale
        is_outer = (trunk & (z > end) & below_collar & ~opening) | (on_arm & (arm < 1.97))
        grow(style.outer, "helper-tights", is_outer, offset=(style.looseness + 0.022) * scale, least=0.018,
             rounds=8, flare=flare_at_hem(0.03), folds=0.007)
    if not style.barefoot:
        grow("shoe", "helper-tights", is_shoe, offset=0.012 * scale, least=0.008, rounds=6)

    # Skin well inside a garment is left out: it could only poke through.
    covered = trunk & (z > hem + 0.03 * scale) & below_collar
    covered &= z < neck[2] - 0.03 * scale - collar * 1.5 * in_front
    covered |= on_arm & (arm < style.sleeve - 0.15)
    covered |= ~on_arm & (z < waist - 0.03 * scale) & ((leg < leg_end - 0.12) | ~on_leg) & (region != FOOT)
    if not style.barefoot:
        covered |= region == FOOT
    skin_faces = body.groups["body"]
    return Dressed(person, style, rest, posed, transforms, heads, skin_faces[~covered[skin_faces].all(1)],
                   garments, out, height)


def _along_limbs(rest, heads):
    """Position along each limb: arm 0 shoulder, 1 elbow, 2 wrist; leg 0 hip, 1 knee, 2 ankle; -1 elsewhere."""
    body = load_body()
    region = body.region
    arm, leg = np.full(body.num_vertices, -1.0), np.full(body.num_vertices, -1.0)
    for side in "LR":
        joint = lambda bone: heads[body.index[f"{bone}.{side}"]]
        on_side = rest[:, 0] > 0 if side == "L" else rest[:, 0] <= 0
        shoulder, elbow, wrist = joint("upperarm01"), joint("lowerarm01"), joint("wrist")
        chosen = on_side & np.isin(region, [UPPER_ARM, LOWER_ARM, HAND])
        upper = (rest - shoulder) @ (elbow - shoulder) / ((elbow - shoulder) @ (elbow - shoulder))
        lower = (rest - elbow) @ (wrist - elbow) / ((wrist - elbow) @ (wrist - elbow))
        value = np.where(region == UPPER_ARM, np.clip(upper, 0, 1), 1 + np.clip(lower, 0, 1.6))
        value[region == HAND] = 2.2
        arm[chosen] = value[chosen]
        hip, knee, ankle = joint("upperleg01"), joint("lowerleg01"), joint("foot")
        chosen = on_side & np.isin(region, [UPPER_LEG, LOWER_LEG, FOOT])
        z = rest[:, 2]
        value = np.where(z > knee[2], (hip[2] - z) / (hip[2] - knee[2]),
                         1 + np.clip((knee[2] - z) / (knee[2] - ankle[2]), 0, 1.5))
        leg[chosen] = value[chosen]
    return arm, leg


def _grow(rest, helper_faces, keep, rng, *, offset, least, rounds, flare=None, folds=0.0):
    """A garment from the kept part of a helper: offset along the normals, smoothed, never under `least`."""
    faces = helper_faces[keep[helper_faces].all(1)]
    if len(faces) == 0:
        return None
    source, inverse = np.unique(faces, return_inverse=True)
    faces = inverse.reshape(faces.shape)
    base = rest[source]
    normals = vertex_normals(rest, helper_faces)[source]
    points = base + normals * offset
    if flare is not None:
        points = points + flare(base, normals)
    average = _neighbour_average(faces, len(source))
    for _ in range(rounds):
        points = 0.5 * points + 0.5 * (average @ points)
        height = ((points - base) * normals).sum(1)
        points = points + normals * np.maximum(least - height, 0)[:, None]
    if folds:
        phase, wave = rng.uniform(0, 2 * np.pi, 8), rng.normal(0, 1, (8, 3)) * rng.uniform(8, 22, (8, 1))
        ripple = np.sin(base @ wave.T + phase).sum(1) / 4
        points = points + normals * np.maximum(ripple, -0.5)[:, None] * folds
    return points, faces, source


def _neighbour_average(faces, count):
    corners = faces.shape[1]
    edges = np.concatenate([faces[:, [i, (i + 1) % corners]] for i in range(corners)])
    edges = np.concatenate([edges, edges[:, ::-1]])
    linked = sparse.coo_matrix((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(count, count)).tocsr()
    linked.data[:] = 1
    return sparse.diags(1 / np.maximum(np.asarray(linked.sum(1)).ravel(), 1)) @ linked
