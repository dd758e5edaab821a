"""Pictures that a client sends: read within limits, never written to a disk. Introduced in notebook 16."""

import asyncio
from typing import BinaryIO

import numpy as np
from starlette.requests import Request

from segkit.data import displayed_size
from segkit.files import UserError, read_image

MOST_MEGABYTES = 25
"""Of a picture that is sent; guard.py lets no more through."""

MOST_PIXELS = 50_000_000
"""Of a picture that is sent; its memory is needed for one at a time only."""

UPLOAD_SECONDS = 120
"""Whoever sends more slowly than this is not waited for."""


async def receive(request: Request, file: BinaryIO) -> None:
    """Write the body to a file as it comes; the middleware ends one too large.   Raises: UserError."""
    try:
        async with asyncio.timeout(UPLOAD_SECONDS):
            async for piece in request.stream():
                file.write(piece)
    except TimeoutError:
        raise UserError(f"sending took longer than {UPLOAD_SECONDS} s: send a smaller file.") from None


def read_upload(data: bytes) -> np.ndarray:
    """read_image of at most MOST_PIXELS: uint8 RGB (H, W, 3).   Raises: UserError."""
    height, width = displayed_size(data)
    if height * width > MOST_PIXELS:
        raise UserError(f"it has {width} x {height} pixels: send at most {MOST_PIXELS // 10**6} million.")
    return read_image(data)
