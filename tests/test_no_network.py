"""Nothing leaves the machine: every command and every engine runs where each connection is recorded.

An audit hook notes Python's own connections and name look-ups, in the process and in all that it starts:
kernels, workers, servers. Where strace is installed, it notes what compiled code does behind Python.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress

import numpy as np
import pytest
from conftest import write_notebook
from notebook_runs import LESSONS, read

from segkit.checkpoint import CheckpointInfo, save_checkpoint
from segkit.cli import COMMANDS
from segkit.data import Preprocessing
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


@pytest.fixture
def place(tmp_path, make_dataset, tiny_model):
    """A folder with what the commands need, and the environment in which they are recorded."""
    folder = tmp_path / "here"
    (make_dataset(16)).rename(folder)
    info = CheckpointInfo(tiny_model.built_as, preprocessing=Preprocessing(size=32))
    save_checkpoint(folder / "net.safetensors", tiny_model, info)
    photos = [
        write_image(folder / "photos" / f"{i}.png", np.full((40, 50, 3), i, np.uint8)) for i in range(2)
    ]
    assert all(photo.is_file() for photo in photos)
    write_video(folder / "film.mp4", [np.zeros((32, 32, 3), np.uint8)] * 3, 10)
    write_notebook(folder / "lessons" / "00_first.ipynb", "1 + 1")
    (folder / "hook").mkdir()
    (folder / "hook" / "sitecustomize.py").write_text(HOOK)
    (folder / "home").mkdir()
    found = [str(folder / "hook"), os.environ.get("PYTHONPATH", "")]
    changed = {"HOME": "home", "SEGKIT_DATA": "cache", "CALLS": "calls", "MPLCONFIGDIR": "cache", "CI": ""}
    changed = {name: value and str(folder / value) for name, value in changed.items()}
    return folder, os.environ | changed | {"PYTHONPATH": os.pathsep.join(filter(None, found))}


def watched(command, place, **more) -> subprocess.Popen:
    """Start Python in the place; the calls of compiled code go to `kernel`."""
    folder, environment = place
    if shutil.which("strace"):
        trace = [
            "strace",
            "-f",
            "--seccomp-bpf",
            "-qq",
            "-A",
            "-o",
            "kernel",
            "-e",
            "connect,sendto,sendmmsg",
        ]
        if subprocess.run([*trace, "true"], cwd=folder, capture_output=True).returncode == 0:
            command = [*trace, sys.executable, *command]
            return subprocess.Popen(command, cwd=folder, env=environment, text=True, **more)
    return subprocess.Popen([sys.executable, *command], cwd=folder, env=environment, text=True, **more)


def calls(place) -> list[str]:
    """What went further than this machine, as Python and as the kernel saw it."""
    folder, _ = place
    python, kernel = folder / "calls", folder / "kernel"
    found = python.read_text().splitlines() if python.is_file() else []
    for line in kernel.read_text().splitlines() if kernel.is_file() else []:
        address = re.search(r'sin6?_port=htons\((\d+)\).*?"([^"]+)"', line)
        if address and (
            address[1] == "53" or not re.match(r"127\.|::1$|::ffff:127\.|0\.0\.0\.0$", address[2])
        ):
            found.append(line)
    return found


def run_all(lines, place) -> str:
    process = watched(["-c", CALL_ALL], place, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    said, _ = process.communicate("\n".join(lines))
    return said


@pytest.mark.long
def test_no_command_and_no_engine_connects_to_another_machine_or_asks_for_its_name(place):
    folder, _ = place
    engines = [engine for engine in ENGINES if engine != "tensorrt"]  # it needs an NVIDIA card
    lines = [f"predict photos -m net.safetensors -o {engine} --engine {engine}" for engine in engines]
    small = "--size=32 --batch_size=4 --width=8 --precision=fp32 --num_epochs=1"
    lines += [
        "doctor",
        "models",
        "data list",
        "data check .",
        "data split . --overwrite",
        "data import . -o ../imported",
        "data export . -o exported --format coco",
        f"train . -o run {small}",
        f"train . -o cached --cache disk --workers 1 {small}",
        "evaluate net.safetensors . -o scores",
        "annotate photos -m net.safetensors -o annotated",
        "export net.safetensors -o small.onnx",
        "video film.mp4 -m net.safetensors --background blur -o replaced.mp4",
        "live film.mp4 -m net.safetensors -o live.mp4",
        "course --notebooks lessons -o runs",
        "sweep -g seed=0 -p num_epochs=1 size=32 limit=8 -o sweep",
    ]
    assert {line.split()[0] for line in lines} | SERVERS == set(COMMANDS)
    said = run_all(lines, place)
    ended = [line for line in said.splitlines() if line.startswith("EXIT")]
    assert [line for line in ended if not line.startswith("EXIT 0")] == [], said
    assert len(ended) == len(lines)
    assert calls(place) == []
    assert [path for path in (folder / "home").rglob("*") if "intel" in path.name.lower()] == []


@pytest.mark.long
@pytest.mark.parametrize("server", sorted(SERVERS))
def test_no_server_connects_to_another_machine_or_asks_for_its_name(place, server):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    model = ["-m", "net.safetensors", "--port", str(port)]
    process = watched(["-m", "segkit", server, *model], place, start_new_session=True)
    try:
        for _ in range(600):
            with suppress(OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/docs" if server == "serve" else
                                       f"http://127.0.0.1:{port}/").read()  # fmt: skip
                break
            assert process.poll() is None
            time.sleep(0.5)
        else:
            pytest.fail("no answer")
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(60)
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
