"""Which weights a training returns: the best that it saw, or the last."""

from __future__ import annotations

import numpy as np
import pytest

import hig

SYSTEM = hig.systems.LinearOscillators(samples=64, test_samples=32)
# So long that it leaves its best behind.
METHOD = hig.methods.HalfInverse(cutoff=1e-10, learning_rate=12.0)


def train(**settings):
    seen = []
    settings = {"updates": 12, "batch": 16, "evaluate_every": 1, **settings}
    result = hig.train(SYSTEM, METHOD, callbacks=seen.append, **settings)
    return result, seen


@pytest.mark.parametrize("validation", [0, 10, 0.25])
@pytest.mark.parametrize("returned", ["best", "last"])
def test_the_best_or_the_last_weights_come_back_with_the_losses_of_both(returned, validation):
    result, seen = train(returned=returned, validation=validation)
    judged = [e.validation_loss if validation else e.train_loss for e in seen]
    best, last = seen[int(np.argmin(judged))], seen[-1]
    assert best.update < last.update == result.updates == 12
    for losses, evaluation in ((result.best, best), (result.last, last)):
        assert losses.update == evaluation.update
        assert losses.train_loss == evaluation.train_loss
        assert losses.test_loss == evaluation.test_loss
        assert np.isnan(losses.validation_loss) == (validation == 0)
    assert np.array_equal(result.last_weights, last.weights)
    wanted = best if returned == "best" else last
    assert np.array_equal(result.weights, wanted.weights) and result.update == wanted.update
    assert (result.train_loss, result.test_loss) == (wanted.train_loss, wanted.test_loss)
    assert [e.best for e in seen] == [
        loss < min([np.inf, *judged[:k]]) for k, loss in enumerate(judged)
    ]
    assert np.isnan(result.history.validation_loss).all() == (validation == 0)
    assert ("12 updates" if wanted is last else f"{best.update} of 12 updates") in repr(result)


def test_the_best_comes_back_by_default():
    assert hig.Training().returned == "best" and hig.Training().validation == 0
    result, seen = train()
    assert result.train_loss == min(e.train_loss for e in seen) < result.last.train_loss


def test_a_training_that_is_ended_early_gives_its_best_as_well():
    def stop(evaluation):
        if evaluation.update == 9:
            raise ArithmeticError("enough")

    with pytest.raises(hig.TrainingStopped) as stopped:
        hig.train(SYSTEM, METHOD, updates=12, batch=16, evaluate_every=1, callbacks=stop)
    result = stopped.value.result
    assert result.best.update == result.update < result.updates == 9
    assert result.problem.loss(result.weights)[0] == pytest.approx(result.train_loss)


def test_a_training_that_goes_on_returns_the_same(tmp_path):
    path = tmp_path / "kept.safetensors"
    whole, _ = train(validation=8)
    train(validation=8, updates=9, checkpoint=path)
    second, _ = train(validation=8, checkpoint=path)
    assert np.array_equal(whole.weights, second.weights)
    assert (whole.best, whole.last) == (second.best, second.last)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"validation": 64}, "fewer than the 64 training samples"),
        ({"validation": 1.5}, "a whole number"),
        ({"validation": -1}, "at least 0"),
        ({"validation": 0.9}, "held out"),
        ({"returned": "bset"}, "did you mean `best`|best or last|best, last|best"),
    ],
)
def test_what_is_not_possible_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        train(**settings)
