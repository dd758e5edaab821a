"""Studies train as their lessons do: by the lessons' own cells."""

from pathlib import Path

import nbformat


def cells_that(path: Path, *words: str, until: str | None = None) -> str:
    """The code of the cells of a notebook that hold one of these words; of each what is before `until`."""
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    chosen = [cell.source for cell in cells if any(word in cell.source for word in words)]
    return "\n".join(source.split(until)[0] if until else source for source in chosen)
