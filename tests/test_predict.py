import numpy as np
import pytest
from PIL import Image

from segkit.checkpoint import CheckpointInfo, save_checkpoint
from segkit.data import Preprocessing
from segkit.files import UserError, read_image, write_image
from segkit.matting.compose import cover, cutout, replace_background, soft_alpha
from segkit.matting.photos import predict_files
from segkit.plots import overlay
from segkit.predict import Segmenter


@pytest.fixture
def person(tmp_path, tiny_model) -> Segmenter:
    info = CheckpointInfo(model=tiny_model.built_as, preprocessing=Preprocessing(size=64))
    return Segmenter.load(save_checkpoint(tmp_path / "m.safetensors", tiny_model, info), device="cpu")


def half_bright(height=90, width=150):
    image = np.zeros((height, width, 3), np.uint8)
    image[:, : width // 3] = 255
    return image


def test_the_answer_has_the_photographs_size_and_place(bright):
    image = half_bright()
    prob = bright(image)
    assert prob.shape == (90, 150)
    assert prob.dtype == np.float32
    assert prob[:, :46].min() > 0.9
    assert prob[:, 54:].max() < 0.1


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (333, 77), (512, 512)])
def test_any_size_works(person, size):
    prob = person(np.zeros((*size, 3), np.uint8))
    assert prob.shape == size
    assert ((prob >= 0) & (prob <= 1)).all()


def test_probabilities_are_resized_before_thresholding(bright):
    # A slope: its edge, thresholded after resizing, is smooth; before, it would jump by whole input pixels.
    image = np.tile(np.linspace(0, 255, 640).astype(np.uint8)[None, :, None], (640, 1, 3))
    image = np.roll(image, 0)
    edge = (bright(image) > 0.5).sum(1)
    assert edge.std() == 0
    assert abs(edge[0] - 320) <= 3


def test_a_batch_gives_what_single_photographs_give(person, astronaut):
    images = [astronaut, astronaut[:200], astronaut[:, :100]]
    for alone, together in zip((person(i) for i in images), person.predict_batch(images), strict=True):
        assert np.allclose(alone, together, atol=1e-5)


def test_flipping_makes_the_answer_symmetric(person, astronaut):
    prob, mirrored = person(astronaut, flip=True), person(astronaut[:, ::-1], flip=True)
    assert np.allclose(prob, mirrored[:, ::-1], atol=1e-5)
    assert not np.allclose(person(astronaut), person(astronaut[:, ::-1])[:, ::-1], atol=1e-5)


def test_scales_average_the_views(person, astronaut):
    both = person(astronaut, scales=(1.0, 1.5))
    assert np.allclose(both, (person(astronaut) + person(astronaut, scales=(1.5,))) / 2, atol=1e-6)


@pytest.mark.parametrize(
    "wrong", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)]
)
def test_other_arrays_are_refused_with_the_expected_form(person, wrong):
    with pytest.raises(UserError, match=r"uint8 RGB of shape \(H, W, 3\)"):
        person(wrong)


def test_cutout_overlay_and_background_by_hand():
    image = np.full((4, 6, 3), 100, np.uint8)
    alpha = np.zeros((4, 6), np.float32)
    alpha[:, 3:] = 1
    cut = cutout(image, alpha)
    assert (cut[:, 3:, :3] == 100).all() and (cut[:, :3] == 0).all()
    assert (cut[..., 3] == alpha * 255).all()
    green = replace_background(image, alpha, (0, 255, 0))
    assert (green[:, :3] == (0, 255, 0)).all()
    assert (green[:, 3:] == 100).all()
    picture = replace_background(image, alpha, np.full((9, 9, 3), 7, np.uint8))
    assert (picture[:, :3] == 7).all()
    assert (replace_background(image, alpha, "blur") == image).all()
    assert (overlay(np.tile(image, (20, 20, 1)), np.zeros((80, 120), bool)) == 100).all()
    with pytest.raises(UserError, match="blur"):
        replace_background(image, alpha, "beach")


def test_soft_alpha_is_a_ramp_around_the_threshold():
    prob = np.array([[0.0, 0.3, 0.5, 0.6, 0.7, 1.0]], np.float32)
    assert soft_alpha(prob, 0.5, 0.4).tolist()[0] == pytest.approx([0, 0, 0.5, 0.75, 1, 1], abs=1e-6)
    assert soft_alpha(prob, 0.5, 0).tolist()[0] == [0, 0, 0, 1, 1, 1]


@pytest.mark.parametrize("size", [(50, 50), (10, 90), (90, 10)])
def test_a_background_covers_the_photograph(size):
    assert cover(np.zeros((20, 40, 3), np.uint8), *size).shape == (*size, 3)


def test_a_folder_is_written_and_one_broken_file_does_not_stop_it(person, tmp_path, astronaut):
    photos = tmp_path / "photos"
    for i in range(11):
        write_image(photos / f"{i:02}.jpg", astronaut[: 100 + i])
    (photos / "05.jpg").write_text("not a picture")
    paths = sorted(photos.iterdir())
    report = predict_files(
        person, paths, tmp_path / "out", ("mask", "overlay", "cutout"), (255, 0, 0), batch_size=4
    )
    assert list(report.failed) == [photos / "05.jpg"]
    assert len(report.written) == 10 * 4
    mask = np.asarray(Image.open(tmp_path / "out" / "07_mask.png"))
    assert mask.shape == (107, 512)
    assert set(np.unique(mask)) <= {0, 255}
    assert (mask == (person(read_image(photos / "07.jpg")) > 0.5) * 255).all()
    assert Image.open(tmp_path / "out" / "07_cutout.png").mode == "RGBA"


def test_pictures_that_share_a_name_do_not_overwrite_each_other(person, tmp_path, astronaut):
    paths = [write_image(tmp_path / folder / "me.png", astronaut[:64]) for folder in "abc"]
    report = predict_files(person, paths, tmp_path / "out")
    assert sorted(p.name for p in report.written) == ["me-2_mask.png", "me-3_mask.png", "me_mask.png"]


def test_an_output_that_does_not_exist_is_refused(person, tmp_path):
    with pytest.raises(UserError, match="mask, overlay, cutout"):
        predict_files(person, [], tmp_path, ("hologram",))
