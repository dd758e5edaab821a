"""Copies of the lessons for a class: nothing is answered, and a cell installs the course in Colab."""

import sys
from types import SimpleNamespace

import nbformat
import pytest
from IPython.core.interactiveshell import InteractiveShell
from notebook_rules import code_cells

from segkit.course.class_copies import PACKAGE
from segkit.course.run import LESSONS


@pytest.fixture
def copies(tmp_path, command):
    """A function that runs `segkit course --for-class`: exit code, words, notebooks by number."""

    def run(*argv):
        folder = tmp_path / "class"
        code, out, err = command("course", "--for-class", folder, *argv)
        found = {path.name[:2]: nbformat.read(path, 4) for path in folder.glob("*.ipynb")}
        return code, out + err, found

    return run


@pytest.mark.slow
def test_copies_have_the_lessons_cells_and_no_outputs(copies):
    code, said, found = copies()
    assert code == 0 and f"{len(found)} lessons" in said
    assert sorted(found) == sorted(path.name[:2] for path in LESSONS.glob("[0-9]*.ipynb"))
    for number, copy in found.items():
        nbformat.validate(copy)
        (path,) = LESSONS.glob(f"{number}_*.ipynb")
        lesson = nbformat.read(path, 4)
        assert [c.source for c in code_cells(copy)] == [c.source for c in code_cells(lesson)]
        for cell in copy.cells:
            assert not cell.get("outputs") and cell.get("execution_count") is None
            assert "solutions/" not in cell.source  # no link to answers that are not there
        assert "widgets" not in copy.metadata


def test_a_folder_that_holds_a_class_s_work_is_not_touched(copies):
    copies("--only", "00")
    code, said, found = copies("--only", "01")
    assert code == 1 and "holds something already" in said
    assert list(found) == ["00"]


@pytest.mark.parametrize("argv", [["-p", "seed=1"], ["--profile", "fast"], ["--table", "README.md"]])
def test_what_copies_would_leave_out_is_refused(copies, argv):
    code, said, found = copies(*argv)
    assert code == 1 and "as they are" in said and not found


@pytest.fixture
def shell(monkeypatch):
    """A function that runs a cell: what it asked pip for."""
    shell = InteractiveShell()
    asked = []
    shell.register_magic_function(asked.append, "line", "pip")

    def run(source):
        shell.run_cell(source).raise_error()
        return asked

    return run


@pytest.mark.parametrize(
    ("where", "gpu", "asked"),
    [
        ([], None, f'install --quiet --extra-index-url https://download.pytorch.org/whl/cpu "{PACKAGE}"'),
        (["git+file:course"], "/bin/true", f'install --quiet  "{PACKAGE} @ git+file:course"'),
    ],
)
def test_in_colab_alone_the_first_cell_installs_and_takes_what_fits(
    copies, shell, monkeypatch, where, gpu, asked
):
    _, _, found = copies("--only", "04", "--colab", *where)
    cell, widgets = found["04"].cells[1], []
    assert cell.id == "install" and shell(cell.source) == []
    output = SimpleNamespace(enable_custom_widget_manager=lambda: widgets.append("on"))
    monkeypatch.setitem(sys.modules, "google", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "google.colab", SimpleNamespace(output=output))
    monkeypatch.setattr("shutil.which", lambda name: gpu)
    assert shell(cell.source) == [asked]
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)  # pip failed
    with pytest.raises(SystemExit, match="not installed: pip says why"):
        shell(cell.source)
    assert widgets == ["on"]
