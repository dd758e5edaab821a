"""Pictures that a client sends are read as files are, within limits, and nothing is written."""

import io
from zlib import crc32

import numpy as np
import pytest
from PIL import Image

from segkit.app import uploads
from segkit.files import UserError


def encoded(picture: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def claimed(png: bytes, side: int) -> bytes:
    """The same file, whose header says that it is so large."""
    header = png[12:16] + side.to_bytes(4) * 2 + png[24:29]
    return png[:12] + header + crc32(header).to_bytes(4) + png[33:]


@pytest.fixture
def photo(astronaut) -> Image.Image:
    return Image.fromarray(astronaut).resize((96, 64))


def test_pictures_of_every_kind_are_read(photo):
    turned = Image.Exif()
    turned[0x0112] = 6
    pictures = [
        encoded(photo.convert("CMYK"), "JPEG"),
        encoded(photo.convert("L"), "PNG"),
        encoded(photo.convert("RGBA"), "WEBP"),
        encoded(photo, "GIF", save_all=True, append_images=[photo.rotate(90)]),
    ]
    for data in pictures:
        assert uploads.read_upload(data).shape == (64, 96, 3)
    assert uploads.read_upload(encoded(photo, "JPEG", exif=turned)).shape == (96, 64, 3)


def test_what_is_no_picture_or_too_large_is_refused_in_one_sentence(photo, monkeypatch):
    whole = encoded(Image.fromarray(np.random.default_rng(0).integers(0, 255, (99, 99, 3), np.uint8)), "JPEG")
    bad = {
        "not a picture that can be read .it holds text": b"not a picture",
        "the file is empty": b"",
        "damaged": whole[:900],
        "9000 x 9000 pixels": encoded(Image.new("1", (9000, 9000)), "PNG"),
        "150,000,000 pixels": claimed(encoded(Image.new("1", (1, 1)), "PNG"), 60000),
        "unknown format": b"\x00\x01",
        "not a picture": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n",
    }
    for words, data in bad.items():
        with pytest.raises(UserError, match=words) as refused:
            uploads.read_upload(data)
        assert "'" not in str(refused.value) and "\n" not in str(refused.value)
    monkeypatch.setattr(uploads, "MOST_MEGABYTES", 0)
    with pytest.raises(UserError, match="MB"):
        uploads.read_upload(whole)
