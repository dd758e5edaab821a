"""Every lesson and every solution keeps the rules, and runs: see notebook_runs.py."""

import copy
import re
from base64 import b64encode

import cv2
import nbformat
import notebook_rules as rules
import numpy as np
import pytest
from conftest import cases, write_notebook
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output
from notebook_runs import LESSONS, NOTEBOOKS, SOLUTIONS, read, run, run_nbval

from segkit.course.check import CHECKS
from segkit.course.run import choose_notebooks, read_profile, settings_for

SWEEPS = sorted((NOTEBOOKS / "sweeps").glob("*.ipynb"))
"""Not lessons: what lesson 10 and `segkit sweep` run with other parameters."""


# --- the rules ------------------------------------------------------------------------------------------


def test_every_lesson_of_the_map_is_there_and_has_solutions():
    listed = re.findall(r"\]\((\d\d_\w+)\.ipynb\)", (NOTEBOOKS / "README.md").read_text())
    assert list(dict.fromkeys(listed)) == [path.stem for path in LESSONS]
    assert [path.stem for path in SOLUTIONS] == [f"{path.stem}_solutions" for path in LESSONS]
    assert {int(path.name[:2]) for path in LESSONS} >= {*range(9)}  # the main path


def test_no_notebook_hides_in_another_place():
    hidden = {p for p in NOTEBOOKS.rglob("*.ipynb") if not {".ipynb_checkpoints", "runs"} & set(p.parts)}
    assert hidden == {*LESSONS, *SOLUTIONS, *SWEEPS}


RULES = {path: [*rules.ANY, *rules.LESSON] for path in LESSONS}
RULES |= {path: [*rules.ANY, *rules.SOLUTION] for path in SOLUTIONS} | {path: rules.ANY for path in SWEEPS}


@pytest.mark.parametrize("path", RULES, ids=lambda path: path.stem)
def test_it_keeps_the_rules(path):
    faults = [f"{rule.__name__}: {fault}" for rule in RULES[path] for fault in rule(read(path), path)]
    assert not faults, "\n".join([path.name, *faults])


@pytest.mark.parametrize("profile", sorted(p.name for p in (NOTEBOOKS / "profiles").iterdir()))
def test_a_profile_names_parameters_that_exist_with_values_that_papermill_takes_as_they_are(profile):
    found = read_profile(NOTEBOOKS, profile)
    settings = settings_for(choose_notebooks(NOTEBOOKS, list(found)), found, {})
    assert settings == found and repr(settings) == repr(found)  # True is not 1


def test_no_check_is_left_without_an_exercise():
    asked = {name for path in LESSONS for name in re.findall(r"check\.(\w+)\(", path.read_text())}
    assert asked >= set(CHECKS)


# --- the runs -------------------------------------------------------------------------------------------


@pytest.mark.notebook
@pytest.mark.parametrize("path", [*LESSONS, *SOLUTIONS], ids=lambda path: path.stem)
def test_it_runs(path, tmp_path):
    found = run(path, tmp_path)
    assert not found, "\n".join(found)


@pytest.mark.long
@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_it_runs_under_nbval_with_its_own_parameters(path):
    found = run_nbval(path)
    assert not found, "\n".join(found)


# --- the tests above would see a fault ------------------------------------------------------------------


INTERACT = "moved = interact(lambda x: 1 / (x - 5), x=(5, 9, 1))\nmoved.widget.children[0].value = 5"
THREAD = "import threading\nother = threading.Thread(target=lambda: 1 / 0)\nother.start()\nother.join()"
THREE = new_output("execute_result", {"text/plain": "3"}, execution_count=3)
WIDE = b64encode(cv2.imencode(".png", np.zeros((1, 800), np.uint8))[1]).decode()
PICTURE = new_output("display_data", {"image/png": "aGVsbG8="})


def faulty(folder, code: str, outputs=(), tags=()):
    """A notebook whose cell before the last holds that code and is stored with those outputs."""
    path = write_notebook(folder / "00_faulty.ipynb", "from ipywidgets import interact", code, "'the end'")
    notebook = nbformat.read(path, as_version=4)
    rules.code_cells(notebook)[2].update(outputs=list(outputs), metadata={"tags": list(tags)})
    nbformat.write(notebook, path)
    return path


@pytest.mark.notebook
@cases(
    "code stored tags seen",
    ("1 + 1", [THREE], [], None),
    ("1 / 0", [], [], "ZeroDivisionError"),
    (INTERACT, [], [], "in a widget: ZeroDivisionError"),
    ("raise SystemExit", [], [], "not run to its end"),
    ("import time; time.sleep(60)", [], [], "Timeout"),
    (THREAD, [], [], "not run to its end"),
    ("1 + 1", [THREE], [rules.CHECKED], "is stored with"),
    ("1 + 1", [THREE], [rules.CHECKED, rules.BY_PARAMETERS], None),
    ("1 + 1", [PICTURE], [], "no longer shows its picture"),
)
def test_a_fault_is_seen(tmp_path, code, stored, tags, seen, monkeypatch):
    if seen == "Timeout":
        monkeypatch.setattr("notebook_runs.CELL_SECONDS", 3)
    found = run(faulty(tmp_path, code, stored, tags), tmp_path / "out")
    assert seen in "".join(found) if seen else not found, found


@pytest.mark.long
@pytest.mark.parametrize("code", ["1 / 0", "# NBVAL_CHECK_OUTPUT\n1 + 1", "# NBVAL_SKIP\n1 + 1"])
def test_nbval_sees_a_fault(tmp_path, code):
    assert run_nbval(faulty(tmp_path, code, [THREE]))


def edit(kind: str, old: str, new: str):
    """Replace text in every cell of a kind; it must occur."""

    def change(notebook):
        cells = [cell for cell in notebook.cells if cell.cell_type == kind and old in cell.source]
        assert cells, f"no {kind} cell holds {old!r}"
        for cell in cells:
            cell.source = cell.source.replace(old, new)

    return change


def on_code(number: int, change):
    return lambda notebook: change(rules.code_cells(notebook)[number])


def cell(number: int = 3, **values):
    """Give a code cell other values."""
    return on_code(number, lambda cell: cell.update(values))


def tagged(*tags: str, number: int = 3):
    return cell(number, metadata={"tags": list(tags)})


def add_prose(text):
    return lambda notebook: notebook.cells.insert(5, new_markdown_cell(text))


def add_output(text, name="stdout"):
    return on_code(3, lambda cell: cell.outputs.append(new_output("stream", name=name, text=text)))


def forget_pictures(notebook):
    for cell in rules.code_cells(notebook):
        cell.outputs = [o for o in cell.outputs if "image/png" not in o.get("data", {})]


def forget_outputs(notebook):
    for cell in rules.code_cells(notebook):
        cell.outputs = []


def forget_words(notebook):
    for cell in notebook.cells:
        cell.update(source="# A" if cell.cell_type == "markdown" else cell.source)


UNCHECKED = "# NBVAL_SKIP\nx = 1", "# NBVAL_IGNORE_OUTPUT\nx = 1", "# NBVAL_CHECK_OUTPUT\nx = 1", ""
PLANTED = {
    "runs_every_cell": [
        *map(tagged, ("skip-execution", "raises-exception", "nbval-skip")),
        *(cell(source=source) for source in UNCHECKED),
        cell(metadata={"tags": [rules.CHECKED]}, outputs=[]),
        cell(cell_type="raw"),
    ],
    "has_the_outputs_of_one_clean_run": [
        cell(execution_count=None),
        cell(execution_count=99),
        add_output("UserWarning: old", "stderr"),
        add_output("\n" * 100),
        add_output(" 10%|#         |"),
        cell(outputs=[new_output("error", ename="E", evalue="", traceback=[])]),
    ],
    "is_small_and_keeps_no_widget_state": [
        add_output("x" * 1_500_000),
        lambda notebook: notebook.metadata.update(widgets={}),
    ],
    "has_plain_code": [cell(source="!ls"), cell(source="x = 1;")],
    "names_no_place_of_one_machine": [
        cell(source="open('/home/me/x')"),
        add_output("saved to /tmp/abc/x.png"),
        add_prose(r"Look at C:\photos."),
    ],
    "links_to_what_exists": [
        add_prose("[there](99_nowhere.ipynb)"),
        add_prose('<a href="nowhere.html">there</a>'),
        add_prose("![a picture of something](attachment:lost.png)"),
    ],
    "says_in_words_what_pictures_show": [
        add_prose("![](../data/pictures/people.jpg)"),
        add_prose('<img src="../data/pictures/people.jpg">'),
        forget_words,
    ],
    "fits_a_phone": [cell(outputs=[new_output("display_data", {"image/png": WIDE})])],
    "states_only_printed_numbers": [add_prose("It is <!--=-->123.4567."), add_prose("It is <!--=-->so.")],
    "opens_with_title_goals_needs_and_time": [
        edit("markdown", "**You will be able to**", "**Goals**"),
        edit("markdown", "**You need**", "Needed"),
        edit("markdown", "**Time**", "Time"),
        edit("markdown", "# 04 · ", "# "),
    ],
    "has_typed_and_commented_parameters": [
        tagged(number=0),
        edit("code", "seed: int = ", "seed = "),
        edit("code", "seed: int = 0", "seed: int = 0.5"),
        edit("code", "seed: int = 0", "seed: int = 0\nx: int = 1"),
        edit("code", "seed: int = 0", "sede: int = 0"),
    ],
    "has_one_cell_of_imports_that_prints_the_versions": [
        edit("code", "show_versions(seed)", "print(seed)"),
        tagged(number=1),
        cell(source="import this"),
        tagged("imports"),
    ],
    "has_its_parts_in_order": [
        edit("markdown", "## Turn the knob: ", "## "),
        edit("markdown", "## What goes wrong: ", "## "),
        edit("markdown", "## What you have seen", "## What goes wrong: again"),
        edit("markdown", "### Explain it in your own words", "### Explain"),
        add_prose("### Explain it in your own words"),
    ],
    "turns_a_knob_beside_a_still_picture": [
        forget_pictures,
        edit("markdown", "## Turn the knob: ", "## Turn the knob: ...\n\n## "),
    ],
    "makes_a_mistake_and_repairs_it": [
        edit("markdown", "## What goes wrong: ", "## What goes wrong: .\n## ")
    ],
    "mirrors_its_goals": [edit("markdown", "## What you have seen", "## What you have seen\n\n- all\n")],
    "asks_and_answers_questions": [edit("markdown", "<details>", ""), edit("markdown", "</summary>", "</b>")],
    "has_exercises_with_checks": [
        edit("markdown", "### Exercise 1 · ", "### Exercise 1: "),
        edit("markdown", "### Exercise 2 · ", "### Exercise 7 · "),
        edit("markdown", "(warm-up)", "(easy)"),
        edit("markdown", "### Exercise 3 · ", "### Task 3 · "),
        edit("code", "check.", "check.no_such_"),
        edit("code", "...", "42"),
        add_prose("### Exercise 1 · Twice (core)"),
    ],
    "asks_before_the_middle": [
        lambda notebook: notebook.cells.__setitem__(
            slice(1, 1), [new_markdown_cell("Prose.") for _ in range(200)]
        )
    ],
    "folds_the_answer_to_predict": [
        lambda notebook: notebook.cells.extend([new_markdown_cell("**Predict:** what?"), new_code_cell("1")]),
        add_prose("**Predict:** what comes, and is it a picture?\n\nNo code follows."),
    ],
    "leads_back_and_forth": [lambda notebook: notebook.cells.pop()],
}


def breaks(rule, plant, folder) -> bool:
    (path,) = folder.glob("04_*.ipynb")
    notebook = copy.deepcopy(read(path))
    plant(notebook)
    return bool(list(rule(notebook, path)))


@pytest.mark.parametrize("rule", [*rules.ANY, *rules.LESSON], ids=lambda rule: rule.__name__)
def test_a_planted_fault_breaks_its_rule(rule):
    for number, plant in enumerate(PLANTED[rule.__name__]):
        assert breaks(rule, plant, NOTEBOOKS), number


@cases(
    "rule plant",
    (rules.is_in_step_with_its_lesson, edit("markdown", "Exercise 1 · ", "Exercise 1 · Another ")),
    (rules.is_in_step_with_its_lesson, edit("markdown", ": solutions", "")),
    (rules.is_in_step_with_its_lesson, edit("code", "check.", "check.other_")),
    (rules.passes_its_checks_and_says_why, edit("code", "assert ", "print ")),
    (rules.passes_its_checks_and_says_why, forget_outputs),
)
def test_a_fault_planted_in_a_solution_breaks_its_rule(rule, plant):
    assert breaks(rule, plant, NOTEBOOKS / "solutions")
