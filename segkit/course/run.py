"""`segkit course`: run the notebooks in order and keep what came out. Introduced in notebook 00."""

import ast
import re
import threading
import time
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from html import escape
from pathlib import Path
from string import Template

import nbformat
import papermill
import psutil
import torch
import yaml
import zmq
from jupyter_client import AsyncKernelClient, AsyncKernelManager
from jupyter_client.channels import AsyncZMQSocketChannel
from nbconvert import HTMLExporter
from traitlets import Type

from segkit.course.environment import LESSONS, check_environment
from segkit.device import best_device
from segkit.files import UserError, check_choice, write_text
from segkit.study.members import duration

DEFAULT_PROFILE = "default"
"""The profile without a file: each notebook's own parameters."""

SIMPLE_TYPES = {"bool": bool, "int": int, "float": (int, float), "str": str}
SIMPLE_TYPES |= {"list": list, "tuple": (list, tuple), "dict": dict}


@dataclass(frozen=True)
class Outcome:
    """How one notebook went."""

    name: str
    title: str
    seconds: float
    peak_bytes: int
    """The most memory its kernel and every process below it held at one moment."""
    error: str | None = None
    """None when it ran to its end; otherwise one line that says what stopped it."""

    def text(self) -> str:
        end = f"in {duration(self.seconds)}, at most {self.peak_bytes / 1e9:.2f} GB of memory"
        return f"ran {end}" if self.error is None else f"FAILED {end}: {self.error}"


def run_course(
    folder: Path = LESSONS,
    out: Path = Path("runs"),
    profile: str = DEFAULT_PROFILE,
    only: list[str] | None = None,
    parameters: dict[str, str] | None = None,
    table: Path | None = None,
) -> list[Outcome]:
    """Run notebooks with papermill, one after the other; a failure does not stop the next.

    folder: where the notebooks are.   only: "03", "09-12" or a whole name.
    profile: a folder of folder/profiles.   parameters: go before those of the profile.
    table: a Markdown file that gets the times and the memory between its two `times` markers.
    Writes to out/course-TIME: executed copies, each as a page too, and index.html.   Raises: UserError.
    """
    folder = folder.resolve()
    notebooks = choose_notebooks(folder, only or [])
    settings = settings_for(notebooks, read_profile(folder, profile), parameters or {})
    health, healthy = check_environment()
    if not healthy:
        raise UserError("this machine lacks something:\n" + re.sub(r"(?m)^\[OK\].*\n?", "", health))

    if table:
        _text_with_place(table)
    run = out.absolute() / time.strftime("course-%Y%m%d-%H%M%S")
    try:
        run.mkdir(parents=True)
    except OSError as error:
        raise UserError(f"'{run}' cannot be made ({error.strerror}).") from None
    meaning = " (each notebook's own parameters)" if profile == DEFAULT_PROFILE else ""
    print(f"profile: {profile}{meaning}\nresults: {run}\n")
    outcomes: list[Outcome] = []
    for number, (name, path) in enumerate(notebooks.items(), start=1):
        changed = "".join(f"  {key}={value!r}" for key, value in settings[name].items())
        print(f"[{number}/{len(notebooks)}] {name}{changed}", flush=True)
        outcomes.append(run_notebook(path, run / path.name, settings[name]))
        print(" " * 6 + outcomes[-1].text(), flush=True)
        write_page(run / path.name, folder, notebooks)
        _write_index(run / "index.html", profile, outcomes)

    ran = [outcome for outcome in outcomes if outcome.error is None]
    total = duration(sum(outcome.seconds for outcome in outcomes))
    print(f"\n{len(ran)} of {len(outcomes)} notebooks ran, {total} in all. Look at: {run / 'index.html'}")
    if table:
        _write_table(table, profile, outcomes)
    return outcomes


def run_notebook(
    path: Path, copy: Path, parameters: dict | None = None, cell_seconds: int | None = None
) -> Outcome:
    """Run one notebook in its own folder and keep the executed copy, also when a cell fails.

    cell_seconds: a cell that takes longer has failed; None waits for ever.
    """
    error, start = None, time.monotonic()
    with MemoryWatch() as memory:
        try:
            executed = papermill.execute_notebook(
                path,
                copy,
                parameters,
                cwd=path.parent,
                execution_timeout=cell_seconds,
                kernel_name="python3",
                kernel_manager_class=WakefulKernelManager,
                extra_arguments=["--IPKernelApp.log_level=CRITICAL"],  # nothing about TCP or its own end
                progress_bar={"desc": path.stem, "leave": False, "disable": None},  # None: none in a log
            )
            error = _error_in_a_widget(executed)
        except papermill.PapermillExecutionError as failed:
            error = f"cell [{failed.exec_count}]: {failed.ename}: {failed.evalue}"
        except Exception as failed:  # a kernel that died, a damaged file: the other notebooks still run
            error = f"{type(failed).__name__}: {failed}"
    seconds = time.monotonic() - start
    return Outcome(path.stem, _title(path), seconds, memory.peak, error and " ".join(error.split()))


class WakefulChannel(AsyncZMQSocketChannel):
    """A way to the kernel that never misses an answer.

    While a cell runs, nbclient sends the kernel word of what its widgets show. Sending may use up the one
    sign that an answer has come, and then the cell waits for ever (nbclient's issue 312). So look again.
    """

    def send(self, msg: dict) -> None:
        super().send(msg)
        self.socket.get(zmq.EVENTS)  # whoever waits is woken when there is something


class WakefulKernelClient(AsyncKernelClient):
    """Talks to a kernel through a WakefulChannel."""

    shell_channel_class = Type(WakefulChannel)


class WakefulKernelManager(AsyncKernelManager):
    """Starts kernels, for papermill, that are talked to in this way."""

    client_factory = Type(WakefulKernelClient, AsyncKernelClient)


class MemoryWatch:
    """Watches the processes that start inside `with`, and all they start; `.peak` is in bytes.

    Pages that several processes share are counted once for each of them, so the truth is at most `.peak`.
    """

    def __init__(self, every: float = 0.1):
        self.peak, self._every, self._stop = 0, every, threading.Event()

    def __enter__(self) -> "MemoryWatch":
        self._known = set(psutil.Process().children())
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(self._every):
            total = 0
            for child in set(psutil.Process().children()) - self._known:
                try:
                    family = [child, *child.children(recursive=True)]
                    total += sum(process.memory_info().rss for process in family)
                except psutil.Error:  # it ended while we looked
                    continue
            self.peak = max(self.peak, total)


def choose_notebooks(folder: Path, only: list[str]) -> dict[str, Path]:
    """The chosen notebooks by name, in the order of their numbers."""
    notebooks = {path.stem: path for path in sorted(folder.glob("[0-9][0-9]_*.ipynb"))}
    if not notebooks:
        raise UserError(
            f"there are no notebooks in '{folder}': they come with the repository, not with the package. "
            "Clone it, or say where they are with --notebooks."
        )
    chosen = set()
    for wanted in only:
        ends = re.fullmatch(r"(\d+)(?:-(\d+))?", wanted)
        numbers = range(int(ends[1]), int(ends[2] or ends[1]) + 1) if ends else ()
        found = {name for name in notebooks if name == wanted or int(name[:2]) in numbers}
        if not found:
            raise UserError(f"no notebook is called '{wanted}': choose from {', '.join(notebooks)}.")
        chosen |= found
    return {name: path for name, path in notebooks.items() if name in chosen or not only}


def read_profile(folder: Path, profile: str) -> dict[str, dict]:
    """{notebook: {parameter: value}} of the files folder/profiles/PROFILE/NN.yaml, one for each notebook.

    Each file is flat, so `papermill -f` takes it too.   Raises: UserError.
    """
    if profile == DEFAULT_PROFILE:
        return {}
    known = sorted({path.parent.name for path in (folder / "profiles").glob("*/*.yaml")})
    check_choice("profile", profile, (DEFAULT_PROFILE, *known))
    sections = {}
    for path in sorted((folder / "profiles" / profile).glob("*.yaml")):
        try:
            notebooks = choose_notebooks(folder, [path.stem])
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
        except UserError as error:
            raise UserError(f"'{path}' is of no notebook: {error}") from None
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise UserError(f"'{path}' is not YAML: {' '.join(str(error).split())}.") from None
        if not isinstance(content, dict):
            raise UserError(f"'{path}' must hold one parameter a line, such as 'seed: 1'.")
        sections |= dict.fromkeys(notebooks, content)
    return sections


def settings_for(notebooks: dict[str, Path], profile: dict[str, dict], given: dict) -> dict[str, dict]:
    """The parameters to change in each notebook, each known there and of the type declared there."""
    known = {name: _parameters(path) for name, path in notebooks.items()}
    for parameter in given:
        if not any(parameter in declared for declared in known.values()):
            lists = "; ".join(f"{name} has {_list(declared)}" for name, declared in known.items())
            raise UserError(f"no chosen notebook has a parameter '{parameter}': {lists}.")
    settings = {}
    for name, declared in known.items():
        section = profile.get(name, {})
        for parameter in section:
            if parameter not in declared:
                raise UserError(
                    f"the profile sets '{parameter}' in {name}, which has no such parameter: "
                    f"{name} has {_list(declared)}."
                )
        wanted = section | {key: value for key, value in given.items() if key in declared}
        settings[name] = {key: _fit(value, declared[key], f"{name}: {key}") for key, value in wanted.items()}
    return settings


def _parameters(path: Path) -> dict[str, str]:
    """{parameter: declared type} of one notebook."""
    try:
        return {n: p["inferred_type_name"] for n, p in papermill.inspect_notebook(str(path)).items()}
    except Exception as error:
        raise UserError(f"'{path}' is not a notebook that can be read ({error}).") from None


def _list(declared: dict[str, str]) -> str:
    return ", ".join(f"{name} ({kind})" for name, kind in declared.items()) or "no parameters"


def _fit(value, kind: str, where: str):
    """The value as the notebook declares it: the text "1e-3" becomes a number where one is wanted."""
    if kind == "str" and not isinstance(value, dict | list):
        return str(value)
    if isinstance(value, str):
        with suppress(ValueError, SyntaxError):  # what stays text is refused below where text does not fit
            value = ast.literal_eval({"true": "True", "false": "False", "null": "None"}.get(value, value))
    wanted = SIMPLE_TYPES.get(kind.split("[")[0].lower(), object)
    if not isinstance(value, wanted) or (isinstance(value, bool) and kind in ("int", "float")):
        raise UserError(f"{where} must be {kind}, found {value!r}.")
    return value


def _error_in_a_widget(notebook: nbformat.NotebookNode) -> str | None:
    """An error inside a widget's callback lands in the widget's own output, where papermill does not look."""
    for widgets in notebook.metadata.get("widgets", {}).values():
        for model in widgets["state"].values():
            for output in model["state"].get("outputs", []):
                if output["output_type"] == "error":
                    return f"in a widget: {output['ename']}: {output['evalue']}"
    return None


def _title(path: Path) -> str:
    try:
        return nbformat.read(path, as_version=4).cells[0].source.splitlines()[0].lstrip("# ")
    except Exception:  # no cell, no text, or no notebook: its name will do
        return path.stem


def write_page(notebook: Path, folder: Path, names: Collection[str] = ()) -> None:
    """NAME.html beside NAME.ipynb, pictures inside.

    folder: where the notebook's pictures are sought.   names: of notebooks that become pages, too: links lead
    from page to page.
    """
    if not notebook.is_file():
        return
    content = nbformat.read(notebook, as_version=4)
    # Nothing moves on a page: in place of a widget, which would also need a network, stands its text.
    content.metadata.pop("widgets", None)
    for cell in content.cells:
        for output in cell.get("outputs", []):
            output.get("data", {}).pop("application/vnd.jupyter.widget-view+json", None)
    source = {"metadata": {"name": notebook.stem, "path": str(folder)}}
    page, _ = HTMLExporter(embed_images=True).from_notebook_node(content, source)
    for name in names:
        page = page.replace(f'href="{name}.ipynb"', f'href="{name}.html"')
    write_text(notebook.with_suffix(".html"), page)


def _write_index(path: Path, profile: str, outcomes: list[Outcome]) -> None:
    rows = []
    for o in outcomes:
        status = "ran" if o.error is None else f"<b>failed</b><br><code>{escape(o.error)}</code>"
        cells = [f'<a href="{o.name}.html">{escape(o.title)}</a>', status, duration(o.seconds)]
        cells += [f"{o.peak_bytes / 1e9:.2f} GB", f'<a href="{o.name}.ipynb">{o.name}.ipynb</a>']
        rows.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    page = Template(Path(__file__).with_name("index.html").read_text(encoding="utf-8"))
    write_text(path, page.substitute(profile=escape(profile), machine=_machine(), rows="\n".join(rows)))


def _write_table(path: Path, profile: str, outcomes: list[Outcome]) -> None:
    """Put the times between the two markers of a Markdown file."""
    if any(outcome.error for outcome in outcomes):
        raise UserError(f"'{path}' is left as it was: a table of times wants every notebook to run.")
    text = _text_with_place(path)
    lines = ["| lesson | time | peak memory |", "|---|---|---|"]
    for o in outcomes:
        lines.append(f"| [{o.title}]({o.name}.ipynb) | {duration(o.seconds)} | {o.peak_bytes / 1e9:.2f} GB |")
    total, most = sum(o.seconds for o in outcomes), max(o.peak_bytes for o in outcomes)
    lines.append(f"| all | {duration(total)} | {most / 1e9:.2f} GB |")
    lines += ["", f"Profile {profile}, {time.strftime('%d %B %Y').lstrip('0')}. {_machine()}."]
    block = "<!-- times -->\n" + "\n".join(lines) + "\n<!-- /times -->"
    write_text(path, re.sub(TABLE, lambda _: block, text))


TABLE = r"(?s)<!-- times -->.*<!-- /times -->"


def _text_with_place(path: Path) -> str:
    text = ""
    with suppress(UnicodeDecodeError):
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
    if not re.search(TABLE, text):
        raise UserError(f"'{path}' has no place for the table: add <!-- times --> and <!-- /times -->.")
    return text


def _machine() -> str:
    threads = torch.get_num_threads()
    return f"Device {best_device()}, {threads} processor thread{'s' if threads > 1 else ''}"
