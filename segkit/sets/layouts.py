"""Which layout a folder of pictures and annotations has. What is ambiguous is an error, never guessed.

Introduced in notebook 02.
"""

import re
from collections import Counter
from functools import partial
from pathlib import Path

from segkit.files import UserError, name_some
from segkit.sets.masks import find_beside, find_cutouts, find_folders
from segkit.sets.tools import TOOLS
from segkit.sets.tree import TITLES, Layout, Tree


def detect_layout(src: Path, only: str | None = None) -> Layout:
    """Find out how the pictures and annotations of a folder (or of one annotation file) are laid out.

    only: the one layout to look for, a key of TITLES.
    Raises: UserError when nothing known is found, or more than one thing.
    """
    tree = Tree(src)
    foreign = [path.name for path in tree.files if not re.match("readme|licen[cs]e", path.name, re.I)]
    stages = [{name: reader(tree).find for name, reader in TOOLS.items()}]
    if not tree.single:
        stages[0] |= {"folders": partial(find_folders, tree), "beside": partial(find_beside, tree)}
        stages.append({"folders": partial(find_folders, tree, loosely=True)})
    if not tree.single and (only or not foreign):
        stages.append({"cutouts": partial(find_cutouts, tree)})
    found: dict[str, Layout] = {}
    while stages and not found:  # each where those before it found nothing
        tried: dict[str, Layout] = {}
        for name, find in stages.pop(0).items():
            carried = name == "folders" and "supervisely" in tried and tried["supervisely"].examples
            if only in (None, name) and not carried and (layout := find()):  # it carries mask folders along
                tried[name] = layout
        found = {name: layout for name, layout in tried.items() if layout.examples}
        lost = [layout for layout in tried.values() if layout.failed and not found]
        if lost:  # annotations were there, and of not one the picture
            raise UserError(f"'{src}' looks like {TITLES[lost[0].name]}, but: {lost[0].failed[0]}")
    if not found and only:
        raise UserError(f"'{src}' does not look like this: {TITLES[only]}. Try --layout auto.")
    if not found:
        unread = foreign and f"{name_some(foreign, 3)}, which cannot be read as annotations"
        words = f"Known are: {'; '.join(TITLES.values())} (among other files, by --layout cutouts)."
        raise UserError(f"'{src}' holds {unread or 'no layout known here'}. {words}")
    if len(found) > 1:
        listed = "; ".join(f"{name}: {layout}" for name, layout in found.items())
        raise UserError(f"'{src}' can be read in more than one way ({listed}). Choose one by --layout NAME.")
    (layout,) = found.values()
    twice = [image.name for image, n in Counter(e.image for e in layout.examples).items() if n > 1]
    if twice:
        raise UserError(
            f"several files or records in '{src}' annotate the same pictures ({name_some(twice)}): "
            "keep one of each, or import the file you mean by its path."
        )
    tree.read_lists(layout)
    layout.settle_splits()
    if rest := [path for path in tree.files if path not in layout.read]:
        layout.tell("not read", *(path.name for path in rest))
    if tree.others:
        layout.tell(f"not taken: {tree.others}")
    return layout
