"""Several classes, from the files to the checkpoint."""

import json
import shutil

import numpy as np
import pytest
import torch
from conftest import cases, draw_pair, refused
from small_runs import small, train
from torchmetrics.functional.classification import multiclass_confusion_matrix, multiclass_jaccard_index

from segkit.checkpoint import CheckpointInfo, load_checkpoint
from segkit.data import load_dataset, read_class_name, read_class_names
from segkit.evaluate import evaluate, write_evaluation
from segkit.files import UNNAMED, UserError, read_image, read_labels, write_image
from segkit.losses import CrossEntropyDiceLoss, build_loss
from segkit.matting.photos import predict_files
from segkit.metrics import confusion_matrix, count_classes
from segkit.models import build_model
from segkit.predict import Segmenter
from segkit.sets.annotate import AnnotateConfig, annotate_folder
from segkit.sets.doctor import inspect_dataset, picture_of_dataset
from segkit.sets.exporters import FORMATS, export_dataset
from segkit.sets.importers import import_folder

random = np.random.default_rng(0)


def ids(*shape, classes=4):
    return torch.from_numpy(random.integers(0, classes, shape))


def test_the_confusion_matrix_of_a_2x2_picture_counted_by_hand():
    pred = torch.tensor([[[0, 1], [2, 2]]])
    true = torch.tensor([[[0, 1], [1, 2]]])
    assert confusion_matrix(pred, true, 3)[0].tolist() == [[1, 0, 0], [0, 1, 1], [0, 0, 1]]
    counts = count_classes(pred, true, 3)
    assert counts.dice()[0].tolist() == pytest.approx([1, 2 / 3, 2 / 3])
    assert counts.per_image("dice").item() == pytest.approx(2 / 3)


def test_the_confusion_matrix_and_the_mean_iou_are_torchmetrics_own():
    pred, true = ids(3, 1, 20, 30), ids(3, 1, 20, 30)
    true[0, 0, :5] = 255
    ours = confusion_matrix(pred, true, 4).sum(0)
    assert torch.equal(ours, multiclass_confusion_matrix(pred, true, 4, ignore_index=255))
    iou = count_classes(pred, true, 4).pooled().iou()
    expected = multiclass_jaccard_index(pred, true, 4, average="none", ignore_index=255)
    assert torch.allclose(iou[0].float(), expected)


def test_a_class_that_neither_mask_holds_does_not_flatter_the_mean():
    pred, true = torch.zeros(1, 4, 4, dtype=torch.long), torch.zeros(1, 4, 4, dtype=torch.long)
    true[0, 0, 0] = 1
    counts = count_classes(pred, true, 5)
    assert counts.dice()[0, 1].item() == 0 and counts.dice()[0, 2:].isnan().all()
    assert counts.iou()[0, 2:].isnan().all() and counts.per_image("dice").item() == 0
    assert count_classes(pred, pred, 5).per_image("dice").item() == 1


@pytest.mark.slow  # to load monai
def test_cross_entropy_and_dice_agree_with_torch_and_monai():
    from monai.losses import DiceLoss as MonaiDice

    logits = torch.randn(2, 4, 16, 16)
    target = ids(2, 1, 16, 16)
    entropy = CrossEntropyDiceLoss(alpha=1.0)(logits, target)
    assert torch.allclose(entropy, torch.nn.functional.cross_entropy(logits, target[:, 0]))
    dice = CrossEntropyDiceLoss(alpha=0.0)(logits, target)
    monai = MonaiDice(softmax=True, to_onehot_y=True, smooth_nr=1.0, smooth_dr=1.0)(logits, target)
    assert torch.allclose(dice, monai, atol=1e-6)


def test_the_loss_is_finite_where_logits_are_huge_or_nothing_is_asked():
    for target in (ids(2, 1, 8, 8), torch.full((2, 1, 8, 8), 255)):
        logits = (torch.randn(2, 4, 8, 8).sign() * 1e4).requires_grad_()
        loss = CrossEntropyDiceLoss()(logits, target)
        loss.backward()
        assert loss.isfinite() and logits.grad.isfinite().all()


def test_what_is_ignored_changes_nothing():
    logits, target = torch.randn(1, 4, 8, 8), ids(1, 1, 8, 8)
    target[0, 0, :4] = 255
    other = logits.clone()
    other[0, :, :4] += 5
    loss = CrossEntropyDiceLoss()
    assert torch.allclose(loss(logits, target), loss(other, target))


def test_of_what_is_unnamed_only_the_background_is_denied():
    logits, target = torch.randn(1, 4, 8, 8), ids(1, 1, 8, 8)
    target[0, 0, :4] = UNNAMED
    loss = CrossEntropyDiceLoss(alpha=1.0)
    person = 1 - logits.softmax(1)[:, 0]
    right = logits.softmax(1).gather(1, target.clamp(max=3))[:, 0]
    expected = -torch.cat([person[:, :4], right[:, 4:]], 1).log().mean()
    assert torch.allclose(loss(logits, target), expected)
    swapped = logits.clone()
    swapped[0, 1:, :4] = logits[0, [2, 3, 1], :4]  # another class, and the same background
    for both in (loss, CrossEntropyDiceLoss(alpha=0.0)):
        assert torch.allclose(both(logits, target), both(swapped, target))
        swapped[0, 0, :4] += 5
        assert both(swapped, target) > both(logits, target)
        swapped[0, 0, :4] -= 5
    assert confusion_matrix(target.clamp(max=3), target, 4).sum() == 32


def test_losses_of_one_class_alone_are_refused_for_several():
    refused("focal", build_loss, "focal", num_classes=3)


def make_parts(folder, count: int):
    """Drawn figures with their parts: 1 is their upper half, 2 their lower."""
    for i in range(count):
        image, mask = draw_pair(i)
        lower = np.arange(len(mask))[:, None] > np.flatnonzero(mask.any(1)).mean()
        write_image(folder / "images" / f"{i:03}.jpg", image)
        write_image(folder / "masks" / f"{i:03}.png", mask)
        write_image(folder / "parts" / f"{i:03}.png", mask // 255 * (1 + lower).astype(np.uint8))
    names = {"0": "background", "1": "upper", "2": "lower"}
    (folder / "parts.json").write_text(json.dumps(names), "utf-8-sig")
    return folder


def test_a_class_without_a_name_is_named(tmp_path):
    folder = make_parts(tmp_path, 6)
    write_image(folder / "parts" / "000.png", np.full((96, 80), 9, np.uint8))
    with pytest.raises(UserError, match=r"000\.png.*9"):
        for split in ("train", "val", "test"):
            load_dataset(folder, split=split, size=32, labels="parts")
    (folder / "parts.json").unlink()
    refused(r"parts\.json", load_dataset, folder, split="train", size=32, labels="parts")


@cases(
    "text said",
    ('{"0": "background", "1": "upper", "1": "lower"}', r"numbered.*\[0, 1, 1\]"),
    ('{"0": "background", "1": "upper", "2": "upper"}', "calls a class 'upper'"),
    ('{"0": "background", "1": null}', "calls a class None"),
    ('["background", "upper"]', "not a list of class names by number"),
)
def test_each_class_has_one_number_and_one_name(tmp_path, text, said):
    (tmp_path / "parts.json").write_text(text)
    refused(said, read_class_names, tmp_path)


@pytest.fixture(scope="module")
def parts_run(tmp_path_factory):
    """A data set with parts, and a network trained on it."""
    folder = make_parts(tmp_path_factory.mktemp("parts"), 30)
    settings = small(labels="parts", num_epochs=12, lr=5e-3, augment=0.0)
    return folder, train([folder], tmp_path_factory.mktemp("runs") / "parts", settings)


def test_a_network_learns_two_classes_and_its_checkpoint_names_them(parts_run):
    _, run = parts_run
    assert run.best_dice > 0.6
    model, info = load_checkpoint(run.checkpoint)
    assert info.classes == ("background", "upper", "lower")
    assert model(torch.zeros(1, 3, 32, 32)).shape == (1, 3, 32, 32)


def test_parts_are_predicted_scored_and_written_in_their_classes(parts_run, tmp_path):
    folder, run = parts_run
    parts = Segmenter.load(run.checkpoint)
    image = read_image(folder / "images" / "003.jpg")
    prob = parts(image, flip=True)
    assert prob.shape == (3, 96, 80) and np.allclose(prob.sum(0), 1, atol=1e-4)
    assert np.array_equal(parts.labels(prob), prob.argmax(0))
    assert np.allclose(parts.foreground(prob), prob[1] + prob[2], atol=1e-4)

    result = evaluate(parts, folder)
    truth = np.stack([read_labels(s.mask) for s in result.samples])
    pred = np.stack([parts.labels(parts(read_image(s.image))) for s in result.samples])
    iou = multiclass_jaccard_index(torch.from_numpy(pred), torch.from_numpy(truth), 3, average="none")
    assert torch.allclose(result.counts.pooled().iou()[0].float(), iou, atol=1e-3)
    assert "upper" in result.table() and "lower" in result.table()
    assert len(write_evaluation(result, parts, tmp_path / "scores")) == 2

    predict_files(parts, [folder / "images" / "003.jpg"], tmp_path / "out", ("mask", "overlay", "cutout"))
    written = read_labels(tmp_path / "out" / "003_mask.png")
    assert np.array_equal(written, parts.labels(parts(image)))


def test_a_class_that_no_mask_shows_is_named_before_training(parts_run, tmp_path, capsys):
    folder = shutil.copytree(parts_run[0], tmp_path / "parts")
    names = {"0": "background", "1": "upper", "2": "lower", "3": "hat"}
    (folder / "parts.json").write_text(json.dumps(names))
    train([folder], tmp_path / "run", small(labels="parts", num_epochs=1))
    assert "no mask to train on shows hat:" in capsys.readouterr().out


def test_a_data_set_with_other_classes_is_not_scored(parts_run):
    model = build_model("unet", widths=(8,), bottleneck=8, num_classes=3)
    info = CheckpointInfo(model.built_as, classes=("background", "left", "right"))
    refused("left", evaluate, Segmenter(model, info), parts_run[0])


def test_a_person_network_becomes_a_part_network_but_for_its_last_layer(parts_run, tmp_path):
    folder, _ = parts_run
    person = train([folder], tmp_path / "person", small(num_epochs=1)).checkpoint
    both = small(labels="parts", num_epochs=1, lr=1e-9, start_from=str(person))
    parts, _ = load_checkpoint(train([folder], tmp_path / "parts", both).checkpoint)
    before, _ = load_checkpoint(person)
    assert torch.allclose(parts.encoder[0][0].weight, before.encoder[0][0].weight, atol=1e-5)
    assert parts.head.weight.shape[0] == 3


# --- a class that is no person --------------------------------------------------------------------------


@pytest.fixture
def ears(make_dataset):
    """Twelve pictures of what is called an ear."""
    folder = make_dataset(12)
    (folder / "dataset.yaml").write_text("class: ear\n")
    return folder


def test_the_name_of_a_class_goes_from_the_data_set_into_every_word(ears, tmp_path, command):
    report = inspect_dataset(ears)
    assert "ear pixels: " in report.text() and "person" not in report.text()
    titles = [axes.get_title() for axes in picture_of_dataset(report).axes]
    assert any(title.endswith("% ear") for title in titles)

    done = train([ears], tmp_path / "run", small(num_epochs=1))
    network = Segmenter.load(done.checkpoint)
    assert network.classes == ("ear",)

    code, out, _ = command("evaluate", tmp_path / "run", ears, "-o", tmp_path / "scores")
    assert code == 0 and "looked for: ear" in out
    config = AnnotateConfig(format=tuple(FORMATS), least=0)
    annotate_folder(network, ears / "images", tmp_path / "new", config)
    assert read_class_name(tmp_path / "new") == "ear"
    export_dataset(ears, tmp_path / "out", tuple(FORMATS), progress=False)
    for file in ("annotations.json", "annotations.xml", "label-studio.json", "data.yaml", "images/000.json"):
        text = (tmp_path / "out" / file).read_text()
        assert "ear" in text and "person" not in text, file
    again = import_folder(tmp_path / "out" / "annotations.json", tmp_path / "again", progress=False)
    assert again.class_name == "ear" and "ear:" in str(again) and "person" not in str(again)
    assert load_dataset(tmp_path / "again", split="train", size=32).classes == ("ear",)


def test_a_class_is_named_at_the_import_or_taken_for_a_person(ears, tmp_path):
    (ears / "dataset.yaml").unlink()
    assert read_class_name(ears) == "person"
    import_folder(ears, tmp_path / "named", progress=False, class_name="left ear")
    assert read_class_name(tmp_path / "named") == "left ear"
    with pytest.raises(UserError, match="hold different classes"):
        load_dataset(ears, tmp_path / "named", split="train", size=32)


@pytest.mark.parametrize("text", ["", "class:", "class: 3", "- ear", "class: [", "class: ' '", "a: &a [*a]"])
def test_a_file_that_names_no_class_is_refused_in_a_sentence(ears, text):
    (ears / "dataset.yaml").write_text(text)
    refused("names no class: expected one line", read_class_name, ears)
    assert not inspect_dataset(ears).healthy


def test_training_says_what_helps_where_nothing_is_found_or_masks_are_tiny(ears, tmp_path, capsys):
    for path in (ears / "masks").iterdir():
        mask = np.zeros((96, 80), np.uint8)
        mask[5:8, 5:8] = 255
        write_image(path, mask)
        mask[5:8, 5:8], mask[20:] = 0, 255  # where nothing is asked, there is nobody either
        write_image(ears / "ignore" / path.name, mask)
    run = train([ears], tmp_path / "run", small(num_epochs=5, lr=1e-6, alpha=1.0, augment=0))
    said = capsys.readouterr().out
    assert "half of them cover" in said and "32 x 32 pixels" in said
    assert run.best_dice < 0.01 and "no ear is found" in said
