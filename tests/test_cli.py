import csv
import io
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from conftest import cases, draw_dataset
from PIL import Image

from segkit.checkpoint import CheckpointInfo, load_checkpoint, save_checkpoint
from segkit.cli import COMMANDS, _once_more, main
from segkit.deploy.export import read_info
from segkit.files import read_image, write_image

QUICK = ["--size=32", "--batch_size=4", "--width=8", "--precision=fp32"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A data set, and a run on it, to be read."""
    place = tmp_path_factory.mktemp("trained")
    folder, run = draw_dataset(place / "drawn", 16), place / "run"
    with pytest.raises(SystemExit, match="0"):
        main(["train", str(folder), "-o", str(run), "--num_epochs=1", *QUICK])
    return folder, run


def test_ctrl_c_that_python_loses_while_it_forks_comes_again():
    before = signal.getsignal(signal.SIGALRM)
    try:
        with pytest.raises(KeyboardInterrupt):
            _once_more(SimpleNamespace(exc_type=KeyboardInterrupt))
            time.sleep(30)
    finally:
        signal.signal(signal.SIGALRM, before)


def test_ctrl_c_that_a_library_swallows_is_a_stop_when_it_fails_for_it(command, monkeypatch):
    before = signal.getsignal(signal.SIGINT)

    def half_loaded(*_):
        with suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        raise AttributeError("partially initialized module")

    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        monkeypatch.setattr("segkit.cli.parse", half_loaded)
        code, _, said = command("models")
    finally:
        signal.signal(signal.SIGINT, before)
    assert code == 130 and "stopped" in said


@pytest.mark.parametrize("name", COMMANDS)
def test_every_help_shows_an_example(command, name):
    code, out, _ = command(name, "--help")
    assert code == 0 and "Example: segkit" in " ".join(out.split()) and "null" not in out


def test_a_name_that_this_terminal_cannot_show_is_shown_in_parts(monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(io.BytesIO(), "ascii"))
    with pytest.raises(SystemExit):
        main(["--completion", "caf\u00e9"])
    sys.stderr.flush()
    assert b"found 'caf\\xe9'" in sys.stderr.buffer.getvalue()


@pytest.mark.slow
@cases(
    "streams command said",
    ("<&-", "predict - -m person-small", "standard input is not a picture"),
    (">&-", "predict - -m person-small", "standard output is closed"),
    (">/dev/full", "models", "No space left"),
)
def test_standard_streams_that_are_closed_or_full_are_one_sentence(streams, command, said):
    run = f"{sys.executable} -m segkit {command} {streams}"
    done = subprocess.run(["sh", "-c", run], stderr=subprocess.PIPE, text=True)
    assert done.returncode and said in done.stderr and "Traceback" not in done.stderr


def test_a_command_that_is_typed_wrong_is_guessed(command):
    code, _, said = command("modles")
    assert code == 2 and said == "segkit: there is no command modles (did you mean models?)\n"


def test_without_a_command_the_help_is_shown(command):
    code, out, _ = command()
    assert code == 2 and all(command in out for command in COMMANDS)


def test_train_evaluate_predict(trained, tmp_path, command):
    folder, run = trained
    code, out, _ = command("evaluate", run, folder, "--split", "test", "-o", tmp_path / "scores")
    assert code == 0 and "dice" in out
    assert list(csv.DictReader((tmp_path / "scores" / "per_image.csv").open()))

    code, _, err = command("evaluate", run, folder, "--split", "test", "-o", tmp_path / "scores")
    assert code == 1 and "--overwrite" in err

    command("evaluate", run, folder, "--split", "val")
    assert (run / "evaluate-val" / "per_image.csv").is_file()  # in the run, unless told
    assert "--overwrite" in command("evaluate", run, folder, "--split", "val")[2]
    assert command("evaluate", run, folder, "--split", "val", "--overwrite")[0] == 0

    out = tmp_path / "out"
    code, said, _ = command("predict", folder / "images", "-m", run, "-o", out, "--write", "mask,cutout")
    assert code == 0 and "32 files written" in said
    assert Image.open(out / "003_mask.png").size == (80, 96)


@pytest.mark.slow
def test_evaluate_says_which_pictures_the_network_was_trained_on(trained, tmp_path, command):
    folder, run = trained
    names = sorted(path.stem for path in (folder / "images").iterdir())
    rows = [f"{name},{'train' if i % 2 else 'val'}" for i, name in enumerate(names)]
    (tmp_path / "other.csv").write_text("\n".join(["name,split", *rows]) + "\n")
    other = tmp_path / "other"
    command("train", folder, "-o", other, "--splits", tmp_path / "other.csv", "--num_epochs=1", *QUICK)
    _, out, _ = command("evaluate", other, folder)
    assert f"8 of these pictures are of the train split: --splits {tmp_path / 'other.csv'}" in out
    swapped = (tmp_path / "other.csv").read_text().replace("train", "test").replace("val", "train")
    (tmp_path / "other.csv").write_text(swapped)
    assert "dealt otherwise in training" in command("evaluate", other, folder, "-o", tmp_path / "swapped")[1]
    (tmp_path / "other.csv").unlink()
    assert "cannot be told" in command("evaluate", other, folder, "--split", "test")[1]
    shutil.copytree(folder, tmp_path / "ears")
    (tmp_path / "ears" / "dataset.yaml").write_text("class: ear")
    assert "show something else: ear" in command("evaluate", run, tmp_path / "ears", "-o", tmp_path / "e")[1]
    model, info = load_checkpoint(run / "best.safetensors")
    save_checkpoint(tmp_path / "m.safetensors", model, replace(info, scores={"split": "out of fold"}))
    said = command("evaluate", tmp_path / "m.safetensors", folder)[1]
    assert "all of these pictures were trained on" in said


def test_a_picture_of_which_nothing_is_asked_is_left_out_and_named(trained, make_dataset, tmp_path, command):
    folder = make_dataset(4)
    everywhere = np.full((96, 80), 255, np.uint8)
    write_image(folder / "ignore" / "002.png", everywhere)
    code, out, err = command("evaluate", trained[1], folder, "-o", tmp_path / "scores")
    assert code == 0 and f"left out '{folder / 'images' / '002.jpg'}'" in err and "3 pictures of" in out
    for image in folder.glob("images/*"):
        write_image(folder / "ignore" / f"{image.stem}.png", everywhere)
    assert "nothing to score in the 4 of 4 pictures" in command("evaluate", trained[1], folder)[2]


def test_settings_come_from_yaml_and_flags_go_before(make_dataset, tmp_path, command):
    config = tmp_path / "c.yaml"
    config.write_text(yaml.safe_dump({"lr": 0.01, "alpha": 0.2, "size": 32, "width": 8, "precision": "fp32"}))
    run = tmp_path / "run"
    settings = ("--config", config, "--alpha=0.9", "--num_epochs=1", "-o", run)
    settings += ("--model_settings.attention=false", "--shares.drawn", "1")
    assert command("train", make_dataset(8), *settings)[0] == 0
    recorded = yaml.safe_load((run / "config.json").read_text())["config"]
    assert (recorded["lr"], recorded["alpha"], recorded["width"]) == (0.01, 0.9, 8)
    assert (recorded["model_settings"], recorded["shares"]) == ({"attention": False}, {"drawn": 1})
    said = command("train", make_dataset(8), "--model_settings.widths", "4,0", "-o", tmp_path / "no")[2]
    assert "4, 0)" in said  # a list without brackets is a list
    for text, words in (("8", "such as [8, 16]: found 8"), ("[", "--model_settings.widths takes")):
        code, _, said = command("train", make_dataset(8), "--model_settings.widths", text)
        assert code == 1 and words in said and len(said.splitlines()) == 1


@cases(
    "text said",
    ("a: " + "[" * 5000, "c.yaml' is no YAML"),
    ("a: &a [1]\nb: [*a]", "write each setting out"),
    ("resume: true", "cannot say resume"),
    ("config: x", "cannot say config"),
    ("data: data/people", "data is a list, such as [data/people]"),
    ("size: 32\nsize: 64", "says size twice"),
    ("model_settings: null", "'x' is not a folder"),
    ("my notes", "holds no settings"),
    ("# nothing yet", "holds no settings"),
)
def test_a_settings_file_that_cannot_be_meant_is_one_sentence(tmp_path, command, text, said):
    (tmp_path / "c.yaml").write_text(text)
    code, _, err = command("train", "x", "--config", tmp_path / "c.yaml")
    assert code == 1 and said in err and len(err.splitlines()) == 1


def test_a_setting_of_another_name_is_guessed(tmp_path, command):
    (tmp_path / "c.yaml").write_text("epochs: 1")
    said = command("train", "x", "--config", tmp_path / "c.yaml")[2]
    assert "'epochs' is not accepted (did you mean --num_epochs?)" in said
    (tmp_path / "c.yaml").write_text("data: [5]")
    assert "data takes a text, found '5'" in command("train", "--config", tmp_path / "c.yaml")[2]


def test_data_sets_that_are_not_there_are_named_and_left_out(make_dataset, tmp_path, command):
    folder, run = make_dataset(16), tmp_path / "run"
    absent = tmp_path / "photographs"
    code, _, err = command("train", absent, absent, folder, "-o", run, "--num_epochs=1", *QUICK)
    assert code == 0 and f"no such folder: {absent}. Training on {folder} alone." in err
    assert json.loads((run / "config.json").read_text())["data"] == [str(folder)]
    code, _, err = command("train", absent, "-o", tmp_path / "other", *QUICK)
    assert code == 1 and "is not a folder" in err


def test_resume_takes_recorded_settings_and_all_named_sets(trained, make_dataset, tmp_path, command):
    folder, run = trained[0], shutil.copytree(trained[1], tmp_path / "run")
    assert command("train", "--resume", "-o", run, "--num_epochs=2")[0] == 0
    assert len((run / "history.csv").read_text().splitlines()) == 3
    more = make_dataset(8, "more")
    assert command("train", folder, more, "--resume", f"--out={run}", "--num_epochs=3")[0] == 0
    assert len(json.loads((run / "config.json").read_text())["data"]) == 2


RECORDS = ["", "[]", "{}", "[" * 9999, '{"data": 5, "config": {}}', '{"data": [], "config": {"speed": 1}}']


@pytest.mark.parametrize("text", RECORDS)
def test_a_record_of_a_run_that_cannot_be_read_is_named(tmp_path, command, text):
    (tmp_path / "config.json").write_text(text)
    code, _, err = command("train", "--resume", "-o", tmp_path)
    assert code == 1 and "config.json' is no record of a run that can be read (" in err


def test_doctor_is_honest_by_its_exit_code(make_dataset, tmp_path, command):
    folder = make_dataset(6)
    assert command("doctor", folder, "--picture", tmp_path / "p.png")[0] == 0
    assert "exists already" in command("doctor", folder, "--picture", tmp_path / "p.png")[2]
    assert "such as look.png" in command("doctor", folder, "--picture", tmp_path / "p")[2]
    photo = next(folder.glob("images/*"))
    said = command("data", "check", folder, "--picture", photo, "--overwrite")[2]
    assert "its result would replace it" in said
    assert Image.open(tmp_path / "p.png").size[0] > 300
    (folder / "masks" / "002.png").unlink()
    code, out, _ = command("data", "check", folder)
    assert code == 1 and "picture without mask" in out
    code, out, _ = command("doctor")
    assert code == 0 and "[OK]" in out


def test_data_commands_reach_their_rooms(make_dataset, command):
    code, out, _ = command("data", "split", make_dataset(10))
    assert code == 0 and "train" in out
    code, out, _ = command("data", "list")
    assert "penn-fudan" in out
    code, _, err = command("data", "get", "imagenet")
    assert code == 1 and "penn-fudan" in err


@cases(
    "typed said",
    ("train", "needs a data set"),
    ("train {none} -o {out}", "not a folder"),
    ("train --resume", "needs the run folder"),
    ("train --resume -o {none}", "no run to go on with"),
    ("evaluate {none} {none}", "no checkpoint"),
    ("predict {none} -m {none} -o {out}", "no checkpoint"),
    ("doctor {none}", "none' is not a folder"),
    ("predict {none} -m person-small -o {file}", "is a file: results go into a folder"),
    ("sweep -g seed=0,1 -o {file}", "is a file: results go into a folder"),
    ("predict {none} -m person-small", "say where the results go"),
    ("predict '' -m person-small -o {out}", "is empty: is a variable of your shell not set?"),
    ("demo --host ''", "is empty: is a variable of your shell not set?"),
    ("predict {none} -m person-small -o {file}/x/y", "file' is a file: results go into a folder"),
    ("predict --watch {none} -m person-small -o {out}", "one folder that is there, found {none}"),
    ("train {none} --config {pipe}", "pipe' is not a file: --config names a YAML file"),
    ("doctor --picture look.png", "--picture shows a data set: name its folder"),
    ("course --only 00 --table {latin}", "latin' has no place for the table"),
    ("export person-small -o x.onnx --precision half --data {none}", "none' is not a folder"),
    ("predict {none} -m person-small -o {out} --background reed", "such as #00aa55 or red, or a picture"),
    ("predict {none} -m person-small -o {out} --background beach.jpg", "'beach.jpg' does not exist"),
    ("predict {none} -m person-small -o {out} --background red", "none' does not exist"),
)
def test_a_users_mistake_is_one_sentence_and_exit_code_1(tmp_path, command, monkeypatch, typed, said):
    places = {name: str(tmp_path / name) for name in ("none", "out", "file", "pipe", "latin")}
    (tmp_path / "file").touch()
    (tmp_path / "latin").write_bytes(b"\xe9")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "red").mkdir()  # a folder is no background, and hides no colour
    monkeypatch.chdir(tmp_path)
    code, _, err = command(*shlex.split(typed.format(**places)))
    assert code == 1 and said.format(**places) in err
    assert not (tmp_path / "x.onnx").exists()
    assert not (tmp_path / "out").exists() or not any((tmp_path / "out").iterdir())


def test_a_place_that_may_not_be_written_is_said_before_the_work(tmp_path, command, monkeypatch):
    monkeypatch.setattr("os.access", lambda path, how: str(path) != str(tmp_path))
    code, _, err = command("predict", "a.jpg", "-m", "none", "-o", tmp_path / "new" / "out")
    assert code == 1 and f"'{tmp_path}' may not be written" in err


@cases(
    "typed said",
    ("annotate photos", "are required: -o/--out"),
    ("sweep", "are required: -g/--grid, -o/--out"),
    ("data import x", "are required: -o/--out"),
    ("data check", "are required: folder"),
    ("predict -o out", "are required: input"),
    ("data", "segkit data needs one of check, list, get, import, export, split"),
    ("train x --batch-size 4", "--batch-size 4 (did you mean --batch_size?)"),
    ("predict x --treshold=.4", "--treshold=.4 (did you mean --threshold?)"),
    ("data import x -o y --layuot coco", "(did you mean --layout?)"),
    ("train --resum -o x", "--resum (did you mean --resume?)"),
    ("annotate photos -o a --min_share 2", "unrecognized arguments: --min_share 2"),
    ("train x --lr fast", "--lr takes a number, found 'fast'"),
    ("train x --width wide", "--width takes a whole number, found 'wide'"),
    ("train x --precision fp8", "one of 'auto', 'fp32', 'bf16', 'fp16', found 'fp8'"),
    ("train x --model unett", "'unet-lite2', 'deeplab-lite0', found 'unett'"),
    ("sweep -g a=1 -o x --workers -1", "--workers takes a whole number above 0, found '-1'"),
    ("train x --model_settings up 4", "--model_settings.NAME VALUE, found 'up'"),
)
def test_a_wrong_call_is_one_sentence_with_the_options_as_they_are_typed(command, typed, said):
    code, _, err = command(*typed.split())
    assert code == 2 and err.splitlines()[0].endswith(said)
    assert err.splitlines()[1:] == [f"All options: segkit {typed.split(' ', 1)[0]} --help"] or "data" in err


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("bash"), reason="no bash")
def test_a_shell_completes_commands_options_and_files(command, tmp_path):
    code, script, _ = command("--completion", "bash")
    assert code == 0
    (tmp_path / "segkit.sh").write_text(script)
    (tmp_path / "photo.jpg").touch()
    expected = {"pred": "predict", "predict --wri": "--write", "predict ph": "photo.jpg"}
    expected |= {"video photo.jpg -o ph": "photo.jpg", "data spl": "split", "data split ph": "photo.jpg"}
    for typed, completed in expected.items():
        typed = f"segkit {typed}"
        words = f"COMP_WORDS=({typed}); COMP_CWORD={len(typed.split()) - 1}"
        ask = f"source ./segkit.sh; {words}; _shtab_segkit; echo ${{COMPREPLY[@]}}"
        done = subprocess.run(["bash", "-c", ask], cwd=tmp_path, capture_output=True, text=True)
        assert done.stdout.strip() == completed
    code, _, err = command("--completion", "cmd")
    assert code == 1 and "bash, zsh" in err


@pytest.mark.slow
@pytest.mark.parametrize("typed", ["predict photos", "predict --watch photos", "export"])
def test_who_is_killed_leaves_nothing_half(typed, tiny_model, tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    save_checkpoint(tmp_path / "m.safetensors", tiny_model, CheckpointInfo(tiny_model.built_as))
    noise = np.random.default_rng(0).integers(0, 256, (1500, 1500, 3), dtype=np.uint8)
    write_image(tmp_path / "photos" / "a.png", noise)
    export, out = typed == "export", tmp_path / "out"
    more = "m.safetensors -o out/m.onnx" if export else "-m m.safetensors -o out --write overlay"
    look = read_info if export else read_image
    with subprocess.Popen([sys.executable, "-m", "segkit", *f"{typed} {more}".split()]) as running:
        while not list(out.glob(".*")):  # a result is being written
            assert running.poll() is None
            time.sleep(0.001)
        running.kill()
    for path in out.glob("[!.]*"):
        look(path)
    again = f"{typed} {more} --overwrite".replace("--watch ", "").split()
    assert command(*again)[0] == 0
    (made,) = out.glob("[!.]*")
    look(made)


@pytest.mark.slow
def test_odd_pictures_are_predicted_or_reported(trained, tmp_path, command):
    _, run = trained
    photos = tmp_path / "photos"
    write_image(photos / "dot.png", np.zeros((1, 1, 3), np.uint8))
    Image.new("1", (12_000, 9_000)).save(photos / "huge.png")
    (photos / "text.jpg").write_text("hello")
    code, _, err = command("predict", photos, "-m", run, "-o", tmp_path / "out", "--write", "mask")
    assert code == 1 and "text.jpg" in err
    assert Image.open(tmp_path / "out" / "dot_mask.png").size == (1, 1)
    assert Image.open(tmp_path / "out" / "huge_mask.png").size == (12_000, 9_000)


def test_the_weights_that_ship_are_listed_and_the_version_is_said(command):
    code, out, _ = command("models")
    assert code == 0 and "person-base" in out and "person-parts" in out
    code, out, _ = command("--version")
    assert code == 0 and out.startswith("segkit ")
