# SPDX-License-Identifier: GPL-3.0-or-later
"""A dressed body as Blender objects, every surface marked with its body part."""

import math
from dataclasses import dataclass

import numpy as np
import bpy  # noqa: F401  (mathutils only exists once bpy is imported)
from mathutils import Matrix

import hair
import held
import shade
from body import FOOT, HAND, HEAD, LOWER_ARM, LOWER_LEG, NECK, TORSO, UPPER_ARM, UPPER_LEG, load_body
from clothes import Dressed
from stage import PARTS, Stage, grid_faces, part_vectors

PART_OF_REGION = {HEAD: "head", NECK: "head", TORSO: "torso", UPPER_ARM: "arms", LOWER_ARM: "arms",
                  HAND: "hands", UPPER_LEG: "legs", LOWER_LEG: "legs", FOOT: "feet"}


@dataclass
class Figure:
    """Where a person stands in the world; what cameras and furniture need to know."""

    matrix: np.ndarray  # person frame to world, (4, 4)
    points: np.ndarray  # visible vertices in the world, (n, 3)
    head: np.ndarray    # between the eyes, world
    head_scale: float
    height: float
    seat: np.ndarray    # under the hips of a sitting person, world
    turn: float         # radians about z; 0 faces -y


def add_figure(stage: Stage, dressed: Dressed, place=(0, 0), turn=0.0, lift=0.0, holds=None,
               ground=None, centre=None) -> Figure:
    """Put a person on the ground at `place`. `ground` and `centre` pin the origin over a clip's frames."""
    visible = dressed.visible_vertices
    ground = visible[:, 2].min() if ground is None else ground
    centre = visible.mean(0) if centre is None else centre
    matrix = (Matrix.Translation((*place, lift)) @ Matrix.Rotation(turn, 4, "Z")
              @ Matrix.Translation((-centre[0], -centre[1], -ground)))
    things = _skin(stage, dressed) + _mouth(stage, dressed) + _eyes(stage, dressed)
    things += _clothes(stage, dressed) + _hair(stage, dressed) + _hat(stage, dressed) + _glasses(stage, dressed)
    for side, kind in (holds or {}).items():
        things += held.add_held(stage, dressed, side, kind)
    root = stage.add("person", None)
    for thing in things:
        thing.parent = root
    root.matrix_world = matrix
    matrix = np.array(matrix)
    to_world = lambda p: p @ matrix[:3, :3].T + matrix[:3, 3]
    hips = to_world(dressed.posed[np.isin(load_body().region, [TORSO, UPPER_LEG])])
    seat = np.array([*np.percentile(hips, 50, axis=0)[:2], np.percentile(hips[:, 2], 1)])
    return Figure(matrix, to_world(visible), to_world(dressed.on_head(dressed.head_origin)), dressed.head_scale,
                  dressed.height, seat, turn)


def _vertex_parts():
    return np.array([PARTS.index(PART_OF_REGION[r]) for r in load_body().region])


def _skin(stage, dressed):
    body = load_body()
    used = np.unique(dressed.body_faces)
    renumber = np.full(body.num_vertices, -1)
    renumber[used] = np.arange(len(used))
    rng = np.random.default_rng(dressed.style.seed + 1)
    colors = _complexion(rng, dressed)
    vectors = part_vectors(_vertex_parts()[used]) | {"rest": dressed.rest[used]}
    return [stage.mesh(dressed.posed[used], renumber[dressed.body_faces], shade.skin(rng),
                       colors={"skin": colors[used]}, vectors=vectors, subdivide=1)]


def _complexion(rng, dressed):
    """Skin colour of every vertex: tone, lips, cheeks, nose and ears, shadowed eyes, stubble, scalp."""
    body, style, person = load_body(), dressed.style, dressed.person
    tone = shade.skin_tone(rng, style.skin)
    colors = np.tile(tone, (body.num_vertices, 1))
    made_up = person.is_feminine and not person.is_child and rng.random() < 0.35
    lip_color = shade.linear([[.65, .12, .18], [.75, .3, .35], [.5, .12, .2]])[rng.integers(3)] if made_up \
        else tone * [0.76, 0.44, 0.44]
    lips = 0.8 * np.clip(body.lips * 2.2 - 0.5, 0, 1)[:, None]
    colors = colors * (1 - lips) + lip_color * lips
    rel = hair.head_coordinates(dressed)
    blob = lambda x, z, wide, high, depth: (np.exp(
        -(((np.abs(rel[:, 0]) - x) / wide) ** 2 + ((rel[:, 2] - z) / high) ** 2)) * (rel[:, 1] < depth))[:, None]
    redden = np.array([-0.05, 0.13, 0.11])
    colors *= 1 - blob(0.042, -0.045, 0.02, 0.022, 0.05) * redden
    colors *= 1 - 0.6 * (np.clip(body.nose, 0, 1) + np.clip(body.ears, 0, 1))[:, None] * redden
    colors *= 1 - 0.22 * blob(0.032, 0.004, 0.022, 0.014, 0.04)
    if style.beard or (not person.is_feminine and not person.is_child and rng.random() < 0.5):
        colors[hair.beard_area(dressed)] *= [0.72, 0.72, 0.76]
    if style.hair != "bald":  # the scalp under the strands takes the colour of the hair
        melanin = style.melanin * (1 - 0.9 * style.grey)
        under = np.array([0.30, 0.19, 0.09]) * (1 - melanin) ** 1.3 + [0.012, 0.008, 0.006]
        top = hair.scalp(dressed)
        colors[top] = 0.25 * colors[top] + 0.75 * under
    return colors


def _mouth(stage, dressed):
    things = []
    for helper, color, roughness in (("helper-upper-teeth", (.75, .72, .62), 0.25),
                                     ("helper-lower-teeth", (.75, .72, .62), 0.25),
                                     ("helper-tongue", (.4, .1, .1), 0.4)):
        faces = load_body().groups[helper]
        used, inverse = np.unique(faces, return_inverse=True)
        things.append(stage.mesh(dressed.posed[used], inverse.reshape(faces.shape),
                                 shade.plain(color, roughness, "head"), subdivide=1))
    return things


def _eyes(stage, dressed, around=24, rows=20):
    rng = np.random.default_rng(dressed.style.seed + 2)
    iris = shade.linear([[.25, .14, .07], [.18, .1, .05], [.3, .2, .1], [.3, .42, .52], [.35, .42, .28],
                         [.15, .1, .08]])[rng.integers(6)]
    theta = np.linspace(0, np.pi, rows + 1)[:, None]
    phi = np.linspace(0, 2 * np.pi, around, endpoint=False)[None]
    globe = np.stack([np.sin(theta) * np.cos(phi), -np.cos(theta) + 0 * phi, np.sin(theta) * np.sin(phi)], -1)
    angle = np.repeat(180 * (np.arange(rows) + 0.5) / rows, around)
    zone = np.where(angle < 11, 0, np.where(angle < 29, 1, 2)).astype(np.int32)  # pupil, iris, white
    materials = [shade.plain(c, r, "head") for c, r in
                 (((.005, .005, .005), 0.05), (iris, 0.08), ((.78, .74, .72), 0.12))]
    gaze = np.array(Matrix.Rotation(np.radians(rng.normal(0, 5)), 3, "Z"))
    things = []
    for side, centre in zip("LR", dressed.eyes_rest):
        radius = np.linalg.norm(dressed.rest[load_body().eye_vertices[side]] - centre, axis=1).max()
        points = dressed.on_head(globe.reshape(-1, 3) * radius * 0.985 @ gaze.T + centre)
        eye = stage.mesh(points, grid_faces(rows + 1, around, True))
        for material in materials:
            eye.data.materials.append(material)
        eye.data.polygons.foreach_set("material_index", zone)
        things.append(eye)
    return things


def _clothes(stage, dressed):
    rng = np.random.default_rng(dressed.style.seed + 7)
    parts, shared, things = _vertex_parts(), None, []
    for garment in dressed.garments:
        if garment.kind == "dress":  # bodice and skirt of a dress are one cloth
            material = shared = shared or shade.cloth(rng, "top")
        else:
            material = shade.cloth(rng, garment.kind)
        vectors = part_vectors(parts[garment.source]) | {"rest": dressed.rest[garment.source]}
        thing = stage.mesh(garment.vertices, garment.faces, material, vectors=vectors, subdivide=1)
        smooth = thing.modifiers.new("smooth", "SMOOTH")
        smooth.factor, smooth.iterations = 0.4, 1 if garment.kind == "shoe" else 2
        solid = thing.modifiers.new("solid", "SOLIDIFY")
        solid.thickness, solid.offset = 0.004, 0
        things.append(thing)
    return things


def _hair(stage, dressed):
    style = dressed.style
    rng = np.random.default_rng(style.seed + 9)
    things = []
    grown = hair.grow_hair(dressed)
    if grown is not None:
        strands, radius = grown
        if style.hat:
            strands = hair.clear_of_hat(dressed, strands)
        if len(strands):
            things.append(stage.strands(strands, radius, shade.hair(rng, style, "hair")))
    facial = shade.hair(rng, style, "head")
    things.append(stage.strands(hair.grow_brows(dressed), 0.0007 * dressed.head_scale, facial))
    if style.beard:
        beard = hair.grow_beard(dressed)
        if beard is not None:
            things.append(stage.strands(beard, 0.0006, facial))
    return things


def _hat(stage, dressed, around=28):
    """A cap, beanie or brimmed hat; it counts as hair."""
    style = dressed.style
    if not style.hat:
        return []
    rng = np.random.default_rng(style.seed + 6)
    size = dressed.head_scale
    centre = dressed.head_origin + np.array([0, 0.088, 0.038]) * size
    angle = np.linspace(0, 2 * np.pi, around, endpoint=False)
    ring = lambda wide, long, height: np.stack(
        [wide * np.cos(angle), long * np.sin(angle), np.full(around, height)], 1)
    tall = {"cap": 0.088, "beanie": 0.1, "brim": 0.1}[style.hat]
    rings = [ring(0.086 * np.cos(e), 0.107 * np.cos(e), tall * np.sin(e)) for e in np.linspace(0, 1.5, 8)]
    if style.hat == "brim":
        reach = rng.uniform(1.35, 1.7)
        rings.insert(0, ring(0.086 * reach, 0.107 * reach, -0.012))
    points = np.concatenate(rings)
    faces = list(grid_faces(len(rings), around, True))
    if style.hat == "cap":
        front = np.linspace(-0.9, 0.9, 10)
        inner = np.stack([0.086 * np.sin(front), -0.107 * np.cos(front), 0 * front], 1)
        outer = inner + np.stack([0 * front, -0.06 * np.cos(front * 1.6), 0 * front - 0.012], 1)
        faces += list(grid_faces(2, 10, False) + len(points))
        points = np.concatenate([points, inner, outer])
    rest = points * size * 1.03 + centre
    vectors = part_vectors(np.full(len(rest), PARTS.index("hair"))) | {"rest": rest}
    thing = stage.mesh(dressed.on_head(rest), faces, shade.cloth(rng, "hat"), vectors=vectors, subdivide=1)
    thing.modifiers.new("solid", "SOLIDIFY").thickness = 0.004
    return [thing]


def _glasses(stage, dressed):
    style = dressed.style
    if not style.glasses:
        return []
    rng = np.random.default_rng(style.seed + 5)
    size = dressed.head_scale
    frame = shade.plain(shade.random_color(rng) * 0.3, 0.3, "head")
    dark = shade.plain((0.01, 0.01, 0.012), 0.05, "head")
    radius, squash = rng.uniform(0.019, 0.026), rng.uniform(0.7, 1)
    angle = np.linspace(0, 2 * np.pi, 25)
    lines, centres, things = [], [], []
    for eye in dressed.eyes_rest:
        rim = eye + np.stack([radius * np.cos(angle), 0 * angle - 0.030, radius * squash * np.sin(angle) - 0.004], 1) * size
        outward = np.sign(eye[0])
        lines += [rim, np.linspace(eye + np.array([outward * radius, -0.03, 0]) * size,
                                   eye + np.array([outward * 0.043, 0.085, 0.004]) * size, 25)]
        centres.append(rim[:-1].mean(0))
        if style.glasses == "sun":
            fan = [[0, 1 + i, 1 + (i + 1) % 24] for i in range(24)]
            things.append(stage.mesh(dressed.on_head(np.concatenate([centres[-1][None], rim[:-1]])), fan, dark))
    lines.append(np.linspace(centres[0] + np.array([-radius, 0, 0.003]) * size,
                             centres[1] + np.array([radius, 0, 0.003]) * size, 25))
    lines = np.stack([dressed.on_head(line) for line in lines])
    return things + [stage.strands(lines, 0.0016 * size, frame, tip=1.0)]
