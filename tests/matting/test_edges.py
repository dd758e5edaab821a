import io
import tracemalloc

import cv2
import numpy as np
import pytest
import torch
from conftest import refused
from PIL import Image

from segkit.checkpoint import CheckpointInfo
from segkit.data import Preprocessing, find_samples, load_pair_full
from segkit.files import embedded_path, read_image, write_image
from segkit.matting.compose import cutout, on_its_own, remove, replace_background, soft_alpha
from segkit.matting.edges import alpha_errors, clean_colours, guided_filter, halo, refine_alpha
from segkit.matting.effects import portrait, recolour
from segkit.metrics import boundary_f
from segkit.plots import overlay
from segkit.predict import Segmenter, settle
from segkit.sets.exporters import coco_shape, cut_pieces


def disc(side: int = 200, radius: int = 60) -> np.ndarray:
    """Exact coverage of a disc, drawn eight times as large and averaged down: float32 (side, side)."""
    big = np.zeros((side * 8, side * 8), np.float32)
    cv2.circle(big, (side * 4, side * 4), radius * 8, 1.0, -1)
    return cv2.resize(big, (side, side), interpolation=cv2.INTER_AREA)


def rough(exact: np.ndarray, coarse: int = 24) -> np.ndarray:
    """What a network at a low resolution would say."""
    small = cv2.resize(exact, (coarse, coarse), interpolation=cv2.INTER_AREA)
    return cv2.resize(small, exact.shape[::-1], interpolation=cv2.INTER_LINEAR).clip(0, 1)


def scene(alpha: np.ndarray, person=(220, 60, 40), behind=(30, 90, 200)) -> np.ndarray:
    share = alpha[..., None]
    return (np.array(person) * share + np.array(behind) * (1 - share)).round().astype(np.uint8)


def test_the_guided_filter_of_a_flat_guide_is_a_mean_and_of_itself_is_itself():
    values = np.random.default_rng(0).random((40, 50)).astype(np.float32)
    flat = guided_filter(np.full((40, 50, 3), 0.5), values, 3, 1e-3)
    twice = values
    for _ in range(2):
        twice = cv2.blur(twice, (7, 7), borderType=cv2.BORDER_REFLECT)
    assert np.allclose(flat, twice, atol=1e-4)
    guide = np.repeat(values[..., None], 3, axis=2)
    assert np.abs(guided_filter(guide, values, 3, 1e-7) - values).max() < 0.01


def test_a_refined_edge_is_nearer_to_the_exact_one_than_a_softened_probability():
    exact = disc()
    prob, image = rough(exact), scene(exact)
    refined = alpha_errors(refine_alpha(image, prob), exact)
    softened = alpha_errors(soft_alpha(prob), exact)
    assert refined["mean_error"] < softened["mean_error"] / 2
    assert refined["gradient_error"] < softened["gradient_error"]


@pytest.mark.slow
def test_on_embedded_people_at_half_size_where_the_exact_alpha_is_known():
    # Four exact pixels averaged into one: how much of the new pixel the person covers.
    person, errors = Segmenter.load("person-base", "cpu"), []
    for sample in [s for s in find_samples(embedded_path("people")) if s.split == "test"][::6]:
        image, mask = (x[: len(x) // 2 * 2, : x.shape[1] // 2 * 2] for x in load_pair_full(sample))
        size = image.shape[1] // 2, image.shape[0] // 2
        image, exact = (cv2.resize(x, size, interpolation=cv2.INTER_AREA) for x in (image, np.float32(mask)))
        prob = person(image)
        found = (prob > 0.5) & (exact > 0.5)
        both = (prob > 0.5).sum() + (exact > 0.5).sum()
        if 2 * found.sum() > 0.93 * both:  # else it is no matter of edges
            ways = (np.float32(prob > 0.5), soft_alpha(prob), refine_alpha(image, prob))
            errors.append([list(alpha_errors(alpha, exact).values()) for alpha in ways])
    hard, soft, refined = np.mean(errors, axis=0)
    assert len(errors) >= 5
    assert (refined < hard).all() and (refined < soft).all()
    assert refined[0] < 0.95 * hard[0] and refined[1] < 0.95 * hard[1]


def test_the_halo_is_measured_and_cleaning_takes_most_of_it():
    exact = disc()
    image = scene(exact)
    cut_hard = (exact > 0.3).astype(np.float32)
    hard = halo(image, image, cut_hard)
    soft, clean = halo(image, image, exact), halo(image, clean_colours(image, exact), exact)
    for untouched in (exact == 1, exact == 0):
        assert np.array_equal(clean_colours(image, exact)[untouched], image[untouched])
    pure = halo(image, np.broadcast_to(np.uint8((220, 60, 40)), image.shape), exact)
    assert pure < 0.01 and clean < soft / 3 and soft < hard
    everything = halo(image, np.broadcast_to(np.uint8((30, 90, 200)), image.shape), exact)
    assert everything > 0.99
    assert np.isnan(halo(np.full_like(image, 90), image, exact))  # person and background look the same


def test_far_from_the_edge_alpha_is_0_or_1_whatever_the_colours():
    mask = np.zeros((200, 200), np.float32)
    mask[40:160, 40:160] = 1
    image = np.random.default_rng(0).integers(0, 255, (200, 200, 3), dtype=np.uint8)
    alpha = refine_alpha(image, mask)
    assert (alpha[70:130, 70:130] == 1).all() and (alpha[:20] == 0).all()
    for everywhere in (0, 1):
        assert (refine_alpha(image, np.full_like(mask, everywhere)) == everywhere).all()


def test_the_blur_grows_with_the_distance_from_the_person():
    alpha = disc(300, 40)
    stripes = np.where(np.indices((300, 300)).sum(0) // 4 % 2, 200, 60).astype(np.uint8)
    image = np.dstack([stripes] * 3)
    away = cv2.distanceTransform((alpha < 0.5).astype(np.uint8), cv2.DIST_L2, 5)
    for strength in (0.15, 0.3):
        result = portrait(image, alpha, strength)
        left = [result[(away > low) & (away <= low + 15)].std() for low in (5, 40, 80)]
        assert left[0] > left[1] * 1.1 and left[1] > left[2] * 1.1, left


def test_nothing_of_the_person_bleeds_into_the_blur():
    alpha = disc(300, 60)
    red, white = (scene(alpha, person=colour) for colour in ((255, 0, 0), (255, 255, 255)))
    outside = alpha == 0
    for strength in (0.2, 1.0):
        one, other = (portrait(image, alpha, strength)[outside] for image in (red, white))
        assert np.array_equal(one, other)


@pytest.mark.parametrize("background", ["blur", "portrait"])
def test_a_person_ready_for_another_background_can_also_stay_before_their_own(background):
    alpha = disc()
    image = scene(alpha)
    prob = alpha.clip(0.05, 0.95)
    result = replace_background(*on_its_own(image, prob), background)
    outside = cv2.dilate(alpha, np.ones((15, 15))) == 0
    assert np.abs(result[outside].astype(int) - np.array((30, 90, 200))).max() <= 3
    near = (alpha == 0) & (cv2.dilate(alpha, np.ones((5, 5))) > 0)
    assert np.abs(result[near].astype(int) - np.array((30, 90, 200))).mean() < 12  # no glow of the red person


def test_many_megapixels_fit_no_step_holds_copies_of_the_whole():
    alpha = np.tile(disc(), (10, 10))
    image = np.zeros((*alpha.shape, 3), np.uint8)
    steps = [(lambda: cutout(image, alpha), 5.1), (lambda: replace_background(image, alpha, (1, 2, 3)), 4.5)]
    steps += [(lambda: overlay(image, alpha > 0.5), 8.2), (lambda: settle(alpha), 9.2)]
    steps += [(lambda: boundary_f(alpha[None] > 0.5, alpha[None] > 0.4), 7.2)]  # the distances took 37
    steps += [(lambda: [*map(coco_shape, cut_pieces(alpha > 0.5))], 7.2)]  # all pieces at once took 105
    for step, most in steps:
        tracemalloc.start()
        step()
        assert tracemalloc.get_traced_memory()[1] < most * alpha.size  # bytes
        tracemalloc.stop()


def test_more_strength_is_more_blur_none_changes_nothing_and_the_person_stays_sharp():
    image = np.random.default_rng(0).integers(0, 255, (80, 80, 3), dtype=np.uint8)
    alpha = disc(80, 20)
    results = [portrait(image, alpha, strength) for strength in (0, 0.3, 1.0)]
    spread = [result[alpha == 0].std() for result in results]
    assert spread[0] > spread[1] > spread[2] and spread[2] < spread[0] / 2
    assert np.array_equal(results[0], image)
    assert all(np.abs(result.astype(int) - image)[alpha == 1].max() <= 1 for result in results)
    refused("strength", portrait, image, alpha, 2)


def test_new_clothes_have_the_new_hue_and_the_old_folds():
    folds = (1 + 0.3 * np.sin(np.arange(80) / 5))[None, :, None] * np.ones((60, 1, 1))
    image = (np.array((40, 60, 160)) * folds).clip(0, 255).astype(np.uint8)
    share = np.zeros((60, 80), np.float32)
    share[10:50, 10:70] = 1
    result = recolour(image, share, (180, 40, 40))
    inside = result[share == 1].mean(0)
    assert inside[0] > 2 * inside[2]
    assert np.array_equal(result[share == 0], image[share == 0])
    before, after = (cv2.cvtColor(x, cv2.COLOR_RGB2GRAY)[30, 10:70].astype(float) for x in (image, result))
    assert np.corrcoef(before, after)[0, 1] > 0.95
    assert np.array_equal(recolour(image, share * 0, (180, 40, 40)), image)


class RedIsTorso(torch.nn.Module):
    def forward(self, images):
        red = images[:, :1] - images[:, 2:]
        return torch.cat([-red, red], 1) * 50


def test_clothes_are_recoloured_from_the_command_line(tmp_path, monkeypatch, command):
    info = CheckpointInfo({"name": "red"}, Preprocessing(64), ("background", "torso"))
    person = Segmenter(RedIsTorso(), info, "cpu")
    monkeypatch.setattr(Segmenter, "load", lambda *args, **kwargs: person)
    alpha = disc()
    path = write_image(tmp_path / "red.png", scene(alpha))
    said = command("predict", path, "-o", tmp_path / "out", "--recolour", "torso=#20a030")
    assert said[0] == 0 and "note" not in said[2]
    result = read_image(tmp_path / "out" / "red_recoloured.jpg").astype(int)
    inside, outside = alpha == 1, cv2.dilate(alpha, np.ones((9, 9))) == 0
    assert (result[inside, 1] > result[inside, 0]).mean() > 0.95
    assert np.abs(result[outside] - scene(alpha)[outside]).max() < 12  # a JPEG
    blue = write_image(tmp_path / "blue.png", np.full((64, 64, 3), (20, 20, 220), np.uint8))
    code, _, err = command("predict", blue, "-o", tmp_path / "out", "--recolour", "torso=#20a030")
    assert code == 0 and f"note: {blue}: no person was found; no torso was found" in err
    for wrong, word in (("hat=#20a030", "hat"), ("torso", "torso"), ("torso=#zz", "colour")):
        code, _, err = command("predict", path, "-o", tmp_path / "out", "--recolour", wrong)
        assert code == 1 and word in err


def test_one_call_removes_the_background_of_arrays_pictures_bytes_and_paths_alike(astronaut, tmp_path):
    path = write_image(tmp_path / "astronaut.png", astronaut)
    alone = remove(astronaut, "person-small")
    assert alone.shape == (512, 512, 4) and 0.1 < (alone[..., 3] > 127).mean() < 0.7
    assert np.array_equal(remove(path, "person-small"), alone)
    assert np.array_equal(np.array(remove(Image.fromarray(astronaut), "person-small")), alone)
    assert np.array_equal(np.array(Image.open(io.BytesIO(remove(path.read_bytes(), "person-small")))), alone)
