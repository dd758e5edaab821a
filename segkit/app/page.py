"""`segkit demo`: the segmenter on a web page of your own machine. Introduced in notebook 16.

Photographs stay in memory, never on a disk. The page loads nothing from afar, and guard.py lets no other
site talk to it.
"""

import asyncio
import contextlib
import io
import re
import shutil
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from html import escape
from importlib.util import find_spec
from pathlib import Path, PurePath
from string import Template
from tempfile import mkdtemp
from urllib.parse import quote

import anyio
import numpy as np
from matplotlib import get_data_path
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import (
    FileResponse,
    HTMLResponse,
    JSONResponse,
    PlainTextResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from segkit.app import guard, uploads, video
from segkit.app.photo import Look, Photo, encode
from segkit.app.store import KEPT_MINUTES, Gone, Store, Thing, private_folder
from segkit.checkpoint import find_checkpoint
from segkit.data import shrink
from segkit.files import UserError, check_choice, unique_names
from segkit.matting.compose import parse_colour
from segkit.matting.photos import kind_of
from segkit.predict import Segmenter

STATIC = Path(__file__).parent / "static"

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"

SWEEP_SECONDS = 15

KINDS = {".png": "image/png", ".jpg": "image/jpeg"}


class Background(Thing):
    """A picture to put behind people."""

    def __init__(self, image: np.ndarray):
        self.image, self.bytes = image, image.nbytes


def examples() -> dict[str, tuple[Path, str]]:
    """Free photographs that installed packages bring along, by file name: where, and whose they are."""
    skimage = Path(find_spec("skimage").origin).parent / "data"
    hopper = Path(get_data_path(), "sample_data/grace_hopper.jpg")
    return {
        "grace-hopper.jpg": (hopper, "Grace Hopper. James S. Davis, U.S. Navy, 1984: public domain"),
        "astronaut.png": (skimage / "astronaut.png", "Eileen Collins. NASA, 1993: public domain"),
        "cameraman.png": (skimage / "camera.png", "Cameraman. Lav Varshney: CC0"),
    }


def installed_engines() -> list[str]:
    """The engines of notebook 12 that can run on this machine's processor."""
    packages = {"torch": "torch", "onnx": "onnxruntime", "openvino": "openvino"}
    return [engine for engine, package in packages.items() if find_spec(package)]


@cache
def lesson(path: Path) -> str:
    """A notebook as a page to read, without scripts."""
    from nbconvert import HTMLExporter
    from pygments.formatters import HtmlFormatter

    body, _ = HTMLExporter(template_name="basic").from_filename(path)
    body = re.sub(r'href="(\w+)\.ipynb[^"]*"', r'href="/lessons/\1"', body)
    body = re.sub(r'<a href="(?!/lessons/|#)[^"]*"', "<a", body)  # what this page cannot show is no link
    style = HtmlFormatter().get_style_defs(".highlight")
    page = Template((STATIC / "lesson.html").read_text(encoding="utf-8"))
    return page.substitute(title=escape(path.stem), style=style, body=body)


class Page:
    """What the routes share: the networks, and what was sent."""

    def __init__(self, models: Sequence[str], engines: Sequence[str], folder: Path):
        self.models, self.engines, self.folder = list(models), list(engines), folder
        self.store, self._load = Store(), cache(Segmenter.load)
        self.network, self.screen, self.full_size = (anyio.CapacityLimiter(n) for n in (1, 2, 1))
        for name in models:
            find_checkpoint(name)
        self.segmenter({})  # says now what is wrong with it

    def segmenter(self, said) -> Segmenter:
        """The network and engine that an address names, loaded once.   Raises: UserError.

        One thread at a time asks for another than the first: see self.network.
        """
        model, engine = said.get("model") or self.models[0], said.get("engine") or self.engines[0]
        if model not in self.models or engine not in self.engines:
            raise UserError("the network and its engine are those that the page offers.")
        return self._load(model, engine=None if engine == "torch" else engine)

    def kept(self, key: str, kind: type):
        """What was sent under a key.   Raises: Gone."""
        thing = self.store.get(key)
        if not isinstance(thing, kind):
            raise Gone("what you sent is not what was asked for: send it again.")
        return thing

    def picture(self, said, needed: bool) -> np.ndarray | None:
        if needed and not said.get("picture"):
            raise UserError("choose a picture for the background first.")
        return self.kept(said["picture"], Background).image if said.get("picture") else None

    def look(self, said) -> tuple[Look, np.ndarray | None]:
        """What the controls say, and the picture that goes behind.   Raises: UserError, Gone."""
        look = Look.read(said)
        return look, self.picture(said, look.view == "result" and look.background == "picture")

    # Photographs

    async def add_photo(self, request: Request) -> Response:
        said, file = request.query_params, io.BytesIO()
        await uploads.receive(request, file)
        photo = await in_thread(
            self.network, lambda: Photo.ask(file_name(said), file.getvalue(), self.segmenter(said))
        )
        (height, width), milliseconds = photo.size, round(photo.seconds * 1000)
        about = {"width": width, "height": height, "milliseconds": milliseconds, "kind": photo.kind}
        return JSONResponse({"key": self.store.put(photo), **about})

    async def add_background(self, request: Request) -> Response:
        await uploads.receive(request, file := io.BytesIO())
        image = await in_thread(self.full_size, lambda: uploads.read_upload(file.getvalue()))
        return JSONResponse({"key": self.store.put(Background(shrink(image, 4096)))})

    async def show(self, request: Request) -> Response:
        """A look at a photograph, for the screen or, with `full`, as a file to keep."""
        said, started = request.query_params, time.perf_counter()
        photo = self.kept(request.path_params["key"], Photo)
        look, picture = self.look(said)
        if "full" in said:
            suffix, data = await in_thread(self.full_size, lambda: photo.full(look, picture))
            return Response(data, media_type=KINDS[suffix], headers=saved_as(photo.name_of(look) + suffix))
        suffix, data = await in_thread(
            self.screen, lambda: encode(photo.shown(look, picture, "sharp" in said))
        )
        share, took = (photo.quick[1] > look.threshold).mean(), time.perf_counter() - started
        headers = {"Person-Share": f"{share:.4f}", "Server-Timing": f"look;dur={took * 1000:.0f}"}
        return Response(data, media_type=KINDS[suffix], headers=headers)

    async def zip(self, request: Request) -> Response:
        """The same look at several photographs, at full size, in one file."""
        said = request.query_params
        photos = [self.kept(key, Photo) for key in said.get("keys", "").split(",")]
        how = {"headers": saved_as("segkit.zip"), "media_type": "application/zip"}
        return StreamingResponse(zipped(photos, *self.look(said)), **how)

    # Videos

    async def add_video(self, request: Request) -> Response:
        said, folder = request.query_params, Path(mkdtemp(dir=self.folder))
        try:
            behind = said.get("background", "blur")
            choices = {"blur": "blur", "colour": parse_colour(said.get("colour", "#000000"))}
            choices["picture"] = self.picture(said, behind == "picture")
            check_choice("background", behind, choices)
            with (folder / "upload").open("wb") as file:
                await uploads.receive(request, file)
            source, name = folder / "upload", f"{PurePath(file_name(said)).stem}_{behind}.mp4"
            job = await in_thread(
                self.network, lambda: video.Job(self.segmenter(said), source, name, choices[behind])
            )
        except BaseException:
            shutil.rmtree(folder)
            raise
        return JSONResponse({"key": self.store.put(job)})

    async def video_state(self, request: Request) -> Response:
        return JSONResponse(self.kept(request.path_params["key"], video.Job).state())

    async def cancel_video(self, request: Request) -> Response:
        await run_in_threadpool(self.kept(request.path_params["key"], video.Job).cancel)
        return await self.video_state(request)

    async def video_file(self, request: Request) -> Response:
        job = self.kept(request.path_params["key"], video.Job)
        if not job.state()["ready"]:
            raise Gone("this video is not ready.")
        shown = {"filename": job.name, "content_disposition_type": "inline"}
        return FileResponse(job.out, media_type="video/mp4", **shown)

    # All else

    async def remove(self, request: Request) -> Response:
        await run_in_threadpool(self.store.remove, request.path_params["key"])
        return Response(status_code=204)

    def settings(self, request: Request) -> Response:
        lessons = NOTEBOOKS.glob("[0-9][0-9]_*.ipynb") if find_spec("nbconvert") else ()
        return JSONResponse(
            {
                "models": self.models,
                "engines": self.engines,
                "threshold": self.segmenter({}).threshold,
                "kind": kind_of(self.segmenter({})).replace("person", "people"),
                "examples": {name: words for name, (_, words) in examples().items()},
                "lessons": [path.stem for path in lessons],
                "minutes": KEPT_MINUTES,
                "seconds": video.MOST_SECONDS,
                "megabytes": f"{uploads.MOST_MEGABYTES} MB a picture, {video.MOST_MEGABYTES} MB a video",
            }
        )

    def example(self, request: Request) -> Response:
        found = examples().get(request.path_params["name"])
        return FileResponse(found[0]) if found else PlainTextResponse("There is no such example.", 404)

    def lesson(self, request: Request) -> Response:
        path = NOTEBOOKS / f"{request.path_params['name']}.ipynb"
        if path not in NOTEBOOKS.glob("*.ipynb"):
            return PlainTextResponse("There is no such lesson.", 404)
        return HTMLResponse(lesson(path))

    def routes(self) -> list[Route | Mount]:
        big_body = {"methods": ["POST"], "max_body_size": int(video.MOST_MEGABYTES * 1e6)}
        return [
            Route("/", lambda _: FileResponse(STATIC / "index.html")),
            Route("/settings", self.settings),
            Route("/examples/{name}", self.example),
            Route("/lessons/{name}", self.lesson),
            Route("/photos", self.add_photo, methods=["POST"]),
            Route("/photos/{key}", self.show),
            Route("/photos/{key}", self.remove, methods=["DELETE"]),
            Route("/backgrounds", self.add_background, methods=["POST"]),
            Route("/zip", self.zip),
            Route("/videos", self.add_video, **big_body),
            Route("/videos/{key}", self.video_state),
            Route("/videos/{key}", self.cancel_video, methods=["DELETE"]),
            Route("/videos/{key}/file", self.video_file),
            Mount("/static", StaticFiles(directory=STATIC)),
        ]


async def in_thread(limiter: anyio.CapacityLimiter, work: Callable):
    return await anyio.to_thread.run_sync(work, limiter=limiter)


def file_name(said) -> str:
    """The name that a client gives to its file, fit for being written by whoever downloads the result."""
    return re.sub(r"[\x00-\x1f/\\:]", "_", said.get("name", ""))[-100:] or "photo"


def saved_as(name: str) -> dict[str, str]:
    return {"Content-Disposition": f"attachment; filename*=utf-8''{quote(name, safe='')}"}


class Sink(io.RawIOBase):
    """A file that is read from while it is written."""

    data = b""

    def write(self, piece) -> int:
        self.data += piece
        return len(piece)

    def take(self) -> bytes:
        data, self.data = self.data, b""
        return data


def zipped(photos: Sequence[Photo], look: Look, picture: np.ndarray | None) -> Iterator[bytes]:
    """A zip file piece by piece: one picture is in memory at a time."""
    sink = Sink()
    with zipfile.ZipFile(sink, "w") as file:
        for photo, name in zip(photos, unique_names([photo.name_of(look) for photo in photos]), strict=True):
            suffix, data = photo.full(look, picture)
            file.writestr(name + suffix, data)
            yield sink.take()
    yield sink.take()


def said_plainly(request: Request, error: Exception) -> Response:
    """Every refusal is one sentence; of what nobody foresaw, the terminal has it all."""
    if isinstance(error, UserError):
        return PlainTextResponse(str(error), 410 if isinstance(error, Gone) else 400)
    return PlainTextResponse(f"this did not work ({type(error).__name__}): try another file.", 500)


@contextlib.contextmanager
def page_app(
    models: Sequence[str], host: str = "127.0.0.1", engines: Sequence[str] | None = None
) -> Iterator[Starlette]:
    """The page, not yet served; what was sent to it goes with the block.

    models: names or paths that Segmenter.load knows; the first is chosen.   host: where it will listen.
    engines: to choose from, see segkit.deploy.engines; None offers what is installed.   Raises: UserError.
    """

    @contextlib.asynccontextmanager
    async def lifespan(_):
        async def sweep():
            while True:
                await asyncio.sleep(SWEEP_SECONDS)
                await run_in_threadpool(page.store.sweep)

        sweeping = asyncio.create_task(sweep())
        yield
        sweeping.cancel()

    with private_folder() as folder:
        page = Page(models, installed_engines() if engines is None else engines, folder)
        try:
            yield Starlette(
                routes=page.routes(),
                middleware=guard.guards(host, uploads.MOST_MEGABYTES),
                exception_handlers={UserError: said_plainly, Exception: said_plainly},
                lifespan=lifespan,
            )
        finally:
            page.store.sweep(everything=True)


def serve(models: Sequence[str], host: str = "127.0.0.1", port: int | None = None) -> None:
    """Serve the page until interrupted.   host: 127.0.0.1 reaches this machine alone, 0.0.0.0 the network."""
    with guard.listen(host, port) as place, page_app(models, host) as app:
        guard.run(app, place)
