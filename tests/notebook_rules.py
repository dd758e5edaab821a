"""What a lesson and its solutions must look like: one function per rule, each yields a sentence per fault."""

import ast
import io
import re
from base64 import b64decode
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell, new_notebook
from papermill import inspect_notebook
from PIL import Image

from segkit.course.check import CHECKS
from segkit.course.run import SIMPLE_TYPES

MOST_BYTES = 1_500_000
MOST_LINES = 60
"""Of text in the output of one cell."""
EXERCISE = re.compile(r"Exercise (\d) · (.+) \((warm-up|core|stretch)\)")
CHECKED = "nbval-check-output"
"""The tag of a cell whose text nbval compares with the stored one."""
BY_PARAMETERS = "by-parameters"
"""The tag of a cell that shows something else with other parameters: compared where the stored ones run."""
KNOB, WRONG, SEEN = "Turn the knob: ", "What goes wrong: ", "What you have seen"
EXPLAIN = "Explain it in your own words"
WIDGET = "application/vnd.jupyter.widget-view+json"
Faults = Iterator[str]


# --- reading a notebook ---------------------------------------------------------------------------------


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def prose(notebook: NotebookNode) -> str:
    """All Markdown without its code."""
    text = "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    return re.sub(r"(?s)```.*?```|`[^`\n]*`", "", text)


def name_of(cell: NotebookNode) -> str:
    """A cell as a person would point at it."""
    first = cell.source.strip().splitlines()[0] if cell.source.strip() else "(empty)"
    return f"cell [{cell.get('execution_count')}] `{first[:60]}`"


def texts(cell: NotebookNode) -> str:
    """What a code cell printed or showed, as text, with the tags of HTML tables taken out."""
    found = []
    for output in cell.get("outputs", []):
        data = output.get("data", {})
        found += [output.get("text", ""), data.get("text/plain", ""), data.get("text/markdown", "")]
        found.append(re.sub(r"<[^>]*>", " ", data.get("text/html", "")))
    return "\n".join(found)


def shows(cell: NotebookNode, kind: str) -> bool:
    """Whether the stored output holds "image/", a widget, ..."""
    return any(key.startswith(kind) for output in cell.get("outputs", []) for key in output.get("data", {}))


def sections(notebook: NotebookNode) -> list[tuple[str, str, list[NotebookNode]]]:
    """(hashes, heading, what follows) for every heading: Markdown pieces and code cells, in order."""
    found: list[tuple[str, str, list[NotebookNode]]] = []
    for cell in notebook.cells:
        if cell.cell_type != "markdown":
            if found:
                found[-1][2].append(cell)
            continue
        fenced, piece = False, new_markdown_cell("")
        for line in cell.source.splitlines():
            fenced ^= line.startswith("```")
            heading = None if fenced else re.fullmatch(r"(#{1,6}) (.+)", line.rstrip())
            if heading:
                piece = new_markdown_cell("")
                found.append((heading[1], heading[2], [piece]))
            else:
                piece.source += line + "\n"
                if found and piece not in found[-1][2]:
                    found[-1][2].append(piece)
    return found


def section(notebook: NotebookNode, start: str) -> list[NotebookNode]:
    """All under the `##` heading that starts so, sub-headings included."""
    inside, content = False, []
    for hashes, heading, body in sections(notebook):
        if len(hashes) <= 2:
            inside = hashes == "##" and heading.startswith(start)
        if inside:
            content += body
    return content


def bullets(text: str) -> int:
    return len(re.findall(r"(?m)^[-*] \S", text))


def markdown(content: list[NotebookNode]) -> str:
    return "\n".join(cell.source for cell in content if cell.cell_type == "markdown")


def exercises(notebook: NotebookNode) -> dict[str, list[NotebookNode]]:
    """What stands under each exercise heading: the task, its stub, and, amid a lesson, how it goes on."""
    return {heading: body for _, heading, body in sections(notebook) if heading.startswith("Exercise ")}


def checks_in(content: list[NotebookNode]) -> list[str]:
    sources = [cell.source for cell in content if cell.cell_type == "code"]
    return re.findall(r"check\.(\w+)\(", "\n".join(sources))


def goals(notebook: NotebookNode) -> str:
    found = re.search(r"(?s)\*\*You will be able to\*\*(.*?)\*\*You need\*\*", notebook.cells[0].source)
    return found[1] if found else ""


# --- rules of every notebook ----------------------------------------------------------------------------

LEAVING = r"NBVAL_\w+|PYTEST_VALIDATE\w*|sys\.exit|SystemExit|os\._exit|\bquit\(|\bexit\("


def runs_every_cell(notebook: NotebookNode, path: Path) -> Faults:
    """No cell is skipped, allowed to fail, or left out of a comparison; nothing leaves the notebook early."""
    for cell in notebook.cells:
        if cell.cell_type not in ("code", "markdown"):
            yield f"a {cell.cell_type} cell does not run"
        if cell.cell_type != "code":
            continue
        extra = set(cell.metadata.get("tags", [])) - {"parameters", "imports", CHECKED, BY_PARAMETERS}
        if extra:
            yield f"{name_of(cell)} has the tags {sorted(extra)}"
        if not cell.source.strip():
            yield "an empty code cell"
        for word in re.findall(LEAVING, cell.source):
            yield f"{name_of(cell)} holds {word}"
        if CHECKED in cell.metadata.get("tags", []) and not texts(cell).strip():
            yield f"{name_of(cell)} is marked for comparison and shows no text"


def has_the_outputs_of_one_clean_run(notebook: NotebookNode, path: Path) -> Faults:
    counts = [cell.execution_count for cell in code_cells(notebook)]
    if counts != list(range(1, len(counts) + 1)):
        yield f"the cells were run in the order {counts}: restart the kernel and run all"
    for cell in code_cells(notebook):
        text = texts(cell)
        errors = "".join(output.get("text", "") for output in cell.outputs if output.get("name") == "stderr")
        if any(output.output_type == "error" for output in cell.outputs) or "Traceback (most" in text:
            yield f"{name_of(cell)} shows an error: catch it and print it"
        if "Warning" in errors:
            yield f"{name_of(cell)} shows a warning: {errors[:200]}"
        if "%|" in text:
            yield f"{name_of(cell)} shows a progress bar"
        if len(text.splitlines()) > MOST_LINES:
            yield f"{name_of(cell)} shows {len(text.splitlines())} lines of text"


def is_small_and_keeps_no_widget_state(notebook: NotebookNode, path: Path) -> Faults:
    size = len(nbformat.writes(notebook).encode())
    if size >= MOST_BYTES:
        yield f"{size / 1e6:.2f} MB: at most {MOST_BYTES / 1e6} MB"
    if "widgets" in notebook.metadata:
        yield "metadata.widgets is stored, and GitHub then shows 'Invalid Notebook'"
    if notebook.metadata.get("kernelspec", {}).get("name") != "python3":
        yield "the kernel must be python3"


def has_plain_code(notebook: NotebookNode, path: Path) -> Faults:
    for cell in code_cells(notebook):
        if re.search(r"(?m)^\s*[!%]", cell.source):
            yield f"{name_of(cell)} holds ! or %: plain Python runs anywhere"
        elif cell.source.rstrip().endswith(";"):
            yield f"{name_of(cell)} ends in ;: nbval does not honour it, use plt.show()"


def names_no_place_of_one_machine(notebook: NotebookNode, path: Path) -> Faults:
    roots = "home|root|work|workspace|tmp|Users|usr|opt|mnt|media|private|var"
    places = rf"(?<![\w.:/<])/(?:{roots})/\S*|\b[A-Z]:\\\S*"
    for cell in notebook.cells:
        for found in re.findall(places, cell.source + "\n" + texts(cell)):
            yield f"{name_of(cell)} holds the path {found}"
        if "segkit.__file__" in cell.source:
            yield f"{name_of(cell)} looks beside the module: what ships is found by embedded_path"


def links_to_what_exists(notebook: NotebookNode, path: Path) -> Faults:
    text = prose(notebook)
    targets = re.findall(r"\]\(<?([^)\s>]+)", text) + re.findall(r"""(?:href|src)=["']([^"']+)""", text)
    attached = {name for cell in notebook.cells for name in cell.get("attachments", {})}
    for target in targets:
        place = target.split("#")[0]
        if target.startswith("attachment:"):
            if target.removeprefix("attachment:") not in attached:
                yield f"{target} is not attached"
        elif place and not re.match(r"https?://|mailto:|data:", place) and not (path.parent / place).exists():
            yield f"the link to {place} leads nowhere"


def says_in_words_what_pictures_show(notebook: NotebookNode, path: Path) -> Faults:
    text = prose(notebook)
    for alt, target in re.findall(r"!\[([^]]*)\]\(([^)]+)\)", text):
        if len(alt) < 10:
            yield f"the picture {target} has no alt text"
        if target.startswith("http"):
            yield f"the picture {target} is hosted elsewhere"
    if re.search(r"<img(?![^>]*\balt=\"[^\"]{10})", text):
        yield "an <img> has no alt text"
    around = ["", *(cell.source if cell.cell_type == "markdown" else "" for cell in notebook.cells), ""]
    for i, cell in enumerate(notebook.cells):
        words = re.sub(r"(?m)^#.*$", "", around[i] + "\n" + around[i + 2]).split()
        if cell.cell_type == "code" and shows(cell, "image/") and len(words) < 8:
            yield f"{name_of(cell)} shows a picture, and no Markdown beside it says what is to be seen"


def fits_a_phone(notebook: NotebookNode, path: Path) -> Faults:
    """A page shrinks a picture to the width of the screen, and its letters with it."""
    for cell in code_cells(notebook):
        for output in cell.get("outputs", []):
            if data := output.get("data", {}).get("image/png"):
                picture = Image.open(io.BytesIO(b64decode(data)))
                inches = picture.width / picture.info.get("dpi", (96, 96))[0]  # of a page, where it says none
                if inches > 7.8:  # 7.5, and the rim
                    yield f"{name_of(cell)} shows a picture of {inches:.1f} inches: draw it in 7.5"


def states_only_printed_numbers(notebook: NotebookNode, path: Path) -> Faults:
    """A number marked `<!--=-->0.847` is printed by a cell, in full."""
    printed = "\n".join(texts(cell) for cell in code_cells(notebook))
    text = prose(notebook)
    numbers = re.findall(r"<!--=-->\s*[*_$]*([-+−]?\d[\d.,]*\d|\d)", text)
    if len(numbers) != text.count("<!--=-->"):
        yield f"{text.count('<!--=-->')} marks <!--=-->, but {len(numbers)} numbers after them"
    for number in numbers:
        if not re.search(rf"(?<![\d.]){re.escape(number)}(?!\.?\d)", printed):
            yield f"the prose states {number}, which no cell prints"


ANY = [
    runs_every_cell,
    has_the_outputs_of_one_clean_run,
    is_small_and_keeps_no_widget_state,
    has_plain_code,
    names_no_place_of_one_machine,
    links_to_what_exists,
    says_in_words_what_pictures_show,
    fits_a_phone,
    states_only_printed_numbers,
]


# --- the nine parts of a lesson -------------------------------------------------------------------------


def opens_with_title_goals_needs_and_time(notebook: NotebookNode, path: Path) -> Faults:
    first = notebook.cells[0]
    if first.cell_type != "markdown" or not re.match(rf"# {path.name[:2]} · \S", first.source):
        yield f"the first cell must start with '# {path.name[:2]} · Title'"
    why = first.source.partition("**You will be able to**")[0].splitlines()[1:]
    if not "".join(why).strip():
        yield "no sentence under the title says why it matters"
    places = [first.source.find(f"**{label}**") for label in ("You will be able to", "You need", "Time")]
    if -1 in places or places != sorted(places):
        yield "the first cell must say, in this order: You will be able to, You need, Time"
    if not 3 <= bullets(goals(notebook)) <= 5:
        yield f"{bullets(goals(notebook))} goals: 3 to 5 are wanted"


def has_typed_and_commented_parameters(notebook: NotebookNode, path: Path) -> Faults:
    cell = code_cells(notebook)[0]
    if cell.metadata.get("tags") != ["parameters"]:
        yield "the first code cell must be the one tagged parameters"
        return
    declared = inspect_notebook(notebook)
    if len(declared) != len(ast.parse(cell.source).body):
        yield f"the cell of parameters holds more than papermill sees: {list(declared)}"
    if "seed" not in declared:
        yield "there is no parameter seed"
    for name, parameter in declared.items():
        kind = SIMPLE_TYPES.get(parameter["inferred_type_name"], object)
        if parameter["inferred_type_name"] == "None" or not parameter["help"]:
            yield f"the parameter {name} must read `name: type = value  # comment`"
            continue
        try:
            value = ast.literal_eval(parameter["default"])
        except (ValueError, SyntaxError):
            yield f"the parameter {name} must have a plain value"
            continue
        if not isinstance(value, kind) or (isinstance(value, bool) and kind not in (bool, object)):
            yield f"the parameter {name} has a value of another type"


def has_one_cell_of_imports_that_prints_the_versions(notebook: NotebookNode, path: Path) -> Faults:
    cells = code_cells(notebook)
    if cells[1].metadata.get("tags") != ["imports"]:
        yield "the second code cell must be the one tagged imports"
        return
    *before, last = ast.parse(cells[1].source).body
    if not all(isinstance(statement, ast.Import | ast.ImportFrom) for statement in before):
        yield "the imports cell holds more than imports"
    if ast.unparse(last) != "show_versions(seed)":
        yield "the imports cell must end in show_versions(seed)"
    for cell in cells[2:]:
        if set(cell.metadata.get("tags", [])) & {"parameters", "imports"}:
            yield f"{name_of(cell)} has tags of the first two code cells"
        if any(isinstance(node, ast.Import | ast.ImportFrom) for node in ast.walk(ast.parse(cell.source))):
            yield f"{name_of(cell)} imports: one cell holds all imports"


def has_its_parts_in_order(notebook: NotebookNode, path: Path) -> Faults:
    headings = [f"{hashes} {heading}" for hashes, heading, _ in sections(notebook)]
    wanted = (f"## {KNOB}", f"## {WRONG}", f"## {SEEN}", f"### {EXPLAIN}")
    places = [[i for i, heading in enumerate(headings) if heading.startswith(start)] for start in wanted]
    for start, found in zip(wanted, places, strict=True):
        if len(found) != 1:
            yield f"{len(found)} headings start with '{start}': there must be one"
    if all(len(found) == 1 for found in places):
        (knob,), (wrong,), (seen,), (questions,) = places
        if not max(knob, wrong) < seen < questions:
            yield "in order: the knob and what goes wrong, what you have seen, the questions"
    lesson = [h for h in headings if h.startswith("## ") and not h.startswith(wanted)]
    if len(lesson) < 2:
        yield "the lesson itself has fewer than two ## headings"
    if sum(h.startswith("# ") for h in headings) != 1:
        yield "there must be one # heading, the title"


def turns_a_knob_beside_a_still_picture(notebook: NotebookNode, path: Path) -> Faults:
    content = [cell for cell in section(notebook, KNOB) if cell.cell_type == "code"]
    if not any(shows(cell, WIDGET) for cell in content):
        yield "no widget is shown under Turn the knob"
    if not any(shows(cell, "image/png") for cell in content):
        yield "no still picture is shown under Turn the knob: readers on the web see none"


def makes_a_mistake_and_repairs_it(notebook: NotebookNode, path: Path) -> Faults:
    content = section(notebook, WRONG)
    if sum(cell.cell_type == "code" for cell in content) < 2 or len(markdown(content).split()) < 30:
        yield "What goes wrong needs a cell with the mistake, one with the repair, and words"


def mirrors_its_goals(notebook: NotebookNode, path: Path) -> Faults:
    seen = next((body for _, heading, body in sections(notebook) if heading == SEEN), [])
    if bullets(markdown(seen)) != bullets(goals(notebook)):
        yield f"{bullets(goals(notebook))} goals, but {bullets(markdown(seen))} points in What you have seen"


def asks_and_answers_questions(notebook: NotebookNode, path: Path) -> Faults:
    text = markdown(next((body for _, heading, body in sections(notebook) if heading == EXPLAIN), []))
    asked = re.findall(r"(?s)<details>\s*<summary>(.+?)</summary>(.+?)</details>", text)
    if not 3 <= len(asked) <= 4 or text.count("<details") != len(asked):
        yield f"{len(asked)} questions with an answer in <details><summary>: 3 or 4 are wanted"
    yield from (f"'{question}' has hardly an answer" for question, answer in asked if len(answer.split()) < 8)


def has_exercises_with_checks(notebook: NotebookNode, path: Path) -> Faults:
    """Wherever they stand: a heading, the task in words, and a stub that ends in its check."""
    under = exercises(notebook)
    matches = [EXERCISE.fullmatch(heading) for heading in under]
    if not 3 <= len(under) <= 9:
        yield f"{len(under)} exercises: 3 to 9 are wanted"
    if not all(matches):
        yield f"an exercise must be called 'Exercise 1 · Title (warm-up|core|stretch)', found {list(under)}"
        return
    if [int(match[1]) for match in matches] != list(range(1, len(under) + 1)):
        yield "the exercises are not numbered 1, 2, 3, ..."
    for heading, body in under.items():
        place = next((i for i, cell in enumerate(body) if cell.cell_type == "code"), 0)
        if not markdown(body[:place]).strip():
            yield f"{heading}: a task in words and then its code cell are wanted"
            continue
        stub = body[place]
        lines = stub.source.rstrip().splitlines()
        check = re.fullmatch(r"check\.(\w+)\(.+\)", lines[-1])
        if not check or check[1] not in CHECKS:
            yield f"{heading}: the last line must be check.NAME(answer) with a check of segkit.course.check"
        if not re.search(r"(?m)(\breturn|=|^)\s*\.\.\.(\s+#.*)?$", "\n".join(lines[:-1])):
            yield f"{heading}: the stub holds no ..."
        if "not answered yet" not in texts(stub):
            yield f"{heading}: the stored output is not that of the stub"


def asks_before_the_middle(notebook: NotebookNode, path: Path) -> Faults:
    """The reader writes code early, where the idea appears, not only at the end."""
    first_half = new_notebook(cells=notebook.cells[: len(notebook.cells) // 2])
    if not any(checks_in(body) for body in exercises(first_half).values()):
        yield "no exercise stands before the middle"


def folds_the_answer_to_predict(notebook: NotebookNode, path: Path) -> Faults:
    """From a prompt to predict to the next words, all is folded in JupyterLab until the reader opens it.

    But not a knob, which tells nothing until it is turned, and would have to be looked for.
    """
    for i, cell in enumerate(notebook.cells):
        if cell.cell_type != "markdown" or "**Predict" not in cell.source:
            continue
        answers = list(takewhile(lambda after: after.cell_type == "code", notebook.cells[i + 1 :]))
        if not answers:
            yield f"'{cell.source[cell.source.index('**Predict') :][:60]}' has no code cell right after it"
        for after in answers:
            if not shows(after, WIDGET) and not after.metadata.get("jupyter", {}).get("outputs_hidden"):
                yield f"{name_of(after)} answers a prediction: jupyter.outputs_hidden must be true"


def leads_back_and_forth(notebook: NotebookNode, path: Path) -> Faults:
    course = [p.name for p in sorted(path.parent.glob("[0-9][0-9]_*.ipynb"))]
    here, last = course.index(path.name), notebook.cells[-1]
    targets = re.findall(r"\]\(([^)]+)\)", last.source) if last.cell_type == "markdown" else []
    for neighbour in course[max(here - 1, 0) : here] + course[here + 1 : here + 2]:
        if neighbour not in targets:
            yield f"the last cell does not lead to {neighbour}"


LESSON = [
    opens_with_title_goals_needs_and_time,
    has_typed_and_commented_parameters,
    has_one_cell_of_imports_that_prints_the_versions,
    has_its_parts_in_order,
    turns_a_knob_beside_a_still_picture,
    makes_a_mistake_and_repairs_it,
    mirrors_its_goals,
    asks_and_answers_questions,
    has_exercises_with_checks,
    asks_before_the_middle,
    folds_the_answer_to_predict,
    leads_back_and_forth,
]


# --- solutions ------------------------------------------------------------------------------------------


def is_in_step_with_its_lesson(notebook: NotebookNode, path: Path) -> Faults:
    lesson = nbformat.read(path.parents[1] / f"{path.stem.removesuffix('_solutions')}.ipynb", as_version=4)
    title = lesson.cells[0].source.splitlines()[0]
    if notebook.cells[0].source.splitlines()[0] != f"{title}: solutions":
        yield f"the first line must be '{title}: solutions'"
    asked, solved = exercises(lesson), exercises(notebook)
    if list(asked) != list(solved):
        yield f"the lesson asks {list(asked)}, solved are {list(solved)}"
    for heading in asked.keys() & solved.keys():
        if set(checks_in(asked[heading])) != set(checks_in(solved[heading])):
            yield f"{heading}: lesson and solution call other checks"


def passes_its_checks_and_says_why(notebook: NotebookNode, path: Path) -> Faults:
    for heading, body in exercises(notebook).items():
        cells = [cell for cell in body if cell.cell_type == "code"]
        if not any(re.search(r"(?m)^assert ", cell.source) for cell in cells):
            yield f"{heading}: no assert on the check"
        if not any("✓ right" in texts(cell) for cell in cells) or any("✗" in texts(cell) for cell in cells):
            yield f"{heading}: the stored output does not say '✓ right'"
        if len(markdown(body).split()) < 8:
            yield f"{heading}: no words say why"


SOLUTION = [has_typed_and_commented_parameters, is_in_step_with_its_lesson, passes_its_checks_and_says_why]
