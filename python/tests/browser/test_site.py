"""The site of the documentation, if it has been built: every page, read offline from its folder."""

from __future__ import annotations

import pytest
from browser import page as pages

SITE = pages.ROOT / "target/site"


@pytest.fixture(scope="module")
def site():
    if not (SITE / "index.html").exists():
        pytest.skip("the site is not built (cargo run --release -p hig-site)")
    return SITE


@pytest.mark.nightly
def test_pages_are_whole_without_a_network(site, open_file):
    opened = open_file(file=site / "index.html")
    contents = opened.page.locator("nav#mdbook-sidebar a[href]")
    addresses = {link.evaluate("a => a.href").split("#")[0] for link in contents.all()}
    assert len(addresses) > 15
    for width in [390, 1280]:
        opened.page.set_viewport_size({"width": width, "height": 900})
        for address in sorted(addresses):
            opened.page.goto(address)
            broken = opened.page.evaluate(
                "() => [...document.images].filter(i => !i.naturalWidth).map(i => i.src)"
            )
            assert broken == [], address
            wide = opened.page.evaluate("() => document.documentElement.scrollWidth - innerWidth")
            assert wide <= 0, (address, width)
    assert opened.said == []
    assert [url for url in opened.asked if not url.startswith(("file:", "data:"))] == []


def test_formulas_are_drawn_and_settings_are_found(site, open_file):
    opened = open_file(file=site / "docs/method.html")
    formulas = opened.page.locator("math")
    assert formulas.count() > 50
    drawn = formulas.locator("mi, mn, mo, mtext").all_text_contents()
    assert "\\" not in "".join(drawn) and "nbsp" not in "".join(drawn)
    box = opened.page.locator("math[display=block]").first.bounding_box()
    assert box["height"] > 20
    opened.shot("site-method")
    opened.page.keyboard.press("/")
    opened.page.locator("#mdbook-searchbar").press_sequentially("physics_cutoff")
    found = opened.page.locator("#mdbook-searchresults a").first
    found.wait_for()
    found.click()
    opened.page.wait_for_url("**/reference/settings.html**")
    assert "physics_cutoff" in opened.page.locator("main").text_content()
