"""The answers of the solution notebooks: right ones, out of which the tables here make wrong ones."""

import ast
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import nbformat

NOTEBOOKS = Path(__file__).parents[3] / "notebooks" / "solutions"
KEPT = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef)


@cache
def solutions(lesson: str) -> SimpleNamespace:
    """What the solutions of a lesson, such as "07", import and define; none of it is run.

    The names are the notebook's and those of its checks. `changed` makes another answer of one.
    """
    (path,) = NOTEBOOKS.glob(f"{lesson}_*.ipynb")
    names, sources, answers = {"__name__": f"solutions{lesson}"}, {}, {}
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code":
            tree = ast.parse(cell.source)
            kept = [node for node in tree.body if isinstance(node, KEPT)]
            exec(compile(ast.Module(kept, []), path.name, "exec"), names)
            sources |= {getattr(node, "name", ""): ast.get_source_segment(cell.source, node) for node in kept}
            for node in ast.walk(tree):
                match node:
                    case ast.Call(ast.Attribute(ast.Name("check"), exercise), [ast.Name(answer)]):
                        answers[exercise] = answer

    def changed(name: str, *texts: str, **others: object) -> Callable:
        """A solution in which old texts are replaced, each by the new one after it.

        others: what it finds in place of what it calls by these names.
        """
        name = answers.get(name, name)
        source = sources[name]
        for old, new in zip(texts[::2], texts[1::2], strict=True):
            assert source.count(old) == 1, f"{old!r} must stand once in the solution of {name}:\n{source}"
            source = source.replace(old, new)
        exec(source, made := names | others)
        return made[name]

    asked = {exercise: names[answer] for exercise, answer in answers.items() if answer in names}
    return SimpleNamespace(**names | asked, changed=changed)
