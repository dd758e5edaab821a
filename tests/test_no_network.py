"""Nothing leaves the machine: every command and every engine runs where each connection is recorded.

An audit hook notes Python's own connections and name look-ups, in the process and in all that it starts:
kernels, workers, servers. Where strace is installed, it notes what compiled code does behind Python.
"""

import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from conftest import free_port, serving, write_notebook
from notebook_runs import LESSONS, read

from segkit.cli import COMMANDS
from segkit.files import write_image
from segkit.predict import ENGINES
from segkit.video.files import write_video

HOOK = """
import os, sys
HOME = {None, "", "localhost", "127.0.0.1", "0.0.0.0", "::1", "::"}
def note(event, args):
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        address = args[1]
    elif event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"):
        address = args
    else:
        return
    if isinstance(address, tuple):
        host = address[0].decode() if isinstance(address[0], bytes) else address[0]
        if host not in HOME:
            with open(os.environ["CALLS"], "a") as file:
                file.write(f"{event} {host} by {sys.argv[:3]}\\n")
sys.addaudithook(note)
"""
"""A sitecustomize.py: Python runs it at each start."""

CALL_ALL = """
import sys
from segkit.cli import main
for line in sys.stdin:
    try:
        main(line.split())
    except SystemExit as done:
        print("EXIT", done.code, line, flush=True)
"""

SERVERS = {"demo", "serve"}
SMALL = "--size=32 --batch_size=4 --width=8 --precision=fp32 --num_epochs=1"
COMMAND_LINES = f"""\
doctor
models
data list
data check .
data split . --overwrite
data import . -o ../imported
data export . -o ../exported --format coco
train . -o run {SMALL}
train . -o cached --cache disk --workers 1 {SMALL}
evaluate net.safetensors . -o scores
annotate photos -m net.safetensors -o annotated
export net.safetensors -o small.onnx
video film.mp4 -m net.safetensors --background blur -o replaced.mp4
live film.mp4 -m net.safetensors -o live.mp4
course --notebooks lessons -o runs
sweep -g seed=0 -p num_epochs=1 size=32 limit=8 -o sweep"""


@pytest.fixture
def place(tmp_path, make_dataset, weights):
    """A folder with what the commands need, and the environment in which they are recorded."""
    folder = make_dataset(16, "here")
    shutil.copy(weights, folder / "net.safetensors")
    write_image(folder / "photos" / "a.png", np.zeros((40, 50, 3), np.uint8))
    write_video(folder / "film.mp4", [np.zeros((32, 32, 3), np.uint8)] * 3, 10)
    write_notebook(folder / "lessons" / "00_first.ipynb", "1 + 1")
    (folder / "hook").mkdir()
    (folder / "hook" / "sitecustomize.py").write_text(HOOK)
    (folder / "home").mkdir()
    found = [str(folder / "hook"), os.environ.get("PYTHONPATH", "")]
    changed = {"HOME": "home", "SEGKIT_DATA": "cache", "CALLS": "calls", "MPLCONFIGDIR": "cache"}
    changed = {name: str(folder / value) for name, value in changed.items()}
    return folder, os.environ | changed | {"CI": "", "PYTHONPATH": os.pathsep.join(filter(None, found))}


STRACE = ["strace", "-f", "--seccomp-bpf", "-qq", "-A", "-o", "kernel", "-e", "connect,sendto,sendmmsg"]


def watched(command, place, **more) -> subprocess.Popen:
    """Start Python in the place; the calls of compiled code go to `kernel`."""
    folder, environment = place
    command = [sys.executable, *command]
    if shutil.which("strace"):
        traces = subprocess.run([*STRACE, "true"], cwd=folder, capture_output=True).returncode == 0
        command = [*STRACE, *command] if traces else command
    return subprocess.Popen(command, cwd=folder, env=environment, text=True, **more)


def calls(place) -> list[str]:
    """What went further than this machine, as Python and as the kernel saw it."""
    python, kernel = (
        (place[0] / name).read_text().splitlines() if (place[0] / name).is_file() else []
        for name in ("calls", "kernel")
    )
    near = re.compile(r"127\.|::1$|::ffff:127\.|0\.0\.0\.0$")
    found = [(line, re.search(r'sin6?_port=htons\((\d+)\).*?"([^"]+)"', line)) for line in kernel]
    return python + [line for line, at in found if at and (at[1] == "53" or not near.match(at[2]))]


@pytest.mark.long
def test_no_command_and_no_engine_connects_to_another_machine_or_asks_for_its_name(place):
    folder, _ = place
    engines = [engine for engine in ENGINES if engine != "tensorrt"]  # it needs an NVIDIA card
    lines = [f"predict photos -m net.safetensors -o {engine} --engine {engine}" for engine in engines]
    lines += COMMAND_LINES.splitlines()
    assert {line.split()[0] for line in lines} | SERVERS == set(COMMANDS)
    process = watched(["-c", CALL_ALL], place, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    said, _ = process.communicate("\n".join(lines))
    ended = [line for line in said.splitlines() if line.startswith("EXIT")]
    assert [line for line in ended if not line.startswith("EXIT 0")] == [], said
    assert len(ended) == len(lines)
    assert calls(place) == []
    assert [path for path in (folder / "home").rglob("*") if "intel" in path.name.lower()] == []


@pytest.mark.long
@pytest.mark.parametrize("server", sorted(SERVERS))
def test_no_server_connects_to_another_machine_or_asks_for_its_name(place, server):
    port = free_port()
    command = ["-m", "segkit", server, "-m", "net.safetensors", "--port", str(port)]
    process = watched(command, place, start_new_session=True)
    page = f"http://127.0.0.1:{port}/{'docs' if server == 'serve' else ''}"
    with serving(process, page):
        pass
    assert calls(place) == []


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda path: path.stem)
def test_a_lesson_imports_segkit_before_onnx_runtime_which_then_tells_nobody_of_its_start(lesson):
    imports = next(c.source for c in read(lesson).cells if "imports" in c.metadata.get("tags", []))
    assert "segkit" in imports.partition("import onnxruntime")[0]


@pytest.mark.slow
def test_the_record_would_show_a_look_up_and_a_connection_of_a_process_below(place):
    code = "import socket, sys; socket.create_connection(('192.0.2.1', 9), timeout=0.2)"
    ask = "import socket; socket.getaddrinfo('example.invalid', 80)"
    for below in (code, ask):
        run = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {below!r}])"
        watched(["-c", run], place, stderr=subprocess.DEVNULL).wait()
    found = "\n".join(calls(place))
    assert "socket.connect 192.0.2.1" in found and "socket.getaddrinfo example.invalid" in found
    if (place[0] / "kernel").is_file():
        assert 'inet_addr("192.0.2.1")' in found
