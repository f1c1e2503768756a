"""The documentation site: its pages from files, without a network, in a real browser."""

from __future__ import annotations

import pytest
from browser import page as pages
from browser.conftest import missing

SITE = pages.ROOT / "target/site"
SIZES = {"desktop": (1280, 900), "phone": (390, 844)}


@pytest.fixture(scope="module")
def site():
    if not (SITE / "index.html").exists():
        missing("the site is not built (cargo run --release -p hig-site)")
    return SITE


@pytest.fixture
def tab(chromium):
    context = chromium.new_context(offline=True)
    yield context.new_page()
    context.close()


def visit(tab, path):
    """Opens a page; what it complained about and what it asked of others."""
    said, asked = [], []
    tab.on("console", lambda message: said.append(message.text))
    tab.on("pageerror", lambda error: said.append(str(error)))
    tab.on("request", lambda request: asked.append(request.url))
    tab.goto(path.as_uri())
    return said, [url for url in asked if not url.startswith(("file:", "data:"))]


def test_every_page_opens_without_a_network_and_fits_a_phone(site, tab):
    found = [path for path in site.rglob("*.html") if path.name != "toc.html"]
    assert len(found) > 15
    for size in SIZES.values():
        tab.set_viewport_size(dict(zip(["width", "height"], size)))
        for path in found:
            assert visit(tab, path) == ([], []), path
            width = tab.evaluate("document.documentElement.scrollWidth")
            assert width <= size[0], f"{path} is {width} wide on {size[0]}"


def test_formulas_are_drawn_by_the_browser(site, tab):
    visit(tab, site / "docs/method.html")
    heights = tab.evaluate(
        "[...document.querySelectorAll('math mfrac')].map(m => m.getBoundingClientRect().height)"
    )
    assert len(heights) > 5 and min(heights) > 15
    assert "$" not in tab.inner_text("main")


def test_the_search_finds_a_setting_and_a_formulas_page(site, tab):
    visit(tab, site / "index.html")
    tab.keyboard.press("s")
    tab.keyboard.type("physics_cutoff")
    tab.wait_for_selector("#mdbook-searchresults a, #searchresults a")
    found = tab.locator("#mdbook-searchresults a, #searchresults a").all_inner_texts()
    assert any("sip" in text for text in found), found
