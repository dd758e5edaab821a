"""What was sent to the page: in memory or in a folder of its own, gone after a while and with the page."""

import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_urlsafe

from filelock import FileLock, Timeout

from segkit.files import UserError, cache_folder

KEPT_MINUTES = 15
"""After its last use whatever was sent is deleted."""

MOST_BYTES = 1_000_000_000
"""Of all that is kept. Beyond, what was not used for longest goes first; its owner's page sends it again."""


class Thing:
    """What can be kept; what is not in memory alone says how to leave nothing behind."""

    bytes: int

    def close(self) -> None:
        pass


class Gone(UserError):
    """It was here, and is deleted by now."""


class Store:
    """Things by keys that nobody can guess. Any number of threads may use it at once."""

    def __init__(self):
        self._things: dict[str, tuple[float, Thing]] = {}  # with its last use; the oldest comes first
        self._lock = threading.Lock()

    def put(self, thing: Thing) -> str:
        key = token_urlsafe(16)
        with self._lock:
            self._things[key] = time.monotonic(), thing
        self.sweep()
        return key

    def get(self, key: str) -> Thing:
        """It lives on from now.   Raises: Gone."""
        self.sweep()
        with self._lock:
            if key not in self._things:
                why = f"it is deleted {KEPT_MINUTES} minutes after its last use, or earlier, for newer things"
                raise Gone(f"{why}: send it again, and less at a time.")
            _, thing = self._things.pop(key)
            self._things[key] = time.monotonic(), thing
        return thing

    def remove(self, key: str) -> None:
        with self._lock:
            _, thing = self._things.pop(key, (0, None))
        if thing:
            thing.close()

    def sweep(self, everything: bool = False) -> None:
        """Delete what is too old, and the oldest while all is too much; or everything."""
        now, going = time.monotonic(), []
        with self._lock:
            total = sum(thing.bytes for _, thing in self._things.values())
            for key, (used, thing) in list(self._things.items()):
                if everything or now - used > 60 * KEPT_MINUTES or total > MOST_BYTES:
                    total -= thing.bytes
                    going.append(self._things.pop(key)[1])
        for thing in going:
            thing.close()


@contextmanager
def private_folder() -> Iterator[Path]:
    """A folder for this page alone, which goes with the block; what a killed page left goes first."""
    home = cache_folder() / "page"
    home.mkdir(parents=True, exist_ok=True)
    for left in home.glob("*.lock"):
        with suppress(Timeout), FileLock(left, timeout=0):
            shutil.rmtree(left.with_suffix(""), ignore_errors=True)
            left.unlink()
    folder = home / token_urlsafe(8)
    with FileLock(lock := folder.with_suffix(".lock")):
        folder.mkdir(mode=0o700)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            lock.unlink(missing_ok=True)
