"""A server on this machine, and one request to it."""

import http.client
import threading
from contextlib import contextmanager
from urllib.parse import urlencode, urlsplit

from segkit.app import guard


def ask(address: str, path: str = "/", body=None, method: str | None = None, headers=None, **fields):
    """The answer; its body is in .data and .text.   fields: go into the address."""
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=600)
    path += f"?{urlencode(fields)}" if fields else ""
    connection.request(method or ("GET" if body is None else "POST"), path, body, headers or {})
    answer = connection.getresponse()
    answer.data = answer.read()
    answer.text = answer.data.decode(errors="replace")
    connection.close()
    return answer


@contextmanager
def running(app):
    """Serve beside the test: yields the address, ends with the block."""
    with guard.listen("127.0.0.1", None) as place:
        server = guard.server(app)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [place]}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{place.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
