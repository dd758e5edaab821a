"""Who may ask a server on this machine, and how much."""

import asyncio
import signal
import socket
from urllib.parse import urlsplit

import pytest

pytest.importorskip("uvicorn")

from asking import ask, running
from conftest import refused
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from segkit.app import guard


async def echo(request):
    return PlainTextResponse(f"{len(await request.body())} bytes")


@pytest.fixture(scope="module")
def address():
    routes = [Route("/", echo, methods=["GET", "POST"])]
    with running(Starlette(routes=routes, middleware=guard.guards("127.0.0.1", 0.1))) as address:
        yield address


def test_only_our_own_names_are_answered(address):
    port = urlsplit(address).port
    for host in ("localhost", "127.0.0.1", "[::1]", "LOCALHOST"):
        assert ask(address, headers={"Host": f"{host}:{port}"}).status == 200
    for host in ("evil.example", f"127.0.0.1.evil.example:{port}", "", "10.0.0.1", "localhost@evil.example"):
        assert ask(address, headers={"Host": host}).status == 400


def test_another_site_may_not_post(address):
    for origin in ("http://evil.example", "null", "http://localhost:1", address + ".evil.example", ""):
        assert ask(address, body=b"x", headers={"Origin": origin}).status == 403
    assert ask(address, body=b"x", headers={"Origin": address}).text == "1 bytes"
    assert ask(address, body=b"x").text == "1 bytes"  # no browser: nobody is tricked


def test_nobody_may_frame_an_answer_or_keep_it(address):
    for headers in ({}, {"Host": "evil.example"}, {"Origin": "null"}):
        answer = ask(address, headers=headers)
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
        assert answer.headers["Cache-Control"] == "no-store"
        assert "access-control-allow-origin" not in answer.headers


def test_a_body_beyond_the_limit_is_refused_before_it_is_read(address):
    assert ask(address, body=bytes(100_000)).text == "100000 bytes"
    assert ask(address, body=bytes(100_001)).status == 413
    assert ask(address, body=iter([bytes(60_000)] * 2)).status == 413  # in pieces, without a length
    with socket.create_connection(urlsplit(address).netloc.split(":")) as wire:
        wire.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 400000000\r\n\r\n")
        assert b" 413 " in wire.recv(100)  # not one byte of the body was sent


@pytest.mark.parametrize("why", [ClientDisconnect, asyncio.CancelledError])
def test_who_goes_away_while_sending_and_our_own_end_are_no_errors_of_ours(why):
    async def gone(scope, receive, send):
        raise why

    asked = {"type": "http", "headers": []}
    asyncio.run(guard.Guard(gone)(asked, None, None))
    with pytest.raises(TypeError):  # any other is
        asyncio.run(guard.Guard(None)(asked, None, None))


def test_too_many_at_once_are_asked_to_come_again(address, monkeypatch):
    monkeypatch.setattr(guard, "WAITING", 0)
    assert ask(address).status == 503


def test_a_server_for_the_network_knows_its_addresses_and_no_others():
    names = guard.own_names("0.0.0.0")
    assert {"localhost", "127.0.0.1", socket.gethostname().lower()} <= set(names)
    assert "*" not in names and "evil.example" not in names
    assert "[fe80::1]" in guard.own_names("fe80::1")


def test_a_port_in_use_is_said_and_the_next_free_one_is_found(address):
    port = urlsplit(address).port
    refused(f"port {port}.*--port", guard.listen, "127.0.0.1", port)
    with guard.listen("127.0.0.1", None) as place:
        assert place.getsockname()[1] != port
    for host, port in (("nowhere.invalid", 0), ("127.0.0.1", -1), ("127.0.0.1", 70000)):
        refused(r"cannot be used \([^()]*(bind\(\))?[^()]*\): choose", guard.listen, host, port)
    refused("port 7860 of 'nowhere.invalid'", guard.listen, "nowhere.invalid", None)  # not a hundred times


def test_a_second_ctrl_c_does_not_cut_off_what_the_first_has_begun():
    server = guard.server(None)
    server.handle_exit(signal.SIGINT, None)
    server.handle_exit(signal.SIGINT, None)
    assert server.should_exit and not server.force_exit
