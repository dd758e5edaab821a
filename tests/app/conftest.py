"""A page with a tiny network, and a client that shows what came back."""

import http.client
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import pytest

from segkit.checkpoint import CheckpointInfo, save_checkpoint


def ask(address: str, path: str = "/", body=None, method: str | None = None, headers=None, **fields):
    """One request; the answer's body is in .data and .text."""
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=60)
    path += f"?{urlencode(fields)}" if fields else ""
    connection.request(method or ("GET" if body is None else "POST"), path, body, headers or {})
    answer = connection.getresponse()
    answer.data = answer.read()
    answer.text = answer.data.decode(errors="replace")
    connection.close()
    return answer


@pytest.fixture(scope="session")
def client() -> Callable:
    return ask


@pytest.fixture
def checkpoint(tiny_model, tmp_path) -> Path:
    return save_checkpoint(tmp_path / "tiny.safetensors", tiny_model, CheckpointInfo(tiny_model.built_as))
