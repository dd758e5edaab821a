"""`segkit course`, on throw-away notebooks of a few lines."""

import asyncio
import re
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import numpy as np
import pytest
import zmq.asyncio
from conftest import cases, refused, write_notebook
from jupyter_client.session import Session

from segkit.course.run import (
    MemoryWatch,
    WakefulChannel,
    choose_notebooks,
    run_course,
    run_notebook,
    settings_for,
)
from segkit.files import UserError, write_image
from segkit.study.members import duration


@pytest.fixture
def lessons(tmp_path):
    """Two lessons and a profile."""
    folder = tmp_path / "lessons"
    write_notebook(folder / "00_first.ipynb", "print('seed', seed, 'lr', lr, repr(data_dir), flip)")
    write_notebook(folder / "01_second.ipynb", "size * 2", parameters="size: int = 7  # side")
    fast = folder / "profiles" / "fast"
    fast.mkdir(parents=True)
    (fast / "00.yaml").write_text("lr: 0.001\n")
    (fast / "01.yaml").write_text("size: 3\n")
    return folder


@pytest.fixture
def course(lessons, tmp_path, command):
    """A function that runs `segkit course`: its exit code, its output, its errors, the folder it made."""

    def run(*argv):
        code, out, err = command("course", "--notebooks", lessons, "-o", tmp_path / "runs", *argv)
        made = re.search(r"results: (.*)", out)
        return code, out, err, made and Path(made[1])

    return run


def printed(path) -> str:
    """All that the cells of a notebook printed or showed as text."""
    outputs = [o for cell in nbformat.read(path, 4).cells for o in cell.get("outputs", [])]
    return "\n".join(o.get("text") or o.get("data", {}).get("text/plain", "") for o in outputs)


def test_every_notebook_runs_and_is_kept_as_notebook_and_as_page(course):
    code, out, err, made = course()
    assert (code, err) == (0, "")
    assert "profile: default" in out and "2 of 2 notebooks ran" in out
    assert str(made / "index.html") in out
    assert printed(made / "00_first.ipynb") == "seed 0 lr 0.1 '' False\n"
    assert printed(made / "01_second.ipynb") == "14"
    assert "seed 0 lr 0.1" in (made / "00_first.html").read_text()
    row = re.search(r"<tr><td>.*</tr>", (made / "index.html").read_text())[0]
    assert re.search(r'<a href="00_first.html">00 · First</a>.*ran.*\d+ s.*0\.\d+ GB.*00_first.ipynb', row)


@pytest.mark.slow
def test_a_failure_is_named_and_the_next_notebook_still_runs(course, lessons, tmp_path):
    write_notebook(lessons / "00_first.ipynb", "print('before')", "1 / 0", "print('after')")
    code, out, err, made = course()
    assert code == 1
    assert "failed: 00_first" in err and "01_second" not in err
    assert "FAILED" in out and "ZeroDivisionError: division by zero" in out
    assert "1 of 2 notebooks ran" in out
    assert "before" in printed(made / "00_first.ipynb")
    assert "ZeroDivisionError" in (made / "00_first.html").read_text()
    assert "ZeroDivisionError" in (made / "index.html").read_text()
    assert printed(made / "01_second.ipynb") == "14"

    page = tmp_path / "README.md"
    page.write_text("<!-- times --><!-- /times -->")
    code, _, err, _ = course("--only", "00", "--table", page)
    assert code == 1 and "left as it was" in err
    assert page.read_text() == "<!-- times --><!-- /times -->"


def test_a_kernel_that_dies_is_a_failure(tmp_path):
    path = write_notebook(tmp_path / "00_dies.ipynb", "import os\nos._exit(1)")
    assert "Dead" in run_notebook(path, tmp_path / "copy.ipynb").error


def test_no_answer_of_the_kernel_is_missed_while_a_widget_reports():
    """What nbclient does when a callback prints: it sends while the answer to the cell comes in."""

    async def ask() -> str:
        session = Session()
        with (
            zmq.Context() as here,
            here.socket(zmq.ROUTER) as kernel,
            zmq.asyncio.Context() as there,
            there.socket(zmq.DEALER) as client,
        ):
            client.connect(f"tcp://127.0.0.1:{kernel.bind_to_random_port('tcp://127.0.0.1')}")
            channel = WakefulChannel(client, session)
            channel.send(session.msg("execute_request"))
            name, *_ = kernel.recv_multipart()
            answer = asyncio.ensure_future(channel.get_msg())
            await asyncio.sleep(0.05)  # now it waits
            session.send(kernel, "execute_reply", ident=name)
            time.sleep(0.05)  # the answer is here, and nobody has looked
            channel.send(session.msg("comm_msg"))
            return (await asyncio.wait_for(answer, 10))["msg_type"]

    assert asyncio.run(ask()) == "execute_reply"


@cases(
    "only names",
    (["1"], ["01_second"]),
    (["01", "12_far"], ["01_second", "12_far"]),
    (["00-01"], ["00_first", "01_second"]),
    ([], ["00_first", "01_second", "12_far"]),
)
def test_only_takes_numbers_ranges_and_names(lessons, only, names):
    write_notebook(lessons / "12_far.ipynb")
    assert list(choose_notebooks(lessons, only)) == names


def test_a_profile_changes_parameters_and_p_goes_before_it(course):
    _, out, _, made = course("--profile", "fast", "-p", "size=5", "flip=true", "-p", "data_dir=007")
    assert printed(made / "00_first.ipynb") == "seed 0 lr 0.001 '007' True\n"
    assert printed(made / "01_second.ipynb") == "10"
    assert "profile: fast" in out and "size=5" in out


@cases(
    "argv said",
    (["--profile", "gpu"], "profile is one of default, fast; found 'gpu'"),
    (["--profile", "."], "profile is one of default, fast; found '.'"),
    (["--profile", "../profiles/fast"], "profile is one of"),
    (["--only", "07"], "no notebook is called '07': choose from 00_first, 01_second"),
    (["--only", "01", "-p", "seed=1"], "has a parameter 'seed': 01_second has size (int)"),
    (["-p", "sede=1"], "00_first has seed (int), lr (float), data_dir (str), flip (bool); 01_second has"),
    (["-p", "seed"], "-p takes name=value, found 'seed'"),
    (["-p", "seed=one"], "00_first: seed must be int, found 'one'"),
    (["-p", "seed=true"], "00_first: seed must be int, found True"),
    (["--notebooks", "/"], "there are no notebooks in '/'"),
    (["--table", "none.md"], "'none.md' has no place for the table"),
)
def test_a_mistake_is_one_sentence_before_anything_runs(course, tmp_path, argv, said):
    code, _, err, made = course(*argv)
    assert (code, made) == (1, None)
    assert said in err and len(err.splitlines()) == 1
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("kind", "text"),
    [("list", "bce"), ("list[int]", "3"), ("dict", "[1]"), ("tuple", "(1"), ("bool", "yes"), ("int", "1.0")],
)
def test_a_parameter_is_of_the_kind_that_its_notebook_declares(tmp_path, kind, text):
    path = write_notebook(tmp_path / "00_a.ipynb", "pass", parameters=f"a: {kind} = None")
    with pytest.raises(UserError, match=re.escape(f"00_a: a must be {kind}, found")):
        settings_for({"00_a": path}, {}, {"a": text})


def test_a_place_that_no_folder_can_have_is_a_sentence(course, tmp_path):
    (tmp_path / "runs").write_text("mine")
    code, _, err, _ = course()
    assert code == 1 and "cannot be made" in err and len(err.splitlines()) == 1


@cases(
    "name content said",
    ("00", "sede: 1", "sets 'sede' in 00_first"),
    ("07", "seed: 1", "07.yaml' is of no notebook: no notebook is called '07'"),
    ("00", "3", "00.yaml' must hold one parameter a line"),
    ("00", "[", "00.yaml' is not YAML"),
    ("00", "seed: 1.5", "00_first: seed must be int, found 1.5"),
)
def test_a_mistake_in_a_profile_is_one_sentence(course, lessons, name, content, said):
    (lessons / "profiles" / "fast" / f"{name}.yaml").write_text(content)
    code, _, err, _ = course("--profile", "fast")
    assert code == 1
    assert said in err


@pytest.mark.slow
def test_papermill_takes_a_profile_too_and_says_which_parameter_it_does_not_know(lessons, tmp_path):
    copy = tmp_path / "copy.ipynb"
    command = [sys.executable, "-m", "papermill", "00_first.ipynb", copy, "-f", "profiles/fast/00.yaml"]
    done = subprocess.run([*command, "-p", "sede", "1"], cwd=lessons, capture_output=True, text=True)
    assert done.returncode == 0
    assert printed(copy) == "seed 0 lr 0.001 '' False\n"
    assert "Passed unknown parameter: sede" in done.stderr


def test_a_file_that_is_no_notebook_is_one_sentence(course, lessons):
    (lessons / "01_second.ipynb").write_text("{")
    code, _, err, _ = course()
    assert code == 1
    assert "01_second.ipynb' is not a notebook that can be read" in err


def test_times_and_memory_are_written_between_the_markers(course, tmp_path):
    page = tmp_path / "README.md"
    page.write_text("Before.\n<!-- times -->\nold\n<!-- /times -->\nAfter.\n")
    code, *_ = course("--table", page)
    assert code == 0
    text = page.read_text()
    assert re.search(r"\| \[00 · First\]\(00_first.ipynb\) \| \d+ s \| 0\.\d\d GB \|", text)
    assert "old" not in text and text.startswith("Before.\n<!-- times -->\n|")
    assert text.endswith("<!-- /times -->\nAfter.\n")


def test_a_page_links_to_pages_carries_its_pictures_and_has_text_in_place_of_a_widget(course, lessons):
    cells = "import ipywidgets", "ipywidgets.IntSlider(max=7)"
    write_notebook(lessons / "00_first.ipynb", *cells, title="[next](01_second.ipynb) ![dot](dot.png)")
    write_image(lessons / "dot.png", np.zeros((2, 2, 3), np.uint8))
    *_, made = course()
    page = (made / "00_first.html").read_text()
    assert 'href="01_second.html"' in page and 'src="data:image/png' in page
    assert "IntSlider(value=0, max=7)" in page and "widget-view" not in page
    assert "html-manager" not in page  # what would fetch the widget's code


def test_the_memory_of_processes_below_the_kernel_counts(tmp_path):
    hold = "import time; held = bytearray(200_000_000); time.sleep(1)"
    run = f"subprocess.run([sys.executable, '-c', '{hold}'])"
    path = write_notebook(tmp_path / "00_heavy.ipynb", "import subprocess, sys", run)
    outcome = run_notebook(path, tmp_path / "copy.ipynb")
    assert outcome.error is None and 230e6 < outcome.peak_bytes < 500e6


def test_a_process_that_was_there_before_does_not_count():
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    with MemoryWatch(every=0.01) as memory:
        pass
    other.communicate(b"\n")
    assert memory.peak == 0


def test_durations_read_like_speech():
    assert [duration(s) for s in (0.6, 59.6, 250)] == ["1 s", "1 min 0 s", "4 min 10 s"]


def test_without_notebooks_it_says_where_they_come_from(tmp_path):
    refused("come with the repository, not with the package", run_course, tmp_path)
