"""Is this machine ready for the course? Introduced in notebook 00."""

import os
import platform
import shutil
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from segkit import __version__
from segkit.device import best_device

PACKAGES = ("torch", "albumentations", "opencv-python-headless", "accelerate", "matplotlib", "safetensors")

LAB_PACKAGES = ("jupyterlab", "ipywidgets", "papermill")
"""What the lessons need besides; they come with a clone and not with the package."""

LESSONS = Path(__file__).parents[2] / "notebooks"
"""Where the lessons are in a clone."""


def show_versions(seed: int | None = None) -> None:
    """Print one line that a bug report can start from: versions, device, processor threads, seed."""
    parts = [f"segkit {__version__}", f"torch {torch.__version__}"]
    threads = torch.get_num_threads()
    parts += [f"device {best_device()}, {threads} thread{'s' * (threads > 1)}"]
    print(" · ".join(parts + ([] if seed is None else [f"seed {seed}"])))


def check_environment() -> tuple[str, bool]:
    """One [OK] or [FAIL] line per thing the course needs.   Returns: the text, and whether all is well."""
    lines, healthy = [], True

    def say(good: bool, what: str, advice: str = "") -> None:
        nonlocal healthy
        healthy &= good
        lines.append(f"[{'OK' if good else 'FAIL'}]".ljust(7) + what + ("" if good else f" - {advice}"))

    system = f"{platform.system()} {platform.machine()}"
    say(True, f"segkit {__version__}, Python {platform.python_version()}, {system}")
    for package in (*PACKAGES, *(LAB_PACKAGES if LESSONS.is_dir() else ())):
        try:
            say(True, f"{package} {version(package)}")
        except PackageNotFoundError:
            extra = "[lab]" if package in LAB_PACKAGES else ""
            say(False, package, f"not installed. Run: pip install 'segkit-course{extra}'")
    try:
        version("opencv-python")
        cure = "opencv-python lies over opencv-python-headless. Run: pip uninstall opencv-python"
        say(False, "one OpenCV", cure)
    except PackageNotFoundError:
        say(True, "one OpenCV")
    gpu = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "none (the course runs without)"
    say(True, f"processor: {os.cpu_count()} cores, torch uses {torch.get_num_threads()} threads; GPU: {gpu}")
    free = shutil.disk_usage(Path.cwd()).free / 1e9
    say(free > 1, f"disk: {free:.0f} GB free here", "a run needs about 1 GB: free some space")
    return "\n".join(lines), healthy
