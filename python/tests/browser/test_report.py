"""The report: what its reader sees and does, in a real browser."""

from __future__ import annotations

import io
import re
import struct
import zlib
from itertools import pairwise

import pytest
from browser import samples

KEYS = [f"runs/toy-1/{name}" for name in ["adam", "gn", "hig", "adaptive-hig", "adam:60+hig"]]


def points(outline: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r"[ML](-?[\d.]+) (-?[\d.]+)", outline)]


def colours(png: bytes) -> set[tuple[int, int, int]]:
    """Colours of a screenshot, read without an imaging package."""
    width, height = struct.unpack(">II", png[16:24])
    kind = {2: 3, 6: 4}[png[25]]
    file, data = io.BytesIO(png[8:]), b""
    while head := file.read(8):
        (length,), name = struct.unpack(">I", head[:4]), head[4:]
        chunk = file.read(length)
        file.read(4)
        data += chunk if name == b"IDAT" else b""
    raw, stride, before, found = zlib.decompress(data), width * kind, bytearray(width * kind), set()
    for row in range(height):
        start = row * (stride + 1)
        line = bytearray(raw[start + 1 : start + 1 + stride])
        for k in range(stride):
            a, b, c = (
                line[k - kind] if k >= kind else 0,
                before[k],
                before[k - kind] if k >= kind else 0,
            )
            p = a + b - c
            nearest = min((abs(p - a), 0, a), (abs(p - b), 1, b), (abs(p - c), 2, c))[2]
            line[k] = (line[k] + [0, a, b, (a + b) // 2, nearest][raw[start]]) % 256
        found |= {tuple(line[k : k + 3]) for k in range(0, stride, kind)}
        before = line
    return found


def test_nothing_is_asked_of_the_network_and_nothing_is_wrong(open_file):
    opened = open_file(samples.toy())
    opened.page.mouse.wheel(0, 20_000)
    opened.settle()
    assert opened.said == []
    assert [url for url in opened.asked if not url.startswith(("file:", "data:"))] == []
    assert opened.page.title() == "toy-1 – hig"
    opened.shot("report")


def test_curves_are_drawn(open_file):
    opened = open_file(samples.toy())
    for title in ["Test loss", "Training loss"]:
        curves = opened.curves(title)
        assert list(curves) == KEYS
        assert all(len(points(outline)) > 50 for outline in curves.values())
    drawn = colours(opened.chart("Test loss").screenshot())
    assert {(0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00), (0x00, 0x9E, 0x73)} <= drawn


def test_outlines_are_the_data(open_file):
    """A curve is where the ticks say that its values are."""
    data = samples.data(
        samples.run("line", [samples.method("hig", [10.0**-k for k in range(7)], 1.0)])
    )
    opened = open_file(data)
    found = points(opened.curves("Test loss")["runs/line/hig"])
    assert len(found) == 7
    gaps = [b[0] - a[0] for a, b in pairwise(found)]
    drops = [b[1] - a[1] for a, b in pairwise(found)]
    assert max(gaps) - min(gaps) <= 1 and max(drops) - min(drops) <= 0.5
    ticks = opened.chart("Test loss").evaluate(
        "svg => Object.fromEntries([...svg.querySelectorAll('text.tick[text-anchor=end]')].map(t => [t.textContent, t.y.baseVal[0].value - 4]))"
    )
    assert ticks["10⁻⁶"] == pytest.approx(found[6][1], abs=1)
    assert ticks["10⁰"] == pytest.approx(found[0][1], abs=1)


def test_a_spike_outlives_thinning(open_file):
    values = [1.0] * 20_000
    values[13_000] = 1e4
    opened = open_file(samples.data(samples.run("spike", [samples.method("hig", values, 1e-3)])))
    found = points(opened.curves("Test loss")["runs/spike/hig"])
    assert len(found) < 6000
    heights = sorted(y for _, y in found)
    assert heights[0] < heights[-1] - 200


def test_gaps_and_the_end_of_a_diverged_method(open_file):
    values = [1.0, 0.5, None, 0.4, 0.3, 2.0, None, None]
    opened = open_file(samples.data(samples.run("gap", [samples.method("gn", values, 1.0)])))
    outline = opened.curves("Test loss")["runs/gap/gn"]
    assert outline.count("M") == 2
    title = opened.chart("Test loss").locator(".cross title").text_content()
    assert title == "gn: no finite loss after update 1"


def test_the_change_of_a_phase_is_marked(open_file):
    opened = open_file(samples.toy())
    assert opened.chart("Test loss").locator(".phase-label").all_text_contents() == ["hig"]


@pytest.mark.nightly
def test_a_press_on_a_name_hides_its_curves_everywhere(open_file):
    opened = open_file(samples.toy())
    chip = opened.page.locator(".chip", has_text="adaptive-hig")
    chip.click()
    opened.settle()
    for title in ["Test loss", "Training loss", "Rank kept"]:
        assert "runs/toy-1/adaptive-hig" not in opened.curves(title)
    assert chip.get_attribute("aria-pressed") == "false"
    opened.page.keyboard.press("a")
    opened.settle()
    assert "runs/toy-1/adaptive-hig" in opened.curves("Test loss")
    opened.page.keyboard.press("2")
    opened.settle()
    assert list(opened.curves("Test loss")) == [KEYS[0], *KEYS[2:]]


@pytest.mark.nightly
def test_a_double_press_leaves_one_alone(open_file):
    opened = open_file(samples.toy())
    chip = opened.page.locator(".chip").nth(2)
    chip.dblclick()
    opened.settle()
    assert list(opened.curves("Test loss")) == [KEYS[2]]
    chip.dblclick()
    opened.settle()
    assert len(opened.curves("Test loss")) == 5


@pytest.mark.nightly
def test_drag_zooms_all_charts_over_the_training_and_double_click_resets(open_file):
    opened = open_file(samples.toy())
    before, small = opened.curves("Test loss"), opened.ticks("Saturation")
    opened.page.locator("#loss").scroll_into_view_if_needed()
    box = opened.chart("Test loss").bounding_box()
    opened.page.mouse.move(box["x"] + 150, box["y"] + 150)
    opened.page.mouse.down()
    opened.page.mouse.move(box["x"] + 250, box["y"] + 155, steps=4)
    opened.page.mouse.up()
    opened.settle()
    assert opened.curves("Test loss") != before
    assert opened.ticks("Saturation") != small
    opened.chart("Test loss").dblclick(position={"x": 200, "y": 100})
    opened.settle()
    assert opened.curves("Test loss") == before
    assert opened.ticks("Saturation") == small


@pytest.mark.nightly
def test_logarithm_and_axes(open_file):
    opened = open_file(samples.toy())
    assert "10⁻⁴" in opened.ticks("Test loss")
    opened.page.get_by_label("log y").uncheck()
    opened.settle()
    assert not any("10" in tick and "⁻" in tick for tick in opened.ticks("Test loss"))
    opened.page.locator("#loss .segmented button", has_text="Updates").click()
    opened.settle()
    ticks = opened.ticks("Test loss")
    assert opened.page.get_by_label("log x").is_checked()
    assert ticks[0] == "0" and {"1", "10", "100"} <= set(ticks)
    opened.page.get_by_role("button", name="Epochs", exact=True).click()
    opened.settle()
    assert "150" in opened.ticks("Test loss")


@pytest.mark.nightly
def test_hover_tells_the_values_of_the_data(open_file):
    data = samples.toy()
    opened = open_file(data)
    opened.page.get_by_role("button", name="Epochs", exact=True).click()
    opened.settle()
    chart = opened.chart("Test loss")
    chart.scroll_into_view_if_needed()
    box = chart.bounding_box()
    opened.page.mouse.move(box["x"] + 0.4 * box["width"], box["y"] + 90)
    opened.settle()
    tip = opened.page.locator("#tip")
    epoch = float(tip.locator(".tip-head").text_content().split(": ")[1])
    rows = {
        cells[1]: cells[2]
        for cells in (row.locator("td").all_text_contents() for row in tip.locator("tr").all())
    }
    assert len(rows) >= 4
    for method in data["runs"][0]["methods"]:
        if method["name"] not in rows:
            continue
        table = method["metrics"]
        distance = [abs(e - epoch) for e in table["epoch"]]
        value = table["test_loss"][distance.index(min(distance))]
        assert (
            rows[method["name"]] == "not finite"
            if value is None
            else float(rows[method["name"]]) == pytest.approx(value, rel=1e-3)
        )
    values = [float(v) for v in rows.values() if v != "not finite"]
    assert values == sorted(values, reverse=True)
    assert opened.chart("Training loss").locator(".hair").count() == 1


@pytest.mark.nightly
def test_a_tap_reads_values(open_file):
    opened = open_file(samples.toy(), has_touch=True, viewport={"width": 400, "height": 800})
    opened.chart("Test loss").tap(position={"x": 150, "y": 100})
    opened.settle()
    assert opened.page.locator("#tip tr").count() == 5


@pytest.mark.nightly
def test_keys_read_and_zoom_a_chart(open_file):
    opened = open_file(samples.toy())
    chart = opened.chart("Test loss")
    chart.focus()
    opened.page.keyboard.press("ArrowRight")
    assert re.match(
        r"seconds of training [\d.]+: .*adaptive-hig [\d.e-]+",
        opened.page.locator("#spoken").text_content(),
    )
    before = opened.ticks("Test loss")
    opened.page.keyboard.press("+")
    opened.settle()
    assert opened.ticks("Test loss") != before
    opened.page.keyboard.press("0")
    opened.settle()
    assert opened.ticks("Test loss") == before
    assert "adam ends at" in chart.get_attribute("aria-label")


@pytest.mark.nightly
def test_smoothing_keeps_the_raw_curve_behind(open_file):
    opened = open_file(samples.toy())
    before = opened.curves("Test loss")[KEYS[0]]
    opened.page.get_by_label("Smoothing").first.fill("0.9")
    opened.settle()
    after = opened.curves("Test loss")[KEYS[0]]

    def rough(outline):
        heights = [y for _, y in points(outline)]
        return sum(abs(a - 2 * b + c) for a, b, c in zip(heights, heights[1:], heights[2:]))

    assert rough(after) < 0.3 * rough(before)
    assert opened.chart("Test loss").locator("path.raw").count() == 5


@pytest.mark.nightly
def test_the_table_sorts_and_bad_numbers_come_last(open_file):
    opened = open_file(samples.toy())

    def names():
        return opened.page.locator("table.results tbody th").all_text_contents()

    assert names() == ["adam", "gn", "hig", "adaptive-hig", "adam:60+hig"]
    head = opened.page.locator("th[data-column=test_loss] button")
    head.click()
    opened.settle()
    assert names() == ["adaptive-hig", "hig", "adam:60+hig", "adam", "gn"]
    head.click()
    opened.settle()
    assert names() == ["adam", "adam:60+hig", "hig", "adaptive-hig", "gn"]
    assert (
        opened.page.locator("th[data-column=test_loss]").get_attribute("aria-sort") == "descending"
    )


@pytest.mark.nightly
def test_warnings_are_gathered_with_their_advice(open_file):
    opened = open_file(samples.toy())
    items = opened.page.locator("#warnings li")
    assert items.count() == 3
    first = items.first.text_content()
    assert (
        "3 times, updates 12 to 77" in first
        and "keeps 5 of 512" in first
        and "larger batch" in first
    )


@pytest.mark.nightly
def test_the_spectrum_goes_through_time_and_squares(open_file):
    opened = open_file(samples.toy())
    title = "Singular values of the last batch"
    end = opened.curves(title)
    assert list(end) == [KEYS[1], KEYS[2], KEYS[3]]
    assert opened.chart(title).locator(".drop").count() == 3
    slider = opened.page.get_by_label("Update", exact=True).first
    slider.fill("0")
    opened.settle()
    start = opened.curves(title)
    assert start != end
    ticks = opened.ticks(title)
    opened.page.get_by_role("button", name="σ² of J = λ of K").click()
    opened.settle()
    assert opened.ticks(title) != ticks


@pytest.mark.nightly
def test_timing_is_a_bar_a_method_of_the_right_shares(open_file):
    opened = open_file(samples.toy())
    widths = (
        opened.page.locator(".timing-row")
        .nth(2)
        .locator(".bar span")
        .evaluate_all("all => all.map(s => s.getBoundingClientRect().width)")
    )
    assert widths[2] / sum(widths) == pytest.approx(0.05 / 0.126, abs=0.02)
    opened.page.get_by_text("As a table").click()
    row = opened.page.locator(".timing table tbody tr").nth(2).locator("td").all_text_contents()
    assert float(row[2]) == pytest.approx(1e3 * 0.05 / 300, rel=0.01)


@pytest.mark.nightly
def test_pictures_and_the_way_of_y(open_file):
    opened = open_file(samples.toy())
    images = opened.page.locator("#pictures image")
    assert images.count() == 6
    assert (
        opened.page.locator("#pictures .field svg")
        .first.get_attribute("aria-label")
        .startswith("adam: prediction, from")
    )
    assert len(opened.curves("The way of y")) == 5
    assert "target" in opened.chart("The way of y").text_content()
    assert opened.page.locator("#pictures .lines").count() == 3


@pytest.mark.nightly
def test_settings_side_by_side(open_file):
    opened = open_file(samples.compared())

    def rows():
        return opened.page.locator("table.settings tbody tr")

    assert rows().count() == len(samples.settings())
    opened.page.get_by_label("differences only").check()
    opened.settle()
    assert rows().locator("th").all_text_contents() == ["run.seed", "method.hig.cutoff"]
    assert rows().nth(1).locator("td").all_text_contents() == ["0.001", "1e-5", "1e-7"]
    opened.page.get_by_label("Find a setting").fill("cutoff")
    opened.settle()
    assert rows().count() == 1
    opened.shot("compared")


@pytest.mark.nightly
def test_runs_and_methods_differ_in_colour_or_dashes(open_file):
    opened = open_file(samples.compared())

    def styles():
        look = "all => all.map(p => p.getAttribute('stroke') + p.getAttribute('stroke-dasharray'))"
        return opened.chart("Test loss").locator("path.curve").evaluate_all(look)

    by_method = styles()
    assert len(set(by_method)) == 6
    opened.page.get_by_role("button", name="by run").click()
    opened.settle()
    assert styles() != by_method


def of_system(system, name, methods):
    """A run of a system, whose methods have the given styles."""
    made = [
        samples.method(
            method,
            samples.curve(80, 0.5, 1e-2, k),
            1e-4,
            style=style,
            steps=samples.told(80, rank=lambda s: 3 + s),
            spectrum=samples.spectrum(80, 30, 0.6),
        )
        for k, (method, style) in enumerate(methods)
    ]
    run = samples.run(name, made)
    run["about"] = {**run["about"], "system": system}
    return run


def looks_of(opened, title):
    """Colour and dashes of the curves of a chart, by the end of their keys, which is the method."""
    curves = (
        opened.chart(title)
        .locator("path.curve:not(.ghost)")
        .evaluate_all(
            "all => all.map(p => [p.dataset.key, p.getAttribute('stroke'), p.getAttribute('stroke-dasharray')])"
        )
    )
    return {key.split("/")[-1]: look for key, *look in curves}


def test_a_chart_is_of_one_system(open_file):
    both = [("adam", 0), ("hig", 1)]
    runs = [of_system("toy", "a", both), of_system("poisson", "b", both[1:])]
    opened = open_file(samples.data(*runs))
    assert opened.said == []
    for title in ["Test loss", "Training loss", "Rank kept", "Singular values of the last batch"]:
        assert set(looks_of(opened, f"{title}: toy")) == {"adam", "hig"}, title
        assert set(looks_of(opened, f"{title}: poisson")) == {"hig"}, title
        assert opened.page.get_by_role("heading", name=title, exact=True).count() == 0
    # Nothing is shared, so that dashes need not tell runs apart.
    assert (
        looks_of(opened, "Test loss: toy")["hig"] == looks_of(opened, "Test loss: poisson")["hig"]
    )
    assert opened.page.get_by_role("button", name="by run").count() == 0
    opened.shot("systems")


def test_a_method_has_one_look_in_any_company(open_file):
    alone = open_file(samples.data(of_system("toy", "a", [("lm", 4)])))
    own = looks_of(alone, "Test loss")["lm"]
    symbol = "() => document.querySelector('.chip .swatch path:nth-of-type(2)').getAttribute('d')"
    drawn = alone.page.evaluate(symbol)
    company = open_file(samples.data(of_system("toy", "a", [("hig", 1), ("adam", 0), ("lm", 4)])))
    looks = looks_of(company, "Test loss")
    assert looks["lm"] == own
    assert len({tuple(look) for look in looks.values()}) == 3
    last = symbol.replace(".chip .swatch", ".chip:last-child .swatch")
    assert company.page.evaluate(last) == drawn


@pytest.mark.nightly
def test_whatever_is_missing_is_nothing_yet(open_file):
    for data in [samples.broken(), samples.data(), {}, [], "text", 3, {"runs": 7, "live": True}]:
        opened = open_file(data)
        assert opened.said == []
    opened = open_file(samples.broken())
    assert "Nothing yet." in opened.page.locator("#spectrum").text_content()
    assert opened.page.locator("table.results tbody tr").count() == 6


@pytest.mark.nightly
def test_text_of_a_run_is_never_markup(open_file):
    evil = "<img src=x onerror=alert(1)></script><script>alert(2)</script>"
    data = samples.data(samples.run(evil, [samples.method(evil, [1.0, 0.5], 1.0)], config=evil))
    opened = open_file(data)
    assert opened.said == []
    assert opened.page.locator("img").count() == 0
    assert opened.page.locator("#title").text_content() == evil


@pytest.mark.nightly
def test_a_quantity_may_have_any_name(open_file):
    names = ["constructor", "rows", "hasOwnProperty"]
    table = {name: {"update": [0, 1, 2], "value": [1.0, 2.0, 3.0]} for name in names}
    losses = [1.0, 0.5, 0.25]
    odd = samples.method("odd", losses, 1.0, steps=table, timing={"toString": table["rows"]})
    plain = samples.method("plain", losses, 1.0, steps=samples.told(3, rank=lambda k: k))
    opened = open_file(samples.data(samples.run("names", [odd, plain])))
    assert opened.said == []
    told = opened.page.locator("#diagnostics").text_content()
    assert all(name.lower() in told.lower() for name in [*names, "rank"])


@pytest.mark.nightly
@pytest.mark.parametrize("width", [360, 768, 1024, 1920])
@pytest.mark.parametrize("sample", [samples.toy, samples.compared], ids=["toy", "compared"])
def test_no_width_makes_the_page_scroll_sideways(open_file, width, sample):
    opened = open_file(sample(), viewport={"width": width, "height": 740})
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= width
    if sample is samples.toy:
        opened.shot(f"width-{width}")


@pytest.mark.nightly
def test_dark(open_file):
    opened = open_file(samples.toy(), color_scheme="dark")
    assert (
        opened.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(18, 20, 23)"
    )
    opened.shot("dark")
    opened.page.emulate_media(color_scheme="light")
    assert (
        opened.page.evaluate("getComputedStyle(document.body).backgroundColor")
        == "rgb(247, 246, 243)"
    )


@pytest.mark.nightly
def test_paper_has_all_panels_and_no_controls(open_file):
    opened = open_file(samples.toy(), color_scheme="dark")
    opened.page.emulate_media(media="print")
    opened.settle()
    assert (
        opened.page.evaluate("getComputedStyle(document.body).backgroundColor")
        == "rgb(255, 255, 255)"
    )
    for control in [".tools", "#keys-button", "nav", ".copy"]:
        assert not opened.page.locator(control).first.is_visible()
    sections = opened.page.locator("main > section")
    assert sections.count() == 9 and all(s.is_visible() for s in sections.all())
    assert len(opened.curves("Saturation")) == 5
    assert opened.chart("Test loss").get_attribute("viewBox").startswith("0 0 690 ")
    paper = opened.page.pdf(format="A4", prefer_css_page_size=True)
    assert 3 <= len(re.findall(rb"/Type\s*/Page\b", paper)) <= 14


@pytest.mark.nightly
def test_contrast_of_text(open_file):
    """Text of every kind against what is behind it, as WCAG 2 measures it: 4.5 at least."""
    for scheme in ["light", "dark"]:
        opened = open_file(samples.toy(), color_scheme=scheme)
        ratios = opened.page.evaluate("""() => {
          const channel = v => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
          const light = c => c.slice(0, 3).reduce((sum, v, k) => sum + [0.2126, 0.7152, 0.0722][k] * channel(v), 0);
          const rgb = s => (s.match(/[\\d.]+/g) ?? []).map(Number);
          const behind = e => { for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor); if (c.length === 3 || c[3] > 0.9) return c; } return [255, 255, 255]; };
          return [...document.querySelectorAll("p, dt, dd, h1, h2, h3, td, th, .pill, .tag, .note, nav a, .chip .last, .hint, summary")].filter(e => e.checkVisibility() && e.textContent.trim()).map(e => {
            const [a, b] = [light(rgb(getComputedStyle(e).color)), light(behind(e))];
            return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), e.className || e.tagName, e.textContent.slice(0, 30)];
          });
        }""")
        assert len(ratios) > 100
        assert [r for r in ratios if r[0] < 4.5] == []


@pytest.mark.nightly
def test_reduced_motion(open_file):
    data = samples.toy()
    data["runs"][0]["methods"][0]["state"] = "running"
    opened = open_file(data, reduced_motion="reduce")
    moving = "[...document.querySelectorAll('*')].filter(e => ['', '::before'].some(p => getComputedStyle(e, p || null).animationName !== 'none')).length"
    assert opened.page.evaluate(moving) == 0


@pytest.mark.nightly
def test_controls_have_names(open_file):
    opened = open_file(samples.toy())
    unnamed = opened.page.evaluate("""() => [...document.querySelectorAll("button, input, a, [role=region], [role=img], [role=group]")]
      .filter(e => !(e.textContent.trim() || e.getAttribute("aria-label") || e.labels?.length)).map(e => e.outerHTML.slice(0, 80))""")
    assert unnamed == []


@pytest.mark.nightly
def test_the_keys_are_told(open_file):
    opened = open_file(samples.toy())
    opened.page.keyboard.press("?")
    assert opened.page.locator("#keys").is_visible()
    opened.page.keyboard.press("Escape")
    opened.page.keyboard.press("/")
    assert opened.page.evaluate("document.activeElement.id") == "search"
