"""The site: README, lessons with their stored outputs, data sheet, model cards, and the module room by room.

    make site        # writes build/site/index.html

The pages are gathered in build/site-src in the layout of the repository, so that links between them hold.
"""

import json
import re
import shutil
import sys
from pathlib import Path

from sphinx.cmd.build import main as sphinx

ROOT = Path(__file__).parents[1]
SOURCE, OUT = ROOT / "build" / "site-src", ROOT / "build" / "site"
ROOMS = {
    ".": "The subject",
    "networks": "Other networks",
    "training": "What the training loop works with",
    "study": "Studies",
    "matting": "Mattes, backgrounds, folders of photographs",
    "video": "Video",
    "deploy": "Export and engines",
    "sets": "Data sets",
    "app": "The web page",
    "course": "The course",
}


def gather() -> None:
    shutil.rmtree(SOURCE, ignore_errors=True)
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "notebooks").glob("*.md")]
    pages += [*(ROOT / "notebooks").glob("*.ipynb"), *(ROOT / "notebooks/solutions").glob("*.ipynb")]
    pages += [
        *(ROOT / "data").glob("*.md"),
        *(ROOT / "data/weights").glob("*.md"),
        *(ROOT / "data/weights").glob("*.jpg"),
    ]
    pages += [*(ROOT / "data/pictures").glob("*.*"), ROOT / "tests/bench/RESULTS.md", ROOT / "LICENSE"]
    known = {page.relative_to(ROOT).as_posix() for page in pages}
    for page in pages:
        copy = SOURCE / page.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        if page.suffix in (".md", ".ipynb"):
            written = lesson if page.suffix == ".ipynb" else relink
            copy.write_text(written(page.read_text(encoding="utf-8"), page, known), encoding="utf-8")
        else:
            shutil.copyfile(page, copy)
    (SOURCE / "README.md").rename(SOURCE / "index.md")
    with (SOURCE / "index.md").open("a", encoding="utf-8") as index:
        index.write(contents())
    for room, title in ROOMS.items():
        page = SOURCE / "api" / f"{'segkit' if room == '.' else room}.md"
        page.parent.mkdir(exist_ok=True)
        page.write_text(describe(room, title), encoding="utf-8")


def lesson(text: str, page: Path, known: set[str]) -> str:
    """A notebook with the links of its prose made those of the site; in code, `x["a"](b)` is no link.

    What JupyterLab folds is folded on the page as well: answers to a prediction, code that tells them.
    So are the imports: a screen or two of a phone before the lesson begins.
    """
    notebook = json.loads(text)
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            cell["source"] = relink("".join(cell["source"]), page, known)
        tags, folded = cell["metadata"].setdefault("tags", []), cell["metadata"].get("jupyter", {})
        if folded.get("outputs_hidden"):
            tags.append("hide-output")
        if folded.get("source_hidden") or "imports" in tags:
            tags.append("hide-input")
    return json.dumps(notebook)


def relink(text: str, page: Path, known: set[str]) -> str:
    """Links to code lead to its page of the site; links to what the site does not hold become plain text."""

    def one(match: re.Match) -> str:
        words, target = match[1], match[2]
        path, _, anchor = target.partition("#")
        if not path:  # JupyterLab keeps a heading's capitals in its address, the site does not
            return f"[{words}](#{anchor.lower()})"
        if "://" in path or path.startswith("mailto:"):
            return match[0]
        inside = (page.parent / path).resolve()
        if not inside.is_relative_to(ROOT):
            return words
        name = inside.relative_to(ROOT).as_posix()
        up = "../" * len(page.relative_to(ROOT).parts[:-1])
        if name.startswith("segkit"):
            room = (
                name.split("/")[1] if name.count("/") > 1 or (inside.is_dir() and "/" in name) else "segkit"
            )
            return f"[{words}]({up}api/{room}.md)"
        if name == "README.md":
            return f"[{words}]({up}index.md{'#' + anchor if anchor else ''})"
        if inside.is_dir() and f"{name}/README.md" in known:
            return f"[{words}]({up}{name}/README.md)"
        return match[0] if name in known else words

    return re.sub(r"(?<!!)\[([^\]\n]+)\]\(([^)\s]+)\)", one, text)


def contents() -> str:
    lessons = sorted(path.stem for path in (ROOT / "notebooks").glob("[0-9][0-9]*.ipynb"))
    solutions = sorted(path.stem for path in (ROOT / "notebooks/solutions").glob("*.ipynb"))
    api = ["segkit" if room == "." else room for room in ROOMS]
    parts = {
        "The course": [f"notebooks/{name}" for name in lessons],
        "Solutions": [f"notebooks/solutions/{name}" for name in solutions],
        "The module": [f"api/{name}" for name in api],
        "More": [
            path.relative_to(SOURCE).with_suffix("").as_posix()
            for path in sorted(SOURCE.rglob("*.md"))
            if path.parent.name != "api" and path.name != "index.md"
        ],
    }
    return "\n\n" + "\n".join(
        f"```{{toctree}}\n:hidden:\n:caption: {caption}\n\n" + "\n".join(names) + "\n```\n"
        for caption, names in parts.items()
    )


def describe(room: str, title: str) -> str:
    folder = ROOT / "segkit" / room
    files = sorted(path for path in folder.glob("*.py") if path.stem not in ("__init__", "__main__"))
    text = [f"# {title}", ""]
    for file in files:
        name = ".".join(file.relative_to(ROOT).with_suffix("").parts)
        text += [f"## {name}", "", f"```{{eval-rst}}\n.. automodule:: {name}\n   :members:\n```", ""]
    return "\n".join(text)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    gather()
    code = sphinx(["-q", "-b", "html", "-c", str(ROOT / "docs"), "-j", "2", str(SOURCE), str(OUT)])
    print(f"{OUT / 'index.html'}" if code == 0 else "the site could not be built")
    sys.exit(code)
