"""The real download code against a local web server that misbehaves as real ones do."""

import contextlib
import hashlib
import http.server
import io
import json
import re
import threading
import zipfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("pooch")
coco_tools = pytest.importorskip("pycocotools.mask")

from conftest import cases, refused  # noqa: E402

from segkit.data import read_table  # noqa: E402
from segkit.files import UserError  # noqa: E402
from segkit.sets import sources  # noqa: E402
from segkit.sets.sources import fetch, get_source, list_sources  # noqa: E402

# pycocotools 2.0.11 under NumPy 2; nothing a user can see.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
RNG = np.random.default_rng(0)


class Server(http.server.ThreadingHTTPServer):
    """Serves `files`; `faults` are what the next answers for a path are instead: "busy", or "cut" short."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.faults: dict[str, list[str]] = {}
        self.asked: list[str] = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request, client_address):
        pass  # a client that hangs up is part of these tests


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def do_GET(self):
        self.server.asked.append(self.path)
        faults, body = self.server.faults.get(self.path), self.server.files.get(self.path)
        fault = faults.pop() if faults else None
        if fault == "busy" or body is None:
            return self.send_error(404 if body is None else 503)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:10] if fault == "cut" else body)


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    with Server() as running:
        threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield running
        running.shutdown()


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SEGKIT_DATA", str(tmp_path / "cache"))
    return tmp_path / "cache"


def md5(data: bytes) -> str:
    return "md5:" + hashlib.md5(data).hexdigest()


def offer(server: Server, monkeypatch, name: str, members: dict[str, bytes], **other) -> None:
    """Have the server offer members as the archive of a source."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for member, data in members.items():
            file.writestr(member, data)
    server.files[f"/{name}.zip"] = data = buffer.getvalue()
    other |= {"archive": f"{server.url}/{name}.zip", "checksum": md5(data)}
    monkeypatch.setitem(sources.SOURCES, name, replace(sources.SOURCES[name], **other))


def picture(pixels: np.ndarray, kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


def noise(height: int, width: int) -> np.ndarray:
    return RNG.integers(0, 256, (height, width, 3), dtype=np.uint8)


# Downloads


BODY = RNG.bytes(300_000)


@pytest.mark.parametrize("faults", [[], ["cut", "cut"], ["busy", "busy"]])
def test_a_file_is_fetched_once_however_often_that_has_to_be_tried(server, tmp_path, faults):
    server.files["/a.bin"], server.faults["/a.bin"] = BODY, [*faults]
    for _ in range(2):
        assert fetch(f"{server.url}/a.bin", tmp_path / "a.bin", md5(BODY)).read_bytes() == BODY
    assert len(server.asked) == 1 + len(faults)
    assert [path.name for path in tmp_path.iterdir()] == ["a.bin"]


@cases(
    "body said",
    (BODY, "answers 503"),
    (None, r"a\.bin' is not on the server"),
    (b"other", f"{md5(BODY)}.*{md5(b'other')[4:]}.*Run the command again"),
)
def test_what_cannot_be_fetched_is_one_sentence_and_leaves_nothing(server, tmp_path, body, said):
    server.files["/a.bin"], server.faults["/a.bin"] = body, ["busy"] * 9 if body == BODY else []
    refused(said, fetch, f"{server.url}/a.bin", tmp_path / "a.bin", md5(BODY))
    assert list(tmp_path.iterdir()) == []


def test_no_network_is_one_sentence(server, tmp_path):
    server.server_close()
    with pytest.raises(UserError, match=r"could not be fetched \(.*refused.*Check the network"):
        fetch(f"{server.url}/a.bin", tmp_path / "a.bin", md5(BODY))


# Penn-Fudan


@pytest.fixture
def penn(server, monkeypatch):
    members = {"PennFudanPed/readme.txt": b"terms"}
    for i in range(5):
        members[f"PennFudanPed/PNGImages/Fudan{i}.png"] = picture(noise(20, 30), "png")
        people = np.zeros((20, 30), np.uint8)
        people[5:15, 3:9], people[5:15, 12 : 18 + i] = 1, 2
        members[f"PennFudanPed/PedMasks/Fudan{i}_mask.png"] = picture(people, "png")
    offer(server, monkeypatch, "penn-fudan", members)
    return members


def test_penn_fudan_becomes_images_and_masks_and_is_asked_for_once(penn, server, cache):
    for _ in range(2):
        folder = get_source("penn-fudan", yes=True, progress=False)
    assert folder == cache / "penn-fudan" and len(server.asked) == 1
    for kind in ("images", "masks"):
        assert {path.stem for path in (folder / kind).iterdir()} == {f"Fudan{i}" for i in range(5)}
    for name in (f"Fudan{i}" for i in range(5)):
        assert (folder / "images" / f"{name}.png").read_bytes() == penn[f"PennFudanPed/PNGImages/{name}.png"]
        people = Image.open(io.BytesIO(penn[f"PennFudanPed/PedMasks/{name}_mask.png"]))
        mask = np.asarray(Image.open(folder / "masks" / f"{name}.png"))
        assert np.array_equal(mask, (np.asarray(people) > 0) * np.uint8(255))
    assert not (folder / "splits.csv").exists(), "there is no official split"


def test_a_limit_takes_the_same_images_and_a_larger_one_adds_to_them(penn):
    two, four = (get_source("penn-fudan", limit=n, yes=True, progress=False) for n in (2, 4))
    small, large = ({path.name for path in (folder / "images").iterdir()} for folder in (two, four))
    assert len(small) == 2 and len(large) == 4 and small < large


def test_a_failed_command_leaves_no_folder_that_looks_complete(penn, server, tmp_path):
    server.files["/penn-fudan.zip"] = b"broken"
    with pytest.raises(UserError):
        get_source("penn-fudan", tmp_path / "set", yes=True, progress=False)
    assert not list(tmp_path.glob("*set*"))


def test_terms_are_shown_and_must_be_accepted_before_the_first_download(penn, server, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO())
    refused("--yes", get_source, "penn-fudan", progress=False)
    assert "forbids reposting" in capsys.readouterr().out
    assert server.asked == []
    get_source("penn-fudan", yes=True, limit=1, progress=False)
    capsys.readouterr()
    get_source("penn-fudan", limit=2, progress=False)  # remembered
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(("answer", "accepted"), [("y", True), ("Yes", True), ("", False), ("no", False)])
def test_a_person_at_a_terminal_is_asked(penn, server, monkeypatch, answer, accepted):
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda prompt: answer)
    with contextlib.nullcontext() if accepted else pytest.raises(UserError, match="nothing was downloaded"):
        get_source("penn-fudan", progress=False)
    assert bool(server.asked) == accepted


def test_wrong_arguments_are_sentences(penn):
    for arguments, words in [
        ({"name": "imagenet"}, "is one of penn-fudan, coco-person; found 'imagenet'"),
        ({"name": "penn-fudan", "split": "val"}, "neither splits nor licences"),
        ({"name": "coco-person", "split": "test"}, "the split of coco-person is one of val, train, all"),
        ({"name": "coco-person", "limit": 0}, "at least 1"),
        ({"name": "coco-person", "crowd": "skip"}, "crowd is one of person, skip-image; found 'skip'"),
    ]:
        refused(words, get_source, **arguments, yes=True)


def test_the_list_names_every_set_and_the_cache_and_addresses_are_well_formed(cache):
    text = list_sources()
    assert str(cache) in text
    for source in sources.SOURCES.values():
        assert source.name in text and re.fullmatch(r"https?://[^ ]+\.zip", source.archive)
        assert re.fullmatch("md5:[0-9a-f]{32}", source.checksum)


# COCO


LICENCES = [
    {"id": 1, "name": "Attribution-NonCommercial", "url": "http://creativecommons.org/licenses/by-nc/2.0/"},
    {"id": 4, "name": "Attribution", "url": "http://creativecommons.org/licenses/by/2.0/"},
    {"id": 6, "name": "Attribution-NoDerivs", "url": "http://creativecommons.org/licenses/by-nd/2.0/"},
    {"id": 7, "name": "No known copyright restrictions", "url": "http://flickr.com/commons/usage/"},
]


@pytest.fixture
def coco(server, monkeypatch):
    """Eight val images: 1 and 2 overlap two people, 3 a crowd, 4 a dog only, 5 to 8 one person each."""
    height, width = 24, 32
    box = [[2, 2, 12, 2, 12, 12, 2, 12]]
    other = [[8, 8, 20, 8, 20, 20, 8, 20], [25, 1, 30, 1, 30, 5, 25, 5]]
    crowd = np.zeros((height, width), np.uint8)
    crowd[10:20, 15:31] = 1
    flat = crowd.T.ravel()  # COCO counts runs down the columns, background first
    runs = [len(run) for run in np.split(flat, np.flatnonzero(np.diff(flat)) + 1)]
    images, notes = [], []

    def note(image_id, category_id, outline, iscrowd=0):
        about = {"id": len(notes) + 1, "image_id": image_id, "category_id": category_id, "area": 1}
        notes.append(about | {"iscrowd": iscrowd, "segmentation": outline, "bbox": [0, 0, 1, 1]})

    for i in range(1, 9):
        size = {"height": height, "width": width, "license": LICENCES[(i - 1) % 4]["id"]}
        address = f"http://farm1.staticflickr.com/{i}.jpg"
        images.append({"id": i, "file_name": f"{i:012}.jpg", "flickr_url": address} | size)
        for outline in {1: [box, other], 2: [box, other], 4: []}.get(i, [box]):
            note(i, 1, outline)
        note(i, 18, [[0, 0, 9, 0, 9, 23, 0, 23]])
        server.files[f"/val2017/{i:012}.jpg"] = picture(noise(height, width), "jpeg")
    note(3, 1, {"size": [height, width], "counts": runs}, iscrowd=1)
    data = {"images": images, "annotations": notes, "licenses": LICENCES, "info": {}}
    data["categories"] = [{"id": 1, "name": "person"}, {"id": 18, "name": "dog"}]
    train = data | {"images": [images[0] | {"id": 99, "file_name": "000000000099.jpg"}]}
    train["annotations"] = [notes[0] | {"image_id": 99}]
    server.files["/train2017/000000000099.jpg"] = picture(noise(height, width), "jpeg")
    members = {
        f"annotations/instances_{split}2017.json": json.dumps(content).encode()
        for split, content in {"val": data, "train": train}.items()
    }
    address = server.url + "/{split}2017/{name}"
    offer(server, monkeypatch, "coco-person", members, images_url=address)
    return data


def get_coco(**options):
    return get_source("coco-person", yes=True, progress=False, **options)


def rows_of(folder: Path) -> dict[str, dict[str, str]]:
    return read_table(folder / "splits.csv")


def union(data: dict, image_id: int) -> np.ndarray:
    """The oracle: every person annotation through pycocotools' own run-length union."""
    parts = []
    for note in data["annotations"]:
        if note["image_id"] == image_id and note["category_id"] == 1:
            coded = coco_tools.frPyObjects(note["segmentation"], 24, 32)
            parts += coded if isinstance(coded, list) else [coded]
    return coco_tools.decode(coco_tools.merge(parts))


def test_a_coco_mask_is_the_union_of_the_people_crowds_included(coco):
    folder = get_coco()
    rows = rows_of(folder)
    assert len(rows) == 7 and f"{4:012}" not in rows, "an image with only a dog has no person"
    for name, row in rows.items():
        mask = np.asarray(Image.open(folder / "masks" / f"{name}.png"))
        assert set(np.unique(mask)) == {0, 255}
        assert np.array_equal(mask > 0, union(coco, int(name)) > 0)
        assert row["split"] == "val"
        licence = LICENCES[(int(name) - 1) % 4]
        terms = [row[key] for key in ("licence_id", "licence", "licence_url")]
        assert terms == list(map(str, licence.values()))
        assert row["source"] == f"http://farm1.staticflickr.com/{int(name)}.jpg"
    assert [name for name, row in rows.items() if row["crowd"] == "1"] == [f"{3:012}"]
    assert list(next(iter(rows.values())))[:2] == ["name", "split"]
    assert f"{3:012}" not in rows_of(get_coco(crowd="skip-image"))


def test_only_images_that_may_be_passed_on_are_fetched(coco, server):
    assert sorted(map(int, rows_of(get_coco(licence="redistributable")))) == [2, 6, 8]
    fetched = {path for path in server.asked if path.startswith("/val2017")}
    assert len(fetched) == 3, "the others were not even downloaded"
    assert sorted(map(int, rows_of(get_coco(licence="1,6")))) == [1, 3, 5, 7]
    refused(r"licence 'mit' is not known.*4 Attribution \*;", get_coco, licence="mit")


def test_all_splits_fit_into_one_folder(coco):
    assert Counter(row["split"] for row in rows_of(get_coco(split="all")).values()) == {"val": 7, "train": 1}


def test_an_interrupted_coco_download_keeps_the_images_that_arrived(coco, server, tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "RETRIES", 0)
    last = sources._shuffled(f"{i:012}.jpg" for i in range(1, 9) if i != 4)[-1]
    server.faults[f"/val2017/{last}"] = ["cut"]
    refused("Check the network", get_coco, out=tmp_path / "set")
    assert not (tmp_path / "set").exists()
    server.asked.clear()
    assert len(rows_of(get_coco(out=tmp_path / "set"))) == 7
    assert server.asked == [f"/val2017/{last}"]


def test_an_image_gone_from_the_server_is_left_out_and_named(coco, server, capsys):
    del server.files[f"/val2017/{5:012}.jpg"]
    assert f"{5:012}" not in rows_of(get_coco())
    assert f"left out, no longer on the server: {5:012}.jpg" in capsys.readouterr().out


def test_a_damaged_image_is_removed_so_that_the_next_call_fetches_it_anew(coco, server, cache):
    path = f"/val2017/{5:012}.jpg"
    good, server.files[path] = server.files[path], b"<html>not a photo</html>"
    refused("It was removed", get_coco)
    server.files[path] = good
    assert len(rows_of(get_coco())) == 7


def test_an_image_of_another_size_is_refused(coco, server):
    server.files[f"/val2017/{5:012}.jpg"] = picture(noise(10, 10), "jpeg")
    refused("is 10x10, its mask 32x24", get_coco)
