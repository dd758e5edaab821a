"""The API over a real socket: a picture is posted and a PNG comes back; whatever else is sent is answered."""

import json
import socket
from io import BytesIO
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("fastapi_offline")

from asking import ask, running

from segkit.app import uploads
from segkit.app.serve import build_api
from segkit.matting.compose import as_png, cutout, on_its_own


@pytest.fixture
def address(bright):
    with running(build_api(bright)) as address:
        yield address


@pytest.fixture
def photo(astronaut) -> np.ndarray:
    return astronaut[:200, 100:400]


def shown(answer) -> np.ndarray:
    assert (answer.status, answer.headers["content-type"]) == (200, "image/png"), answer.data
    return np.asarray(Image.open(BytesIO(answer.data)))


def test_a_picture_is_posted_and_its_cut_out_comes_back(address, bright, photo):
    expected = cutout(*on_its_own(photo, bright(photo), bright.threshold))
    assert (shown(ask(address, "/cutout", as_png(photo))) == expected).all()


def test_the_mask_is_cut_at_the_threshold_that_is_asked_for(address, bright, photo):
    for threshold in (0.2, 0.8):
        mask = shown(ask(address, f"/cutout?show=mask&threshold={threshold}", as_png(photo)))
        assert (mask == (bright(photo) > threshold) * 255).all()
    assert shown(ask(address, "/cutout?show=overlay", as_png(photo))).shape == photo.shape


def test_a_new_background_is_put_behind(address, photo):
    green = shown(ask(address, "/cutout?background=00aa55&threshold=0.999", as_png(photo // 4)))
    assert (green == (0, 170, 85)).all()
    for word in ("blur", "portrait", "%2300aa55"):
        assert shown(ask(address, f"/cutout?background={word}", as_png(photo))).shape == photo.shape
    answer = ask(address, "/cutout?background=blur&show=mask", as_png(photo))
    assert answer.status == 400 and "one of them" in json.loads(answer.data)["detail"]


def test_a_name_that_means_nothing_is_refused(address, photo):
    answer = ask(address, "/cutout?treshold=0.9", as_png(photo))
    assert answer.status == 422 and "treshold" in answer.text


def test_a_background_names_no_file_of_this_machine(address, photo):
    for word in ("/etc/passwd", "photo.jpg", "transparent", "00aa5", "00aa55\n"):
        query = word.replace("\n", "%0A")
        assert ask(address, f"/cutout?background={query}", as_png(photo)).status == 422


def test_what_is_no_picture_is_one_sentence(address):
    answer = ask(address, "/cutout", b"hello")
    assert answer.status == 400 and "it holds text" in json.loads(answer.data)["detail"]
    for kind in ("multipart/form-data; boundary=x", "application/x-www-form-urlencoded"):
        answer = ask(address, "/cutout", b"hello", headers={"Content-Type": kind})
        assert answer.status == 400 and "curl --data-binary" in json.loads(answer.data)["detail"]


def test_the_limits_are_those_of_the_page(address):
    bomb = as_png(np.zeros((1, 1, 3), np.uint8))
    wide = BytesIO()
    Image.new("1", (uploads.MOST_PIXELS // 1000 + 1, 1000)).save(wide, "PNG")
    assert "million" in json.loads(ask(address, "/cutout", wide.getvalue()).data)["detail"]
    assert ask(address, "/cutout", bytes(int(uploads.MOST_MEGABYTES * 1e6) + 1)).status == 413
    assert ask(address, "/cutout", bomb, headers={"Origin": "http://evil.example"}).status == 403
    assert ask(address, "/cutout", bomb, headers={"Host": "evil.example"}).status == 400


def test_who_sends_too_slowly_is_not_waited_for(address, monkeypatch):
    monkeypatch.setattr(uploads, "UPLOAD_SECONDS", 0.2)
    with socket.create_connection(urlsplit(address).netloc.split(":")) as wire:
        wire.sendall(b"POST /cutout HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nhello")
        assert b" 400 " in wire.recv(100)


def test_the_description_names_every_answer_and_loads_nothing_from_afar(address):
    description = json.loads(ask(address, "/openapi.json").data)
    assert set(description["paths"]) == {"/cutout"}
    assert {"200", "400", "413", "422", "503"} <= set(description["paths"]["/cutout"]["post"]["responses"])
    page = ask(address, "/docs").data.decode()
    assert "http" not in page.replace("http://www.w3.org", "") and "swagger-ui-bundle.js" in page
    assert ask(address, "/static/swagger-ui-bundle.js").status == 200
    assert ask(address, "/").headers["location"] == "/docs"
