"""What goes wrong in a training is told while it goes on."""

from __future__ import annotations

import pickle
import threading
import warnings

import numpy as np
import pytest

import hig

TOY = hig.systems.Toy()
EXPLODING = hig.methods.HalfInverse(cutoff=1e-12, learning_rate=30.0)


class Clipped:
    """Controls are clipped at a bound, all of them."""

    def simulate(self, state, control):
        return np.ones_like(control)

    def vjp(self, state, control, cotangent):
        return np.zeros_like(cotangent)


def clipped():
    input = np.random.default_rng(0).normal(size=(32, 2))
    return hig.Problem(
        hig.networks.mlp([2, 4, 2]), Clipped(), hig.Dataset(input, input, np.zeros((32, 0)))
    )


@pytest.mark.parametrize("method", sorted(hig.methods.ALL))
@pytest.mark.parametrize("updates", [3, 60])
def test_a_training_that_cannot_move_says_so(method, updates):
    with pytest.warns(hig.TrainingWarning, match="changed nothing"):
        result = hig.train(clipped(), method, updates=updates, batch=16)
    assert "no-change" in [warning.name for warning in result.warnings]


def test_a_warning_comes_once_on_the_calling_thread_while_the_training_goes_on():
    order, threads = [], []

    def show(message, category, filename, lineno, file=None, line=None):
        order.append(message.name)
        threads.append(threading.get_ident())
        assert category is hig.TrainingWarning and filename == __file__

    def listen(evaluation):
        order.append(evaluation.update)

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = show
        result = hig.train(TOY, EXPLODING, updates=30, callbacks=listen)
    assert set(threads) == {threading.get_ident()}
    told = [name for name in order if isinstance(name, str)]
    assert sorted(told) == ["explosion", "saturation"]
    assert order[-1] == 30 and isinstance(order[0], int)
    for warning in result.warnings:
        # It is given right after the evaluation that shows it.
        assert order[order.index(warning.name) - 1] in (warning.update, *told)
    assert [warning.name for warning in result.warnings] == told


def test_advice_is_written_as_python_is():
    with pytest.warns(hig.TrainingWarning):
        result = hig.train(TOY, EXPLODING, updates=30)
    explosion, saturation = sorted(result.warnings, key=lambda warning: warning.name)
    assert "a smaller learning_rate (now 30)" in explosion.advice
    assert 'such as "adaptive-hig" or "lm"' in explosion.advice
    assert 'weights=hig.train(problem, "adam", updates=500).weights' in saturation.advice
    assert "--" not in explosion.advice + saturation.advice
    again = pickle.loads(pickle.dumps(explosion))
    assert str(again) == str(explosion) and again.update == explosion.update


def test_a_warning_that_is_an_error_ends_the_training_and_loses_nothing(tmp_path):
    path = tmp_path / "kept.safetensors"
    settings = {"updates": 60, "batch": 16, "evaluate_every": 5}
    with warnings.catch_warnings():
        warnings.simplefilter("error", hig.TrainingWarning)
        with pytest.raises(hig.TrainingStopped) as stopped:
            hig.train(clipped(), "adam", checkpoint=path, **settings)
    cause, result = stopped.value.__cause__, stopped.value.result
    assert isinstance(cause, hig.TrainingWarning) and cause.name == "no-change"
    assert 20 <= result.updates < 60 and result.history.update[-1] == result.updates
    assert [warning.name for warning in result.warnings] == ["no-change"]
    with pytest.warns(hig.TrainingWarning):
        second = hig.train(clipped(), "adam", checkpoint=path, **settings)
    with pytest.warns(hig.TrainingWarning):
        whole = hig.train(clipped(), "adam", **settings)
    assert np.array_equal(second.weights, whole.weights) and second.updates == 60


def test_a_warning_at_the_end_is_an_error_as_well():
    with warnings.catch_warnings():
        warnings.simplefilter("error", hig.TrainingWarning)
        with pytest.raises(hig.TrainingStopped) as stopped:
            hig.train(clipped(), "adam", updates=3, batch=16)
    assert isinstance(stopped.value.__cause__, hig.TrainingWarning)
    assert stopped.value.result.updates == 3


def test_a_training_that_goes_well_warns_of_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = hig.train(TOY, "hig", updates=100)
    assert result.warnings == ()
