"""The program that comes with the package."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
import urllib.request

import numpy as np
import pytest

import hig

MODULE = [sys.executable, "-m", "hig"]


def program(*arguments, command=MODULE, **how):
    return subprocess.run([*command, *arguments], capture_output=True, text=True, **how)


def test_it_is_on_the_path():
    script = shutil.which("hig", path=sysconfig.get_path("scripts"))
    assert script, "pip has not made the script"
    for command in (MODULE, [script]):
        told = program("--version", command=command)
        assert (told.returncode, told.stdout) == (0, f"hig {hig.__version__}\n")
    assert "Usage: hig" in program("--help").stdout
    assert "hig" in program("completions", "bash").stdout


def test_it_trains_and_compares_as_the_library_does(tmp_path):
    run = tmp_path / "run"
    settings = ["--set", "samples=64", "--set", "batch=32"]
    trained = program(
        "run", "linear-oscillators", "--method", "hig", *settings, "--updates", "4", "--out", run
    )
    assert trained.returncode == 0, trained.stderr
    assert 'command = "hig run linear-oscillators --method' in (run / "run.toml").read_text()
    system = hig.systems.LinearOscillators(samples=64)
    result = hig.train(system, "hig", updates=4, batch=32)
    rows = (run / "hig" / "metrics.csv").read_text().split()[1:]
    assert [float(row.split(",")[3]) for row in rows] == list(result.history.train_loss)
    compared = program("compare", run)
    assert compared.returncode == 0 and "finished" in compared.stdout


def test_bad_input_and_objects_for_machines(tmp_path):
    refused = program("run", "nothing")
    assert refused.returncode == 2 and "unknown system `nothing`" in refused.stderr
    misspelt = program("run", "toy", "--cutoff", "1e-3")
    assert misspelt.returncode == 2 and "--set cutoff=1e-3" in misspelt.stderr
    told = program(
        "run", "toy", "--method", "hig", "--updates", "2", "--json", "--out", tmp_path / "r"
    )
    assert told.returncode == 0
    assert [json.loads(line) for line in told.stdout.splitlines()]


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_an_interrupt_keeps_what_is_computed_and_resume_goes_on(tmp_path):
    run = tmp_path / "run"
    command = [*MODULE, "run", "toy", "--method", "hig", "--updates", "9999999", "--out", str(run)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    metrics = run / "hig" / "metrics.csv"
    while process.poll() is None and not (metrics.exists() and metrics.read_text().count("\n") > 3):
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors and "interrupted" in errors
    assert 'ended = "interrupted"' in (run / "hig" / "outcome.toml").read_text()
    reached = int(metrics.read_text().splitlines()[-1].split(",")[0])
    again = program("resume", run, "--updates", str(reached + 50))
    assert again.returncode == 0, again.stderr
    assert int(metrics.read_text().splitlines()[-1].split(",")[0]) == reached + 50


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A run of two methods, one of which diverges."""
    run = tmp_path_factory.mktemp("saved") / "run"
    system = hig.systems.LinearOscillators(samples=64, test_samples=32)
    results = [hig.train(system, "hig", updates=6, batch=32)]
    with pytest.raises(hig.TrainingStopped) as stopped, pytest.warns(hig.TrainingWarning):
        hig.train(system, hig.methods.Sgd(learning_rate=1e300), updates=6, batch=32)
    results.append(stopped.value.result)
    for result in results:
        result.save(run)
    return run, results


def test_a_saved_result_is_a_run_that_has_ended(saved):
    run, (hig_result, _) = saved
    compared = program("compare", run)
    assert compared.returncode == 0, compared.stderr
    rows = {line.split()[1]: line for line in compared.stdout.splitlines() if "run" in line}
    assert "finished" in rows["hig"] and "diverged" in rows["sgd"], compared.stdout
    assert f"{hig_result.test_loss:.2e}".replace("e-0", "e-") in rows["hig"]
    assert "warn" not in compared.stderr


def test_a_saved_result_is_exported_with_what_its_steps_told(saved):
    run, (result, _) = saved
    exported = program("export", run, "--out", "-")
    assert exported.returncode == 0, exported.stderr
    rows = [line.split(",") for line in exported.stdout.splitlines()]
    losses = [float(row[6]) for row in rows if row[1] == "hig" and row[5] == "train_loss"]
    assert losses == pytest.approx(list(result.history.train_loss), rel=1e-12)
    quantities = {row[5] for row in rows}
    assert set(result.history.diagnostics) <= quantities


def test_a_saved_result_is_reported(saved, tmp_path):
    run, (_, diverged) = saved
    page = tmp_path / "page.html"
    reported = program("report", run, "--out", page)
    assert reported.returncode == 0, reported.stderr
    text = page.read_text()
    assert "linear-oscillators" in text and "explosion" in text
    assert diverged.warnings[0].name == "explosion"


def test_a_saved_result_is_watched(saved):
    run, _ = saved
    process = subprocess.Popen(
        [*MODULE, "watch", str(run), "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        told = next(line for line in (process.stdout, process.stderr)[0] if "http://" in line)
        address = re.search(r"http://\S+", told)[0]
        with urllib.request.urlopen(address, timeout=20) as page:
            assert page.status == 200
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)


def test_a_saved_result_goes_into_a_run_of_the_program(tmp_path):
    run = tmp_path / "run"
    made = program("run", "toy", "--method", "adam", "--updates", "3", "--quiet", "--out", run)
    assert made.returncode == 0, made.stderr
    hig.train(hig.systems.Toy(), "hig", updates=3).save(run)
    compared = program("compare", run)
    assert compared.returncode == 0 and compared.stdout.count("finished") == 2, compared.stdout


def test_a_model_of_ones_own_is_a_run_too(tmp_path):
    class Line:
        def residual(self, theta, batch):
            return theta[0] * batch - 1.0

        def jacobian(self, theta, batch):
            return batch[:, None, None]

    objective = hig.Objective(Line(), [0.0], np.ones(8))
    hig.train(objective, "lm", updates=3, batch=8, seed=2**64 - 1).save(tmp_path / "run")
    compared = program("compare", tmp_path / "run")
    assert compared.returncode == 0 and "finished" in compared.stdout, compared.stderr
    assert "Line" in program("report", tmp_path / "run", "--out", "-").stdout
