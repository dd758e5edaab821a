"""Every lesson and every solution keeps the rules, and runs: see notebook_runs.py."""

import copy
import re

import nbformat
import pytest
from conftest import write_notebook
from nbformat.v4 import new_code_cell, new_markdown_cell
from notebook_rules import (
    ANY,
    BY_PARAMETERS,
    CHECKED,
    LESSON,
    SOLUTION,
    code_cells,
    is_in_step_with_its_lesson,
    passes_its_checks_and_says_why,
)
from notebook_runs import LESSONS, NOTEBOOKS, SOLUTIONS, read, run, run_nbval

from segkit.course.run import choose_notebooks, read_profile, settings_for

SWEEPS = sorted((NOTEBOOKS / "sweeps").glob("*.ipynb"))
"""Not lessons: what lesson 10 and `segkit sweep` run with other parameters."""
MAIN_PATH = range(9)


# --- the rules ------------------------------------------------------------------------------------------


def test_every_lesson_of_the_map_is_there_and_has_solutions():
    listed = re.findall(r"\]\((\d\d_\w+)\.ipynb\)", (NOTEBOOKS / "README.md").read_text())
    assert list(dict.fromkeys(listed)) == [path.stem for path in LESSONS]
    assert [path.stem for path in SOLUTIONS] == [f"{path.stem}_solutions" for path in LESSONS]
    assert {int(path.name[:2]) for path in LESSONS} >= set(MAIN_PATH)


def test_no_notebook_hides_in_another_place():
    hidden = {p for p in NOTEBOOKS.rglob("*.ipynb") if not {".ipynb_checkpoints", "runs"} & set(p.parts)}
    assert hidden == {*LESSONS, *SOLUTIONS, *SWEEPS}


CASES = [(rule, path) for path in LESSONS for rule in (*ANY, *LESSON)]
CASES += [(rule, path) for path in SOLUTIONS for rule in (*ANY, *SOLUTION)]
CASES += [(rule, path) for path in SWEEPS for rule in ANY]


@pytest.mark.parametrize(
    ("rule", "path"), [pytest.param(r, p, id=f"{p.stem}-{r.__name__}") for r, p in CASES]
)
def test_it(rule, path):
    faults = list(rule(read(path), path))
    assert not faults, "\n".join([path.name, *faults])


@pytest.mark.parametrize("profile", sorted(p.name for p in (NOTEBOOKS / "profiles").iterdir()))
def test_a_profile_names_parameters_that_exist_with_values_that_papermill_takes_as_they_are(profile):
    found = read_profile(NOTEBOOKS, profile)
    settings = settings_for(choose_notebooks(NOTEBOOKS, list(found)), found, {})
    assert settings == found
    for name, section in settings.items():
        assert {key: type(value) for key, value in section.items()} == {
            key: type(value) for key, value in found[name].items()
        }


def test_no_check_is_left_without_an_exercise():
    from segkit.course.check import CHECKS

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
THREE = nbformat.v4.new_output("execute_result", {"text/plain": "3"}, execution_count=3)
PICTURE = nbformat.v4.new_output("display_data", {"image/png": "aGVsbG8="})


@pytest.mark.notebook
@pytest.mark.parametrize(
    ("code", "stored", "tags", "seen"),
    [
        ("1 + 1", [THREE], [], None),
        ("1 / 0", [], [], "ZeroDivisionError"),
        (INTERACT, [], [], "in a widget: ZeroDivisionError"),
        ("raise SystemExit", [], [], "not run to its end"),
        ("import time; time.sleep(60)", [], [], "Timeout"),
        ("import threading; threading.Thread(target=lambda: 1 / 0).start()", [], [], "not run to its end"),
        ("1 + 1", [THREE], [CHECKED], "is stored with"),
        ("1 + 1", [THREE], [CHECKED, BY_PARAMETERS], None),
        ("1 + 1", [PICTURE], [], "no longer shows its picture"),
    ],
)
def test_a_fault_is_seen(tmp_path, code, stored, tags, seen, monkeypatch):
    monkeypatch.setattr("notebook_runs.CELL_SECONDS", 8)
    path = write_notebook(tmp_path / "00_faulty.ipynb", "from ipywidgets import interact", code, "'the end'")
    notebook = nbformat.read(path, as_version=4)
    code_cells(notebook)[2].update(outputs=stored, metadata={"tags": tags})
    nbformat.write(notebook, path)
    found = run(path, tmp_path / "out")
    assert seen in "".join(found) if seen else not found, found


@pytest.mark.long
@pytest.mark.parametrize("code", ["1 / 0", "# NBVAL_CHECK_OUTPUT\n1 + 1", "# NBVAL_SKIP\n1 + 1"])
def test_nbval_sees_a_fault(tmp_path, code):
    path = write_notebook(tmp_path / "00_faulty.ipynb", "from ipywidgets import interact", code, "'the end'")
    notebook = nbformat.read(path, as_version=4)
    code_cells(notebook)[2].update(outputs=[THREE])
    nbformat.write(notebook, path)
    assert run_nbval(path)


def edit(kind: str, old: str, new: str):
    """Replace text in every cell of a kind; it must occur."""

    def change(notebook):
        cells = [cell for cell in notebook.cells if cell.cell_type == kind and old in cell.source]
        assert cells, f"no {kind} cell holds {old!r}"
        for cell in cells:
            cell.source = cell.source.replace(old, new)

    return change


def on_code(number: int, change):
    return lambda notebook: change(code_cells(notebook)[number])


def forget_pictures(notebook):
    for cell in code_cells(notebook):
        cell.outputs = [o for o in cell.outputs if "image/png" not in o.get("data", {})]


def set_(**values):
    return lambda node: node.update(values)


def drop(index):
    return lambda notebook: notebook.cells.pop(index)


def add_prose(text):
    return lambda notebook: notebook.cells.insert(5, nbformat.v4.new_markdown_cell(text))


def add_output(text, name="stdout"):
    return on_code(
        3, lambda cell: cell.outputs.append(nbformat.v4.new_output("stream", name=name, text=text))
    )


PLANTED = {
    "runs_every_cell": [
        on_code(3, lambda cell: cell.metadata.update(tags=["skip-execution"])),
        on_code(3, lambda cell: cell.metadata.update(tags=["raises-exception"])),
        on_code(3, lambda cell: cell.metadata.update(tags=["nbval-skip"])),
        on_code(3, lambda cell: cell.update(source="# NBVAL_SKIP\n" + cell.source)),
        on_code(3, lambda cell: cell.update(source="# NBVAL_IGNORE_OUTPUT\n" + cell.source)),
        on_code(3, lambda cell: cell.update(source="x = 1  # NBVAL_CHECK_OUTPUT")),
        on_code(3, lambda cell: cell.update(source="# NBVAL_CHECK_OUTPUT\nx = 1", outputs=[])),
        on_code(3, lambda cell: cell.update(metadata={"tags": [CHECKED]}, outputs=[])),
        on_code(3, set_(cell_type="raw")),
        on_code(3, set_(source="")),
    ],
    "has_the_outputs_of_one_clean_run": [
        on_code(3, set_(execution_count=None)),
        on_code(3, set_(execution_count=99)),
        add_output("UserWarning: old", "stderr"),
        add_output("\n" * 100),
        add_output(" 10%|#         |"),
        on_code(
            3,
            lambda cell: cell.outputs.append(
                nbformat.v4.new_output("error", ename="E", evalue="", traceback=[])
            ),
        ),
    ],
    "is_small_and_keeps_no_widget_state": [
        add_output("x" * 1_500_000),
        lambda notebook: notebook.metadata.update(widgets={}),
    ],
    "has_plain_code": [on_code(3, set_(source="!ls")), on_code(3, set_(source="x = 1;"))],
    "names_no_place_of_one_machine": [
        on_code(3, set_(source="open('/home/me/x')")),
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
        lambda notebook: [
            cell.update(source="# A") for cell in notebook.cells if cell.cell_type == "markdown"
        ],
    ],
    "states_only_printed_numbers": [add_prose("It is <!--=-->123.4567."), add_prose("It is <!--=-->so.")],
    "opens_with_title_goals_needs_and_time": [
        edit("markdown", "**You will be able to**", "**Goals**"),
        edit("markdown", "**You need**", "Needed"),
        edit("markdown", "**Time**", "Time"),
        edit("markdown", "# 04 · ", "# "),
    ],
    "has_typed_and_commented_parameters": [
        on_code(0, lambda cell: cell.metadata.update(tags=[])),
        edit("code", "seed: int = ", "seed = "),
        edit("code", "seed: int = 0", "seed: int = 0.5"),
        edit("code", "seed: int = 0", "seed: int = 0\nx: int = 1"),
        edit("code", "seed: int = 0", "sede: int = 0"),
    ],
    "has_one_cell_of_imports_that_prints_the_versions": [
        edit("code", "show_versions(seed)", "print(seed)"),
        on_code(1, lambda cell: cell.metadata.update(tags=[])),
        on_code(3, set_(source="import this")),
        on_code(3, lambda cell: cell.metadata.update(tags=["imports"])),
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
        edit("markdown", "## What goes wrong: ", "## What goes wrong: ...\n\n## ")
    ],
    "mirrors_its_goals": [
        edit("markdown", "## What you have seen", "## What you have seen\n\n- everything\n")
    ],
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
        lambda notebook: notebook.cells.__setitem__(slice(1, 1), [new_markdown_cell("Prose.")] * 999)
    ],
    "folds_the_answer_to_predict": [
        lambda notebook: notebook.cells.extend([new_markdown_cell("**Predict:** what?"), new_code_cell("1")]),
        add_prose("**Predict:** what comes, and is it a picture?\n\nNo code follows."),
    ],
    "leads_back_and_forth": [drop(-1)],
}


@pytest.mark.parametrize(
    ("rule", "plant"),
    [
        pytest.param(rule, plant, id=f"{rule.__name__}-{number}")
        for rule in (*ANY, *LESSON)
        for number, plant in enumerate(PLANTED[rule.__name__])
    ],
)
def test_a_planted_fault_breaks_its_rule(rule, plant):
    (path,) = NOTEBOOKS.glob("04_*.ipynb")
    notebook = copy.deepcopy(read(path))
    plant(notebook)
    assert list(rule(notebook, path))


@pytest.mark.parametrize(
    ("rule", "plant"),
    [
        (is_in_step_with_its_lesson, edit("markdown", "### Exercise 1 · ", "### Exercise 1 · Another ")),
        (is_in_step_with_its_lesson, edit("markdown", ": solutions", "")),
        (is_in_step_with_its_lesson, edit("code", "check.", "check.other_")),
        (passes_its_checks_and_says_why, edit("code", "assert ", "print ")),
        (passes_its_checks_and_says_why, lambda n: [cell.update(outputs=[]) for cell in code_cells(n)]),
    ],
)
def test_a_fault_planted_in_a_solution_breaks_its_rule(rule, plant):
    (path,) = (NOTEBOOKS / "solutions").glob("04_*.ipynb")
    notebook = copy.deepcopy(read(path))
    plant(notebook)
    assert list(rule(notebook, path))
