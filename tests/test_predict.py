import multiprocessing
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import refused
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from skimage.morphology import reconstruction

from segkit.data import Preprocessing, resize_smoothly
from segkit.files import UserError, write_image
from segkit.matting.compose import cover, cutout, replace_background, soft_alpha
from segkit.plots import overlay
from segkit.predict import SURE, Segmenter, correct_lumps, part_with_person, settle


@pytest.fixture
def person(weights) -> Segmenter:
    return Segmenter.load(weights, device="cpu")


def half_bright(height=90, width=150):
    image = np.zeros((height, width, 3), np.uint8)
    image[:, : width // 3] = 255
    return image


def test_the_answer_has_the_photographs_size_and_place(bright):
    prob = bright(half_bright())
    assert prob.shape == (90, 150) and prob.dtype == np.float32
    assert prob[:, :46].min() > 0.9 and prob[:, 54:].max() < 0.1


def test_the_part_with_the_person_is_a_square_around_it_that_stays_in_the_photograph():
    prob = np.zeros((400, 900), np.float32)
    prob[150:250, 300:340] = 1
    prob[5:8, 880:883] = 1  # a speck
    rows, columns = part_with_person(prob)
    assert (rows.start, rows.stop, columns.start, columns.stop) == pytest.approx((110, 290, 230, 410), abs=3)
    assert part_with_person(prob[130:270, 280:360]) is None  # it fills most of it
    assert part_with_person(0 * prob) is None
    prob[250:290, 300:340] = 0.4  # legs in the dark
    assert part_with_person(prob)[0].stop == pytest.approx(346, abs=3)
    corner = part_with_person(np.pad(np.ones((100, 40), np.float32), ((0, 300), (0, 860))))
    assert (corner[0].start, corner[1].start) == (0, 0)


def test_a_second_look_sees_what_is_small_closer_and_leaves_the_rest(bright):
    image = np.zeros((640, 640, 3), np.uint8)
    image[300:360, 100:160] = 255
    image[322:338, 122:138] = 0  # a hole of 2 pixels at the network's size of 64 blurs away
    once = bright(image)
    bright.look_closer = True
    twice = bright(image)
    assert np.abs(twice - once)[300:360, 100:160].max() > 0.2
    part = part_with_person(once)
    outside = np.ones((640, 640), bool)
    outside[part] = False
    assert np.array_equal(twice[outside], once[outside])
    truth = image[..., 0] > 0
    assert np.abs(twice - truth)[part].mean() < np.abs(once - truth)[part].mean()
    assert np.array_equal(bright.look_once([image])[0], once)


def test_a_photograph_larger_than_the_answers_gets_them_enlarged(person, astronaut, monkeypatch):
    person.look_closer = True
    monkeypatch.setattr("segkit.predict.ANSWER", 128)
    large, wide = person.predict_batch([astronaut, astronaut[:3]])
    small = person(resize_smoothly(astronaut, 128, 128))
    assert np.allclose(large, resize_smoothly(small, 512, 512), atol=1e-5)
    assert wide.shape == (3, 512)


def test_a_closer_look_that_is_all_person_at_its_border_is_dropped(bright, monkeypatch):
    bright.look_closer, image = True, np.zeros((640, 640, 3), np.uint8)
    image[300:400, 300:400] = 255
    once, real = bright.look_once([image])[0], bright.look_once

    def fur(images, *args, mirrored=False, **more):
        answers = real(images, *args, mirrored=mirrored, **more)
        return [np.full_like(answer, border) for answer in answers] if mirrored else answers

    monkeypatch.setattr(bright, "look_once", fur)
    border = 0.9
    assert np.array_equal(bright(image), once)
    border = 0.4
    assert not np.array_equal(bright(image), once)


def test_where_nobody_is_seen_one_look_is_enough(bright, monkeypatch):
    bright.look_closer, looks, real = True, [], bright._probabilities
    monkeypatch.setattr(bright, "_probabilities", lambda small: looks.append(len(small)) or real(small))
    dark, light = np.zeros((96, 96, 3), np.uint8), np.full((96, 96, 3), 255, np.uint8)
    nobody, somebody = bright.predict_batch([dark, light])
    assert looks == [2, 1, 1, 1]  # the light one again: mirrored, and from farther away both ways round
    assert np.array_equal(nobody, bright.look_once([dark])[0]) and (somebody > 0.5).all()


def test_a_second_look_sees_the_mirror_image(person, astronaut):
    face = astronaut[:200, 150:300]  # fills the picture, so the whole of it is looked at again
    once, mirrored = person.look_once([face, face[:, ::-1]])
    person.look_closer = True
    expected = (once + mirrored[:, ::-1]) / 2
    settle(expected)
    assert np.allclose(person(face), expected, atol=1e-5)
    assert np.allclose(person(face, flip=True), expected, atol=1e-5)  # which sees the same two


def test_a_look_from_farther_away_fills_a_deep_lump_and_leaves_outlines():
    prob = np.full((100, 100), 0.1, np.float32)
    prob[20:80, 20:80] = 0.9
    prob[30:60, 30:60] = 0.2  # missed
    farther = np.full((100, 100), 0.05, np.float32)
    farther[17:83, 17:83] = 0.95  # an outline three pixels off, and no hole
    expected = prob.copy()
    expected[30:60, 30:60] = 0.95
    correct_lumps(prob, farther)
    assert np.array_equal(prob, expected)


@pytest.mark.parametrize("closer", [False, True])
def test_photographs_of_several_shapes_are_answered_together_as_alone(person, astronaut, closer):
    person.look_closer, person.preprocessing = closer, Preprocessing(size=128)
    images = [astronaut, astronaut[:200], astronaut[:, 100:300], astronaut[::-1], astronaut[300:]]
    for image, together in zip(images, person.predict_batch(images), strict=True):
        assert np.allclose(person(image), together, atol=1e-5)
    assert person.predict_batch([]) == []


@given(arrays(np.float32, (9, 12), elements=st.floats(0, 1, width=16)))
def test_settling_turns_islands_that_are_sure_nowhere_and_then_such_holes(prob):
    expected = prob.copy()
    for person in (True, False):
        weak, strong = (expected > 0.5) == person, np.abs(expected - 0.5) >= SURE - 0.5
        kept = reconstruction(weak & strong, weak, footprint=np.ones((3, 3))) > 0
        if kept.any():
            expected = np.where(weak & ~kept, 1 - expected, expected)
    settle(prob)
    assert np.array_equal(prob, expected)


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (333, 77), (512, 512)])
def test_any_size_works(person, size):
    prob = person(np.zeros((*size, 3), np.uint8))
    assert prob.shape == size and ((prob >= 0) & (prob <= 1)).all()


def test_probabilities_are_resized_before_thresholding(bright):
    # A slope: its edge, thresholded after resizing, is smooth; before, it would jump by whole input pixels.
    image = np.tile(np.linspace(0, 255, 640).astype(np.uint8)[None, :, None], (640, 1, 3))
    edge = (bright(image) > 0.5).sum(1)
    assert edge.std() == 0 and abs(edge[0] - 320) <= 3


def test_a_path_bytes_and_pillows_picture_are_photographs_too(person, astronaut, tmp_path):
    path = write_image(tmp_path / "a.png", astronaut[:64])
    expected = person(astronaut[:64])
    for source in (path, str(path), path.read_bytes(), Image.open(path)):
        assert (person(source) == expected).all()


def test_flipping_makes_the_answer_symmetric(person, astronaut):
    prob, mirrored = person(astronaut, flip=True), person(astronaut[:, ::-1], flip=True)
    assert np.allclose(prob, mirrored[:, ::-1], atol=1e-5)
    assert not np.allclose(person(astronaut), person(astronaut[:, ::-1])[:, ::-1], atol=1e-5)


def test_scales_average_the_views(person, astronaut):
    both = person(astronaut, scales=(1.0, 1.5))
    assert np.allclose(both, (person(astronaut) + person(astronaut, scales=(1.5,))) / 2, atol=1e-6)


@pytest.mark.parametrize(
    "wrong", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8), None, [[1]]]
)
def test_other_arrays_are_refused_with_the_expected_form(person, wrong):
    refused(r"uint8 RGB of shape \(H, W, 3\)|an array, found", person, wrong)


def test_cutout_overlay_and_background_by_hand():
    image = np.full((4, 6, 3), 100, np.uint8)
    alpha = np.zeros((4, 6), np.float32)
    alpha[:, 3:] = 1
    cut = cutout(image, alpha)
    assert (cut[:, 3:, :3] == 100).all() and (cut[:, :3] == 0).all()
    assert (cut[..., 3] == alpha * 255).all()
    green = replace_background(image, alpha, (0, 255, 0))
    assert (green[:, :3] == (0, 255, 0)).all() and (green[:, 3:] == 100).all()
    picture = replace_background(image, alpha, np.full((9, 9, 3), 7, np.uint8))
    assert (picture[:, :3] == 7).all()
    assert (replace_background(image, alpha, "blur") == image).all()
    assert (overlay(np.tile(image, (20, 20, 1)), np.zeros((80, 120), bool)) == 100).all()
    refused("blur", replace_background, image, alpha, "beach")


def test_soft_alpha_is_a_ramp_around_the_threshold():
    prob = np.array([[0.0, 0.3, 0.5, 0.6, 0.7, 1.0]], np.float32)
    assert soft_alpha(prob, 0.5, 0.4).tolist()[0] == pytest.approx([0, 0, 0.5, 0.75, 1, 1], abs=1e-6)
    assert soft_alpha(prob, 0.5, 0).tolist()[0] == [0, 0, 0, 1, 1, 1]


def test_a_background_covers_the_photograph():
    for size in ((50, 50), (10, 90), (90, 10)):
        assert cover(np.zeros((20, 40, 3), np.uint8), *size).shape == (*size, 3)


def test_the_network_sees_the_size_that_it_was_trained_at(bright):
    seen = []
    bright.preprocessing = Preprocessing(size=100)
    bright._probabilities = lambda images: seen.append(images.shape) or images[..., 0] / np.float32(255)
    bright(half_bright(), scales=(1.0, 0.5))
    assert seen == [(1, 100, 100, 3), (1, 50, 50, 3)]
    for wrong in ((), (0,), (-1,), (float("nan"),), (1, 100)):
        refused("8 to 4096", bright, half_bright(), scales=wrong)


def test_a_threshold_is_one_number_and_several_classes_have_none(bright):
    bright.threshold = 0.3
    assert bright.threshold == 0.3
    for wrong in (0, 1, -1, float("nan")):
        with pytest.raises(UserError, match="between 0 and 1"):
            bright.threshold = wrong
    parts = Segmenter(bright.model, replace(bright.info, classes=("background", "head")), "cpu")
    with pytest.raises(UserError, match="2 classes"):
        parts.threshold = 0.3


@pytest.mark.parametrize("device", ["cuda", "gpu", "cuda:9", "meta"])
def test_a_device_that_is_not_there_is_one_sentence(weights, device):
    refused(device, Segmenter.load, weights, device=device)


def test_many_threads_share_one_segmenter(person, astronaut):
    images = [astronaut[: 100 + i] for i in range(12)]
    with ThreadPoolExecutor(4) as pool:
        for image, prob in zip(images, pool.map(person, images), strict=True):
            assert np.allclose(person(image), prob, atol=1e-6)


@pytest.fixture
def forked(person, astronaut):
    """What a forked process says of the photograph: nothing, or why not."""

    def predicts(said):
        try:
            person(astronaut)
        except UserError as error:
            said.put(str(error))
        said.put("")

    def ask() -> str:
        context = multiprocessing.get_context("fork")
        said = context.Queue()
        child = context.Process(target=predicts, args=(said,))
        child.start()
        child.join(10)
        child.kill()
        assert child.exitcode == 0
        return said.get(timeout=1)

    return ask


def test_a_forked_process_predicts_too(person, astronaut, forked, monkeypatch):
    monkeypatch.setattr("segkit.predict.THREADED", set())
    torch.set_num_threads(2)
    person(astronaut)
    said = forked()
    torch.set_num_threads(1)
    assert said == ""


def test_a_forked_process_does_not_wait_for_what_threads_held(person, astronaut, forked, monkeypatch):
    monkeypatch.setattr("segkit.predict.THREADED", set())
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(person, [astronaut] * 8))
    assert "get_context('spawn')" in forked()


def test_a_segmenter_made_of_a_photograph_says_what_to_write():
    refused(r'Segmenter.load\("person-base"\)\("photo.jpg"\)', Segmenter, "photo.jpg")
