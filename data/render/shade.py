# SPDX-License-Identifier: GPL-3.0-or-later
"""Materials: skin, cloth, hair, and the surfaces of the world. Colours are linear RGB."""

import colorsys
import math

import bpy
import numpy as np

from stage import PART_CHANNELS, PARTS, part_vectors


def linear(srgb):
    c = np.asarray(srgb, float)
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def hsv(h, s, v):
    return linear(colorsys.hsv_to_rgb(h % 1, s, v))


SKIN_TONES = linear([[.90, .75, .67], [.87, .70, .60], [.83, .64, .53], [.76, .56, .43],
                     [.66, .47, .35], [.54, .37, .27], [.43, .29, .21], [.32, .215, .165]])


def skin_tone(rng, darkness):
    """Interpolate the tone chart at `darkness` in [0, 1], with a little individual tint."""
    t = darkness * (len(SKIN_TONES) - 1)
    i = min(int(t), len(SKIN_TONES) - 2)
    return (SKIN_TONES[i] * (i + 1 - t) + SKIN_TONES[i + 1] * (t - i)) * rng.uniform(0.9, 1.08, 3)


def random_color(rng, max_saturation=0.75):
    if rng.random() < 0.33:  # people and walls like greys
        return np.clip(rng.choice([.02, .05, .12, .3, .6, .8]) * rng.uniform(0.9, 1.1, 3), 0, 0.9)
    hue = rng.choice([.6, .62, .58, .0, .03, .08, .12, .33, .45, .75, .9, rng.random()])
    return hsv(hue + rng.normal(0, 0.03), rng.uniform(0.05, max_saturation), rng.uniform(0.2, 0.9))


class Shader:
    """A material under construction: `node` adds a node and plugs values or sockets into it."""

    def __init__(self, name="material"):
        self.material = bpy.data.materials.new(name)
        self.material.use_nodes = True
        self.tree = self.material.node_tree
        self.bsdf = self.tree.nodes["Principled BSDF"]

    def plug(self, socket, value):
        if isinstance(value, bpy.types.NodeSocket):
            self.tree.links.new(value, socket)
        elif socket.type == "RGBA":
            socket.default_value = (*(float(c) for c in value), 1.0)
        elif np.ndim(value):
            socket.default_value = tuple(float(c) for c in value)
        else:
            socket.default_value = float(value)

    def node(self, kind, **inputs):
        made = self.tree.nodes.new("ShaderNode" + kind)
        for name, value in inputs.items():
            self.plug(made.inputs[name], value)
        return made

    def set(self, **inputs):
        """Inputs of the surface shader, with underscores for spaces."""
        for name, value in inputs.items():
            self.plug(self.bsdf.inputs[name.replace("_", " ")], value)

    def attribute(self, name):
        made = self.node("Attribute")
        made.attribute_name = name
        return made.outputs["Vector"]

    def object_coordinates(self):
        return self.node("TexCoord").outputs["Object"]

    def scaled(self, vector, scale, turn=(0, 0, 0)):
        return self.node("Mapping", Vector=vector, Scale=scale, Rotation=turn).outputs[0]

    def noise(self, vector, scale, detail=4, roughness=0.5, distortion=0):
        return self.node("TexNoise", Vector=vector, Scale=scale, Detail=detail, Roughness=roughness,
                         Distortion=distortion).outputs["Fac"]

    def mix(self, factor, a, b):
        made = self.tree.nodes.new("ShaderNodeMix")
        made.data_type = "RGBA"
        for socket, value in zip((made.inputs[0], made.inputs[6], made.inputs[7]), (factor, a, b)):
            self.plug(socket, value)
        return made.outputs[2]

    def ramp(self, factor, a, b, start, end):
        made = self.node("ValToRGB", Fac=factor)
        low, high = made.color_ramp.elements
        low.position, high.position = float(np.clip(start, 0, 1)), float(np.clip(end, 0, 1))
        low.color, high.color = (*map(float, a), 1), (*map(float, b), 1)
        return made.outputs[0]

    def wave(self, vector, scale, direction, distortion=0.0, detail=0.0):
        made = self.node("TexWave", Vector=vector, Scale=scale, Distortion=distortion, Detail=detail)
        made.bands_direction = direction
        return made.outputs["Fac"]

    def bump(self, height, strength, distance):
        made = self.node("Bump", Height=height, Strength=strength, Distance=distance)
        before = self.bsdf.inputs["Normal"]
        if before.is_linked:
            self.tree.links.new(before.links[0].from_socket, made.inputs["Normal"])
        self.plug(before, made.outputs[0])

    def mark_parts(self, part=None):
        """Write body parts into the part channels: one part for all, or what the vertices say."""
        fixed = part_vectors([PARTS.index(part)]) if part else None
        for name in PART_CHANNELS:
            out = self.node("OutputAOV", Color=fixed[name][0] if part else self.attribute(name))
            out.aov_name = name
        return self.material


# ---------------------------------------------------------------------------------------------
# People

def skin(rng):
    """Skin; its colour comes from the vertex colours `skin`, its grain from the rest position."""
    s = Shader("skin")
    color = s.node("Attribute")
    color.attribute_name = "skin"
    darker = s.node("VectorMath")
    darker.operation = "MULTIPLY"
    s.plug(darker.inputs[0], color.outputs["Color"])
    darker.inputs[1].default_value = (0.86, 0.72, 0.68)
    rest = s.attribute("rest")
    blotches = s.noise(rest, rng.uniform(15, 30), 6, 0.65)
    s.set(Base_Color=s.mix(blotches, color.outputs["Color"], darker.outputs[0]), Subsurface_Weight=0.12,
          Subsurface_Radius=(1, 0.35, 0.2), Subsurface_Scale=0.012, Roughness=rng.uniform(0.45, 0.65),
          Specular_IOR_Level=0.35)
    s.bump(s.noise(rest, 220, 3, 0.6), 0.18, 0.002)
    return s.mark_parts()


def hair(rng, style, part):
    s = Shader("hair")
    s.tree.nodes.remove(s.bsdf)
    fibre = s.node("BsdfHairPrincipled", **{"Radial Roughness": 0.5})
    fibre.parametrization = "MELANIN"
    s.plug(fibre.inputs["Melanin"], style.melanin * (1 - 0.9 * style.grey))
    s.plug(fibre.inputs["Melanin Redness"], style.redness)
    s.plug(fibre.inputs["Roughness"], rng.uniform(0.25, 0.5))
    s.plug(fibre.inputs["Random Color"], 0.35)
    if style.dyed:
        s.plug(fibre.inputs["Tint"], random_color(rng))
    s.plug(s.tree.nodes["Material Output"].inputs["Surface"], fibre.outputs[0])
    return s.mark_parts(part)


def plain(color, roughness=0.5, part=None, metallic=0.0, coat=0.0):
    s = Shader("plain")
    s.set(Base_Color=color, Roughness=roughness, Metallic=metallic, Coat_Weight=coat)
    return s.mark_parts(part) if part else s.material


def cloth(rng, kind):
    """The cloth of a garment: patterns live in the rest pose, so they bend with the body."""
    s = Shader("cloth")
    _weave(s, rng, s.attribute("rest"), kind)
    return s.mark_parts()


def fabric(rng):
    """The same cloths on furniture and curtains, so that a pattern alone does not say person."""
    s = Shader("fabric")
    _weave(s, rng, s.object_coordinates(), "top")
    return s.material


def _weave(s, rng, vector, kind):
    first, second = random_color(rng), random_color(rng)
    if kind == "bottom" and rng.random() < 0.5:  # jeans
        first = hsv(0.6 + rng.normal(0, 0.02), rng.uniform(0.3, 0.6), rng.uniform(0.12, 0.5))
    if kind == "shoe" and rng.random() < 0.6:
        first = rng.choice([0.01, 0.03, 0.6, 0.3]) * np.ones(3)
    pattern = "plain" if kind == "shoe" else str(rng.choice(
        ["plain", "stripes", "check", "dots", "flowers", "heather", "block", "print"],
        p=[0.36, 0.13, 0.11, 0.07, 0.06, 0.12, 0.07, 0.08]))
    color = s.mix(1.0, first, first)
    if pattern in ("stripes", "check"):
        scale, direction = rng.uniform(4, 18), str(rng.choice(["X", "Z"], p=[0.3, 0.7]))
        edge = rng.uniform(0.25, 0.75)
        bands = s.wave(vector, scale, direction, rng.uniform(0, 0.6))
        color = s.ramp(bands, first, second, edge - 0.03, edge + 0.03)
        if pattern == "check":
            across = s.wave(vector, scale, "Z" if direction == "X" else "X")
            color = s.mix(across, color, random_color(rng))
    elif pattern in ("dots", "flowers"):
        cells = s.node("TexVoronoi", Vector=vector, Scale=rng.uniform(10, 45),
                       Randomness=0.0 if pattern == "dots" else 1.0).outputs["Distance"]
        edge = rng.uniform(0.2, 0.5)
        color = s.ramp(cells, second, first, edge, edge + 0.03)
    elif pattern == "heather":
        fleck = s.noise(vector, rng.uniform(60, 200), 6, 0.8)
        color = s.mix(fleck, first, np.clip(first * rng.uniform(0.3, 1.9), 0, 0.9))
    elif pattern == "block":
        height = s.node("SeparateXYZ", Vector=vector).outputs[2]
        step = s.node("Math")
        step.operation = "GREATER_THAN"
        s.plug(step.inputs[0], height)
        step.inputs[1].default_value = rng.uniform(0.15, 0.6)
        color = s.mix(step.outputs[0], first, second)
    elif pattern == "print":  # camouflage, tie-dye, marbling
        patches = s.noise(vector, rng.uniform(4, 14), 3, 0.5, rng.uniform(0, 2))
        color = s.ramp(patches, first, second, 0.47, 0.47 + rng.choice([0.02, 0.25]))
    worn = s.mix(0.55, color, (0.02, 0.02, 0.02))
    color = s.mix(s.noise(vector, rng.uniform(3, 9), 5, 0.6), color, worn)
    rough = rng.uniform(0.3, 0.7) if kind == "shoe" else rng.uniform(0.5, 0.95)
    s.set(Base_Color=color, Roughness=rough, Sheen_Weight=rng.uniform(0, 0.35))
    stretch = (rng.uniform(1.5, 5), rng.uniform(1.5, 5), rng.uniform(1, 7))
    wrinkles = s.noise(s.scaled(vector, stretch), 1.6, 3, 0.45, rng.uniform(0.1, 0.8))
    s.bump(wrinkles, rng.uniform(0.35, 0.8), 0.045)
    s.bump(s.noise(vector, rng.uniform(150, 400), 2), 0.25, 0.002)


# ---------------------------------------------------------------------------------------------
# The world

INDOOR_WALLS = ["plaster", "paint", "brick", "wallpaper", "tile", "concrete", "wood", "stripes"]
FLOORS = ["wood", "tile", "concrete", "paint", "carpet", "checker"]
PAVINGS = ["asphalt", "paving", "concrete", "gravel"]


def surface(rng, kind=None, scale=1.0, color=None):
    """One of the procedural surfaces by name, or any of the common ones."""
    kind = kind or str(rng.choice(["plaster", "paint", "brick", "tile", "wood", "wallpaper", "concrete"]))
    s = Shader(kind)
    vector = s.object_coordinates()
    first = random_color(rng, 0.45 if kind in ("paint", "plaster", "wallpaper", "stripes", "carpet") else 0.16)
    first = np.asarray(color) if color is not None else first
    second = np.clip(first * rng.uniform(0.4, 1.6), 0, 0.9)
    base = _SURFACES[kind](s, rng, vector, first, second, scale)
    s.set(Base_Color=base, Roughness=rng.uniform(0.3, 0.95))
    return s.material


def _plaster(s, rng, vector, first, second, scale):
    stain = s.noise(vector, rng.uniform(1, 6), 8, 0.65)
    s.bump(stain, 0.3, 0.02)
    return s.mix(stain, first, first * 0.8)


def _paint(s, rng, vector, first, second, scale):
    return s.mix(s.noise(vector, rng.uniform(0.5, 3), 4), first, first * 0.9)


def _concrete(s, rng, vector, first, second, scale):
    stain = s.noise(vector, rng.uniform(1, 6), 8, 0.65)
    s.bump(stain, 0.3, 0.02)
    return s.mix(stain, first, first * 0.45)


def _bricks(s, rng, vector, first, second, scale, upright=True, width=0.5, height=0.25, offset=0.5):
    turned = s.scaled(vector, (1, 1, 1), (math.pi / 2 if upright else 0, 0, 0))
    bricks = s.node("TexBrick", Vector=turned, Scale=rng.uniform(2, 6) * scale, Color1=first, Color2=second,
                    Mortar=random_color(rng, 0.12), **{"Brick Width": width, "Row Height": height})
    bricks.offset = offset
    s.bump(bricks.outputs["Fac"], -0.4, 0.01)
    dirt = s.noise(vector, 8, 6, 0.7)
    return s.mix(dirt, bricks.outputs[0], s.mix(0.5, bricks.outputs[0], (0.05, 0.05, 0.05)))


def _brick(s, rng, vector, first, second, scale):
    if rng.random() < 0.5:
        first = linear([0.55, 0.28, 0.2]) * rng.uniform(0.5, 1.4)
        second = first * rng.uniform(0.6, 1.3, 3)
    return _bricks(s, rng, vector, first, second, scale)


def _tile(s, rng, vector, first, second, scale):
    return _bricks(s, rng, vector, first, second, scale, bool(rng.random() < 0.5), 0.5, 0.5, 0)


def _paving(s, rng, vector, first, second, scale):
    grey = rng.uniform(0.08, 0.4) * np.ones(3)
    return _bricks(s, rng, vector, grey, grey * rng.uniform(0.7, 1.2), scale * 0.6, False, rng.uniform(0.4, 1), 0.4)


def _checker(s, rng, vector, first, second, scale):
    return s.node("TexChecker", Vector=vector, Scale=rng.uniform(1.5, 4), Color1=first, Color2=second).outputs[0]


def _stripes(s, rng, vector, first, second, scale):
    edge = rng.uniform(0.3, 0.7)
    return s.ramp(s.wave(vector, rng.uniform(1, 5), "X"), first, second, edge - 0.02, edge + 0.02)


def _wallpaper(s, rng, vector, first, second, scale):
    cells = s.node("TexVoronoi", Vector=vector, Scale=rng.uniform(2, 9)).outputs[0]
    return s.ramp(cells, first, second, 0, rng.uniform(0.2, 0.9))


def _wood(s, rng, vector, first, second, scale):
    along = (1, 0.12, 0.12) if rng.random() < 0.5 else (0.12, 1, 0.3)
    rings = s.wave(s.scaled(vector, along), rng.uniform(1, 4), "X", rng.uniform(3, 9), 4)
    tone = linear([0.55, 0.36, 0.2]) * rng.uniform(0.4, 1.6)
    return s.mix(rings, tone, np.clip(tone * 0.6, 0, 1))


def _carpet(s, rng, vector, first, second, scale):
    pile = s.noise(vector, 120, 4, 0.7)
    s.bump(pile, 0.6, 0.01)
    blotch = s.ramp(s.noise(vector, rng.uniform(1, 5), 2), first, second, 0.45, 0.55)
    return s.mix(pile, blotch, s.mix(0.5, blotch, (0, 0, 0)))


def _grass(s, rng, vector, first, second, scale):
    blades, patches = s.noise(vector, 40, 8, 0.8), s.noise(vector, 1.2, 4)
    s.bump(blades, 0.8, 0.05)
    green = s.mix(blades, linear([.15, .28, .06]) * rng.uniform(0.6, 1.3), linear([.45, .5, .2]))
    return s.mix(patches, green, linear([.3, .35, .15]))


def _speckled(low, high, scale, roughness):
    def build(s, rng, vector, first, second, _):
        grain, patches = s.noise(vector, scale, 8, 0.8), s.noise(vector, 0.8, 5)
        tint = np.array([1, rng.uniform(0.94, 1), rng.uniform(0.85, 1)])
        tone = rng.uniform(low, high) * tint
        s.bump(grain, roughness, 0.02)
        return s.mix(patches, s.mix(grain, tone, np.clip(tone * 2, 0, 0.9)), tone * 0.75)
    return build


def _sand(s, rng, vector, first, second, scale):
    dunes = s.noise(vector, 1.5, 6, 0.6)
    s.bump(dunes, 0.6, 0.1)
    return s.mix(s.noise(vector, 60, 6, 0.8), linear([.76, .66, .5]), linear([.6, .5, .36]))


def _snow(s, rng, vector, first, second, scale):
    s.bump(s.noise(vector, 1.2, 6, 0.6), 0.6, 0.1)
    return s.mix(s.noise(vector, 3, 5), (0.75, 0.78, 0.82), (0.6, 0.64, 0.7))


def _water(s, rng, vector, first, second, scale):
    s.bump(s.noise(s.scaled(vector, (0.4, 1.2, 1)), 2.5, 6, 0.6), 0.6, 0.2)
    return s.mix(s.noise(vector, 0.3, 4), (0.02, 0.08, 0.12), (0.05, 0.2, 0.22))


_SURFACES = {
    "plaster": _plaster, "paint": _paint, "concrete": _concrete, "brick": _brick, "tile": _tile, "paving": _paving,
    "checker": _checker, "stripes": _stripes, "wallpaper": _wallpaper, "wood": _wood, "carpet": _carpet,
    "grass": _grass, "asphalt": _speckled(0.03, 0.2, 90, 0.4), "gravel": _speckled(0.1, 0.3, 25, 0.9),
    "earth": _speckled(0.05, 0.15, 12, 0.8), "clay": lambda s, rng, v, a, b, k: s.mix(
        s.noise(v, 30, 6, 0.7), linear([.7, .38, .24]), linear([.6, .3, .18])),
    "sand": _sand, "snow": _snow, "water": _water,
}


def leaf(rng):
    hue = rng.choice([rng.uniform(0.2, 0.38), rng.uniform(0.06, 0.14)], p=[0.87, 0.13])
    return plain(hsv(hue, rng.uniform(0.4, 0.8), rng.uniform(0.2, 0.6)), 0.5)


def glowing(color, strength):
    s = Shader("glow")
    s.set(Base_Color=(0, 0, 0), Emission_Color=color, Emission_Strength=strength)
    return s.material


def picture(path, glow=0.0, crop=None):
    """A picture on a plane. crop: (u, v, width, height) of the part to show."""
    s = Shader("picture")
    uv = s.node("TexCoord").outputs["UV"]
    if crop:
        u, v, width, height = crop
        uv = s.node("Mapping", Vector=uv, Location=(u, v, 0), Scale=(width, height, 1)).outputs[0]
    image = s.node("TexImage", Vector=uv)
    image.image = bpy.data.images.load(str(path), check_existing=True)
    if glow:
        s.set(Base_Color=(0, 0, 0), Emission_Color=image.outputs[0], Emission_Strength=glow)
    else:
        s.set(Base_Color=image.outputs[0], Roughness=0.6)
    return s.material
