"""`segkit demo`: the segmenter on a web page of your own machine. Introduced in notebook 16.

The network runs once per photograph; every control after that only composes again what it answered.
Nothing leaves this machine: the page is served on localhost, without analytics and without fonts from afar.
"""

import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import cv2
import gradio as gr
import huggingface_hub.constants
import numpy as np
from gradio.utils import get_upload_folder
from PIL import Image

from segkit.checkpoint import find_checkpoint
from segkit.data import displayed_size
from segkit.files import UserError, embedded_path, list_images, read_image, write_image
from segkit.matting.compose import cutout, replace_background, soft_alpha
from segkit.matting.edges import clean_colours, refine_alpha
from segkit.matting.effects import portrait
from segkit.plots import overlay
from segkit.predict import Segmenter
from segkit.video.smooth import Smoother

# Gradio asks these when it is imported: no analytics, no hub.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

os.environ.setdefault("HF_HUB_OFFLINE", "1")

# accelerate has imported the hub's library long before, and it reads its environment only once.
huggingface_hub.constants.HF_HUB_DISABLE_TELEMETRY = huggingface_hub.constants.HF_HUB_OFFLINE = True

MOST_PIXELS = 50_000_000
"""Of an upload."""

MOST_MEGABYTES = 25

WORK_PIXELS = 12_000_000
"""A larger photograph is made this small first, so that twenty people fit into the memory of a laptop."""

PREVIEW = 960
"""Longer side of what the page shows. The download has the photograph's own size."""

MOST_VIDEO_MEGABYTES = 100

MOST_VIDEO_SECONDS = 60

MOST_VIDEO_PIXELS = 2_100_000
"""Of a frame: full HD."""

WAITING = 40
"""Requests in the queue; whoever comes then is asked to try again."""

BACKGROUNDS = ("transparent", "colour", "blur", "portrait", "picture")

VIDEO_BACKGROUNDS = ("blur", "colour", "picture")

STEPS = (
    (
        "08_inference",
        "Your photograph is made small and its colours are brought to the range that the network knows",
    ),
    (
        "03_building_the_unet",
        "the network, a U-Net, answers with one number for every pixel: how probable it is that a person "
        "is there",
    ),
    (
        "04_metrics",
        "only then the **threshold** decides who is in, so the slider needs no network, and a score tells "
        "how good a mask is",
    ),
    (
        "16_applications",
        "at the edge the photograph itself helps: a guided filter lets the border run where colours change, "
        "and the old background's light is taken out of the person's colours",
    ),
    (
        "13_video",
        "in a video the answers of neighbouring frames are mixed where nothing moves, so that the edge does "
        "not flicker",
    ),
)


@dataclass
class Answer:
    """A photograph and what the network said of it: all that the controls need.

    image: uint8 (H, W, 3), at most PREVIEW long.   prob: float32 (H, W).   size: (height, width) of the
    cut-out to download, made from the file again.   seconds: what the network took.
    """

    image: np.ndarray
    prob: np.ndarray
    seconds: float
    path: Path | None = None
    size: tuple[int, int] = (0, 0)


def look_at(path: str | Path, person: Segmenter) -> Answer:
    """Read a photograph, whatever its kind, and ask the network once.

    Raises: UserError for a file that is no picture, is damaged, or holds more than MOST_PIXELS.
    """
    image = _shrink(read_upload(path), area=WORK_PIXELS)
    small = _shrink(image, longest=PREVIEW)
    started = time.perf_counter()
    prob = person.foreground(person(small))
    return Answer(small, prob, time.perf_counter() - started, Path(path), image.shape[:2])


def read_upload(path: str | Path) -> np.ndarray:
    """read_image within the limits of the page.   Raises: UserError that names no path of this machine."""
    path = Path(path)
    try:
        if path.stat().st_size > MOST_MEGABYTES * 1e6:
            raise UserError(f"the file is larger than {MOST_MEGABYTES} MB: send a smaller photograph.")
        height, width = displayed_size(path)
        if height * width > MOST_PIXELS:
            raise UserError(
                f"the picture has {width} x {height} pixels, more than {MOST_PIXELS // 10**6} million: "
                "send a smaller one."
            )
        return read_image(path)
    except Image.DecompressionBombError:
        raise UserError(
            f"the picture has more than {MOST_PIXELS // 10**6} million pixels: send a smaller one."
        ) from None
    except FileNotFoundError:
        raise UserError("the upload is gone by now (it is kept for 15 minutes): send it again.") from None
    except UserError as error:
        raise UserError(str(error).replace(f"'{path}'", "the file")) from None


def _shrink(image: np.ndarray, longest: float = np.inf, area: float = np.inf) -> np.ndarray:
    height, width = image.shape[:2]
    scale = min(1.0, longest / max(height, width), (area / (height * width)) ** 0.5)
    if scale == 1:
        return image
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def edge(
    image: np.ndarray, prob: np.ndarray, threshold: float, softness: float
) -> tuple[np.ndarray, np.ndarray]:
    """The person's clean colours and alpha. softness 0 follows the photograph's edges; above, a ramp."""
    alpha = soft_alpha(prob, threshold, softness) if softness else refine_alpha(image, prob, threshold)
    return clean_colours(image, alpha), alpha


def compose(
    answer: Answer,
    threshold: float = 0.5,
    softness: float = 0.0,
    background: str = "transparent",
    colour: Sequence[int] = (0, 158, 115),
    blur: float = 0.5,
    picture: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """What the page shows of an answer: mask, overlay, cut-out with alpha, and the new background.

    softness: 0 follows the photograph's own edges; above, the edge is a ramp of the probabilities.
    background: one of BACKGROUNDS.   Raises: UserError.
    """
    mask = answer.prob > threshold
    colours, alpha = edge(answer.image, answer.prob, threshold, softness)
    cut = cutout(colours, alpha)
    if background == "transparent":
        new = cut
    elif background == "picture":
        if picture is None:
            raise UserError("choose a picture for the background first.")
        new = replace_background(colours, alpha, picture)
    elif background == "portrait":
        new = portrait(answer.image, alpha, blur)
    elif background == "blur":
        new = replace_background(colours, alpha, "blur")
    elif background == "colour":
        new = replace_background(colours, alpha, colour)
    else:
        raise UserError(f"the background is one of {', '.join(BACKGROUNDS)}, found '{background}'.")
    return (mask * np.uint8(255)), overlay(answer.image, mask), cut, new


def full_cutout(answer: Answer, threshold: float, softness: float) -> np.ndarray:
    """The cut-out at the photograph's own size: uint8 RGBA (H, W, 4).   Raises: UserError."""
    image = _shrink(read_upload(answer.path), area=WORK_PIXELS)
    prob = cv2.resize(answer.prob, image.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    return cutout(*edge(image, prob, threshold, softness))


def parse_colour(text: str) -> tuple[int, int, int]:
    """ "#00aa55" or "rgba(0, 170, 85, 1)", as colour pickers send it.   Raises: UserError."""
    try:
        if text.startswith("#"):
            red, green, blue = bytes.fromhex(text[1:7])
        else:
            red, green, blue = (round(float(n)) for n in text[text.index("(") + 1 : -1].split(",")[:3])
        return red, green, blue
    except (ValueError, IndexError):
        raise UserError(f"'{text}' is not a colour.") from None


# Video


class Stopped(Exception):
    """Somebody pressed cancel, or left the page."""


class Watched(Smoother):
    """A smoother that counts the frames it has seen, and stops the whole video when told to."""

    def __init__(self, strength: float = 0.7):
        super().__init__(strength)
        self.seen, self.stop = 0, threading.Event()

    def __call__(self, prob: np.ndarray, image: np.ndarray) -> np.ndarray:
        if self.stop.is_set():
            raise Stopped
        self.seen += 1
        return super().__call__(prob, image)


def check_video(path: str | Path) -> int:
    """How many frames a video has that keeps the limits of the page.   Raises: UserError."""
    from segkit.video.files import VideoReader

    path = Path(path)
    if path.stat().st_size > MOST_VIDEO_MEGABYTES * 1e6:
        raise UserError(f"the video is larger than {MOST_VIDEO_MEGABYTES} MB: send a shorter one.")
    try:
        with VideoReader(path) as reader:
            info = reader.info
    except UserError as error:
        raise UserError(str(error).replace(f"'{path}'", "the file")) from None
    if info.width * info.height > MOST_VIDEO_PIXELS:
        raise UserError(f"the video is {info.width} x {info.height}: at most full HD is taken here.")
    seconds = info.seconds or (info.frames or 0) / float(info.fps)
    if seconds > MOST_VIDEO_SECONDS:
        raise UserError(
            f"the video lasts {seconds:.0f} s, and {MOST_VIDEO_SECONDS} s are taken here. "
            "`segkit video` on the command line takes any length."
        )
    return info.frames or round(seconds * float(info.fps))


def convert_video(
    path: str | Path, person: Segmenter, background, out: Path, smoother: Watched | None = None
) -> Iterator[tuple[int, int]]:
    """Put another background behind the people of a video; yields (frames done, frames in all) meanwhile.

    Closing the iterator stops the work and leaves no file.   Raises: UserError.
    """
    from segkit.video.replace import replace_in_video

    smoother, total, failure = smoother or Watched(), check_video(path), []

    def work() -> None:
        try:
            replace_in_video(person, path, out, background, smoother)
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        while thread.is_alive():
            thread.join(0.25)
            yield smoother.seen, total
        if failure:
            raise failure[0]
        yield smoother.seen, total
    finally:
        smoother.stop.set()
        thread.join()
        shutil.rmtree(out.with_name(f"{out.name}.parts"), ignore_errors=True)


# The page


def installed_engines() -> list[str]:
    """The engines of notebook 12 that can run on this machine's processor."""
    packages = {"torch": "torch", "onnx": "onnxruntime", "openvino": "openvino"}
    return [engine for engine, package in packages.items() if find_spec(package)]


class Photo(gr.Image):
    """An upload whose file is handed over untouched: reading it, and saying what is wrong, is ours."""

    is_template = True

    def preprocess(self, payload):
        return payload.path if payload else None


def explanation(notebooks: Path | None = None) -> str:
    """Five sentences on what happens here; each leads to the lesson that explains it, where it is there."""
    notebooks = notebooks or Path(__file__).parents[2] / "notebooks"
    lines = []
    for number, (lesson, sentence) in enumerate(STEPS, start=1):
        file = notebooks / f"{lesson}.ipynb"
        name = f"lesson {lesson[:2]}"
        link = f"[{name}](/gradio_api/file={file})" if file.exists() else f"{name} (`notebooks/{file.name}`)"
        lines.append(f"{number}. {sentence[0].upper()}{sentence[1:]} ({link}).")
    return "\n".join(lines) + (
        "\n\nThe links give the notebook files; `make lab` opens them to run. "
        "Nothing that you upload leaves this machine, and it is deleted after a quarter of an hour."
    )


BUTTONS = ["download", "fullscreen"]
"""Of a picture. Gradio would add one that shares it with the world."""

SHOWN = {"height": 320, "interactive": False, "buttons": BUTTONS}

BEHIND = {
    "type": "filepath",
    "sources": ["upload"],
    "label": "Background picture",
    "height": 160,
    "image_mode": None,
    "visible": False,
}

CSS = """
.chequered img {background: repeating-conic-gradient(#ccc 0 25%, #fff 0 50%) 0 0 / 20px 20px}
#hidden-download {position: absolute; width: 1px; height: 1px; overflow: hidden; opacity: 0}
"""


def build_page(models: list[str], examples: Sequence[Path] = (), engines: Sequence[str] = ()) -> gr.Blocks:
    """The page as a Gradio app, not yet served.

    models: names or paths that Segmenter.load knows; the first is chosen.
    engines: what runs the network, see segkit.deploy.engines; the first is chosen.   Raises: UserError.
    """
    for name in models:
        find_checkpoint(name)
    loaded: dict[tuple[str, ...], Segmenter] = {}
    lock, running = threading.Lock(), {}

    def segmenter(*choice: str) -> Segmenter:
        name, *engine = (part for part in choice if part)
        with lock:
            if choice not in loaded:
                loaded[choice] = Segmenter.load(name, **({"engine": engine[0]} if engine else {}))
            return loaded[choice]

    segmenter(models[0], engines[0] if engines else "")  # says now what is wrong with it

    def said(function: Callable, *args):
        try:
            return function(*args)
        except UserError as error:
            raise gr.Error(str(error), print_exception=False) from None
        except Exception as error:  # a strange file may break any library in any way: the terminal has it all
            raise gr.Error(f"this did not work ({type(error).__name__}): try another file.") from error

    def ask(path, name, engine, *controls):
        if path is None:
            return None, "", *[None] * 4
        person = said(segmenter, name, engine or "")
        answer = said(look_at, path, person)
        kind = person.classes[0] if len(person.classes) == 1 else "person"
        height, width = answer.size
        share = (answer.prob > controls[0]).mean()
        started = time.perf_counter()
        pictures = show(answer, *controls)
        seconds = time.perf_counter() - started
        text = (
            f"**network {answer.seconds * 1000:.0f} ms**, edges {seconds * 1000:.0f} ms · "
            f"{width} x {height} pixels · {kind} {share:.0%}"
        )
        return answer, text, *pictures

    def show(answer, threshold, softness, background, colour, blur, picture):
        if answer is None:
            return [None] * 4
        if background == "picture" and not picture:
            # Chosen before there is one: nothing to complain about yet.
            background = "transparent"
        behind = said(read_upload, picture) if background == "picture" else None
        return list(
            said(compose, answer, threshold, softness, background, parse_colour(colour), blur, behind)
        )

    def save(answer, threshold, softness):
        if answer is None:
            raise gr.Error("choose a photograph first.", print_exception=False)
        name = f"{answer.path.stem}_cutout.png"
        folder = Path(tempfile.mkdtemp(dir=cache, prefix="cutout-"))
        return str(write_image(folder / name, said(full_cutout, answer, threshold, softness)))

    def convert(path, name, engine, background, colour, picture, request: gr.Request, progress=gr.Progress()):  # noqa: B008
        if path is None:
            raise gr.Error("choose a video first.", print_exception=False)
        if background == "picture" and picture is None:
            raise gr.Error("choose a picture for the background first.", print_exception=False)
        behind = {
            "colour": lambda: parse_colour(colour),
            "picture": lambda: said(read_upload, picture),
            "blur": lambda: "blur",
        }[background]()
        person = said(segmenter, name, engine or "")
        out = Path(tempfile.mkdtemp(dir=cache, prefix="video-")) / f"{Path(path).stem}_{background}.mp4"
        started = time.perf_counter()
        running[request.session_hash] = watched = Watched()
        frames = convert_video(path, person, behind, out, watched)
        try:
            for done, total in frames:
                progress((done, max(total, done)), unit="frames", desc="frames")
                yield None, f"{done} of {total} frames"
        except Stopped:
            yield None, f"cancelled after {watched.seen} frames"
            return
        except UserError as error:
            raise gr.Error(str(error), print_exception=False) from None
        finally:  # also when somebody leaves the page
            running.pop(request.session_hash, None)
            frames.close()
        seconds = time.perf_counter() - started
        yield str(out), f"{done} frames in {seconds:.1f} s, {done / seconds:.1f} frames per second"

    def cancel_video(request: gr.Request):
        if watched := running.get(request.session_hash):
            watched.stop.set()

    cache = Path(get_upload_folder())
    cache.mkdir(parents=True, exist_ok=True)
    with gr.Blocks(title="segkit", delete_cache=(60, 900), analytics_enabled=False, fill_width=True) as demo:
        answer = gr.State(None, time_to_live=900)
        with gr.Row():
            gr.Markdown("# Cut people out\nRuns on this machine; nothing is sent anywhere.")
            model = gr.Dropdown(models, value=models[0], label="Network")
            engine = gr.Dropdown(
                list(engines),
                value=engines[0] if engines else None,
                label="Engine",
                visible=len(engines) > 1,
            )
        with gr.Tab("Photo"), gr.Row(equal_height=False):
            with gr.Column(scale=2, min_width=320):
                photo = Photo(
                    type="filepath",
                    sources=["upload", "webcam", "clipboard"],
                    label="Photograph",
                    height=300,
                    image_mode=None,
                )
                threshold = gr.Slider(
                    0.02, 0.98, 0.5, step=0.02, label="Threshold", info="low keeps more, high keeps less"
                )
                softness = gr.Slider(
                    0, 1, 0, step=0.05, label="Edge softness", info="0 follows the photograph's own edges"
                )
                background = gr.Radio(BACKGROUNDS, value="colour", label="New background")
                colour = gr.ColorPicker("#009e73", label="Colour")
                blur = gr.Slider(0, 1, 0.5, step=0.05, label="Strength of the portrait blur", visible=False)
                picture = Photo(**BEHIND)
            with gr.Column(scale=5):
                timing = gr.Markdown("Choose a photograph, take one, or click an example below.")
                with gr.Row():
                    mask = gr.Image(label="Mask", format="png", **SHOWN)
                    tinted = gr.Image(label="Overlay", format="jpeg", **SHOWN)
                with gr.Row():
                    layered = {"format": "png", "elem_classes": "chequered"}
                    cut = gr.Image(label="Cut-out", image_mode="RGBA", **layered, **SHOWN)
                    new = gr.Image(label="New background", image_mode=None, **layered, **SHOWN)
                download = gr.Button("Download the cut-out (PNG with alpha)", variant="primary")
                kept = gr.DownloadButton("file", elem_id="hidden-download")
                if examples:
                    gr.Examples([str(path) for path in examples], photo, label="Examples (rendered people)")
        with gr.Tab("Video"), gr.Row(equal_height=False):
            with gr.Column(scale=2, min_width=320):
                video = gr.Video(
                    label=f"Video (up to {MOST_VIDEO_SECONDS} s)", sources=["upload"], height=300
                )
                video_background = gr.Radio(VIDEO_BACKGROUNDS, value="blur", label="New background")
                video_colour = gr.ColorPicker("#009e73", label="Colour", visible=False)
                video_picture = Photo(**BEHIND)
                with gr.Row():
                    start = gr.Button("Start", variant="primary")
                    cancel = gr.Button("Cancel", variant="stop")
            with gr.Column(scale=5):
                video_words = gr.Markdown("Neighbouring frames are mixed, so that the edge does not flicker.")
                result = gr.Video(label="Result", interactive=False, height=420, buttons=["download"])
        with gr.Tab("What happens here"):
            gr.Markdown(explanation())

        controls = [threshold, softness, background, colour, blur, picture]
        pictures = [mask, tinted, cut, new]
        asked = {
            "fn": ask,
            "inputs": [photo, model, engine, *controls],
            "outputs": [answer, timing, *pictures],
            "concurrency_limit": 1,
            "concurrency_id": "network",
        }
        photo.change(**asked, api_name="ask")
        for choice in (model, engine):
            choice.input(**asked, api_visibility="private")
        for control in controls:
            control.change(
                show,
                [answer, *controls],
                pictures,
                concurrency_limit=2,
                concurrency_id="compose",
                show_progress="hidden",
                trigger_mode="always_last",
                api_visibility="private",
            )
        # What a background does not need stays out of sight.
        background.change(
            lambda b: [gr.update(visible=b == kind) for kind in ("colour", "portrait", "picture")],
            background,
            [colour, blur, picture],
            show_progress="hidden",
            queue=False,
            api_visibility="private",
        )
        video_background.change(
            lambda b: [gr.update(visible=b == kind) for kind in ("colour", "picture")],
            video_background,
            [video_colour, video_picture],
            show_progress="hidden",
            queue=False,
            api_visibility="private",
        )
        download.click(
            save,
            [answer, threshold, softness],
            kept,
            concurrency_limit=1,
            concurrency_id="full size",
            api_visibility="private",
        ).success(None, js="() => document.querySelector('#hidden-download').click()")
        start.click(
            convert,
            [video, model, engine, video_background, video_colour, video_picture],
            [result, video_words],
            concurrency_limit=1,
            concurrency_id="video",
            api_name="video",
        )
        cancel.click(cancel_video, None, None, queue=False, show_progress="hidden", api_visibility="private")
    return demo


def serve(
    models: list[str],
    host: str = "127.0.0.1",
    port: int | None = None,
    block: bool = True,
    engines: Sequence[str] | None = None,
) -> gr.Blocks:
    """Serve the page; blocks until interrupted unless block is False. Returns the running app.

    engines: to choose from; None offers those whose packages are installed.

    host: 127.0.0.1 reaches this machine alone; 0.0.0.0 opens the page to the network.
    stop(app) ends it and removes what was uploaded.
    """
    # Everything that is uploaded or made lies in one folder, which goes when the page goes.
    os.environ["GRADIO_TEMP_DIR"] = cache = tempfile.mkdtemp(prefix="segkit-demo-")
    shown = list_images(embedded_path("people") / "images")
    notebooks = Path(__file__).parents[2] / "notebooks"
    demo = None
    try:
        demo = build_page(models, shown[5::120][:5], installed_engines() if engines is None else engines)
        demo.folder = cache
        demo.queue(max_size=WAITING)
        demo.launch(
            server_name=host,
            server_port=port,
            share=False,
            max_file_size=f"{max(MOST_MEGABYTES, MOST_VIDEO_MEGABYTES)}mb",
            state_session_capacity=100,
            prevent_thread_lock=not block,
            quiet=not block,
            allowed_paths=[str(embedded_path("people")), *map(str, notebooks.glob("[0-9][0-9]_*.ipynb"))],
            css=CSS,
            footer_links=[],
        )
    except BaseException:
        stop(demo, cache)
        raise
    if block:
        stop(demo, cache)
    return demo


def stop(demo: gr.Blocks | None, folder: str | None = None) -> None:
    """End the page and remove every file that was uploaded to it or made by it."""
    if demo is not None:
        demo.close()
    shutil.rmtree(folder or demo.folder, ignore_errors=True)
    if os.environ.get("GRADIO_TEMP_DIR") == (folder or demo.folder):
        del os.environ["GRADIO_TEMP_DIR"]
