"""`segkit course --for-class`: lessons to hand out, without what they showed. Introduced in notebook 00."""

import re
from pathlib import Path

import nbformat

from segkit.files import UserError, atomic_path

PACKAGE = "segkit-course[notebook,data,pretrained,export,openvino,video,demo,domains]"
"""What the lessons import, for a machine that has Jupyter already."""


def copy_for_class(notebooks: dict[str, Path], out: Path, colab: str | None = None) -> list[Path]:
    """Copies of lessons without outputs: the exercises are empty, nothing is answered yet.

    notebooks: by name, see choose_notebooks.   out: a new or empty folder.
    colab: the copies begin with a cell that installs the course in Colab: "" from the package index, or
        from a place that pip knows, such as git+https://github.com/NAME/REPOSITORY.
    Links to what is not among the copies become their words.   Raises: UserError.
    """
    if out.is_file() or (out.is_dir() and any(out.iterdir())):
        raise UserError(f"'{out}' holds something already: copies for a class go into a new folder.")
    copies = []
    for path in notebooks.values():
        notebook = nbformat.read(path, as_version=4)
        notebook.metadata.pop("widgets", None)
        for cell in notebook.cells:
            cell.metadata.pop("execution", None)
            if cell.cell_type == "code":
                cell.update(outputs=[], execution_count=None)
            else:
                cell.source = _without_dead_links(cell.source, notebooks)
        if colab is not None:
            requirement = f"{PACKAGE} @ {colab}" if colab else PACKAGE
            install = Path(__file__).with_name("colab.txt").read_text(encoding="utf-8").rstrip()
            install = install.replace("@REQUIREMENT@", requirement)
            notebook.cells.insert(1, nbformat.v4.new_code_cell(install, id="install"))
        copies.append(out / path.name)
        with atomic_path(copies[-1]) as temporary:
            nbformat.write(notebook, temporary)
    return copies


def _without_dead_links(text: str, notebooks: dict[str, Path]) -> str:
    def keep(link: re.Match) -> str:
        target = link[2].partition("#")[0]
        alive = not target or "://" in target or target.removesuffix(".ipynb") in notebooks
        return link[0] if alive else link[1]

    return re.sub(r"(?<!!)\[([^\]]*)\]\(([^)\s]*)\)", keep, text)
