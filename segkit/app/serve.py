"""`segkit serve`: post a picture, get a PNG back. Introduced in notebook 16.

One network answers one request at a time; what is sent is never written to a disk.
"""

import threading
from dataclasses import replace
from io import BytesIO
from typing import Annotated, Literal

import fastapi_offline
import numpy as np
from fastapi import FastAPI, HTTPException, Query, Request, Response
from fastapi.openapi.docs import get_swagger_ui_html
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse

from segkit import __version__
from segkit.app import photo
from segkit.app.guard import HEADERS, guards
from segkit.app.uploads import MOST_MEGABYTES, MOST_PIXELS, read_upload, receive
from segkit.files import UserError
from segkit.matting.compose import as_png, parse_colour
from segkit.predict import Segmenter

ABOUT = f"""People out of photographs, on this machine; nothing is sent anywhere, and nothing is kept.

    curl --data-binary @photo.jpg ADDRESS/cutout -o cutout.png

A picture has at most {MOST_MEGABYTES} MB and {MOST_PIXELS // 10**6} million pixels."""

ANSWERS = {
    200: {"description": "a PNG of the photograph's own size, upright", "content": {"image/png": {}}},
    400: {"description": "the picture cannot be read, or has too many pixels: `detail` says why"},
    413: {"description": f"the body is larger than {MOST_MEGABYTES} MB"},
    503: {"description": "too many ask at once: try again"},
}

PICTURE = {"required": True, "content": {"image/*": {"schema": {"type": "string", "format": "binary"}}}}


class Asked(BaseModel, extra="forbid"):
    """What an address may ask for; a name that is none of these is refused."""

    show: Literal["cutout", "mask", "overlay"] = Field("cutout", description="what to answer")
    background: str | None = Field(
        None,
        pattern="^(blur|portrait|#?[0-9a-fA-F]{6})$",
        description="instead: the person on blur, portrait, or a colour such as 00aa55",
    )
    threshold: float | None = Field(None, gt=0, lt=1, description="probability from which a pixel is person")


def build_api(person: Segmenter, host: str = "127.0.0.1") -> FastAPI:
    """The API as an app, not yet served: POST /cutout, and its description at /docs and /openapi.json.

    host: where it will listen, which decides the names that it answers to.
    """
    app = fastapi_offline.FastAPIOffline(
        None,  # its page has a script inside, which needs a header of its own: see below
        None,
        static_url="/static",
        title="segkit",
        version=__version__,
        description=ABOUT,
        middleware=guards(host, MOST_MEGABYTES),
    )
    alone = threading.Lock()

    @app.post("/cutout", response_class=Response, responses=ANSWERS, openapi_extra={"requestBody": PICTURE})
    async def cut_out(request: Request, asked: Annotated[Asked, Query()]) -> Response:
        """Cut the people out of the picture that is the body of the request."""
        if request.headers.get("content-type", "").startswith("multipart/"):
            raise HTTPException(
                400, "the picture itself is the body, not a form: curl --data-binary @photo.jpg"
            )
        if asked.background and "show" in asked.model_fields_set:
            raise HTTPException(400, "background is shown in place of what show names: ask for one of them")
        file = BytesIO()

        def answer() -> bytes:
            with alone:  # a large picture needs much memory: one at a time
                return as_png(compose(person, read_upload(file.getvalue()), **asked.model_dump()))

        try:
            await receive(request, file)
            return Response(await run_in_threadpool(answer), media_type="image/png")
        except UserError as error:
            form = "form-urlencoded" in request.headers.get("content-type", "")
            hint = " (curl -d leaves bytes out: curl --data-binary @photo.jpg)" if form else ""
            raise HTTPException(400, f"{error}{hint}") from None

    @app.get("/", include_in_schema=False)
    async def home() -> RedirectResponse:
        return RedirectResponse("/docs")

    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        page = get_swagger_ui_html(
            openapi_url="/openapi.json",
            title="segkit",
            swagger_js_url="/static/swagger-ui-bundle.js",
            swagger_css_url="/static/swagger-ui.css",
            swagger_favicon_url="/static/favicon.png",
            swagger_ui_parameters={"validatorUrl": None},  # it would ask a server far away
        )
        own = HEADERS["Content-Security-Policy"] + "; script-src 'self' 'unsafe-inline'"
        page.headers["Content-Security-Policy"] = own
        return page

    return app


def compose(
    person: Segmenter, image: np.ndarray, show: str, background: str | None, threshold: float | None
) -> np.ndarray:
    """What is asked for: uint8 (H, W), (H, W, 3) or (H, W, 4).   image: uint8 (H, W, 3)."""
    look = photo.Look(show.replace("cutout", "result"), threshold=threshold or person.threshold)
    if background in ("blur", "portrait"):
        look = replace(look, view="result", background=background)
    elif background is not None:
        look = replace(look, view="result", background="colour", colour=parse_colour(background))
    return photo.compose(image, person.foreground(person(image)), look)
