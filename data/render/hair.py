# SPDX-License-Identifier: MIT
"""Hair, eyebrows and beards as strands: arrays of shape (strands, points, 3) in the person's frame.

Roots are drawn on the *rest* mesh, so the same strands grow from the same pores in every frame of
a clip. All positions "on the head" are relative to the point between the eyes, in head scales.
"""

import numpy as np
from scipy.spatial import cKDTree

from body import HEAD, load_body, triangles, unit, vertex_normals
from clothes import Dressed

LENGTH = {"buzz": 0.008, "short": 0.045, "tousled": 0.07, "medium": 0.17, "long": 0.36, "curly": 0.09,
          "afro": 0.10, "pony": 0.14, "bun": 0.12}
NUM_GUIDES = {"buzz": 5000, "afro": 3500, "curly": 2200, "pony": 3200, "bun": 3200}
TIED = ("pony", "bun")
HANGING = ("long", "medium")
CURLED = ("curly", "afro")
NUM_POINTS = 10
SKULL_CENTRE = np.array([0, 0.085, 0])


def head_coordinates(dressed: Dressed):
    """All rest vertices relative to the eyes, in head scales."""
    return (dressed.rest - dressed.head_origin) / dressed.head_scale


def above_hairline(points):
    """Which points (n, 3) in head coordinates lie above the hairline."""
    q = points - SKULL_CENTRE
    around = np.degrees(np.arctan2(np.abs(q[:, 0]), -q[:, 1]))  # 0 forehead, 180 nape
    line = np.interp(around, [0, 25, 45, 58, 66, 80, 100, 130, 180],
                     [0.062, 0.06, 0.05, 0.03, -0.018, -0.02, 0.0, -0.055, -0.08])
    return points[:, 2] > line


def scalp(dressed: Dressed):
    """Vertices that hair grows from: a boolean mask over all model vertices."""
    return _hairy_skull(dressed) & above_hairline(head_coordinates(dressed))


def _on_head_skin():
    body = load_body()
    mask = body.region == HEAD
    mask[np.setdiff1d(np.arange(body.num_vertices), body.skin_vertices)] = False
    return mask


def _hairy_skull(dressed):
    rel = head_coordinates(dressed)
    face = (rel[:, 1] < 0.03) & (rel[:, 2] < 0.03)
    return _on_head_skin() & (load_body().ears < 0.3) & (rel[:, 2] > -0.1) & ~face


def beard_area(dressed: Dressed):
    body, rel = load_body(), head_coordinates(dressed)
    top = np.interp(np.abs(rel[:, 0]), [0, 0.03, 0.06, 0.08], [-0.045, -0.05, -0.04, 0.0])
    return (_on_head_skin() & (rel[:, 2] < top) & (rel[:, 2] > -0.125) & (rel[:, 1] < 0.085)
            & (body.lips < 0.2) & (body.ears < 0.1) & (body.nose < 0.25))


def _draw_roots(rng, dressed, vertex_mask, count, keep=None):
    """Random points on the masked skin: posed positions and normals. `keep` filters rest points."""
    faces = load_body().groups["body"]
    tri = triangles(faces[vertex_mask[faces].all(1)])
    if len(tri) < 5:
        return None
    rest, posed = dressed.rest, dressed.posed
    area = np.linalg.norm(np.cross(rest[tri[:, 1]] - rest[tri[:, 0]], rest[tri[:, 2]] - rest[tri[:, 0]]), axis=1)
    chosen = tri[rng.choice(len(tri), count * 3 if keep else count, p=area / area.sum())]
    share = rng.dirichlet([1, 1, 1], len(chosen))[:, :, None]
    if keep:
        kept = keep((rest[chosen] * share).sum(1))
        chosen, share = chosen[kept][:count], share[kept][:count]
    normals = vertex_normals(posed, faces)
    return (posed[chosen] * share).sum(1), unit((normals[chosen] * share).sum(1))


class _Surface:
    """Pushes strand points out of skin and clothes."""

    def __init__(self, dressed):
        shown = np.unique(dressed.body_faces)
        normals = vertex_normals(dressed.posed, load_body().groups["body"])[shown]
        self.points = np.concatenate([dressed.posed[shown]] + [g.vertices for g in dressed.garments])
        self.normals = np.concatenate([normals] + [vertex_normals(g.vertices, g.faces) for g in dressed.garments])
        self.tree = cKDTree(self.points)

    def push_out(self, p, margin):
        distance, i = self.tree.query(p)
        height = ((p - self.points[i]) * self.normals[i]).sum(1)
        return p + self.normals[i] * (np.clip(margin - height, 0, 0.03) * (distance < 0.06))[:, None]


def grow_hair(dressed: Dressed):
    """Returns (strands, points, 3) and the radius at the root, or None for a bald head."""
    style = dressed.style
    kind = style.hair
    if kind == "bald":
        return None
    rng = np.random.default_rng(style.seed + 3)
    size = dressed.head_scale
    is_above = lambda p: above_hairline((p - dressed.head_origin) / size + rng.normal(0, 0.002, p.shape))
    roots = _draw_roots(rng, dressed, _hairy_skull(dressed), NUM_GUIDES.get(kind, 1600), is_above)
    if roots is None or len(roots[0]) < 50:
        return None
    root, normal = roots
    n = len(root)
    turn = dressed.head_transform[:3, :3]
    left, front, up = turn @ [1.0, 0, 0], turn @ [0, -1.0, 0], turn @ [0, 0, 1.0]
    down = np.array([0, 0, -1.0])
    centre = dressed.on_head(dressed.head_origin + SKULL_CENTRE * size)
    length = LENGTH[kind] * size * style.hair_length * rng.uniform(0.8, 1.15, n)
    step = length / (NUM_POINTS - 1)
    parting = rng.uniform(-0.6, 0.6)
    comb = {"back": -front, "side": left * np.sign(parting), "fringe": front * 0.8 + left * parting,
            "middle": None}[str(rng.choice(["back", "side", "fringe", "middle"]))]
    side_of_parting = np.sign((root - centre) @ left - parting * 0.04 * size)[:, None]
    knot = centre - front * 0.115 * size + up * rng.uniform(-0.02, 0.07) * size
    surface = _Surface(dressed)

    p, heading, points = root, normal.copy(), [root]
    for k in range(1, NUM_POINTS):
        t = k / NUM_POINTS
        if kind == "buzz":
            wish = normal + rng.normal(0, 0.35, (n, 3))
        elif kind == "afro":
            wish = normal * 0.75 + rng.normal(0, 0.85, (n, 3))
        elif kind == "curly":
            wish = normal * 0.6 + down * 0.5 * t + rng.normal(0, 0.8, (n, 3))
        elif kind in TIED:
            to_knot = knot - p
            left_over = np.linalg.norm(to_knot, axis=1)
            wish = unit(to_knot)
            step = np.minimum(left_over / (NUM_POINTS - k + 0.01), length * 3)
        elif kind in HANGING:  # away from the face, then down
            q = p - centre
            outward = side_of_parting if k < 4 else np.sign(q @ left + 1e-9)[:, None]
            before_face = np.clip((q @ front) / (0.06 * size), 0, 1.5)[:, None]
            flow = left * outward * (0.7 + 0.6 * before_face) - front * (0.35 + 0.9 * before_face)
            wish = normal * 0.22 * (1 - t) + flow * 0.55 * (1 - t) + down * 1.5 * (t * 1.6 + 0.15)
        else:
            flow = left * side_of_parting if comb is None else comb
            weight = 0.45 if kind == "short" else 0.55
            wish = normal * 0.5 * (1 - t) + flow * 0.55 * (1 - t) + down * weight * (t * 1.6 + 0.15)
        heading = unit(heading * 0.45 + unit(wish) * 0.55)
        p = p + heading * np.asarray(step)[..., None]
        lift = 0 if kind == "buzz" else (0.005 if kind in HANGING + TIED else 0.008) * min(1, k / 4)
        for _ in range(2):
            p = surface.push_out(p, (0.004 + lift) * size)
        points.append(p)
    strands = [np.stack(points, 1)]
    if kind == "pony":
        strands.append(_pony_tail(rng, knot, front, up, size, surface))
    elif kind == "bun":
        strands.append(_bun(rng, knot - front * 0.02 * size, size))
    return _multiply(rng, np.concatenate(strands), kind, size), (0.0009 if kind == "buzz" else 0.0011) * max(size, 0.7)


def _pony_tail(rng, knot, front, up, size, surface, count=260):
    length = rng.uniform(0.15, 0.35) * size
    p = knot + rng.normal(0, 0.008 * size, (count, 3))
    heading = -front * 0.9 + up * 0.3 + rng.normal(0, 0.08, (count, 3))
    points = [p]
    for _ in range(1, NUM_POINTS):
        heading = unit(heading * 0.7 + np.array([0, 0, -0.45]) + rng.normal(0, 0.03, (count, 3)))
        p = surface.push_out(p + heading * length / NUM_POINTS, 0.012)
        points.append(p)
    return np.stack(points, 1)


def _bun(rng, centre, size, count=260):
    a = unit(rng.normal(size=(count, 3)))
    b = np.cross(a, rng.normal(size=(count, 3)))
    b = unit(b)
    turn = np.linspace(0, 2.2, NUM_POINTS)[None, :, None]
    radius = rng.uniform(0.03, 0.045) * size * rng.uniform(0.85, 1.02, (count, 1, 1))
    return centre + radius * (np.cos(turn) * a[:, None] + np.sin(turn) * b[:, None])


def _multiply(rng, guides, kind, size):
    """Each guide strand gets companions beside it, so that the scalp is covered."""
    copies = 1 if kind == "buzz" else 3 if kind in TIED else 5
    along = np.linspace(0, 1, guides.shape[1])[None, :, None]
    spread = 0.0035 * size * (1.6 if kind in CURLED + HANGING else 1)
    frizz = 0.0012 * size * (3 if kind in CURLED else 1)
    strands = [guides]
    for _ in range(copies - 1):
        beside = rng.normal(0, spread, (len(guides), 1, 3)) * (1 - 0.4 * along)
        strands.append(guides + beside + rng.normal(0, frizz, guides.shape) * along)
    return np.concatenate(strands)


def clear_of_hat(dressed: Dressed, strands, rim=0.036):
    """Hair under a hat: strands that root under it go, the others are kept below its rim."""
    turn, shift = dressed.head_transform[:3, :3], dressed.head_transform[:3, 3]
    local = ((strands - shift) @ turn - dressed.head_origin) / dressed.head_scale
    kept = local[:, 0, 2] < rim - 0.004
    strands, local = strands[kept], local[kept]
    too_high = np.maximum(local[:, :, 2] - (rim - 0.006), 0) * dressed.head_scale
    return strands - too_high[:, :, None] * turn[:, 2]


def grow_beard(dressed: Dressed, count=2500, num_points=4):
    rng = np.random.default_rng(dressed.style.seed + 8)
    roots = _draw_roots(rng, dressed, beard_area(dressed), count)
    if roots is None:
        return None
    p, heading = roots
    points = [p]
    for _ in range(num_points - 1):
        heading = unit(heading + np.array([0, 0, -0.5]) + rng.normal(0, 0.25, (count, 3)))
        p = p + heading * dressed.style.beard * dressed.head_scale / (num_points - 1)
        points.append(p)
    return np.stack(points, 1)


def grow_brows(dressed: Dressed, count=150):
    rng = np.random.default_rng(dressed.style.seed + 4)
    size, rel = dressed.head_scale, head_coordinates(dressed)
    x = np.linspace(0.012, 0.058, 14)
    arch = np.interp(x, [0.012, 0.03, 0.045, 0.058], [0.020, 0.027, 0.027, 0.018])
    face = np.where(_on_head_skin() & (rel[:, 1] < 0.03))[0]
    tree = cKDTree(rel[face][:, [0, 2]])
    turn = dressed.head_transform[:3, :3]
    front, up = turn @ [0, -1.0, 0], turn @ [0, 0, 1.0]
    strands = []
    for sign in (1, -1):
        _, near = tree.query(np.stack([sign * x, arch], 1), k=3)
        depth = dressed.rest[face[near]][:, :, 1].min(1)
        line = np.stack([dressed.head_origin[0] + sign * x * size, depth, dressed.head_origin[2] + arch * size], 1)
        line = load_body().skin(line, face[near[:, 0]], dressed.transforms)
        where = rng.uniform(0, len(line) - 1.001, count)
        i, t = where.astype(int), (where % 1)[:, None]
        root = line[i] * (1 - t) + line[i + 1] * t + rng.normal(0, 0.0018, (count, 3)) + front * 0.0005
        heading = unit(line[i + 1] - line[i]) + 0.25 * front + up * rng.normal(0.2, 0.3, (count, 1))
        hair = 0.008 * size * heading
        strands.append(np.stack([root, root + hair / 2, root + hair], 1))
    return np.concatenate(strands)
