"""Real data sets by one command: fetched once, checked, and turned into the folder format.

Downloads and the sets made from them live in the cache folder (SEGKIT_DATA). The terms of a set are
shown before its first download. Introduced in notebook 02.
"""

import contextlib
import hashlib
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np
from tqdm.auto import tqdm

from segkit.files import (
    UserError,
    cache_folder,
    check_choice,
    name_some,
    read_labels,
    require,
    write_table,
    write_text,
)
from segkit.sets.importers import new_folder, upright, write_pair
from segkit.sets.tree import load_data

PERSON = 1  # COCO's category

FREE_LICENCES = ("/licenses/by/", "/licenses/by-sa/", "flickr.com/commons/usage", "usa.gov/copyright")
"""Parts of licence addresses under which a photo and a mask made of it may be passed on: CC BY, CC BY-SA,
no known copyright restrictions, United States government work. ND licences forbid changed copies."""

RETRIES = 2


@dataclass(frozen=True)
class Source:
    """A data set that `get_source` can fetch."""

    name: str
    title: str
    size: str
    licence: str
    terms: str
    archive: str  # the address of a zip file
    checksum: str  # md5:... or sha256:...
    build: Callable[..., None] = field(repr=False)
    splits: Sequence[str] = ()
    images_url: str = ""  # with {split} and {name}, where images can be had one by one


def list_sources() -> str:
    """A table of the sets that can be fetched, for people to read."""
    lines = []
    for source in SOURCES.values():
        splits = f"   --split {'|'.join((*source.splits, 'all'))}" if source.splits else ""
        lines.append(f"{source.name:<12} {source.title}\n{'':<12} {source.size}; {source.licence}{splits}")
    return "\n".join([*lines, f"\nDownloads are kept in {cache_folder()} (set SEGKIT_DATA to change it)."])


def get_source(
    name: str,
    out: str | Path | None = None,
    split: str | None = None,
    limit: int | None = None,
    licence: str | None = None,
    crowd: Literal["person", "skip-image"] = "person",
    yes: bool = False,
    progress: bool = True,
) -> Path:
    """Fetch a data set and write it in the folder format. The same call again goes on, or returns at once.

    split: of coco-person: val (the default), train, or all. penn-fudan has no official split.
    limit: at most this many images of each split: always the same ones, and a larger limit adds to them.
    licence: of coco-person: "redistributable", or licence ids such as "4,5"; None takes every image.
    crowd: of coco-person: crowd regions count as person, or images that have one are left out.
    yes: accept the terms without being asked.
    out: where the folder is made; None makes it in the cache folder.
    Returns: the folder.   Raises: UserError.
    """
    check_choice("the data set", name, SOURCES)
    source = SOURCES[name]
    if not source.splits and (split or licence or crowd != "person"):
        raise UserError(f"{name} has neither splits nor licences: leave out split, licence and crowd.")
    if limit is not None and limit < 1:
        raise UserError(f"limit must be at least 1, found {limit}.")
    check_choice("crowd", crowd, ("person", "skip-image"))
    split = split or next(iter(source.splits), None)
    check_choice(f"the split of {name}", split, (None, *source.splits, "all"))
    request = {"source": name, "split": split, "limit": limit, "licence": licence, "crowd": crowd}
    changed = [split, licence and licence.replace(",", "-"), limit, crowd if crowd != "person" else None]
    default = "-".join(str(part) for part in (name, *changed) if part)
    out = Path(out) if out else cache_folder() / default
    with contextlib.suppress(OSError, ValueError):
        if json.loads((out / "source.json").read_text(encoding="utf-8"))["request"] == request:
            return out  # folders are made whole, so this one is complete
    _accept_terms(source, yes)
    with new_folder(out) as folder:
        source.build(source, folder, request, progress)
        about = {"request": request, "title": source.title, "licence": source.licence, "terms": source.terms}
        (folder / "source.json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
    return out


def _accept_terms(source: Source, yes: bool) -> None:
    """Show the terms and have them accepted, once for each wording of them."""
    name = source.name
    accepted = cache_folder() / "terms" / f"{name}.txt"
    if accepted.exists() and accepted.read_text(encoding="utf-8") == source.terms:
        return
    print(f"{source.title}\n\n{source.terms}\n")
    if not yes:
        if not sys.stdin.isatty():
            raise UserError(f"the terms of {name} are not accepted yet: read them above, then add --yes.")
        if input("Do you accept these terms? [y/N] ").strip().lower() not in ("y", "yes"):
            raise UserError(f"the terms of {name} were not accepted: nothing was downloaded.")
    write_text(accepted, source.terms)


# Downloads


class MissingFile(UserError):
    """The server answers that it has no such file."""


def fetch(url: str, path: Path, checksum: str | None = None, progress: bool = True, unzip=None) -> Any:
    """Download `url` to `path` unless it is there already with the right checksum.

    unzip: the members of the archive to unpack beside it, or [] for all.
    Returns: the path, or those of the unpacked files.   Raises: UserError.
    """
    require("pooch", extra="data")
    import pooch
    import requests

    pooch.get_logger().setLevel("WARNING")
    files = {"registry": {path.name: checksum}, "urls": {path.name: url}}
    store = pooch.create(path.parent, "", **files, retry_if_failed=RETRIES)
    processor = None if unzip is None else pooch.Unzip(members=list(unzip) or None)
    try:
        found = store.fetch(path.name, processor, pooch.HTTPDownloader(progressbar=progress, timeout=30))
        return path if processor is None else [Path(name) for name in found]
    except ValueError as error:  # pooch's word for a wrong checksum; it names both, and removes the file
        raise UserError(
            f"'{url}' is not the file it should be. {error} Run the command again; if it happens again, "
            "the file on the server has changed: please report it."
        ) from error
    except requests.RequestException as error:
        answer = error.response
        if answer is not None and answer.status_code in (404, 410):
            raise MissingFile(f"'{url}' is not on the server. If it moved, please report it.") from error
        # The end of the chain of causes is the part that people understand.
        why = str(error).split(": ")[-1].rstrip(")'\" ") or type(error).__name__
        if answer is not None:
            why = f"the server answers {answer.status_code} {answer.reason}"
        raise UserError(f"'{url}' could not be fetched ({why}). Check the network and run again.") from error
    except OSError as error:
        why = error.strerror or error
        raise UserError(f"'{path}' could not be written ({why}). Make room, then run again.") from error


def _unpacked(source: Source, progress: bool, members: Sequence[str] = ()) -> list[Path]:
    """Some members of the source's archive, or all of them, unpacked beside it."""
    path = _downloads(source) / PurePosixPath(source.archive).name
    return fetch(source.archive, path, source.checksum, progress, unzip=members)


def _downloads(source: Source) -> Path:
    return cache_folder() / "downloads" / source.name


def _shuffled(names: Iterable[str]) -> list[str]:
    """Always the same order, in which the first N are a fair sample."""
    return sorted(names, key=lambda name: hashlib.sha256(name.encode()).digest())


# The sets


def _build_penn_fudan(source: Source, folder: Path, request: dict[str, Any], progress: bool) -> None:
    """170 street scenes. There is no official split, so no splits.csv: the loader deals the names."""
    paths = _unpacked(source, progress)
    images = {path.stem: path for path in paths if path.parent.name == "PNGImages"}
    masks = {path.stem: path for path in paths if path.parent.name == "PedMasks"}
    for name in _shuffled(images)[: request["limit"]]:
        people = read_labels(masks[f"{name}_mask"])  # 0 background; 1, 2, ... number the people
        pixels, mask, _ = upright(images[name], people > 0)
        write_pair(folder, name, images[name], pixels, mask)


def _build_coco(source: Source, folder: Path, request: dict[str, Any], progress: bool) -> None:
    """The images that have a person in them; the mask is the union of all their person annotations.

    Crowd regions (iscrowd=1) are coarse outlines of many people. They count as person, because people
    they are; crowd="skip-image" leaves out the images that have one.
    """
    require("pycocotools", extra="data")
    from pycocotools.coco import COCO

    rows, licence = [], request["licence"]
    for part in source.splits if request["split"] == "all" else (request["split"],):
        member = f"annotations/instances_{part}2017.json"
        (path,) = _unpacked(source, progress, [member])
        with contextlib.redirect_stdout(None):
            coco = COCO(path)
        crowds = {coco.anns[key]["image_id"] for key in coco.getAnnIds(catIds=[PERSON], iscrowd=True)}
        left_out = crowds if request["crowd"] == "skip-image" else set()
        licences = {entry["id"]: entry for entry in coco.dataset["licenses"]}
        allowed = _allowed_licences(licence, licences)
        records = {
            PurePosixPath(record["file_name"]).name: record
            for record in coco.loadImgs(coco.getImgIds(catIds=[PERSON]))
            if record["license"] in allowed and record["id"] not in left_out
        }
        if not records:
            raise UserError(f"{source.name} {part} has no image under licence '{licence}'.")
        chosen = {name: records[name] for name in _shuffled(records)[: request["limit"]]}
        paths = _coco_images(source, part, list(chosen), progress)
        if missing := [name for name in chosen if name not in paths]:
            print(f"left out, no longer on the server: {name_some(missing)}")
        for name in tqdm(paths, desc=f"{part} masks", unit="image", disable=not progress):
            record = chosen[name]
            try:
                notes = coco.loadAnns(coco.getAnnIds(record["id"], PERSON))
                pixels, mask, _ = upright(paths[name], np.any([*map(coco.annToMask, notes)], axis=0))
            except UserError as error:  # a single image has no checksum: this is its test
                paths[name].unlink(missing_ok=True)
                raise UserError(f"{error} It was removed: run again to fetch it anew.") from None
            write_pair(folder, Path(name).stem, paths[name], pixels, mask)
            terms = licences[record["license"]]
            row = {"name": Path(name).stem, "split": part, "licence_id": terms["id"]}
            row |= {"licence": terms["name"], "licence_url": terms["url"]}
            row |= {"source": record.get("flickr_url", ""), "crowd": int(record["id"] in crowds)}
            rows.append(row)
    if not rows:
        raise UserError(f"not one chosen image of {source.name} is on the server: please report it.")
    write_table(folder / "splits.csv", rows)


def _allowed_licences(wanted: str | None, licences: dict[int, dict[str, Any]]) -> set[int]:
    """The licence ids that "redistributable", or a list such as "4,5", stands for.   Raises: UserError."""
    free = {key for key, entry in licences.items() if any(part in entry["url"] for part in FREE_LICENCES)}
    if wanted is None:
        return set(licences)
    if wanted == "redistributable":
        return free
    ids = {int(text) if text.strip().isdecimal() else -1 for text in wanted.split(",")}
    if not ids <= licences.keys():
        named = {key: entry["name"] + " *" * (key in free) for key, entry in licences.items()}
        table = "; ".join(f"{key} {name}" for key, name in named.items())
        raise UserError(f"licence '{wanted}' is not known: pass redistributable (the *), or ids of {table}.")
    return ids


def _coco_images(source: Source, split: str, names: list[str], progress: bool) -> dict[str, Path]:
    """The files of these images; what the server has no longer is left out."""

    def get(name: str) -> Path | None:
        url = source.images_url.format(split=split, name=name)
        with contextlib.suppress(MissingFile):
            return fetch(url, _downloads(source) / split / name, progress=False)

    with ThreadPoolExecutor(8) as pool:
        try:
            answers = pool.map(get, names)
            bar = tqdm(answers, total=len(names), desc=f"{split} images", unit="image", disable=not progress)
            paths = dict(zip(names, bar, strict=True))
        except BaseException:  # an error, or Ctrl-C: what has arrived is kept, the rest need not be tried
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return {name: path for name, path in paths.items() if path}


_BUILD = {"penn-fudan": _build_penn_fudan, "coco-person": _build_coco}

SOURCES: dict[str, Source] = {
    name: Source(name=name, build=_BUILD[name], **about)
    for name, about in load_data(Path(__file__).with_name("sources.yaml")).items()
}
