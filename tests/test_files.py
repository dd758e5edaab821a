import numpy as np
import pytest
from PIL import Image

from segkit.files import UserError, atomic_path, list_images, read_image, read_labels, read_mask, write_image


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
    assert image.shape == (120, 200, 3)
    assert image.dtype == np.uint8
    if mode in ("RGBA", "CMYK"):
        assert np.abs(image.astype(int) - photo).mean() < 6


def test_sixteen_bit_grey_is_scaled_not_clipped(tmp_path):
    ramp = np.linspace(0, 65535, 256, dtype=np.uint16)[None].repeat(4, 0)
    image = read_image(save(tmp_path / "a.png", ramp))
    assert image[0, 0, 0] == 0
    assert image[0, -1, 0] == 255
    assert abs(int(image[0, 128, 0]) - 128) <= 1


def test_transparent_pixels_become_white(tmp_path):
    rgba = np.zeros((4, 4, 4), np.uint8)
    rgba[:2, :, 3] = 255
    image = read_image(save(tmp_path / "a.png", rgba))
    assert (image[:2] == 0).all()
    assert (image[2:] == 255).all()


@pytest.mark.parametrize(("orientation", "k"), [(3, 2), (6, 3), (8, 1)])
def test_the_exif_rotation_is_applied(tmp_path, photo, orientation, k):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path / "a.png", photo, exif=exif)
    assert (read_image(path) == np.rot90(photo, k)).all()


def test_decoding_small_keeps_both_sides_long_enough(tmp_path, astronaut):
    image = read_image(save(tmp_path / "a.jpg", astronaut), at_least=100)
    assert 100 <= min(image.shape[:2]) < 512


def test_the_first_frame_of_an_animation_is_read(tmp_path, photo):
    frames = [Image.fromarray(photo), Image.fromarray(255 - photo)]
    frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:])
    assert (read_image(tmp_path / "a.png") == photo).all()


def test_what_is_no_picture_is_said_in_one_sentence(tmp_path, photo, monkeypatch):
    text = tmp_path / "notes.jpg"
    text.write_text("shopping list")
    cut = save(tmp_path / "cut.jpg", photo)
    cut.write_bytes(cut.read_bytes()[:900])
    empty = tmp_path / "empty.png"
    empty.touch()
    for path, said in {
        text: "it holds text",
        cut: "damaged",
        empty: "the file is empty",
        tmp_path / "none.jpg": "does not exist",
        tmp_path: "is a folder",
    }.items():
        with pytest.raises(UserError, match=said) as error:
            read_image(path)
        assert str(path) in str(error.value)
    monkeypatch.setattr("segkit.files.MAX_PIXELS", 1000)
    with pytest.raises(UserError, match="200x120"):
        read_image(save(tmp_path / "big.png", photo))

    def forbidden(*_):
        raise PermissionError

    monkeypatch.setattr("segkit.files.Image.open", forbidden)
    with pytest.raises(UserError, match="permissions"):
        read_image(cut)


def test_a_picture_of_108_megapixels_is_read(tmp_path):
    Image.new("1", (12_000, 9_000)).save(tmp_path / "huge.png")
    assert read_image(tmp_path / "huge.png").shape == (9_000, 12_000, 3)


def test_masks_of_one_bit_and_grey_rgb_are_read(tmp_path):
    mask = np.zeros((6, 6), np.uint8)
    mask[2:4] = 255
    for name, mode in {"one.png": "1", "grey.png": "L", "rgb.png": "RGB"}.items():
        assert (read_mask(save(tmp_path / name, mask, mode)) == mask // 255).all()


def test_a_01_mask_is_refused_rather_than_read_as_empty(tmp_path):
    with pytest.raises(UserError, match="Multiply the mask by 255"):
        read_mask(save(tmp_path / "a.png", np.eye(4, dtype=np.uint8)))


def test_a_colour_mask_is_refused(tmp_path, photo):
    with pytest.raises(UserError, match="colour picture"):
        read_labels(save(tmp_path / "a.png", photo))


def test_a_file_is_written_whole_or_not_at_all(tmp_path, photo):
    target = write_image(tmp_path / "deep" / "a.png", photo)
    before = target.read_bytes()
    with pytest.raises(RuntimeError), atomic_path(target) as temporary:
        temporary.write_bytes(b"half")
        raise RuntimeError
    assert target.read_bytes() == before
    assert [p.name for p in target.parent.iterdir()] == ["a.png"]


def test_a_full_disk_is_said_and_leaves_the_old_file(tmp_path, photo, monkeypatch):
    target = write_image(tmp_path / "a.png", photo)

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("segkit.files.Image.Image.save", full)
    with pytest.raises(UserError, match=r"a\.png.*No space left"):
        write_image(target, 255 - photo)
    monkeypatch.undo()
    assert (read_image(target) == photo).all()


def test_folders_are_listed_without_hidden_and_other_files(tmp_path, photo):
    for name in ("b.png", "a.JPG", ".hidden.png", "notes.txt"):
        save(tmp_path / name, photo, format="png")
    assert [p.name for p in list_images(tmp_path)] == ["a.JPG", "b.png"]
    with pytest.raises(UserError, match="not a folder"):
        list_images(tmp_path / "none")


def test_what_was_read_may_be_changed(tmp_path, photo):
    for name, mode in (("a.png", "RGB"), ("b.png", "L"), ("c.png", "RGBA")):
        path = save(tmp_path / name, photo[..., :1].repeat(3, 2), mode)
        assert read_image(path).flags.writeable and read_labels(path).flags.writeable
