"""The page in a real browser, as wide as a phone, a laptop and a large screen; and nobody else is asked.

The screenshots stay in runs/browser for whoever wants to look.
"""

import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("uvicorn")
pytest.importorskip("av")

from asking import running
from playwright.sync_api import expect

from segkit.app.page import page_app
from segkit.data import find_samples
from segkit.files import embedded_path, read_image, write_image
from segkit.predict import Segmenter
from segkit.video.files import write_video

pytestmark = pytest.mark.browser

SHOTS = Path(__file__).parents[2] / "runs" / "browser"
SECONDS = 1000
WIDTHS = {390: 844, 1280: 800, 1920: 1080}

CONTRASTS = """() => {
  const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = (colour) => parts(colour).slice(0, 3).map((c) => c / 255)
    .map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (element) => {
    const colour = element ? getComputedStyle(element).backgroundColor : "rgb(255, 255, 255)";
    return (parts(colour)[3] ?? 1) > 0 ? colour : behind(element.parentElement);
  };
  const speaks = (e) => [...e.childNodes].some((n) => n.nodeType === Node.TEXT_NODE && n.data.trim());
  return [...document.querySelectorAll("body *")]
    .filter((e) => e.checkVisibility() && speaks(e))
    .map((e) => {
      const [low, high] = [light(getComputedStyle(e).color), light(behind(e))].sort((a, b) => a - b);
      return [(high + 0.05) / (low + 0.05), e.textContent.trim().slice(0, 40)];
    });
}"""


@pytest.fixture(scope="module")
def asked() -> list[tuple[int, int]]:
    """The sizes of all photographs that the network was asked about, in order."""
    return []


@pytest.fixture(scope="module")
def page(chromium, asked, tmp_path_factory):
    """The page; every request that is not for this machine is noted in page.far, what fails in page.wrong."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    ask = Segmenter.__call__
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEGKIT_DATA", str(tmp_path_factory.mktemp("home")))
        patch.setattr(
            Segmenter,
            "__call__",
            lambda self, image, *rest: (asked.append(image.shape[:2]), ask(self, image, *rest))[1],
        )
        with page_app(["person-base", "person-small"]) as app, running(app) as address:
            page = chromium.new_page(viewport={"width": 1280, "height": 800}, permissions=["camera"])
            page.far, page.wrong, page.address = [], [], address
            near = (f"{address}/", "data:", "blob:")
            page.on("request", lambda request: request.url.startswith(near) or page.far.append(request.url))
            page.on("console", lambda message: message.type == "error" and page.wrong.append(message.text))
            page.on("pageerror", lambda error: page.wrong.append(str(error)))
            page.goto(address)
            yield page
            page.close()


def pick(page, name: str) -> None:
    changes(page, page.locator("#controls").get_by_label(name, exact=True).check)


def shown(page) -> str:
    return page.locator("#shown").get_attribute("src")


def changes(page, work, **more) -> str:
    """Do something and wait until another picture is shown."""
    before = shown(page) or "nothing"
    work()
    expect(page.locator("#shown")).not_to_have_attribute("src", before, timeout=60 * SECONDS, **more)
    page.wait_for_timeout(1500)  # the sharp one follows when the controls rest
    return shown(page)


def last_request(page) -> str:
    """Where the picture that is shown came from."""
    looks = "performance.getEntriesByType('resource').filter((e) => e.name.includes('sharp=1'))"
    return page.evaluate(f"{looks}.at(-1).name")


def choose(page, *names: str) -> None:
    """Photographs from this machine."""
    changes(page, lambda: page.set_input_files("#files", list(names)))


def test_no_other_page_can_frame_it(page, chromium):
    other = chromium.new_page()
    other.set_content(f'<iframe src="{page.address}"></iframe>')
    other.wait_for_timeout(1000)
    assert "data-setting" not in other.frames[1].content()
    other.close()


def test_before_there_is_a_photo_the_page_shows_free_examples(page):
    expect(page.locator("#examples img")).to_have_count(3)
    for width, height in WIDTHS.items():
        page.set_viewport_size({"width": width, "height": height})
        page.screenshot(path=SHOTS / f"page-{width}-start.png")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.set_viewport_size({"width": 1280, "height": 800})
    changes(page, page.get_by_role("button", name="Eileen Collins").click)
    expect(page.locator("#caption")).to_contain_text("512 × 512 pixels · person")
    expect(page.locator("#start")).to_be_hidden()


def test_a_slider_needs_no_network_and_is_followed_at_once(page, asked, astronaut, tmp_path):
    large = np.kron(astronaut, np.ones((7, 7, 1), np.uint8))  # 12.8 million pixels
    choose(page, write_image(tmp_path / "large.jpg", large))
    expect(page.locator("#caption")).to_contain_text("3584 × 3584")
    times, before, slider = len(asked), shown(page), page.get_by_label("Threshold")
    page.evaluate("performance.clearResourceTimings()")
    for _ in range(12):
        slider.press("ArrowRight")
        page.wait_for_timeout(150)
    assert changes(page, lambda: slider.press("ArrowRight")) != before
    expect(page.locator("output[for=threshold]")).to_have_text("0.76")
    steps = "(e) => /threshold/.test(e.name) && !/sharp/.test(e.name)"
    took = page.evaluate(f"performance.getEntriesByType('resource').filter({steps}).map((e) => e.duration)")
    print(f"threshold steps: {sorted(map(round, took))} ms")
    assert len(took) >= 5 and np.median(took) < 500  # test_page.py counts the work alone: 150 ms
    assert len(asked) == times, "the network was asked again"


def test_what_is_downloaded_is_at_full_size_and_named_after_the_photo_and_the_look(page):
    for choice, name, mode in (
        ("overlay", "large_overlay.jpg", "RGB"),
        ("mask", "large_mask.png", "L"),
        ("result", "large_cutout.png", "RGBA"),
        ("portrait", "large_portrait.jpg", "RGB"),
    ):
        pick(page, choice)
        with page.expect_download(timeout=120 * SECONDS) as waiting:
            page.get_by_role("button", name="Download", exact=True).click()
        assert waiting.value.suggested_filename == name
        with Image.open(waiting.value.path()) as full:
            assert full.mode == mode and full.size == (3584, 3584)


def test_several_photos_come_as_a_zip(page, astronaut, tmp_path):
    one = write_image(tmp_path / "one.png", astronaut)
    two = write_image(tmp_path / "two.png", astronaut[:300])
    choose(page, one, two)
    page.screenshot(path=SHOTS / "page-1280-photos.png")
    pick(page, "colour")
    with page.expect_download(timeout=120 * SECONDS) as waiting:
        page.get_by_role("button", name="Download all as a zip").click()
    waiting.value.save_as(tmp_path / "all.zip")
    names = zipfile.ZipFile(tmp_path / "all.zip").namelist()
    assert names == [f"{name}_colour.jpg" for name in ("astronaut", "large", "one", "two")]
    changes(page, page.get_by_role("button", name="Show two.png").click)
    expect(page.locator("#caption")).to_contain_text("512 × 300")
    page.get_by_role("button", name="Remove large.jpg").click()
    expect(page.locator("#strip img")).to_have_count(3)


def test_a_file_that_is_no_picture_gets_a_sentence_and_the_page_goes_on(page, tmp_path):
    (tmp_path / "notes.txt").touch()
    page.set_input_files("#files", tmp_path / "notes.txt")
    expect(page.get_by_role("alert")).to_contain_text("left out: notes.txt")
    for size, words in ((9, "text.png: the file is not a picture"), (26_000_000, "25 MB a picture")):
        (tmp_path / "text.png").write_bytes(bytes(size))
        changes(page, lambda: page.set_input_files("#files", tmp_path / "text.png"))  # back to the one before
        expect(page.get_by_role("alert")).to_contain_text(words, timeout=20 * SECONDS)
    expect(page.locator("#strip img")).to_have_count(3)
    pick(page, "mask")
    expect(page.get_by_role("alert")).to_have_count(0)  # it is hidden once somebody acts
    pick(page, "result")
    page.wrong[:] = [words for words in page.wrong if "400" not in words and "413" not in words]


def test_what_was_deleted_meanwhile_is_sent_again_unasked(page, asked):
    times = len(asked)
    page.request.delete(last_request(page).split("?")[0])
    pick(page, "blur")
    assert len(asked) == times + 1
    page.wrong[:] = [words for words in page.wrong if "410" not in words]


def test_on_a_phone_the_result_stays_beside_the_sliders(page):
    page.set_viewport_size({"width": 390, "height": 844})
    page.evaluate("scrollTo(0, 0)")
    page.wait_for_timeout(300)
    page.screenshot(path=SHOTS / "page-390-photos.png")
    for name in ("Threshold", "Edge softness"):
        slider = page.get_by_label(name)
        slider.evaluate("e => e.scrollIntoView({ block: 'end' })")
        page.wait_for_timeout(200)
        for place in (page.locator("#shown").bounding_box(), slider.bounding_box()):
            assert place["y"] >= -1 and place["y"] + place["height"] <= 845, name
        x, y = (place[at] + place[size] / 2 for at, size in (("x", "width"), ("y", "height")))
        hit = "(e, [x, y]) => document.elementFromPoint(x, y) === e"
        assert slider.evaluate(hit, [x, y]), "it is covered"
    page.screenshot(path=SHOTS / "page-390-scrolled.png")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.set_viewport_size({"width": 1920, "height": 1080})
    page.wait_for_timeout(300)
    page.screenshot(path=SHOTS / "page-1920-photos.png")
    page.set_viewport_size({"width": 1280, "height": 800})


def test_every_picture_has_words_and_every_control_a_name(page):
    assert page.locator("#shown").get_attribute("alt") == "two.png, background: blur"
    assert page.evaluate("[...document.images].filter((i) => i.checkVisibility() && !i.alt).length") == 0
    named = "(e) => e.labels?.length || e.ariaLabel || e.textContent.trim() || e.querySelector('img')?.alt"
    nameless = f"[...document.querySelectorAll('input, select, button')].filter((e) => !({named})(e))"
    assert page.evaluate(f"{nameless}.length") == 0
    words = page.content().lower()
    assert not [word for word in ("gradio", "built with", "powered by") if word in words]


def test_the_camera_takes_a_photograph(page, asked):
    times = len(asked)
    page.get_by_role("button", name="Take one").click()
    view = page.locator("#viewfinder")
    expect(view).to_be_visible(timeout=30 * SECONDS)
    while not view.evaluate("v => v.videoWidth"):
        page.wait_for_timeout(100)
    changes(page, page.get_by_role("button", name="Take the photo").click)
    assert len(asked) == times + 1
    assert view.evaluate("v => v.srcObject.getTracks().every((track) => track.readyState === 'ended')")


def test_a_video_shows_its_progress_can_be_cancelled_and_comes_out(page, tmp_path):
    frames = [read_image(s.image) for s in find_samples(embedded_path("people") / "clips" / "walk")]
    frames *= 4  # long enough to be seen at work on a quick machine
    page.get_by_role("button", name="Video", exact=True).click()
    page.set_input_files("#video-file", write_video(tmp_path / "walk.mp4", frames, 12))
    words = page.locator("#video-words")
    page.get_by_role("button", name="Start").click()
    expect(words).to_have_text(re.compile(r"[1-9]\d* of 144 frames"), timeout=60 * SECONDS)
    page.get_by_role("button", name="Cancel").click()
    expect(words).to_contain_text("cancelled after", timeout=20 * SECONDS)
    page.get_by_role("button", name="Start").click()
    expect(words).to_contain_text("frames per second", timeout=200 * SECONDS)
    result = page.locator("#clip")
    expect(result).to_be_visible()
    page.wait_for_timeout(1000)
    page.screenshot(path=SHOTS / "page-1280-video.png")
    assert result.evaluate("v => v.videoWidth") == frames[0].shape[1]
    with page.expect_download() as waiting:
        page.get_by_role("link", name="Download the video").click()
    assert waiting.value.suggested_filename == "walk_blur.mp4"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_word_has_a_contrast_of_at_least_4_5(page, scheme):
    page.emulate_media(color_scheme=scheme)
    for tab in ("Video", "What happens here", "Photos"):
        page.get_by_role("button", name=tab, exact=True).click()
        page.screenshot(path=SHOTS / f"page-{scheme}-{tab.split()[0].lower()}.png")
        found = page.evaluate(CONTRASTS)
        assert len(found) > 8 and min(found)[0] >= 4.5, sorted(found)[:3]
    page.emulate_media(color_scheme="light")


def test_the_last_tab_explains_and_its_links_are_pages_to_read(page):
    page.get_by_role("button", name="What happens here").click()
    links = page.locator("#about a")
    expect(links).to_have_count(5)
    expect(page.locator("#credits li")).to_have_count(3)
    links.nth(2).click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("04", timeout=60 * SECONDS)
    page.screenshot(path=SHOTS / "page-1280-lesson.png")
    assert min(page.evaluate(CONTRASTS))[0] >= 4.5
    page.go_back()


def test_no_request_has_left_this_machine_and_nothing_went_wrong(page):
    assert page.far == [] and page.wrong == []
