"""Pictures as a notebook shows them."""

import io
import itertools
from base64 import b64decode

import numpy as np
import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.pylabtools import select_figure_formats
from IPython.display import display
from IPython.utils.capture import capture_output
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from segkit.plots import CLASS_COLOURS, contact_sheet, plot_curves, show_classes, show_row


@pytest.fixture
def shell():
    """IPython as in a notebook, with matplotlib's own way to show figures not yet switched on."""
    yield InteractiveShell.instance()
    InteractiveShell.clear_instance()


def test_a_picture_is_shown_small_before_and_after_pyplot_is_used(shell, astronaut):
    for figure in (show_row([astronaut], ["one"]), contact_sheet([astronaut] * 4, list("abcd"))):
        for _ in range(2):
            with capture_output() as captured:
                display(figure)
            (output,) = captured.outputs
            assert "Picture" in output.data["text/plain"]
            shown = b64decode(output.data["image/png"])
            assert Image.open(io.BytesIO(shown)).mode == "P" and len(shown) < 100_000
            select_figure_formats(shell, {"png"})  # what `import matplotlib.pyplot` leads to in a notebook


def test_a_row_of_pictures_keeps_their_shapes_and_its_scale():
    figure = show_row([np.zeros((10, 20)), np.zeros((10, 5, 3), np.uint8)], ["wide", "narrow"])
    wide, narrow = figure.axes
    assert [axes.get_title() for axes in figure.axes] == ["wide", "narrow"]
    assert wide.images[0].get_clim() == (0, 1)
    assert wide.get_subplotspec().get_gridspec().get_width_ratios() == [2.0, 0.5]
    assert narrow.images[0].get_array().shape == (10, 5, 3)


def titles_are_apart(figure) -> bool:
    FigureCanvasAgg(figure).draw()
    boxes = [axes.title.get_window_extent() for axes in figure.axes]
    return all(left.x1 < right.x0 for left, right in itertools.pairwise(boxes))


def test_a_row_is_no_wider_than_a_page_and_its_titles_do_not_meet():
    figure = show_row([np.zeros((10, 15))] * 5, ["a title of some length"] * 5)
    assert figure.get_figwidth() == pytest.approx(7.5)
    assert titles_are_apart(figure)


def test_captions_of_a_sheet_are_as_large_as_fits_and_do_not_meet():
    short, long = (
        contact_sheet([np.zeros((9, 9))] * 4, [words] * 4, 4) for words in ("Dice 0.90", "Dice " * 6)
    )
    assert short.axes[0].title.get_fontsize() == 10
    assert titles_are_apart(long)


def test_a_row_of_classes_keeps_a_white_page_and_the_colours_of_its_legend(astronaut):
    pale = np.random.default_rng(0).integers(246, 254, (64, 64, 3), np.uint8)  # shades that are nearly white
    for picture in (pale, astronaut):
        figure = show_classes([picture] * 3, list("abc"), ["background", "head", "hair", "torso", "arms"])
        data = figure._repr_png_()
        shown = Image.open(io.BytesIO(data)).convert("RGB")
        assert shown.getpixel((0, 0)) == (255, 255, 255) and len(data) < 200_000
        assert set(CLASS_COLOURS[1:5]) <= {colour for count, colour in shown.getcolors(256) if count > 20}


@pytest.mark.parametrize("epochs", [1, 4])
def test_the_curves_of_a_training_show_its_history_and_mark_its_best_epoch(tmp_path, epochs):
    values = {"train_loss": 0.5, "val_loss": 0.6, "val_dice": 0.7, "val_iou": 0.6, "lr": 1e-3}
    rows = [{name: value - i / 1e4 for name, value in values.items()} for i in range(epochs)]
    history = [{"epoch": epoch} | row for epoch, row in enumerate(rows, 1)]
    losses, dice, rate = plot_curves(history, tmp_path / "curves.png").axes
    shown = [list(line.get_ydata()) for line in losses.lines]
    assert shown == [[row[name] for row in history] for name in ("train_loss", "val_loss")]
    assert "Best Dice 0.700, epoch 1" in dice.get_title() and dice.lines[-1].get_xdata() == [1]
    assert len(rate.lines[0].get_xdata()) == epochs
    assert Image.open(tmp_path / "curves.png").size[0] > 800
