"""Pictures are cut out as they come into a folder. Between two looks, a test does its next step."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from segkit.files import UserError, write_image
from segkit.matting.photos import FolderReport
from segkit.matting.watch import watch_folder


class Over(Exception):
    """The last step of a test is done."""


def watched(folder, *steps, finished=lambda path: False):
    """(name, size when it was taken, again) of every picture that is taken meanwhile."""
    taken, left = [], list(steps)

    def work(path, again):
        taken.append((path.name, path.stat().st_size, again))
        return FolderReport(written=[path] if path.stat().st_size > 2 else [])

    def sleep(_):
        if not left:
            raise Over
        left.pop(0)()

    with pytest.raises(Over):
        list(watch_folder(folder, folder.with_name("out"), work, finished, sleep=sleep))
    return taken


def nothing():
    """A look at which all is as it was."""


@pytest.fixture
def inbox(tmp_path):
    (tmp_path / "inbox").mkdir()
    return tmp_path / "inbox"


def writes(path, text):
    return lambda: path.write_text(text)


def test_a_file_is_taken_when_it_has_stopped_growing(inbox):
    new = inbox / "new.jpg"
    assert watched(inbox, writes(new, "12"), writes(new, "1234"), nothing, nothing, nothing) == [
        ("new.jpg", 4, False)
    ]


def test_an_empty_file_is_not_taken_and_no_picture_neither(inbox):
    steps = writes(inbox / "new.jpg", ""), writes(inbox / "notes.txt", "123"), nothing, nothing
    assert watched(inbox, *steps) == []


def test_what_is_there_already_is_taken_unless_it_has_results(inbox):
    for name in ("old.jpg", "done.jpg"):
        (inbox / name).write_text("123")
    assert watched(inbox, nothing, finished=lambda path: path.stem == "done") == [("old.jpg", 3, False)]


def test_a_file_that_changes_later_is_taken_again_and_its_own_results_are_replaced(inbox):
    new = inbox / "new.jpg"
    steps = writes(new, "123"), nothing, writes(new, "12345"), nothing, nothing
    assert watched(inbox, *steps) == [("new.jpg", 3, False), ("new.jpg", 5, True)]


def test_one_that_failed_is_tried_again_and_replaces_nothing(inbox):
    new = inbox / "new.jpg"
    steps = writes(new, "1"), nothing, writes(new, "123"), nothing
    assert watched(inbox, *steps) == [("new.jpg", 1, False), ("new.jpg", 3, False)]


def test_results_in_the_watched_folder_would_never_end(inbox):
    with pytest.raises(UserError, match="must not go into"):
        next(watch_folder(inbox, inbox / "out", lambda path, again: None))


def test_results_that_a_link_shows_are_not_taken(inbox):
    (inbox / "results").symlink_to(inbox.with_name("out"))
    inbox.with_name("out").mkdir()
    assert watched(inbox, writes(inbox.with_name("out") / "a_cutout.png", "1234"), nothing, nothing) == []


def test_the_command_names_each_picture_and_ends_in_one_sentence(
    inbox, tmp_path, weights, command, monkeypatch
):
    write_image(inbox / "old.png", np.zeros((8, 8, 3), np.uint8))
    coming = [
        lambda: write_image(inbox / "below" / "new.png", np.zeros((8, 8, 3), np.uint8)),
        lambda: (inbox / "text.jpg").write_text("hello"),
        lambda: (inbox / "old.jpg").write_bytes((inbox / "old.png").read_bytes()),
        nothing,
        nothing,
    ]

    def step(_):
        if not coming:
            raise KeyboardInterrupt
        coming.pop(0)()

    monkeypatch.setattr(watch_folder, "__defaults__", (*watch_folder.__defaults__[:-1], step))
    options = "-m", weights, "-o", tmp_path / "out"
    told = ("2 cut out, 2 left out", "its results would replace those of"), ("0 cut out, 0 left out", "")
    for wanted, why in told:
        code, out, err = command("predict", "--watch", inbox, *options)
        assert f"stopped watching {inbox}: {wanted}" in out
        assert code == bool(why) and why in err
        for name in ("text.jpg", "old.jpg"):
            (inbox / name).unlink(missing_ok=True)
    os.utime(inbox / "old.png", (2e9, 2e9))  # changed since its results were made
    coming.append(nothing)
    code, out, err = command("predict", "--watch", inbox, *options)
    assert code == 1 and "0 cut out, 1 left out" in out and "exists already" in err
    written = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.png")}
    assert written == {"below/new_cutout.png", "old_cutout.png"}
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
