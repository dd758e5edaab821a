# SPDX-License-Identifier: GPL-3.0-or-later
"""The Blender scene: objects from arrays, lights, world, camera, and a render as numpy arrays.

Every person surface writes its body part into extra render channels (shader AOVs). They come out
of the *same* render as the picture, so masks follow every curl, blur and occluder.
"""

import math
import os
import tempfile
from pathlib import Path

import bpy
import numpy as np
from mathutils import Matrix, Quaternion, Vector

PARTS = ["background", "head", "hair", "torso", "arms", "hands", "legs", "feet"]
PART_CHANNELS = ("parts0", "parts1", "parts2")  # three channels each: room for nine parts
GENERATOR_DIR = Path(__file__).parent
HDRI_DIR = GENERATOR_DIR / ".cache" / "hdri"
BUNDLED_HDRI_DIR = Path(bpy.utils.resource_path("LOCAL")) / "datafiles" / "studiolights" / "world"


def part_vectors(part_ids):
    """One-hot part membership of vertices (n,), as one (n, 3) array per channel triple."""
    one_hot = np.zeros((len(part_ids), 9))
    chosen = np.asarray(part_ids) > 0
    one_hot[np.where(chosen)[0], np.asarray(part_ids)[chosen] - 1] = 1
    return {name: one_hot[:, 3 * i:3 * i + 3] for i, name in enumerate(PART_CHANNELS)}


class Stage:
    """An empty Cycles scene and the few verbs that fill it."""

    def __init__(self, samples=16):
        bpy.ops.wm.read_factory_settings(use_empty=True)
        self.scene = scene = bpy.context.scene
        scene.render.engine = "CYCLES"
        scene.render.threads_mode, scene.render.threads = "FIXED", 1
        scene.render.use_persistent_data = True
        scene.cycles_curves.shape = "RIBBONS"
        cycles = scene.cycles
        cycles.device = "CPU"
        cycles.samples, cycles.adaptive_threshold = samples, 0.03
        cycles.denoiser, cycles.denoising_quality = "OPENIMAGEDENOISE", "FAST"
        cycles.use_denoising, cycles.denoising_prefilter = True, "FAST"
        cycles.max_bounces, cycles.diffuse_bounces, cycles.glossy_bounces = 5, 2, 2
        cycles.transmission_bounces, cycles.transparent_max_bounces = 3, 6
        cycles.caustics_reflective = cycles.caustics_refractive = False
        cycles.sample_clamp_direct, cycles.sample_clamp_indirect = 20, 6
        layer = scene.view_layers[0]
        for name in PART_CHANNELS:
            aov = layer.aovs.add()
            aov.name, aov.type = name, "COLOR"
        self.world = scene.world = bpy.data.worlds.new("world")
        self.world.use_nodes = True

    # -- objects ------------------------------------------------------------------------------

    def add(self, name, data):
        thing = bpy.data.objects.new(name, data)
        self.scene.collection.objects.link(thing)
        return thing

    def mesh(self, vertices, faces, material=None, *, smooth=True, colors=None, vectors=None, subdivide=0):
        """vertices (n, 3); `colors` and `vectors` are dicts of per-vertex (n, 3) attributes."""
        data = bpy.data.meshes.new("mesh")
        data.from_pydata(np.asarray(vertices, float).tolist(), [], [list(map(int, f)) for f in faces])
        data.polygons.foreach_set("use_smooth", np.full(len(data.polygons), smooth))
        for name, value in (colors or {}).items():
            rgba = np.concatenate([value, np.ones((len(value), 1))], 1).astype(np.float32)
            data.color_attributes.new(name, "FLOAT_COLOR", "POINT").data.foreach_set("color", rgba.ravel())
        for name, value in (vectors or {}).items():
            attribute = data.attributes.new(name, "FLOAT_VECTOR", "POINT")
            attribute.data.foreach_set("vector", np.asarray(value, np.float32).ravel())
        if material:
            data.materials.append(material)
        data.update()
        thing = self.add("mesh", data)
        if subdivide:
            modifier = thing.modifiers.new("subdivide", "SUBSURF")
            modifier.levels = modifier.render_levels = subdivide
        return thing

    def boxes(self, boxes, material, bevel=0.0):
        """Many boxes as one object. boxes: (size, centre) or (size, centre, turn about z in radians)."""
        corners = np.array([[a, b, c] for a in (-.5, .5) for b in (-.5, .5) for c in (-.5, .5)])
        sides = np.array([[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]])
        vertices, faces = [], []
        for i, (size, centre, *turn) in enumerate(boxes):
            c, s = math.cos(turn[0] if turn else 0), math.sin(turn[0] if turn else 0)
            vertices.append(corners * size @ np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]]) + centre)
            faces.append(sides + 8 * i)
        if not boxes:
            return None
        thing = self.mesh(np.concatenate(vertices), np.concatenate(faces), material, smooth=False)
        if bevel:
            modifier = thing.modifiers.new("bevel", "BEVEL")
            modifier.width, modifier.segments = min(bevel, 0.3 * min(min(b[0]) for b in boxes)), 2
        return thing

    def box(self, size, centre, material, turn=0.0, bevel=0.01):
        """A box whose own origin is its centre, so that object textures start there."""
        thing = self.boxes([(size, (0, 0, 0))], material, bevel)
        thing.location, thing.rotation_euler = centre, (0, 0, turn)
        return thing

    def ball(self, centre, radius, material, stretch=(1, 1, 1)):
        around, down = 24, 14
        theta = np.linspace(0, np.pi, down + 1)[:, None]
        phi = np.linspace(0, 2 * np.pi, around, endpoint=False)[None]
        v = np.stack([np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta) + 0 * phi], -1)
        thing = self.mesh(v.reshape(-1, 3) * radius * np.array(stretch), grid_faces(down + 1, around, True), material)
        thing.location = centre
        return thing

    def lathe(self, profile, material, centre=(0, 0, 0), around=20):
        """A solid of revolution about z. profile: (radius, height) pairs from bottom to top."""
        angle = np.linspace(0, 2 * np.pi, around, endpoint=False)
        rings = [np.stack([r * np.cos(angle), r * np.sin(angle), np.full(around, h)], 1) for r, h in profile]
        thing = self.mesh(np.concatenate(rings), grid_faces(len(profile), around, True), material)
        thing.location = centre
        return thing

    def tube(self, path, radius, material, around=8):
        """A round rod along a polyline (n, 3)."""
        path = np.asarray(path, float)
        along = np.gradient(path, axis=0)
        along /= np.linalg.norm(along, axis=1, keepdims=True) + 1e-9
        helper = np.where(np.abs(along[:, 2:]) > 0.9, [[1.0, 0, 0]], [[0, 0, 1.0]])
        a = np.cross(along, helper)
        a /= np.linalg.norm(a, axis=1, keepdims=True) + 1e-9
        b = np.cross(along, a)
        angle = np.linspace(0, 2 * np.pi, around, endpoint=False)[None, :, None]
        v = path[:, None] + radius * (np.cos(angle) * a[:, None] + np.sin(angle) * b[:, None])
        return self.mesh(v.reshape(-1, 3), grid_faces(len(path), around, True), material)

    def plane(self, width, height, matrix, material):
        """An upright rectangle facing -y before `matrix`, with uv coordinates for pictures."""
        w, h = width / 2, height / 2
        thing = self.mesh([(-w, 0, -h), (w, 0, -h), (w, 0, h), (-w, 0, h)], [[0, 1, 2, 3]], material, smooth=False)
        uv = thing.data.uv_layers.new()
        uv.data.foreach_set("uv", np.array([0, 0, 1, 0, 1, 1, 0, 1], np.float32))
        thing.matrix_world = matrix
        return thing

    def ground(self, material, extent=60.0, z=0.0):
        e = extent
        return self.mesh([(-e, -e, z), (e, -e, z), (e, e, z), (-e, e, z)], [[0, 1, 2, 3]], material, smooth=False)

    def text(self, words, size, matrix, material):
        """Flat letters in Blender's built-in font."""
        data = bpy.data.curves.new("text", "FONT")
        data.body, data.size, data.align_x, data.align_y = words, size, "CENTER", "CENTER"
        data.materials.append(material)
        thing = self.add("text", data)
        thing.matrix_world = matrix @ Matrix.Rotation(math.pi / 2, 4, "X")
        return thing

    def strands(self, points, radius, material, tip=0.35):
        """Hair curves from (strands, points, 3); the radius shrinks to `tip` of itself."""
        count, length, _ = points.shape
        data = bpy.data.hair_curves.new("strands")
        data.add_curves([length] * count)
        data.position_data.foreach_set("vector", points.astype(np.float32).ravel())
        attribute = data.attributes.get("radius") or data.attributes.new("radius", "FLOAT", "POINT")
        attribute.data.foreach_set("value", np.tile(np.linspace(1, tip, length) * radius, count).astype(np.float32))
        data.materials.append(material)
        return self.add("strands", data)

    # -- light --------------------------------------------------------------------------------

    def light(self, kind, place, target, energy, size=1.0, color=(1, 1, 1)):
        """A lamp at `place` looking at `target`; kind is AREA, POINT, SPOT or SUN."""
        data = bpy.data.lights.new("light", kind)
        data.energy, data.color = energy, color
        if kind == "AREA":
            data.size = size
        elif kind == "SUN":
            data.angle = size
        else:
            data.shadow_soft_size = size
        thing = self.add("light", data)
        thing.location = place
        thing.rotation_euler = (Vector(target) - Vector(place)).to_track_quat("-Z", "Y").to_euler()
        return thing

    def surround(self, hdri, brightness, turn):
        """Light the scene with a panorama, scaled so that `brightness` 1 is the same for all of them."""
        nodes, links = self.world.node_tree.nodes, self.world.node_tree.links
        picture = nodes.new("ShaderNodeTexEnvironment")
        picture.image = bpy.data.images.load(str(hdri), check_existing=True)
        mapping = nodes.new("ShaderNodeMapping")
        mapping.inputs["Rotation"].default_value = (0, 0, turn)
        links.new(nodes.new("ShaderNodeTexCoord").outputs["Generated"], mapping.inputs[0])
        links.new(mapping.outputs[0], picture.inputs[0])
        links.new(picture.outputs[0], nodes["Background"].inputs[0])
        width, height = picture.image.size
        pixels = np.array(picture.image.pixels[:]).reshape(height, width, 4)[..., :3]
        weight = np.sin((np.arange(height) + 0.5) / height * np.pi)[:, None]  # rows near the poles are small
        mean = (np.minimum(pixels, 20) @ [0.2, 0.7, 0.1] * weight).sum() / (weight.sum() * width)
        nodes["Background"].inputs[1].default_value = brightness * 0.55 / max(mean, 1e-3)

    def sky(self, elevation, turn, brightness):
        """A clear procedural sky with its sun. elevation in degrees."""
        nodes, links = self.world.node_tree.nodes, self.world.node_tree.links
        sky = nodes.new("ShaderNodeTexSky")
        sky.sky_type = "NISHITA"
        sky.sun_elevation, sky.sun_rotation = math.radians(elevation), turn
        sky.sun_intensity, sky.sun_size = 0.25, math.radians(2)
        links.new(sky.outputs[0], nodes["Background"].inputs[0])
        nodes["Background"].inputs[1].default_value = 0.12 * brightness

    # -- camera and render --------------------------------------------------------------------

    def camera(self, place, target, fov, roll=0.0, focus=None, fstop=4.0):
        """fov is the angle of the longer side of the picture, in degrees."""
        data = bpy.data.cameras.new("camera")
        data.angle, data.clip_start = math.radians(fov), 0.02
        if focus:
            data.dof.use_dof = True
            data.dof.focus_distance, data.dof.aperture_fstop = focus, fstop
        thing = self.add("camera", data)
        thing.location = place
        look = (Vector(target) - Vector(place)).to_track_quat("-Z", "Y")
        thing.rotation_euler = (look @ Quaternion((0, 0, 1), math.radians(roll))).to_euler()
        self.scene.camera = thing

    def render(self, width, height):
        """Returns linear light (H, W, 3) float32 and the coverage of each part (H, W, 9) in [0, 1]."""
        self.scene.render.resolution_x, self.scene.render.resolution_y = width, height
        with tempfile.TemporaryDirectory() as folder:
            self._write_to(folder)
            with _silence():
                bpy.ops.render.render(write_still=False)
            read = lambda slot: _read_exr(Path(folder) / f"{slot}_{self.scene.frame_current:04d}.exr")
            return read("image"), np.clip(np.concatenate([read(n) for n in PART_CHANNELS], 2), 0, 1)

    def _write_to(self, folder):
        self.scene.use_nodes = True
        tree = self.scene.node_tree
        tree.nodes.clear()
        layers = tree.nodes.new("CompositorNodeRLayers")
        files = tree.nodes.new("CompositorNodeOutputFile")
        files.base_path = folder
        files.format.file_format, files.format.color_depth, files.format.exr_codec = "OPEN_EXR", "32", "NONE"
        files.format.color_mode = "RGB"
        files.file_slots.clear()
        for slot, output in (("image", "Image"), *((name, name) for name in PART_CHANNELS)):
            files.file_slots.new(slot + "_")
            tree.links.new(layers.outputs[output], files.inputs[-1])
        tree.links.new(layers.outputs["Image"], tree.nodes.new("CompositorNodeComposite").inputs[0])


def grid_faces(rows, columns, wrap):
    """Quads of a grid of vertices stored row by row; `wrap` joins the last column to the first."""
    faces = []
    for r in range(rows - 1):
        for c in range(columns if wrap else columns - 1):
            d = (c + 1) % columns
            faces.append([r * columns + c, r * columns + d, (r + 1) * columns + d, (r + 1) * columns + c])
    return np.array(faces)


def _read_exr(path):
    image = bpy.data.images.load(str(path))
    image.colorspace_settings.name = "Non-Color"
    width, height = image.size
    pixels = np.empty(width * height * 4, np.float32)
    image.pixels.foreach_get(pixels)
    bpy.data.images.remove(image)
    return pixels.reshape(height, width, 4)[::-1, :, :3].copy()


class _silence:
    """Blender prints a line per tile from C; keep our progress readable."""

    def __enter__(self):
        self.saved = os.dup(1)
        hole = os.open(os.devnull, os.O_WRONLY)
        os.dup2(hole, 1)
        os.close(hole)

    def __exit__(self, *_):
        os.dup2(self.saved, 1)
        os.close(self.saved)
