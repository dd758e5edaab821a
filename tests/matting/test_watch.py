"""Pictures are cut out as they come into a folder. Between two looks, a test does its next step."""

import os
import signal
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
from PIL import Image

from segkit.files import UserError, write_image
from segkit.matting.photos import FolderReport
from segkit.matting.watch import watch_folder


def stepping(steps: list):
    """In place of each pause, the next step, where it is one; after the last, Ctrl-C."""

    def pause(_):
        if not steps:
            raise KeyboardInterrupt
        if step := steps.pop(0):
            step()

    return pause


def watched(folder, *written, finished=lambda path: False):
    """(name, size when it was taken, again) of every picture that is taken meanwhile.

    written: before each look: (name, text), or None.
    """
    taken, steps = [], [one and partial((folder / one[0]).write_text, one[1]) for one in written]

    def work(path, again):
        taken.append((path.name, path.stat().st_size, again))
        return FolderReport(written=[path] if path.stat().st_size > 2 else [])

    with pytest.raises(KeyboardInterrupt):
        list(watch_folder(folder, folder.with_name("out"), work, finished, sleep=stepping(steps)))
    return taken


@pytest.fixture
def inbox(tmp_path):
    (tmp_path / "inbox").mkdir()
    return tmp_path / "inbox"


@pytest.mark.parametrize(
    ("written", "taken"),
    [
        ([("new.jpg", "12"), ("new.jpg", "1234"), None, None, None], [("new.jpg", 4, False)]),  # it grows
        ([("new.jpg", ""), ("notes.txt", "123"), None, None], []),
        (
            [("new.jpg", "123"), None, ("new.jpg", "12345"), None],
            [("new.jpg", 3, False), ("new.jpg", 5, True)],
        ),
        # The first failed: there is nothing to replace.
        ([("new.jpg", "1"), None, ("new.jpg", "123"), None], [("new.jpg", 1, False), ("new.jpg", 3, False)]),
        ([("../out/a_cutout.png", "1234"), None, None], []),  # a link shows the results
    ],
)
def test_a_picture_is_taken_when_it_rests_and_again_when_it_changed(inbox, written, taken):
    inbox.with_name("out").mkdir()
    (inbox / "results").symlink_to(inbox.with_name("out"))
    assert watched(inbox, *written) == taken


def test_what_is_there_already_is_taken_unless_it_has_results(inbox):
    for name in ("old.jpg", "done.jpg"):
        (inbox / name).write_text("123")
    assert watched(inbox, None, finished=lambda path: path.stem == "done") == [("old.jpg", 3, False)]


def test_results_in_the_watched_folder_would_never_end(inbox):
    for out in (inbox / "out", inbox.parent):  # around it: all pictures there would be taken for results
        with pytest.raises(UserError, match="must not go into or around"):
            next(watch_folder(inbox, out, lambda path, again: None))


def test_the_command_names_each_picture_and_sums_up(inbox, tmp_path, weights, command, monkeypatch):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "green")]
    frames[0].save(inbox / "old.png", save_all=True, append_images=frames[1:])
    (inbox / "list.txt").touch()
    coming = [
        lambda: write_image(inbox / "below" / "new.png", np.zeros((8, 8, 3), np.uint8)),
        lambda: (inbox / "text.jpg").write_text("hello"),
        lambda: (inbox / "slow.png").write_bytes((inbox / "old.png").read_bytes()[:60]),
        lambda: (inbox / "old.jpg").write_bytes((inbox / "old.png").read_bytes()),
        None,
        lambda: (inbox / "slow.png").write_bytes((inbox / "old.png").read_bytes()),
        None,
        None,
    ]

    monkeypatch.setattr(watch_folder, "__defaults__", (*watch_folder.__defaults__[:-1], stepping(coming)))
    options = "-m", weights, "-o", tmp_path / "out"
    told = ("3 cut out, 2 left out", "its results would replace those of"), ("0 cut out, 0 left out", "")
    for wanted, why in told:
        code, out, err = command("predict", "--watch", inbox, *options)
        assert f"stopped watching {inbox}: {wanted}" in out
        assert code == bool(why) and why in err and f"note: {inbox}: not taken from there: 1 .txt" in err
        assert (f"note: {inbox / 'old.png'}: it holds 2 pictures" in err) == bool(why)
        for name in ("text.jpg", "old.jpg"):
            (inbox / name).unlink(missing_ok=True)
    os.utime(inbox / "old.png", (2e9, 2e9))  # changed since its results were made
    coming.append(None)
    code, out, err = command("predict", "--watch", inbox, *options)
    assert code == 1 and "0 cut out, 1 left out" in out and "exists already" in err
    written = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.png")}
    assert written == {"below/new_cutout.png", "old_cutout.png", "slow_cutout.png"}
    assert "--watch takes one folder" in command("predict", "--watch", inbox / "old.png", *options)[2]


@pytest.mark.slow
def test_sigterm_ends_it_as_ctrl_c_does(inbox, tmp_path):
    write_image(inbox / "one.png", np.zeros((8, 8, 3), np.uint8))
    call = [sys.executable, "-m", "segkit", "predict", "--watch", inbox, "-m", "person-small", "-o"]
    running = subprocess.Popen([*call, tmp_path / "out"], stdout=subprocess.PIPE, text=True)
    assert "one_cutout.png" in running.stdout.readline()
    os.kill(running.pid, signal.SIGTERM)
    out, _ = running.communicate(timeout=60)
    assert out.strip().endswith("1 cut out, 0 left out")
    assert running.returncode == 0
