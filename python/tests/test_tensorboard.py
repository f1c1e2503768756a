"""TensorBoard reads what `hig run --tensorboard` writes. Needs the program: `cargo build --release`."""

import csv
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

PROGRAM = Path(__file__).parents[2] / "target" / "release" / "hig"
pytestmark = pytest.mark.skipif(not PROGRAM.exists(), reason="target/release/hig is not built")

accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")


def hig(*arguments):
    subprocess.run([PROGRAM, *arguments], check=True, capture_output=True)


def read(folder):
    sizes = {accumulators.SCALARS: 0, accumulators.HISTOGRAMS: 0}
    return accumulators.EventAccumulator(str(folder), sizes).Reload()


def table(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def scalars(events, tag):
    """The steps and values of a tag."""
    told = events.Scalars(tag)
    return [event.step for event in told], [event.value for event in told]


def assert_losses_are_those_of_the_table(events, folder):
    metrics = table(folder / "metrics.csv")
    for name in ("train", "test"):
        steps, values = scalars(events, f"loss/{name}")
        assert steps == [int(row["update"]) for row in metrics]
        # TensorBoard keeps scalars in single precision.
        expected = [np.float32(float(row[f"{name}_loss"])) for row in metrics]
        assert np.array_equal(np.float32(values), expected)


def test_everything_is_there_with_the_values_of_the_tables(tmp_path):
    out = tmp_path / "run"
    small = ["--set", "samples=256", "--set", "test_samples=32"]
    options = [*small, "--updates", "30", "--tensorboard", "--quiet", "--out", out]
    began = time.time()
    hig("run", "linear-oscillators", "--method", "hig", "--method", "adam", *options)
    for method in ("hig", "adam"):
        events = read(out / method)
        assert_losses_are_those_of_the_table(events, out / method)
        assert began - 1 <= events.Scalars("loss/train")[0].wall_time <= time.time() + 1

    events = read(out / "hig")
    for row in table(out / "hig" / "steps.csv"):
        steps, values = scalars(events, f"step/{row['quantity']}")
        assert values[steps.index(int(row["update"]))] == np.float32(float(row["value"]))
    for row in table(out / "hig" / "diagnostics.csv"):
        for name in ("activation_mean", "activation_deviation"):
            steps, values = scalars(events, f"diagnostics/{name}")
            assert values[steps.index(int(row["update"]))] == np.float32(float(row[name]))
    for part in ("forward", "gram", "decompose", "direction", "step", "evaluate", "record"):
        assert np.all(np.diff(scalars(events, f"seconds/{part}")[1]) >= 0)

    # n = 32 samples of 4 outputs; the extremes are those of the table.
    rows = [row for row in table(out / "hig" / "spectrum.csv") if row["update"] == "30"]
    histogram = events.Histograms("spectrum/log10_singular_value")[-1]
    assert histogram.step == 30
    told = histogram.histogram_value
    assert told.num == 128 == sum(told.bucket)
    assert told.max == pytest.approx(np.log10(float(rows[0]["singular_value"])))
    assert told.min == pytest.approx(np.log10(float(rows[-1]["singular_value"])))
    assert "spectrum/log10_singular_value" not in read(out / "adam").Tags()["histograms"]


def test_a_run_that_goes_on_adds_a_file_and_no_step_twice(tmp_path):
    out = tmp_path / "run"
    hig(
        "run", "toy", "--method", "hig", "--updates", "20", "--tensorboard", "--quiet", "--out", out
    )
    hig("resume", out, "--updates", "50", "--quiet")
    assert len(list((out / "hig").glob("events.out.tfevents.*"))) == 2
    events = read(out / "hig")
    assert_losses_are_those_of_the_table(events, out / "hig")
    assert scalars(events, "loss/train")[0][-1] == 50


def test_it_grows_while_the_training_runs(tmp_path):
    out = tmp_path / "run"
    options = ["--seconds", "60", "--tensorboard", "--quiet", "--out", out]
    training = subprocess.Popen(
        [PROGRAM, "run", "toy", "--method", "adam", *options],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        seen = []
        until = time.monotonic() + 30
        while len(seen) < 3 and time.monotonic() < until:
            time.sleep(0.2)
            files = list((out / "adam").glob("events.out.tfevents.*"))
            steps = scalars(read(out / "adam"), "loss/train")[0] if files else []
            if steps and steps[-1:] != seen[-1:]:
                seen.append(steps[-1])
        assert training.poll() is None
        assert len(seen) == 3 and seen == sorted(seen)
    finally:
        training.terminate()
        training.wait(timeout=30)
