"""The exercises' checks: check.NAME(answer) says whether an answer is right, and if not, why.

Each lesson has a file here. A check tries the answer on random inputs, prints what it gave, what was
expected and a hint that fits the failure, and never raises.
"""

import importlib
import pkgutil

from segkit.course.check.core import CHECKS, Result, Wrong, exercise, start_from

for _module in pkgutil.iter_modules(__path__):
    if _module.name.startswith("lesson"):
        importlib.import_module(f"{__name__}.{_module.name}")

globals().update(CHECKS)

__all__ = ["CHECKS", "Result", "Wrong", "exercise", "start_from", *CHECKS]
