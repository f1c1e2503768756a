"""The program that comes with the package."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import time

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
