"""The site: every link leads somewhere, a search finds, and nothing is asked of other hosts."""

import functools
import http.server
import subprocess
import sys
import threading
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlparse

import pytest
from playwright.sync_api import expect

ROOT = Path(__file__).parents[1]
SITE = ROOT / "build" / "site"
pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def site():
    """The built site, served on this machine.   Returns: its address."""
    done = subprocess.run([sys.executable, ROOT / "docs" / "build.py"], capture_output=True, text=True)
    assert done.returncode == 0 and not done.stderr, done.stdout + done.stderr
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=SITE)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class Links(HTMLParser):
    """The targets of a page's links and pictures, and the places in it that links can name."""

    def __init__(self, page: Path):
        super().__init__()
        self.targets, self.places = [], set()
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.places |= {found.get("id"), found.get("name")}
        if tag in ("a", "img", "script", "link"):
            self.targets += [found[key] for key in ("href", "src") if found.get(key)]


def test_every_link_inside_the_site_leads_somewhere(site):
    pages = {page: Links(page) for page in SITE.rglob("*.html")}
    assert len(pages) > 40
    lost = []
    for page, links in pages.items():
        for target in links.targets:
            address, place = urldefrag(target)
            if urlparse(target).scheme:
                continue
            there = (page.parent / unquote(address.partition("?")[0])).resolve() if address else page
            known = pages[there].places if there in pages else None
            if not there.exists() or (place and known is not None and unquote(place) not in known):
                lost.append(f"{page.relative_to(SITE)}: {target}")
    assert not lost, "\n".join(lost[:20])


def test_a_visitor_searches_reads_on_and_nothing_is_asked_of_another_host(site, chromium):
    page, asked = chromium.new_page(viewport={"width": 390, "height": 800}), []
    page.on("request", lambda request: asked.append(urlparse(request.url).hostname))
    page.goto(f"{site}/search.html?q=threshold")
    expect(page.locator("#search-results li").first).to_be_visible(timeout=20_000)
    page.goto(f"{site}/notebooks/00_start_here.html")
    page.locator("a.next-page").click()
    expect(page.locator("h1")).to_contain_text("Segmentation basics")
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= 390 + 1, f"on a phone the page is {width} pixels wide"
    before = page.evaluate("document.body.dataset.theme")
    page.locator(".theme-toggle:visible").first.click()
    assert page.evaluate("document.body.dataset.theme") != before
    assert set(asked) <= {"127.0.0.1", None}


def test_on_a_phone_each_lesson_fits_and_keeps_its_answers_folded(site, chromium):
    page = chromium.new_page(viewport={"width": 390, "height": 800})
    lessons = sorted((SITE / "notebooks").glob("[0-9]*.html"))
    assert len(lessons) == 17
    for lesson in lessons:
        page.goto(f"{site}/notebooks/{lesson.name}")
        assert page.evaluate("document.documentElement.scrollWidth") <= 391, lesson.name
        expect(page.locator("article details[open]")).to_have_count(0)
        expect(page.get_by_text("import numpy")).not_to_be_visible()
        sizes = page.evaluate(
            "['h1', 'h2', 'h3'].map(h => parseFloat(getComputedStyle(document.querySelector(h)).fontSize))"
        )
        assert sizes == sorted(set(sizes), reverse=True), f"{lesson.name}: headings of {sizes} pixels"
        cut = page.evaluate(
            "[...document.querySelectorAll('.no-columns pre')].filter(p => p.scrollWidth > p.clientWidth)"
            ".length"
        )
        assert not cut, f"{lesson.name}: {cut} sentences that a cell prints are cut at the edge"
        expect(page.locator(".no-columns", has_text="not answered yet").first).to_be_visible()
        words = "[...document.querySelectorAll('p > code .pre')]"
        torn = page.evaluate(f"{words}.filter(word => word.getClientRects().length > 1).length")
        assert not torn, f"{lesson.name}: a word of a command is torn at its hyphen"
        wide = "[...document.querySelectorAll('pre')].filter(p => p.scrollWidth > p.clientWidth)"
        shaded = page.evaluate(f"{wide}.map(p => getComputedStyle(p).backgroundAttachment)")
        assert shaded and all("local" in way for way in shaded), "what goes on has no shadow at its edge"


def test_the_code_of_the_sick_trainings_is_folded(site, chromium):
    page = chromium.new_page()
    page.goto(f"{site}/notebooks/09_error_analysis.html")
    code = page.locator(".cell_input", has_text="# the line: the same seed was meant")
    expect(code).not_to_be_visible()
    page.locator("details.hide", has=code).locator("summary").click()
    expect(code).to_be_visible()
