"""One request to a server on this machine."""

import http.client
from urllib.parse import urlencode, urlsplit


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
