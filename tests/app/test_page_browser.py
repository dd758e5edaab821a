"""The page in a real browser: a photograph, a slider, the camera, a video; and nobody else is asked.

The screenshots stay in runs/browser for whoever wants to look.
"""

import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("gradio")
av = pytest.importorskip("av")

from playwright.sync_api import expect, sync_playwright  # noqa: E402

from segkit.app import page as demo  # noqa: E402
from segkit.data import find_samples  # noqa: E402
from segkit.files import embedded_path, read_image, write_image  # noqa: E402
from segkit.predict import Segmenter  # noqa: E402

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SHOTS = Path(__file__).parents[2] / "runs" / "browser"
FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-dev-shm-usage "
    "--use-fake-device-for-media-stream --use-fake-ui-for-media-stream"
)
SECONDS = 1000

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        CHROMIUM is None, reason="no Chromium on this machine: install it with `apt-get install chromium`"
    ),
]


@pytest.fixture(scope="module")
def asked() -> list[tuple[int, int]]:
    """The sizes of all photographs that the network was asked about, in order."""
    return []


@pytest.fixture(scope="module")
def page(asked):
    """The page in Chromium; every request is noted in page.far if it is not for this machine."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    ask = Segmenter.__call__
    patch = pytest.MonkeyPatch()
    patch.setattr(
        Segmenter,
        "__call__",
        lambda self, image, *rest: (asked.append(image.shape[:2]), ask(self, image, *rest))[1],
    )
    app = demo.serve(["person-base", "person-small"], block=False)
    far = []

    def note(request):
        if not request.url.startswith(("http://127.0.0.1", "http://localhost", "data:", "blob:", "ws:")):
            far.append(request.url)

    try:
        with sync_playwright() as play:
            browser = play.chromium.launch(executable_path=CHROMIUM, args=FLAGS.split())
            context = browser.new_context(viewport={"width": 1400, "height": 1000}, permissions=["camera"])
            page = context.new_page()
            page.on("request", note)
            page.far = far
            page.goto(app.local_url)
            expect(page.get_by_text("Threshold")).to_be_visible(timeout=60 * SECONDS)
            yield page
            browser.close()
    finally:
        patch.undo()
        demo.stop(app)


def shown(page, label: str):
    """The picture under a label."""
    return page.locator(".block", has=page.locator(f"label:has-text('{label}')")).locator("img").first


def pixels(picture) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(picture.screenshot())).convert("L"), np.int16)


def test_a_photograph_is_segmented_and_a_slider_needs_no_network(page, asked, astronaut, tmp_path):
    photo = write_image(tmp_path / "astronaut.jpg", astronaut)
    page.set_input_files("input[type=file] >> nth=0", str(photo))
    expect(page.get_by_text("512 x 512 pixels")).to_be_visible(timeout=60 * SECONDS)
    mask = shown(page, "Mask")
    expect(mask).to_be_visible(timeout=30 * SECONDS)
    for label in ("Overlay", "Cut-out", "New background"):
        expect(shown(page, label)).to_be_visible(timeout=30 * SECONDS)
    page.wait_for_timeout(500)
    page.screenshot(path=SHOTS / "demo-photo.png")
    times, before, source = len(asked), pixels(mask), mask.get_attribute("src")
    slider = page.get_by_label("range slider for Threshold")
    slider.focus()
    for _ in range(20):
        slider.press("ArrowRight")
    expect(mask).not_to_have_attribute("src", source, timeout=30 * SECONDS)
    page.wait_for_timeout(500)
    page.screenshot(path=SHOTS / "demo-threshold.png")
    assert (abs(pixels(mask) - before) > 100).any(), "another threshold, another mask"
    assert len(asked) == times, "the network was asked again"
    new = shown(page, "New background")
    source = new.get_attribute("src")
    page.get_by_label("portrait").check()
    expect(new).not_to_have_attribute("src", source, timeout=30 * SECONDS)
    expect(page.get_by_label("range slider for Strength of the portrait blur")).to_be_visible()
    page.wait_for_timeout(500)
    page.screenshot(path=SHOTS / "demo-portrait.png")
    assert len(asked) == times


def test_the_cut_out_is_downloaded_at_full_size_with_alpha(page, tmp_path):
    with page.expect_download(timeout=60 * SECONDS) as waiting:
        page.get_by_role("button", name="Download the cut-out").click()
    assert waiting.value.suggested_filename == "astronaut_cutout.png"
    waiting.value.save_as(tmp_path / "cutout.png")
    with Image.open(tmp_path / "cutout.png") as cut:
        assert cut.mode == "RGBA" and cut.size == (512, 512)


def test_the_camera_takes_a_photograph(page, asked):
    times = len(asked)
    page.get_by_role("button", name="Clear").or_(page.get_by_label("Remove Image")).first.click()
    page.get_by_label("Capture from camera").click()
    if (allow := page.get_by_text("Click to Access Webcam")).is_visible():
        allow.click()
    runs = "() => [...document.querySelectorAll('video')].some(v => v.videoWidth > 0 && !v.paused)"
    page.wait_for_function(runs, timeout=30 * SECONDS)
    page.get_by_label("capture photo").click(timeout=20 * SECONDS)
    expect(shown(page, "Mask")).to_be_visible(timeout=60 * SECONDS)
    page.wait_for_timeout(500)
    page.screenshot(path=SHOTS / "demo-camera.png")
    assert len(asked) == times + 1


def test_a_video_shows_its_progress_can_be_cancelled_and_comes_out(page, asked, tmp_path):
    frames = [read_image(s.image) for s in find_samples(embedded_path("people") / "clips" / "walk")]
    frames *= 4  # long enough to be seen at work on a quick machine
    with av.open(str(tmp_path / "walk.mp4"), "w") as out:
        stream = out.add_stream("libx264", rate=12)
        stream.height, stream.width, stream.pix_fmt = *frames[0].shape[:2], "yuv420p"
        for frame in frames:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
        out.mux(stream.encode(None))
    page.get_by_role("tab", name="Video").click()
    page.locator("input[type=file][accept*=video]").first.set_input_files(str(tmp_path / "walk.mp4"))
    expect(page.locator("video:visible").first).to_be_visible(timeout=30 * SECONDS)
    page.get_by_role("button", name="Start").click()
    expect(page.get_by_text("of 144 frames")).to_be_visible(timeout=60 * SECONDS)
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_text("cancelled after")).to_be_visible(timeout=20 * SECONDS)
    page.get_by_role("button", name="Start").click()
    expect(page.get_by_text("frames per second")).to_be_visible(timeout=120 * SECONDS)
    result = page.locator("video:visible").nth(1)
    expect(result).to_be_visible(timeout=20 * SECONDS)
    page.wait_for_timeout(1000)
    page.screenshot(path=SHOTS / "demo-video.png")
    assert result.evaluate("v => v.videoWidth") == frames[0].shape[1]


def test_the_last_tab_explains_and_leads_to_the_lessons(page):
    page.get_by_role("tab", name="What happens here").click()
    links = page.locator("a", has_text="lesson")
    expect(links).to_have_count(5)
    page.screenshot(path=SHOTS / "demo-explained.png")
    for i in range(5):
        answer = page.request.get(links.nth(i).evaluate("a => a.href"))
        assert answer.ok and b'"cells"' in answer.body()


def test_no_request_has_left_this_machine(page):
    assert page.far == []
