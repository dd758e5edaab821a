import io
import os
import shutil
import struct
import subprocess
import sys
import unicodedata
from contextlib import ExitStack
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from conftest import refused
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms, PngImagePlugin

from segkit.data import displayed_size, read_classes
from segkit.files import (
    COLOUR,
    IMAGE_SUFFIXES,
    UserError,
    atomic_path,
    check_outputs,
    find_images,
    in_utf8,
    list_images,
    mask_values,
    open_picture,
    read_image,
    read_labels,
    read_mask,
    require,
    same_name,
    unique_names,
    write_image,
)
from segkit.sets.classes import read_by_list
from segkit.sets.masks import read_cutout


def save(path, array, mode=None, **options):
    picture = Image.fromarray(array)
    (picture.convert(mode) if mode else picture).save(path, **options)
    return path


@pytest.fixture
def photo(astronaut):
    return astronaut[:120, :200]


@pytest.mark.parametrize("mode", ["L", "P", "CMYK", "RGBA", "1"])
def test_every_kind_of_picture_becomes_rgb(tmp_path, photo, mode):
    path = save(tmp_path / ("a.jpg" if mode == "CMYK" else "a.png"), photo, mode)
    image = read_image(path)
    assert image.shape == (120, 200, 3) and image.dtype == np.uint8 and image.flags.writeable
    if mode in ("RGBA", "CMYK"):
        assert np.abs(image.astype(int) - photo).mean() < 6


@pytest.mark.parametrize("most", [np.uint16(65535), np.uint16(4095), np.float32(1)])
def test_sixteen_bits_and_floats_are_scaled_not_clipped(tmp_path, most):
    ramp = np.linspace(0, most, 256, dtype=most.dtype)[None].repeat(4, 0)
    image = read_image(save(tmp_path / ("a.png" if most > 1 else "a.tif"), ramp))
    assert np.abs(image[0, :, 0] - np.arange(256)).max() <= 1 and image[0, -1, 0] == 255


def test_transparent_pixels_become_white(tmp_path):
    rgba = np.zeros((4, 4, 4), np.uint8)
    rgba[:2, :, 3] = 255
    image = read_image(save(tmp_path / "a.png", rgba))
    assert (image[:2] == 0).all() and (image[2:] == 255).all()
    rgba[:] = (9, 9, 9, 0)  # as some programs write a BMP without transparency
    assert (read_image(save(tmp_path / "b.png", rgba)) == 9).all()


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "P", "L", "CMYK"])
def test_a_tall_picture_is_converted_in_pieces_as_it_would_be_whole(tmp_path, mode):
    colours = np.random.default_rng(0).integers(0, 256, (2500, 3, 4), np.uint8)
    colours[:1500, :, 3] = 0  # the first piece shows nothing
    whole = Image.fromarray(colours).convert("RGB" if mode in ("P", "CMYK") else "RGBA").convert(mode)
    whole.save(path := tmp_path / ("a.tif" if mode == "CMYK" else "a.png"))
    expected = whole.convert("RGBA")
    expected = Image.alpha_composite(Image.new("RGBA", whole.size, "white"), expected).convert("RGB")
    assert (read_image(path) == np.asarray(expected)).all()


@pytest.mark.parametrize("read", ["read_image", "mask_values"])
def test_a_huge_picture_of_little_bytes_does_not_fill_the_memory(tmp_path, read):
    Image.new("RGBA", (8000, 5000)).save(tmp_path / "a.png", compress_level=1)
    code = f"import sys; from segkit import files; files.{read}(sys.argv[1])"
    code += "; print(open('/proc/self/status').read())"
    run = [sys.executable, "-c", code, tmp_path / "a.png"]
    shown = subprocess.run(run, capture_output=True, text=True, check=True).stdout
    most = int(shown.partition("VmHWM:")[2].split()[0])
    assert most < 600_000  # kB; converted as a whole it was 800,000 and 1,600,000


@pytest.mark.parametrize(("orientation", "k"), [(3, 2), (6, 3), (8, 1)])
@pytest.mark.parametrize("ending", ["png", "tif", "grey.tif"])  # Pillow maps uncompressed grey into memory
def test_the_exif_rotation_is_applied(tmp_path, photo, ending, orientation, k):
    exif = Image.Exif()
    exif[0x0112] = orientation
    photo = photo[..., :1].repeat(3, 2) if "grey" in ending else photo
    path = save(tmp_path / f"a.{ending}", photo, "L" if "grey" in ending else None, exif=exif)
    upright = np.rot90(photo, k)
    assert displayed_size(path) == upright.shape[:2]
    for source in (path, str(path), path.read_bytes(), io.BytesIO(path.read_bytes()), Image.open(path)):
        assert (read_image(source) == upright).all()


@given(st.text(st.characters(codec=None) | st.sampled_from("\ud83d\udcfc\u0301e")))
def test_any_name_becomes_one_that_can_be_written(name):
    written = in_utf8(name).encode()
    assert in_utf8(written.decode()).encode() == written


def test_decoding_small_keeps_both_sides_long_enough(tmp_path, astronaut):
    image = read_image(save(tmp_path / "a.jpg", astronaut), at_least=100)
    assert 100 <= min(image.shape[:2]) < 512


def test_the_first_frame_of_an_animation_is_read(tmp_path, photo):
    frames = [Image.fromarray(photo), Image.fromarray(255 - photo)]
    frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:])
    assert (read_image(tmp_path / "a.png") == photo).all()


def test_what_is_no_picture_is_said_in_one_sentence(tmp_path, photo, monkeypatch):
    (tmp_path / "notes.jpg").write_text("shopping\n\tlist")
    (tmp_path / "empty.png").touch()
    (tmp_path / "film.mp4").write_bytes(b"\0\0\0\x18ftypisom" + bytes(99))
    cut = save(tmp_path / "cut.jpg", photo)
    cut.write_bytes(cut.read_bytes()[:900])
    said = {"notes.jpg": "it holds text", "cut.jpg": "damaged", "empty.png": "the file is empty"}
    said |= {"none.jpg": "does not exist", "": "is a folder", "film.mp4": "segkit video"}
    for name, words in said.items():
        with pytest.raises(UserError, match=words) as error:
            read_image(tmp_path / name)
        assert str(tmp_path / name) in str(error.value)
    with (tmp_path / "notes.jpg").open("rb") as file, pytest.raises(UserError, match="it holds text"):
        read_image(file)
    if hasattr(os, "mkfifo"):  # to open one would wait for a writer for ever
        os.mkfifo(tmp_path / "pipe.jpg")
        refused("a pipe, not a file: segkit predict -", read_image, tmp_path / "pipe.jpg")
    monkeypatch.setattr("segkit.files.MAX_PIXELS", 1000)
    refused("more than 1,000 pixels", read_image, save(tmp_path / "big.png", photo))
    broken = {PermissionError: "permissions", MemoryError: "memory holds", ValueError: r"ValueError\(\)"}
    for error, words in broken.items():
        monkeypatch.setattr("segkit.files.Image.open", Mock(side_effect=error))
        refused(words, read_image, cut)


def test_a_file_is_written_whole_or_not_at_all(tmp_path, photo):
    target = write_image(tmp_path / "deep" / "a.png", photo)
    before, full = target.read_bytes(), OSError(28, "No space left on device")
    for error, raised, said in ((KeyError(), KeyError, None), (full, UserError, r"a\.png.*No space left")):
        with pytest.raises(raised, match=said), atomic_path(target) as temporary:
            temporary.write_bytes(b"half")
            raise error
    assert target.read_bytes() == before
    assert [p.name for p in target.parent.iterdir()] == ["a.png"]
    for name, most in (("long.jfif", 65_500), ("long.webp", 16_383), ("long.gif", 65_535)):
        with pytest.raises(UserError, match=f"{most:,} pixels a side"):
            write_image(tmp_path / name, np.zeros((1, most + 1, 3), np.uint8))


SQUARE = np.zeros((16, 20), bool)
SQUARE[4:14, 6:18] = True
WHITE = SQUARE.astype(np.uint8) * 255


def palette(indices, colours) -> Image.Image:
    picture = Image.frombytes("P", indices.shape[::-1], indices.astype(np.uint8).tobytes())
    picture.putpalette([channel for colour in colours for channel in colour])
    return picture


def lay(colour, alpha) -> Image.Image:
    """One colour everywhere and an alpha channel, (H, W)."""
    return Image.fromarray(np.dstack([np.full((*alpha.shape, 3), colour, np.uint8), alpha]))


SPOKEN = {
    "white first": palette(~SQUARE, [(255, 255, 255), (0, 0, 0)]),
    "black first": palette(SQUARE, [(0, 0, 0), (255, 255, 255)]),
    "person in the alpha of white": lay(255, WHITE),
    "person in the alpha of black": lay(0, WHITE),
    "alpha of grey": lay(90, WHITE).convert("LA"),
    "painted white on nothing": Image.fromarray(np.dstack([WHITE, WHITE, WHITE, WHITE])),
    "opaque alpha": Image.fromarray(np.dstack([WHITE, WHITE, WHITE, WHITE * 0 + 255])),
    "alpha of a photograph": Image.fromarray(
        np.dstack([np.arange(960).astype(np.uint8).reshape(16, 20, 3), WHITE])
    ),
    "grey as colours": Image.fromarray(WHITE).convert("RGB"),
    "one bit": Image.fromarray(WHITE).convert("1"),
    "16 bits": Image.fromarray(SQUARE.astype(np.uint16) * 65535),
    "16 bits from 8": Image.fromarray(SQUARE.astype(np.uint16) * 255),
    "32 bits": Image.fromarray(SQUARE.astype(np.int32) * 255),
    "floats": Image.fromarray(SQUARE.astype(np.float32)),
    "floats to 255": Image.fromarray(SQUARE.astype(np.float32) * 255),
    "16 bits, white is 0": Image.fromarray(~SQUARE * np.uint16(65535)),
    "black called transparent": Image.fromarray(WHITE),
    "black before a green called transparent": palette(~SQUARE, [(0, 0, 0), (71, 112, 76)]),
}
"""The same person mask, said in another way."""

SAVED = {"16 bits, white is 0": {"tiffinfo": {262: 0}}, "black called transparent": {"transparency": 0}}
SAVED["black before a green called transparent"] = {"transparency": 1}


@pytest.mark.parametrize("kind", SPOKEN)
def test_a_person_mask_reads_the_same_however_it_is_said(tmp_path, kind):
    path = tmp_path / ("a.tif" if "bits" in kind or "float" in kind else "a.png")
    SPOKEN[kind].save(path, **SAVED.get(kind, {}))
    assert (read_mask(path) == SQUARE).all()


def test_colours_are_looked_up_and_the_order_of_a_palette_means_nothing(tmp_path):
    red, blue, black = (255, 0, 0), (0, 0, 255), (0, 0, 0)
    palette(SQUARE, [black, red, blue]).save(tmp_path / "a.png")
    palette(SQUARE * 2, [black, blue, red]).save(tmp_path / "b.png")
    first, second = mask_values(tmp_path / "a.png"), mask_values(tmp_path / "b.png")
    assert (first == second).all() and set(np.unique(first)) == {0, COLOUR + 0xFF0000}
    save(tmp_path / "c.png", np.random.default_rng(0).integers(0, 255, (16, 20, 3), np.uint8))
    for read, name in ((read_mask, "a.png"), (read_labels, "c.png")):
        refused("colour picture", read, tmp_path / name)
    assert (read_labels(tmp_path / "b.png") == SQUARE * 2).all()  # class ids are numbers
    Image.fromarray(SQUARE > 0).save(tmp_path / "bits.png")
    assert (read_labels(tmp_path / "bits.png") == SQUARE * 255).all()


def test_a_mask_that_can_be_read_in_two_ways_is_refused(tmp_path):
    ramp = np.arange(320).astype(np.uint8).reshape(16, 20)
    Image.merge("LA", [Image.fromarray(ramp), Image.fromarray(WHITE)]).save(tmp_path / "two.png")
    palette(SQUARE, [(255, 255, 255), (0, 0, 0)]).save(tmp_path / "figure.gif", transparency=0)  # or a hole
    Image.fromarray(WHITE).convert("RGB").save(tmp_path / "key.png", transparency=(255, 255, 255))
    for name, kind in (("grey.png", "L"), ("bit.png", "1"), ("deep.png", "I;16")):
        greys = SPOKEN["16 bits"] if kind == "I;16" else Image.fromarray(WHITE).convert(kind)
        greys.save(tmp_path / name, transparency=65535 if kind == "I;16" else 255)
    Image.fromarray(SQUARE.astype(np.uint8)).save(tmp_path / "ones.png")  # would be read as empty
    Image.fromarray(SQUARE.astype(np.float32) * 3000).save(tmp_path / "far.tif")
    Image.fromarray(np.where(SQUARE, np.nan, 0).astype(np.float32)).save(tmp_path / "nan.tif")
    frames = [Image.fromarray(WHITE), Image.fromarray(255 - WHITE)]
    frames[0].save(tmp_path / "pages.tif", save_all=True, append_images=frames[1:])
    unsure = ("two.png", "figure.gif", "key.png", "grey.png", "bit.png", "deep.png")
    said = dict.fromkeys(unsure, "which one is the mask")
    said |= {"far.tif": "3000", "nan.tif": "nan"}
    said |= {"pages.tif": "2 pictures", "ones.png": "Multiply the mask by 255"}
    for name, words in said.items():
        refused(words, read_mask, tmp_path / name)
    assert (read_labels(tmp_path / "grey.png") == WHITE).all()  # numbers are read as they are stored


def test_class_ids_are_whole_numbers_and_floats_of_them_are_not_scaled(tmp_path):
    Image.fromarray(SQUARE.astype(np.float32)).save(tmp_path / "a.tif")
    assert (read_labels(tmp_path / "a.tif") == SQUARE).all()
    Image.fromarray(SQUARE.astype(np.uint8)).save(tmp_path / "a.webp")
    refused("WEBP, which changes them", read_labels, tmp_path / "a.webp")
    Image.fromarray(SQUARE.astype(np.uint16) * 300).save(tmp_path / "b.tif")
    refused("0 to 255", read_labels, tmp_path / "b.tif")


def test_single_bits_are_no_class_ids(tmp_path):
    """They read as 0 and 255, and 255 is what nobody asks for."""
    path, empty = save(tmp_path / "a.png", SQUARE > 0), save(tmp_path / "b.png", SQUARE > 9)
    readers = [lambda: read_classes(path, ("rest", "head")), lambda: read_by_list(path, list("abc"), {"a"})]
    for read in readers:
        refused(r"a\.png'.*1-bit picture.*8-bit grey or palette", read)
    assert not read_classes(empty, ("rest", "head")).any()


@pytest.mark.parametrize("damage", [b"II*\0", b"MM\0*\0\0\0\x08\xff\xff", bytes(60), b"\xff" * 90])
def test_odd_exif_does_not_spoil_a_picture(tmp_path, photo, damage):
    save(tmp_path / "a.jpg", photo, exif=b"Exif\0\0" + damage)
    assert read_image(tmp_path / "a.jpg").shape == photo.shape


SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
CURVE = SRGB.index(b"para")
LINEAR = SRGB.replace(SRGB[CURVE : CURVE + 16], b"para\0\0\0\0" + struct.pack(">HHi", 0, 0, 1 << 16))
LINEAR = LINEAR.replace(b"s\0R\0G\0B", b"l\0i\0n\0e")
"""A display whose light grows with the number: sRGB's profile with a curve of power 1 and another name."""


def test_megabytes_of_words_do_not_spoil_a_picture(tmp_path, photo):
    words = PngImagePlugin.PngInfo()
    words.add_text("workflow", "a" * 3_000_000, zip=True)
    assert (read_image(save(tmp_path / "a.png", photo, pnginfo=words)) == photo).all()


def test_what_is_imported_changes_nothing_for_others():
    """Pillow's limits and Python's warnings belong to the program."""
    code = (
        "import warnings; from PIL import PngImagePlugin as png; before = png.MAX_TEXT_CHUNK; "
        "import segkit.files; assert before == png.MAX_TEXT_CHUNK and 'PIL' not in str(warnings.filters)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_pillows_limit_of_words_is_raised_while_a_picture_is_read_and_no_longer(tmp_path, photo):
    path, usual = save(tmp_path / "a.png", photo), PngImagePlugin.MAX_TEXT_CHUNK
    with ExitStack() as second:
        with open_picture(path):  # as two threads do: who came first leaves first
            second.enter_context(open_picture(path))
        assert usual < PngImagePlugin.MAX_TEXT_CHUNK
        refused("does not exist", read_image, tmp_path / "none.png")
        assert usual < PngImagePlugin.MAX_TEXT_CHUNK
    assert usual == PngImagePlugin.MAX_TEXT_CHUNK


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA"])
def test_colours_of_another_profile_become_srgb(tmp_path, mode):
    linear = np.full((4, 4, 3), 55, np.uint8)  # (55 / 255) ** (1 / 2.2) is about a half
    save(tmp_path / "a.png", linear, mode, icc_profile=LINEAR)
    for seen in (read_image(tmp_path / "a.png"), read_cutout(tmp_path / "a.png")[0]):
        assert abs(int(seen[0, 0, 1]) - 128) <= 2
    save(tmp_path / "b.png", linear, mode, icc_profile=b"no profile at all")
    save(tmp_path / "c.png", linear, mode, icc_profile=SRGB)
    assert (read_image(tmp_path / "b.png") == 55).all() and (read_image(tmp_path / "c.png") == 55).all()


def test_a_profile_of_greys_converts_greys_beside_an_alpha_channel_too(tmp_path):
    start, curve = 128 + 4 + 12, b"curv\0\0\0\0" + struct.pack(">IHxx", 1, 256)  # light grows with the number
    profile = struct.pack(">I4xI", start + len(curve), 0x02400000) + b"mntrGRAYXYZ " + bytes(12) + b"acsp"
    profile += bytes(28) + struct.pack(">3i", 63190, 65536, 54061) + bytes(48)
    profile += struct.pack(">I4sII", 1, b"kTRC", start, len(curve)) + curve
    for mode in ("L", "LA"):
        save(tmp_path / "a.png", np.full((4, 4, 3), 55, np.uint8), mode, icc_profile=profile)
        assert read_image(tmp_path / "a.png")[0, 0].tolist() == [128, 128, 128]


def test_a_picture_is_what_it_holds_and_starts_no_other_program(tmp_path, photo):
    save(tmp_path / "a.jpg", photo, format="PNG")
    assert (read_image(tmp_path / "a.jpg") == photo).all()
    save(tmp_path / "b.jpg", photo, format="EPS")  # Ghostscript would have to draw it
    refused("not a picture", read_image, tmp_path / "b.jpg")


def test_every_ending_is_listed_and_the_rest_is_counted(tmp_path, photo):
    (tmp_path / "deep").mkdir()
    for suffix in (*IMAGE_SUFFIXES, ".txt", ".raw", ".TXT"):
        save(tmp_path / "deep" / f"a{suffix}", photo, format="PNG")
    found, others = find_images(tmp_path)
    assert len(found) == len(IMAGE_SUFFIXES) and others == "2 .txt, 1 .raw"


def test_what_is_hidden_is_left_out_and_links_followed_but_not_in_a_circle(tmp_path, photo):
    for name in ("in/a.JPG", "in/.hidden.png", "in/.thumbnails/a.png", "store/b.png"):
        write_image(tmp_path / name, photo)
    os.symlink(tmp_path / "store", tmp_path / "in" / "more")
    os.symlink(tmp_path / "in", tmp_path / "store" / "back")
    os.symlink(tmp_path / "nowhere.png", tmp_path / "in" / "c.png")
    assert [p.name for p in list_images(tmp_path / "in")] == ["a.JPG", "b.png"]
    refused("not a folder", list_images, tmp_path / "none")


def test_a_folder_that_goes_away_while_all_are_listed_is_no_error(tmp_path, photo, monkeypatch):
    kept, look = write_image(tmp_path / "a.png", photo), Path.iterdir
    write_image(tmp_path / "gone" / "b.png", photo)

    def and_now_it_is_gone(path):
        if path.name == "gone":
            shutil.rmtree(path)
        return look(path)

    monkeypatch.setattr(Path, "iterdir", and_now_it_is_gone)
    assert list_images(tmp_path) == [kept]


def test_an_output_is_never_an_input_and_nothing_is_replaced_unasked(tmp_path, photo):
    old, link = write_image(tmp_path / "old.png", photo), tmp_path / "link.png"
    os.symlink(old, link)
    check_outputs([tmp_path / "new.png"], [old])
    check_outputs([old], [], overwrite=True)
    check_outputs([tmp_path / f"{'n' * 300}.png"])  # it fails when it is written, and others do not
    refused("--overwrite", check_outputs, [old])
    for overwrite in (False, True):
        refused("to be read", check_outputs, [link], [old], overwrite)


decomposed = st.text("aAé-2", max_size=3).map(lambda text: unicodedata.normalize("NFD", text))


@given(st.lists(decomposed | st.sampled_from(["a", "a-2", "A"])))
def test_as_many_names_come_out_as_go_in_and_no_two_are_one_file(wanted):
    names = unique_names(wanted)
    assert len({same_name(name) for name in names}) == len(wanted)
    for name, new in zip(wanted, names, strict=True):
        assert new == name or [same_name(w) for w in wanted].count(same_name(name)) > 1


def test_a_missing_package_is_a_sentence_that_says_what_to_install(monkeypatch):
    require("numpy", extra="lab")
    monkeypatch.setitem(sys.modules, "av", None)
    said = r"^av is not installed. Run: pip install 'segkit-course\[video\]', or go$"
    refused(said, require, "numpy", "av", extra="video", otherwise="or go")
