"""`segkit course --for-class`: lessons to hand out, without what they showed. Introduced in notebook 00."""

import re
from pathlib import Path

import nbformat

from segkit.files import UserError, atomic_path

PACKAGE = "segkit-course[notebook,data,pretrained,export,openvino,video,demo,domains]"
"""What the lessons import, for a machine that has Jupyter already."""

INSTALL = """# In Colab this installs the course, which takes some minutes; elsewhere it does nothing.
# A GPU is in the menu: Runtime, Change runtime type. Without one the lesson runs on the processor.
import shutil
import sys
from importlib.util import find_spec

if "google.colab" in sys.modules:
    from google.colab import output

    small = "" if shutil.which("nvidia-smi") else "--extra-index-url https://download.pytorch.org/whl/cpu"
    %pip install --quiet {small} "@REQUIREMENT@"
    if not find_spec("segkit"):  # %pip itself goes on when it fails
        raise SystemExit("The course is not installed: pip says why, above. Then run this cell again.")
    output.enable_custom_widget_manager()"""


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
            install = nbformat.v4.new_code_cell(INSTALL.replace("@REQUIREMENT@", requirement), id="install")
            notebook.cells.insert(1, install)
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
