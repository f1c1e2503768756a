"""The pages that the real program makes, of runs that it really made."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
from pathlib import Path

import pytest
from browser import page as pages
from browser import run_folder as folders
from browser.conftest import Opened

PROGRAM = Path(os.environ.get("HIG_PROGRAM", pages.ROOT / "target/release/hig"))


def hig(*arguments: object) -> subprocess.CompletedProcess:
    command = [str(PROGRAM), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


@pytest.fixture(scope="session")
def program() -> Path:
    if not PROGRAM.exists():
        pytest.skip(f"{PROGRAM} is not built (cargo build --release)")
    if not all(f"  {command} " in hig("--help").stdout for command in ["report", "watch"]):
        pytest.skip(f"{PROGRAM} has no report and watch")
    return PROGRAM


@pytest.fixture(scope="session")
def run_folder(program, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "toy-1"
    done = hig(
        "run", "toy", "--method", "adam", "--method", "hig", "--updates", 40, "--out", folder
    )
    assert done.returncode == 0, done.stderr
    return folder


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_report(run_folder, open_file, tmp_path):
    file = tmp_path / "report.html"
    done = hig("report", run_folder, "--out", file)
    assert done.returncode == 0, done.stderr
    opened = open_file(file=file)
    assert opened.said == []
    assert [url for url in opened.asked if not url.startswith(("file:", "data:"))] == []
    assert len(opened.curves("Test loss")) == 2
    for name in ["adam", "hig"]:
        row = opened.page.locator("table.results tbody tr", has_text=name)
        told = rows(run_folder / name)
        best = min(told, key=lambda row: float(row["train_loss"]))
        for place, of in ((5, best), (6, told[-1])):
            loss = float(row.locator("td").nth(place).get_attribute("title"))
            assert loss == pytest.approx(float(of["test_loss"]), rel=1e-12)
    settings = opened.page.locator("table.settings").text_content()
    assert "learning_rate" in settings and "cutoff" in settings
    assert 'system = "toy"' in opened.page.locator("pre").text_content()
    opened.shot("real-report")


def test_the_data_are_those_of_the_folder(run_folder, tmp_path):
    """The report's data beside a second reader of the same files."""
    file = tmp_path / "report.html"
    assert hig("report", run_folder, "--out", file).returncode == 0
    embedded = re.search(
        r'<script type="application/json" id="data">(.*?)</script>', file.read_text(), re.S
    )
    (told,) = json.loads(embedded[1])["runs"]
    (read,) = folders.data(run_folder)["runs"]
    assert told["config"] == read["config"]
    by_name = {method["name"]: method for method in read["methods"]}
    assert by_name.keys() == {method["name"] for method in told["methods"]} == {"adam", "hig"}
    for method in told["methods"]:
        other = by_name[method["name"]]
        for part in ["metrics", "diagnostics", "steps", "timing"]:
            assert method[part] == other[part], part
        assert method["pictures"] == other["pictures"]


def test_report_of_two_runs(run_folder, open_file, tmp_path):
    other = tmp_path / "toy-2"
    done = hig(
        "run", "toy", "--method", "hig", "--set", "cutoff=1e-3", "--updates", 40, "--out", other
    )
    assert done.returncode == 0, done.stderr
    file = tmp_path / "report.html"
    assert hig("report", run_folder, other, "--out", file).returncode == 0
    opened = open_file(file=file)
    opened.page.get_by_label("differences only").check()
    opened.settle()
    rows = opened.page.locator("table.settings tbody th").all_text_contents()
    assert "method.hig.cutoff" in rows and "system.lambda" not in rows
    assert opened.said == []


@pytest.fixture
def watched(program, chromium, tmp_path):
    """`hig watch` beside a run that lasts, and its page."""
    folder = tmp_path / "toy-1"
    output = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    watch = subprocess.Popen([PROGRAM, "watch", folder, "--port", "0"], **output)
    url = re.search(r"http://\S+", watch.stdout.readline())[0]
    arguments = ["run", "toy", "--method", "adam", "--seconds", "6", "--out", folder]
    run = subprocess.Popen(
        [PROGRAM, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    context = chromium.new_context(viewport={"width": 1360, "height": 900}, locale="en-GB")
    context.set_default_timeout(30_000)
    opened = Opened(context.new_page())
    opened.page.goto(url)
    yield watch, run, opened
    context.close()
    for process in [watch, run]:
        process.kill()
        process.wait()
    watch.stdout.close()


def test_watch_follows_a_run_to_its_end(watched):
    watch, run, opened = watched
    page = opened.page
    state = page.locator("table.results tbody .pill")
    page.locator("table.results .pill.running").wait_for()
    updates = page.locator("table.results tbody .number").first
    before = updates.text_content()
    page.wait_for_function(
        "before => document.querySelector('table.results tbody .number').textContent !== before",
        arg=before,
    )
    assert run.wait(timeout=60) == 0
    page.locator("table.results .pill.finished").wait_for()
    assert state.text_content() == "finished"
    assert opened.said == []
    assert all(url.startswith(page.url) or url.startswith("data:") for url in opened.asked)
    opened.settle()
    opened.shot("real-watch")
    watch.kill()
    page.locator("#notice").wait_for(state="visible")
    assert len(opened.curves("Test loss")) == 1
