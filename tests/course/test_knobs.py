"""The explorers, driven as a hand would: by setting the value of a slider. explorers.py builds them."""

import inspect
import pkgutil
import time
from importlib import import_module
from unittest.mock import Mock

import cv2
import numpy as np
import pytest
import torch
from explorers import corner, one_of_each, people
from matplotlib.axes import Axes

from segkit.augment import Augmentation
from segkit.course import knobs
from segkit.course.knobs.chart import Chart
from segkit.course.knobs.explorer import HEIGHT, TITLE, Explorer
from segkit.course.knobs.lesson00 import ThresholdExplorer
from segkit.course.knobs.lesson03 import UNetExplorer, draw_unet, measure_unet, receptive_field, unet_stages
from segkit.course.knobs.lesson04 import MaskShiftExplorer, move_mask
from segkit.course.knobs.lesson05 import AlphaExplorer, OptimiserExplorer
from segkit.course.knobs.lesson06 import AugmentationExplorer
from segkit.course.knobs.lesson08 import CutoutExplorer
from segkit.course.knobs.lesson15 import VolumeExplorer
from segkit.losses import BCEDiceLoss, BCELoss, DiceLoss
from segkit.matting.compose import replace_background, soft_alpha
from segkit.metrics import boundary_f, count_pixels
from segkit.models import build_model, count_parameters
from segkit.plots import BLUE, ORANGE, rgb, show_mistakes

IN_THE_PICTURE_ALONE = ("same draw for both", "mask", "frame", "opacity", "draw", "slice", "worst is")
"""Controls whose value the line of words does not repeat, or not for these pictures."""


@pytest.fixture(scope="module")
def explorers(tmp_path_factory) -> list[Explorer]:
    return one_of_each(tmp_path_factory.mktemp("pairs"))


def turn(control) -> None:
    """Give the control a value that it does not have now."""
    if isinstance(control.value, bool):
        control.value = not control.value
    elif hasattr(control, "options"):
        control.index = 0 if control.index else len(control.options) - 1
    else:
        control.value = control.min if control.value == control.max else control.max


def test_every_knob_changes_picture_and_words_and_turned_back_it_gives_the_same_picture(explorers):
    for explorer in explorers:
        assert cv2.imdecode(np.frombuffer(explorer.picture.value, np.uint8), 1).shape[0] >= HEIGHT + TITLE
        for control in explorer.children[0].children:
            name = f"{type(explorer).__name__}: {control.description}"
            picture, words, value = explorer.picture.value, explorer.words.value, control.value
            turn(control)
            # Of the six drawn pictures, the same is the worst in every way.
            assert explorer.picture.value != picture or control.description == "worst is", name
            assert explorer.words.value != words or control.description in IN_THE_PICTURE_ALONE, name
            control.value = value
            assert explorer.picture.value == picture, name


@pytest.mark.slow
def test_an_explorer_answers_within_a_tenth_of_a_second(explorers):
    for explorer in explorers:
        for control in explorer.children[0].children:
            seconds = []
            for _ in range(5):
                start = time.process_time()  # of this process: a busy machine does not count
                turn(control)
                seconds.append(time.process_time() - start)
            assert np.median(seconds) < 0.1, f"{type(explorer).__name__}: {control.description}"


@pytest.mark.slow
def test_each_has_a_still_figure_a_name_and_names_its_sliders_for_screen_readers(explorers):
    """The line that hands the names over is shown with the sliders; test_browser.py reads them."""
    for explorer in explorers:
        shown = {OptimiserExplorer: [[[0.2, 0.5], [0.9, 0.9]]], VolumeExplorer: [[0, 4, 8]]}
        assert len(explorer.figure(*shown.get(type(explorer), ()))._repr_png_()) > 5000
        assert type(explorer).__name__ in repr(explorer)
        assert "aria-label" in explorer.children[-1].value
        assert all(control.description for control in explorer.children[0].children)


def test_no_explorer_is_left_out_hides_errors_in_an_output_or_forgets_its_lesson(explorers):
    rooms = [import_module(f"segkit.course.knobs.{one.name}") for one in pkgutil.iter_modules(knobs.__path__)]
    kinds = {kind for room in rooms for _, kind in inspect.getmembers(room, inspect.isclass)}
    kinds = {kind for kind in kinds if issubclass(kind, Explorer)} - {Explorer}
    assert {type(explorer) for explorer in explorers} == kinds
    assert all("Introduced in notebook" in kind.__doc__ for kind in kinds)
    assert not any("Output(" in inspect.getsource(room) for room in rooms)


@pytest.mark.parametrize("kind", [ThresholdExplorer, CutoutExplorer])
def test_a_large_photograph_answers_nearly_as_quickly(kind):
    image, prob, _ = (cv2.resize(array, (2560, 1920)) for array in people())
    explorer = kind(image, prob, {"blur": "blur"} if kind is CutoutExplorer else prob > 0.4)
    start = time.process_time()
    explorer.threshold.value = 0.3
    assert time.process_time() - start < 0.2


def test_an_error_in_a_callback_is_raised_and_shown_and_the_next_turn_recovers():
    explorer = UNetExplorer()
    explorer.draw = Mock(side_effect=RuntimeError("<the> knob broke"))
    with pytest.raises(RuntimeError, match="knob broke"):
        explorer.depth.value = 2
    del explorer.draw
    assert "RuntimeError: &lt;the&gt; knob broke" in explorer.words.value
    explorer.depth.value = 3
    assert "knob broke" not in explorer.words.value


@pytest.mark.parametrize("threshold", [0.0, 0.13, 0.5, 0.77, 1.0])
def test_threshold_explorer_scores_as_segkit_metrics_do(threshold):
    image, prob, mask = people()
    prob = prob.round(2)  # some lie exactly on the threshold
    explorer = ThresholdExplorer(image, prob, mask)
    explorer.threshold.value = threshold
    counts = count_pixels((prob > threshold)[None], mask[None])
    scores = ("Dice", "IoU", "precision", "recall")
    expected = {name: getattr(counts, name.lower())().item() for name in scores}
    assert explorer.scores == pytest.approx(expected | {"share": (prob > threshold).mean()})
    place = round(threshold * 100)
    for name, value in explorer.scores.items():
        assert explorer.curves[name][place] == pytest.approx(value)
    assert f"Dice {explorer.scores['Dice']:.3f}" in explorer.words.value


def test_threshold_explorer_without_truth_knows_only_the_share():
    image, prob, _ = people()
    explorer = ThresholdExplorer(image, prob)
    explorer.threshold.value = 0.9
    assert explorer.scores == {"share": pytest.approx((prob > 0.9).mean())}
    assert "Dice" not in explorer.words.value


def test_arrays_of_different_sizes_are_refused():
    image, prob, mask = people()
    with pytest.raises(ValueError, match=r"image \(240, 320\), prob \(100, 320\)"):
        ThresholdExplorer(image, prob[:100], mask)
    with pytest.raises(ValueError, match="mask"):
        AugmentationExplorer(image, mask[:100])


@pytest.mark.parametrize(("dx", "dy", "grow"), [(0, 0, 0), (5, 0, 0), (-3, 7, 0), (0, 0, 6), (2, -2, -6)])
def test_mask_shift_explorer_scores_as_segkit_metrics_do(dx, dy, grow):
    mask = people()[2]
    explorer = MaskShiftExplorer(mask)
    explorer.dx.value, explorer.dy.value, explorer.grow.value = dx, dy, grow
    pred = explorer.predicted()
    counts = count_pixels(pred[None], mask[None])
    assert explorer.scores == {
        "Dice": counts.dice().item(),
        "IoU": counts.iou().item(),
        "pixel accuracy": counts.pixel_accuracy().item(),
        "boundary F": boundary_f(pred[None], mask[None], 2.0).item(),
    }
    assert all(value == 1 for value in explorer.scores.values()) == ((dx, dy, grow) == (0, 0, 0))


def test_move_mask_moves_by_whole_pixels_and_grows_by_a_disc():
    mask = np.zeros((40, 50), bool)
    mask[10:20, 10:30] = True
    moved = np.zeros_like(mask)
    moved[13:23, 8:28] = True
    assert np.array_equal(move_mask(mask, dx=-2, dy=3), moved)
    assert np.array_equal(move_mask(mask), mask)
    assert move_mask(mask, grow=3).sum() > mask.sum() > move_mask(mask, grow=-3).sum() == 4 * 14
    assert move_mask(mask, dx=45).sum() == 0
    assert np.ptp(np.nonzero(move_mask(mask, grow=4))[0]) + 1 == 10 + 8


@pytest.mark.parametrize("together", [True, False])
def test_augmentation_explorer_shows_what_segkit_augment_does_and_without_the_tick_they_part(together):
    image, _, mask = people()
    explorer = AugmentationExplorer(image, mask)
    assert explorer.together.value  # at first
    explorer.strength.value, explorer.together.value = 1.5, together
    for explorer.seed.value in range(5):
        changed, moved = Augmentation(1.5)(image, mask, seed=explorer.seed.value)
        assert np.array_equal(explorer.augmented()[0], changed)
        assert np.array_equal(explorer.augmented()[1], moved) == together


@pytest.fixture(scope="module")
def alphas() -> AlphaExplorer:
    return AlphaExplorer()


def parameters(explorer: AlphaExplorer, weight: float, bias: float):
    """The small network in torch: logits (1, 1, H, W), targets, and its two numbers."""
    w, b = torch.tensor(weight, dtype=torch.float64), torch.tensor(bias, dtype=torch.float64)
    w.requires_grad_(), b.requires_grad_()
    x = torch.tensor(explorer.brightness - explorer.brightness.mean())
    targets = torch.tensor(explorer.mask).double()[None, None]
    return w, b, (w * x + b)[None, None], targets


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_alpha_explorer_descends_by_the_gradient_that_autograd_finds(alphas, alpha):
    way = alphas.path(alpha)
    for step in (0, 10, 60):
        w, b, logits, targets = parameters(alphas, *way[step])
        BCEDiceLoss(alpha)(logits, targets).backward()
        expected = way[step] - alphas.lr * np.array([w.grad.item(), b.grad.item()])
        assert way[step + 1] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(("alpha", "step"), [(0.0, 0), (0.3, 40), (1.0, 150)])
def test_alpha_explorer_reports_the_losses_of_segkit_at_the_sliders(alphas, alpha, step):
    alphas.alpha.value, alphas.step.value = alpha, step
    _, _, logits, targets = parameters(alphas, *alphas.path(alpha)[step])
    for name, loss in {"loss": BCEDiceLoss(alpha), "BCE": BCELoss(), "Dice loss": DiceLoss()}.items():
        assert alphas.scores[name] == pytest.approx(loss(logits, targets).item(), rel=1e-4)
    pred = alphas.probs(alpha, step) > 0.5
    assert alphas.scores["Dice of the mask"] == count_pixels(pred[None], alphas.mask[None]).dice().item()


def test_with_a_small_person_bce_alone_starts_all_black_and_dice_does_not(alphas):
    """The story that lesson 05 tells with it."""
    assert (alphas.probs(1.0, 20) < 0.5).all()
    assert (alphas.probs(0.0, 20)[alphas.mask] > 0.5).mean() > 0.5
    assert (alphas.probs(1.0, alphas.num_steps)[alphas.mask] > 0.5).mean() > 0.5


def test_optimiser_explorer_has_the_loss_of_what_it_shows():
    image, _, mask = people()
    explorer = OptimiserExplorer(corner, {"x": 0.3, "tall": 0.6}, image, mask, BCELoss())
    targets = torch.from_numpy(mask).float()[None, None]
    for x, tall in ((0.3, 0.6), (0.9, 0.2), (0.05, 1.0)):
        explorer.knobs["x"].value, explorer.knobs["tall"].value = x, tall
        assert explorer.loss == pytest.approx(BCELoss()(corner(torch.tensor([x, tall])), targets).item())
        assert f"x {x:.2f}, tall {tall:.2f} · loss {explorer.loss:.3f}" in explorer.words.value
    titles = [axes.get_title() for axes in explorer.figure([(0.9, 0.2), (0.05, 1.0)]).axes]
    assert titles[1] == f"loss {explorer.loss:.2f}" != titles[0]


def test_cutout_explorer_is_made_of_segkit_predict():
    image, prob, _ = people()
    explorer = CutoutExplorer(image, prob, {"blur": "blur", "green": (0, 158, 115)})
    explorer.threshold.value, explorer.softness.value, explorer.behind.value = 0.7, 0.0, "green"
    expected = soft_alpha(explorer.prob, 0.7, 0.0)
    assert np.array_equal(explorer.alpha(), expected) and set(np.unique(expected)) == {0, 1}
    shown = explorer._composed(explorer.alpha())
    assert np.array_equal(shown, replace_background(explorer.image, expected, (0, 158, 115)))
    assert "0.0% neither here nor there" in explorer.words.value
    explorer.softness.value = 1.0
    assert "0.0% neither here nor there" not in explorer.words.value
    assert len(explorer.figure().axes) == 6


@pytest.mark.parametrize(("width", "depth"), [(4, 1), (8, 3), (16, 5)])
def test_unet_explorer_knows_the_shapes_and_the_parameters_of_a_real_network(width, depth):
    widths = [width * 2**stage for stage in range(depth)]
    net, shapes = build_model("unet", widths=widths, bottleneck=widths[-1]).eval(), []
    for name, part in unet_stages(net):
        part.register_forward_hook(lambda _p, _g, out, name=name: shapes.append((name, *out.shape[1:])))
    net(torch.zeros(1, 3, 64, 64))
    explorer = UNetExplorer(side=64)
    explorer.width.value, explorer.depth.value = width, depth
    assert explorer.measured() == (count_parameters(net), shapes)
    assert f"{count_parameters(net):,} parameters" in explorer.words.value
    assert f"{receptive_field(depth)} × {receptive_field(depth)} pixels" in explorer.words.value


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_the_receptive_field_bounds_what_a_gradient_finds(depth):
    """Up to a tenth: doubling with aligned corners does not land exactly on the windows that are summed."""
    torch.manual_seed(0)
    total = torch.zeros(128, 128)
    for _ in range(8):
        net = build_model("unet", widths=[4] * depth, bottleneck=4).eval()
        noise = torch.randn(1, 3, 128, 128, requires_grad=True)
        net(noise)[0, 0, 64, 64].backward()
        total += noise.grad[0].abs().sum(0)
    measured = int((total.sum(0) > 0).sum())
    assert measured == pytest.approx(receptive_field(depth), rel=0.1)
    assert receptive_field(depth, convs=1) < receptive_field(depth)


def test_the_drawing_of_a_unet_has_one_orange_box_lower_than_every_blue_one():
    _, stages = measure_unet(16, 3, 256)
    picture = draw_unet(stages)
    orange = (picture == rgb(ORANGE)).all(-1)
    blue = (picture == rgb(BLUE)).all(-1)
    assert orange.any() and np.nonzero(blue)[0].max() < np.nonzero(orange)[0].min()
    columns = np.diff(np.concatenate([[0], blue.any(0).astype(int)])) == 1
    assert columns.sum() == len(stages) - 1


def test_marks_lie_where_the_axes_of_a_chart_say_and_are_wiped_away():
    chart = Chart(300, lambda axes: axes.set(xlim=(0, 10), ylim=(-1, 1)))
    plain, dots = chart.canvas, []
    for x, y in ((0, -1), (5, 0), (10, 1)):
        chart.wipe().mark(Axes.plot, [0, 30], [-1, 5], color="#0000ff")  # leaves the axes, and moves them not
        chart.dot(x, y, "#00ff00")
        dots.append(np.argwhere((chart.canvas == (0, 255, 0)).all(-1)))
    assert len(dots[0]) == len(dots[1]) == len(dots[2]) > 50, "in a corner, too, a dot is whole"
    (bottom, left), middle, (top, right) = (dot.mean(0) for dot in dots)
    assert middle == pytest.approx([(bottom + top) / 2, (left + right) / 2], abs=1)
    blue = np.argwhere((chart.canvas == (0, 0, 255)).all(-1))
    assert (blue >= (top - 1, left - 1)).all() and (blue <= (bottom + 1, right + 1)).all() and len(blue) > 99
    assert np.array_equal(chart.wipe().canvas, plain)


def test_mistakes_have_three_colours():
    pred, target = np.array([[1, 1, 0, 0]]), np.array([[1, 0, 1, 0]])
    found, wrong, missed, rest = show_mistakes(np.zeros((1, 4, 3), np.uint8), pred, target)[0].astype(int)
    assert found[2] > found[0] and wrong[0] > wrong[2] and missed[0] > missed[2] and missed[1] > wrong[1]
    assert np.ptp(rest) == 0
