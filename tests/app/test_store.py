"""What was sent is gone when it was promised, whoever else is at work, and however the page ends."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from segkit.app import store


class Thing:
    bytes = 100

    def __init__(self):
        self.closed = 0

    def close(self):
        self.closed += 1


def test_many_threads_put_take_and_sweep_and_each_thing_is_closed_once(monkeypatch):
    monkeypatch.setattr(store, "MOST_BYTES", 2000)
    kept, things, start = store.Store(), [Thing() for _ in range(2000)], threading.Barrier(8)

    def work(mine):
        start.wait(10)
        for i, thing in enumerate(mine):
            key = kept.put(thing)
            try:
                kept.get(key)
            except store.Gone:
                assert thing.closed
            if i % 3 == 0:
                kept.remove(key)

    with ThreadPoolExecutor(8) as people:
        list(people.map(work, [things[i::8] for i in range(8)]))
    assert sum(not thing.closed for thing in things) <= 20  # 20 of them are 2000 bytes
    kept.sweep(everything=True)
    assert [thing.closed for thing in things] == [1] * 2000


def test_what_was_not_used_for_the_promised_time_is_deleted(monkeypatch):
    now = 0.0
    monkeypatch.setattr(store.time, "monotonic", lambda: now)
    kept, old, used = store.Store(), Thing(), Thing()
    first, second = kept.put(old), kept.put(used)
    now = 60 * store.KEPT_MINUTES - 1
    kept.get(second)
    now += 2
    with pytest.raises(store.Gone, match="15 minutes"):
        kept.get(first)
    assert old.closed and kept.get(second) is used


def test_beyond_the_limit_the_one_unused_for_longest_goes_first(monkeypatch):
    monkeypatch.setattr(store, "MOST_BYTES", 250)
    kept, (one, two, three) = store.Store(), [Thing() for _ in range(3)]
    first = kept.put(one)
    second = kept.put(two)
    kept.get(first)
    kept.put(three)
    with pytest.raises(store.Gone, match="less at a time"):  # its minutes are not over
        kept.get(second)
    assert [thing.closed for thing in (one, two, three)] == [0, 1, 0]


def test_the_folder_goes_with_its_page_and_with_it_what_a_killed_page_left(monkeypatch, tmp_path):
    monkeypatch.setenv("SEGKIT_DATA", str(tmp_path))
    with store.private_folder() as other:
        (other / "video.mp4").write_bytes(b"somebody's")
        dead = other.with_name("dead")
        dead.mkdir()
        (dead / "video.mp4").write_bytes(b"somebody's")
        dead.with_suffix(".lock").touch()
        with store.private_folder() as mine:
            assert not dead.exists() and mine.stat().st_mode & 0o77 == 0
            assert (other / "video.mp4").exists(), "that page is still at work"
    assert list((tmp_path / "page").iterdir()) == []
