"""A checkpoint belongs to one training, and one training at a time writes it."""

from __future__ import annotations

import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from test_failures import FailAt, Throw, throws

import hig

NETWORK = hig.networks.mlp([3, 8, 2])


class Strong(Throw):
    """As high, half as far again."""

    def simulate(self, state, control):
        return super().simulate(state, control) * [1.5, 1.0]


def moved(data, input=0.0, target=0.0):
    """The samples with one number changed a little."""
    changed = np.array(data.input), np.array(data.target)
    changed[0][7, 1] += input
    changed[1][7, 1] += target
    return hig.Dataset(*changed, np.array(data.state))


def problem(network=NETWORK, simulator=None, train=None, test=None, loss=None):
    data = throws(32) if train is None else train
    return hig.Problem(network, simulator or Throw(), data, test, loss=loss)


def train(path, made=None, method="hig", **settings):
    settings = {"updates": 20, "batch": 16, **settings}
    return hig.train(made or problem(), method, checkpoint=path, **settings)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "kept.safetensors"
    train(path)
    return path


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (
            lambda: problem(loss=hig.losses.SquaredError(weights=[1.0, 100.0])),
            r"loss is sum there and sum with weights \[1.0, 100.0\] here",
        ),
        (
            lambda: problem(loss=hig.losses.SquaredError(factor=0.5)),
            "loss is sum there and half here",
        ),
        (
            lambda: problem(hig.networks.mlp([3, 8, 2], "sine")),
            "activation is tanh there and sine here",
        ),
        (lambda: problem(hig.networks.mlp([3, 9, 2])), r"network is mlp of widths \[3, 8, 2\]"),
        (lambda: problem(simulator=Strong()), "the simulator answers otherwise"),
        (lambda: problem(train=moved(throws(32), input=1e-3)), r"training samples \(input\)"),
        (lambda: problem(train=moved(throws(32), target=1e-3)), r"training samples \(target\)"),
        (lambda: problem(test=moved(throws(32), input=1e-3)), r"test samples \(input\)"),
        (lambda: problem(train=throws(33)), "number of training samples is 32 there and 33 here"),
        (lambda: hig.systems.Toy(samples=32, test_samples=8), "system is not told there"),
    ],
)
def test_a_checkpoint_of_another_problem_is_refused_by_name(path, made, told):
    kept = path.read_bytes()
    with pytest.raises(ValueError, match=f"belongs to another training: .*{told}.*restart=True"):
        train(path, made())
    assert path.read_bytes() == kept


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"weights": np.full(50, 0.1)}, "parameters at the start are others"),
        ({"seed": 1}, "seed is 0 there and 1 here"),
        ({"batch": 8}, "batch is 16 there and 8 here"),
        ({"schedule": "cosine"}, "schedule is constant there and cosine here"),
        ({"method": "adam"}, "method is hig there and adam here"),
        ({"method": hig.methods.HalfInverse(cutoff=1e-3)}, "cutoff is 1e-6 there and 0.001 here"),
    ],
)
def test_a_checkpoint_of_another_way_to_train_is_refused_by_name(path, changed, told):
    with pytest.raises(ValueError, match=f"belongs to another training: .*{told}"):
        train(path, **changed)


def test_what_leaves_the_numbers_alone_may_change(path):
    whole = train(path.with_name("whole.safetensors"), updates=30)
    again = train(path, updates=30, evaluate_every=7, memory_limit=3.0, checkpoint_every=1.0)
    assert np.array_equal(again.weights, whole.weights)
    last = train(path, updates=30, returned="last")
    assert last.updates == 30 and last.test_loss == whole.last.test_loss


def test_a_system_is_told_by_its_settings(tmp_path):
    path = tmp_path / "toy.safetensors"
    train(path, hig.systems.Toy(samples=32, test_samples=8))
    with pytest.raises(ValueError, match=r"system\.lambda is 1 there and 0.01 here"):
        train(path, hig.systems.Toy(samples=32, test_samples=8, lambda_=0.01))


def test_a_schedule_that_goes_on_under_another_budget_is_told(tmp_path):
    path = tmp_path / "kept.safetensors"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for updates in (20, 20):
            train(path, schedule="cosine", updates=updates)
        with pytest.raises(UserWarning, match="schedule = cosine"):
            train(path, schedule="cosine", updates=40)
    told = (
        "was 20 updates and is 40 updates: after update 20 .* from 0.010 to 0.505 of its full size"
    )
    with pytest.warns(UserWarning, match=told) as warned:
        result = train(path, schedule="cosine", updates=40)
    assert result.updates == 40
    assert [Path(warning.filename).name for warning in warned] == [Path(__file__).name]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train(path, schedule="cosine", updates=40)


def test_a_training_begins_anew_where_it_should(path):
    other = problem(loss=hig.losses.SquaredError(weights=[1.0, 2.0]))
    expected = train(None, other)
    kept = path.read_bytes()
    result = train(path, other, restart=True)
    assert np.array_equal(result.weights, expected.weights)
    assert path.with_name("kept.replaced.safetensors").read_bytes() == kept
    assert np.array_equal(train(path, other).weights, expected.weights)
    with pytest.raises(ValueError, match="belongs to another training"):
        train(path)
    with pytest.raises(ValueError, match="restart = 'no' is not possible"):
        train(path, restart="no")


def test_a_simulator_that_fails_at_once_ends_the_training_as_ever(tmp_path):
    error = ZeroDivisionError("the solver broke down")
    made = hig.Problem(NETWORK, Throw(FailAt(1, error)), throws(32))
    with pytest.raises(hig.TrainingStopped, match="after update 0") as stopped:
        train(tmp_path / "x.safetensors", made)
    assert stopped.value.__cause__ is error
    assert np.array_equal(stopped.value.result.weights, made.initial_weights(0))


def test_a_checkpoint_is_tried_before_samples_are_drawn(tmp_path, monkeypatch):
    drawn = []
    system = hig.systems.Toy
    monkeypatch.setattr(system, "problem", lambda *_, **__: drawn.append(1))
    with pytest.raises(OSError, match="a checkpoint cannot be written"):
        hig.train(system(), "hig", updates=1, checkpoint=tmp_path / "nowhere" / "x")
    with pytest.raises(TypeError):
        hig.train(system(), "hig", updates=1, checkpoint=5)
    assert not drawn


def test_two_trainings_at_once_do_not_share_a_checkpoint(path):
    refused = []

    def second(evaluation):
        with pytest.raises(OSError, match=r"another training \(process \d+\) keeps") as error:
            train(path)
        refused.append(error)

    whole = train(None, updates=40)
    assert np.array_equal(train(path, updates=40, callbacks=second).weights, whole.weights)
    assert refused
    assert {p.name for p in path.parent.iterdir()} <= {
        "kept.safetensors",
        "kept.previous.safetensors",
        "kept.lock",
    }


OTHER = """
import sys
from test_checkpoints import train
print("goes", flush=True)
train(sys.argv[1], updates=None, seconds=600, checkpoint_every=0, evaluate_every=100)
"""


def test_a_killed_process_does_not_keep_others_from_its_checkpoint(tmp_path):
    path = tmp_path / "kept.safetensors"
    here = str(Path(__file__).parent)
    other = subprocess.Popen(
        [sys.executable, "-c", OTHER, str(path)], cwd=here, stdout=subprocess.PIPE, text=True
    )
    try:
        until = time.monotonic() + 60
        while not path.exists() and time.monotonic() < until:
            assert other.poll() is None
            time.sleep(0.01)
        with pytest.raises(OSError, match=rf"another training \(process {other.pid}\)"):
            train(path, updates=100_000)
        assert other.poll() is None, "the first was disturbed"
    finally:
        other.kill()
        other.wait()
    assert train(path, updates=1).updates >= 1
