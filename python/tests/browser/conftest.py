"""A browser for the tests of the page: Chromium as the distribution has it, told to ask nobody.

Without Playwright or Chromium these tests are skipped, unless HIG_BROWSER_TESTS=1 asks for them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from browser import page as pages

FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync"
).split()
SHOTS = pages.ROOT / "target/browser"


def missing(reason: str):
    if os.environ.get("HIG_BROWSER_TESTS") == "1":
        pytest.fail(f"{reason}, and HIG_BROWSER_TESTS=1 asks for the browser tests", pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def chromium():
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing("Playwright is not installed (pip install '.[browser]')")
    names = ["chromium", "chromium-browser", "google-chrome"]
    program = next(filter(None, map(shutil.which, names)), None)
    if program is None:
        missing("Chromium is not installed (apt-get install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield browser
        browser.close()


class Opened:
    """A page with what it said and asked for."""

    def __init__(self, page):
        self.page = page
        self.said: list[str] = []
        self.asked: list[str] = []
        page.on("console", lambda message: self.said.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: self.said.append(f"error: {error}"))
        page.on("request", lambda request: self.asked.append(request.url))

    def settle(self):
        """Waits until everything that is to be drawn has been drawn."""
        self.page.wait_for_function(
            "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))"
        )
        self.page.wait_for_timeout(150)

    def curves(self, title: str) -> dict[str, str]:
        """Outlines of a chart's curves by their keys."""
        return self.page.evaluate(
            """title => {
              const card = [...document.querySelectorAll("figure")].find(f => f.querySelector("h3").textContent === title);
              return Object.fromEntries([...card.querySelectorAll("path.curve:not(.ghost)")].map(p => [p.dataset.key, p.getAttribute("d")]));
            }""",
            title,
        )

    def chart(self, title: str):
        return (
            self.page.locator(
                "figure", has=self.page.get_by_role("heading", name=title, exact=True)
            )
            .locator("svg")
            .first
        )

    def ticks(self, title: str) -> list[str]:
        return self.chart(title).locator("text.tick").all_text_contents()

    def shot(self, name: str):
        SHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SHOTS / f"{name}.png", full_page=True)


@pytest.fixture
def open_file(chromium, tmp_path):
    """Opens data as a report: a file, with no network at all."""
    contexts = []

    def open_it(data: object = None, *, file: Path | None = None, **options) -> Opened:
        if file is None:
            file = tmp_path / "report.html"
            file.write_text(pages.build(data), encoding="utf-8")
        options = {
            "viewport": {"width": 1360, "height": 900},
            "offline": True,
            "locale": "en-GB",
        } | options
        context = chromium.new_context(**options)
        context.set_default_timeout(10_000)
        contexts.append(context)
        opened = Opened(context.new_page())
        opened.page.goto(file.as_uri())
        opened.settle()
        return opened

    yield open_it
    for context in contexts:
        context.close()
