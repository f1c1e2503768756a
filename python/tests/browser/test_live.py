"""The page beside a run at work, with a small server in the place of `hig watch`."""

from __future__ import annotations

import copy
import json
import queue
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from browser import page as pages
from browser import samples
from browser.conftest import Opened


class Watch:
    """Serves the page, its data and what changes."""

    def __init__(self, data: dict, port: int = 0):
        self.data = data
        self.listeners: list[queue.Queue] = []
        self.ended = threading.Event()
        watch = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self, kind: str, body: bytes):
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_GET(self):
                if self.path == "/":
                    self.answer("text/html; charset=utf-8", pages.build(None).encode())
                elif self.path == "/data":
                    self.answer("application/json", json.dumps(watch.data).encode())
                elif self.path == "/events":
                    self.follow()
                else:
                    self.send_error(404)

            def follow(self):
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.end_headers()
                news: queue.Queue = queue.Queue()
                watch.listeners.append(news)
                try:
                    self.wfile.write(b": hello\n\n")
                    while not watch.ended.is_set():
                        try:
                            data = news.get(timeout=0.1)
                        except queue.Empty:
                            continue
                        self.wfile.write(f"event: data\ndata: {json.dumps(data)}\n\n".encode())
                        self.wfile.flush()
                except OSError:
                    pass
                self.close_connection = True

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(
            target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        )
        self.thread.start()

    def tell(self, data: dict):
        """Sends what has changed; the whole is there for who asks later."""
        for news in self.listeners:
            news.put(data)

    def close(self):
        self.ended.set()
        self.server.shutdown()
        self.server.server_close()


def working(updates: int) -> dict:
    """A run of three methods: one done, one at work, one that waits."""
    adam = samples.method("adam", samples.curve(300, 0.5, 0.06, 1), 1e-3)
    hig = samples.method(
        "hig", samples.curve(300, 0.5, 1e-4, 2), 2e-3, state="running", outcome=None
    )
    for table in ["metrics", "diagnostics"]:
        hig[table] = {name: column[: updates + 1] for name, column in hig[table].items()}
    later = {"name": "gn", "state": "waiting"}
    return samples.data(samples.run("live-1", [adam, hig, later]), live=True)


@pytest.fixture
def watch(chromium):
    made: list = []

    def start(data: dict, **options):
        server = Watch(data)
        context = chromium.new_context(
            **({"viewport": {"width": 1360, "height": 900}, "locale": "en-GB"} | options)
        )
        context.set_default_timeout(15_000)
        opened = Opened(context.new_page())
        made.extend([context, server])
        opened.page.goto(f"http://127.0.0.1:{server.port}/")
        opened.page.locator("table.results tbody th").first.wait_for()
        opened.settle()
        return server, opened

    yield start
    for thing in made:
        thing.close()


def drawn_to(opened: Opened, key: str) -> float:
    outline = opened.curves("Test loss")[key]
    return float(outline.replace("M", "L").split("L")[-1].split()[0])


def test_a_live_page_fills_and_follows(watch):
    server, opened = watch(working(60))
    assert opened.page.locator(".pulse").is_visible()
    assert (
        opened.page.locator("table.results tr[data-key='runs/live-1/hig'] .pill").text_content()
        == "running"
    )
    assert (
        opened.page.locator("table.results tr[data-key='runs/live-1/hig'] progress").get_attribute(
            "value"
        )
        == "0.200"
    )
    before = drawn_to(opened, "runs/live-1/hig")
    # Only what has changed is sent: the other methods must stay.
    change = working(200)
    change["runs"][0]["methods"] = [change["runs"][0]["methods"][1]]
    server.tell(change)
    opened.page.wait_for_function(
        "() => document.querySelector(`tr[data-key='runs/live-1/hig'] .number`).textContent === '200'"
    )
    opened.settle()
    assert drawn_to(opened, "runs/live-1/hig") > before
    assert list(opened.curves("Test loss")) == ["runs/live-1/adam", "runs/live-1/hig"]
    assert opened.page.locator("table.results tbody tr").count() == 3
    assert opened.said == []
    assert all(
        url.startswith((f"http://127.0.0.1:{server.port}/", "data:")) for url in opened.asked
    )


@pytest.mark.nightly
def test_what_the_reader_chose_outlives_updates(watch):
    server, opened = watch(working(60))
    page = opened.page
    page.locator(".chip", has_text="adam").click()
    page.get_by_label("Smoothing").first.fill("0.5")
    page.locator("th[data-column=updates] button").click()
    page.get_by_label("Find a setting").fill("cutoff")
    page.get_by_text("config.toml").click()
    page.locator("#loss").scroll_into_view_if_needed()
    opened.settle()
    box = opened.chart("Test loss").bounding_box()
    page.mouse.move(box["x"] + 120, box["y"] + 100)
    page.mouse.down()
    page.mouse.move(box["x"] + 220, box["y"] + 104, steps=3)
    page.mouse.up()
    page.mouse.move(5, 5)
    opened.settle()
    ticks = opened.chart("Test loss").locator("text.tick[text-anchor=middle]").all_text_contents()
    page.evaluate("window.scrollTo({top: 700, behavior: 'instant'})")
    for updates in [120, 180, 240]:
        server.tell(working(updates))
        page.wait_for_function(
            f"() => document.querySelector(`tr[data-key='runs/live-1/hig'] .number`).textContent === '{updates}'"
        )
    opened.settle()
    assert page.evaluate("Math.round(window.scrollY)") == 700
    assert (
        opened.chart("Test loss").locator("text.tick[text-anchor=middle]").all_text_contents()
        == ticks
    )
    assert list(opened.curves("Test loss")) == ["runs/live-1/hig"]
    assert page.get_by_label("Smoothing").first.input_value() == "0.5"
    assert page.locator("th[data-column=updates]").get_attribute("aria-sort") == "ascending"
    assert page.get_by_label("Find a setting").input_value() == "cutoff"
    assert page.locator("#configuration details").get_attribute("open") is not None


@pytest.mark.nightly
def test_a_lost_connection_is_told_and_found_again(watch):
    server, opened = watch(working(60))
    notice = opened.page.locator("#notice")
    assert not notice.is_visible()
    server.close()
    notice.wait_for(state="visible")
    assert "Connection lost" in notice.text_content()
    assert len(opened.curves("Test loss")) == 2
    again = Watch(working(240), server.port)
    try:
        notice.wait_for(state="hidden", timeout=15_000)
        opened.page.wait_for_function(
            "() => document.querySelector(`tr[data-key='runs/live-1/hig'] .number`).textContent === '240'"
        )
    finally:
        again.close()


@pytest.mark.nightly
def test_a_run_that_has_not_begun(watch, chromium):
    server = Watch(samples.data(live=True))
    context = chromium.new_context()
    try:
        opened = Opened(context.new_page())
        opened.page.goto(f"http://127.0.0.1:{server.port}/")
        opened.page.get_by_text("this page fills when a run writes").wait_for()
        server.tell(working(3))
        opened.page.locator("table.results tbody th").first.wait_for()
        assert opened.said == []
    finally:
        context.close()
        server.close()


@pytest.mark.nightly
def test_twenty_long_curves_twice_a_second(watch):
    """All updates arrive and the last one is on the page; nothing piles up."""
    data = samples.large()
    server, opened = watch(data)
    assert len(opened.curves("Test loss")) == 20
    for k in range(3):
        data = copy.deepcopy(data)
        for method in data["runs"][0]["methods"]:
            table = method["metrics"]
            table["update"].append(table["update"][-1] + 1)
            table["seconds"].append(table["seconds"][-1] + 1e-3)
            table["epoch"].append(table["epoch"][-1] + 0.5)
            table["train_loss"].append(1e-3)
            table["test_loss"].append(10.0 ** -(k + 1))
        server.tell(data)
        opened.page.wait_for_timeout(500)
    opened.page.wait_for_function(
        "() => document.querySelector('.chip .last').textContent === '0.001'"
    )
    opened.settle()
    assert opened.said == []
