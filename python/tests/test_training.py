"""Training systems of the library from Python."""

from __future__ import annotations

import _thread
import io
import json
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import hig

SYSTEM = hig.systems.LinearOscillators(samples=256, test_samples=64)
METHOD = hig.methods.HalfInverse(cutoff=1e-10)


def train(**settings):
    return hig.train(SYSTEM, METHOD, **{"updates": 12, "batch": 32, **settings})


def test_a_training_comes_down():
    result = train(epochs=3, updates=None)
    history = result.history
    assert result.updates == 24 and result.epochs == pytest.approx(3.0)
    assert history.test_loss[-1] == result.test_loss < 1e-2 * history.test_loss[0]
    assert history.update[0] == 0 and history.update[-1] == 24
    assert len(history) == len(history.train_loss) == len(history.diagnostics["rank"])
    assert np.isnan(history.diagnostics["rank"][0]) and history.diagnostics["rank"][-1] > 100
    assert result.stop == "budget used"
    assert result.problem.loss(result.weights) == pytest.approx(
        (result.train_loss, result.test_loss)
    )


def test_the_losses_are_those_of_the_predictions():
    result = train()
    test = result.problem.test
    y = result.simulate(test.input)
    assert np.mean(np.sum((y - test.target) ** 2, axis=1)) == pytest.approx(
        result.test_loss, rel=1e-12
    )
    layers = [result.weights[: 4 * 20].reshape(20, 4), result.weights[80:100]]
    assert list(result.problem.shapes.values())[:2] == [layer.shape for layer in layers]
    assert result.predict(test.input).shape == (64, 24)


def test_a_seed_gives_the_same_bits():
    first, again, other = train(seed=3), train(seed=3), train(seed=4)
    assert np.array_equal(first.weights, again.weights)
    assert not np.array_equal(first.weights, other.weights)


def test_all_methods_train():
    for made in hig.methods.ALL.values():
        result = hig.train(SYSTEM, made(), updates=2, batch=16)
        assert result.updates == 2 and np.isfinite(result.weights).all(), made


def test_a_name_takes_what_the_source_recommends():
    named = hig.train(SYSTEM, "hig", updates=5)
    given = hig.train(SYSTEM, SYSTEM.method("hig"), training=SYSTEM.training("hig"), updates=5)
    assert np.array_equal(named.weights, given.weights)
    assert named.training.batch == 32 and named.method.cutoff == 1e-10


def test_own_data_and_weights():
    problem = SYSTEM.problem(0)
    states = np.random.default_rng(0).uniform(size=(50, 4))
    data = hig.Dataset(states, states)
    weights = problem.initial_weights(7)
    result = train(data=data, test_data=data, weights=weights, updates=1, batch=50)
    assert np.array_equal(result.problem.train.input, states)
    assert result.history.train_loss[0] == pytest.approx(result.history.test_loss[0])
    assert result.history.train_loss[0] == pytest.approx(
        SYSTEM.problem(0, train=data).loss(weights)[0], rel=1e-12
    )
    kept = train(weights=weights, updates=0)
    assert np.array_equal(kept.weights, weights)


def test_callbacks_are_told_and_may_stop():
    told = []

    def stop_at_5(evaluation):
        told.append(evaluation)
        if evaluation.update == 5:
            raise StopIteration

    result = train(callbacks=stop_at_5)
    assert [e.update for e in told] == [0, 1, 2, 3, 4, 5] and result.updates == 5
    assert np.array_equal(told[-1].weights, result.weights)
    assert told[-1].test_loss == result.test_loss and told[3].diagnostics["rank"] > 100
    spectrum = told[3].spectrum
    assert np.all(np.diff(spectrum) <= 0) and spectrum[-1] >= 0
    assert np.sum(spectrum > 0) >= told[3].diagnostics["rank"] and len(told[0].spectrum) == 0
    assert result.stop == "interrupted"


def test_callbacks_run_on_the_callers_thread_and_may_ask_the_problem():
    problem, seen = SYSTEM.problem(0), []

    def look(evaluation):
        seen.append(
            (threading.get_ident(), problem.loss(evaluation.weights)[1] - evaluation.test_loss)
        )

    hig.train(problem, METHOD, updates=2, callbacks=[look])
    assert {thread for thread, _ in seen} == {threading.get_ident()}
    assert max(abs(difference) for _, difference in seen) < 1e-15


def test_a_failing_callback_ends_the_training_and_keeps_the_weights():
    def fail(evaluation):
        if evaluation.update == 3:
            raise RuntimeError("disk full")

    with pytest.raises(
        hig.TrainingStopped, match="RuntimeError after update 3: disk full"
    ) as stopped:
        train(callbacks=fail)
    assert isinstance(stopped.value.__cause__, RuntimeError)
    assert stopped.value.result.updates == 3
    assert np.array_equal(stopped.value.result.weights, train(updates=3).weights)


def test_a_diverging_training_is_told_and_keeps_the_weights():
    method = hig.methods.Sgd(learning_rate=1e200)
    with pytest.raises(hig.TrainingStopped, match=r"finite|loss is") as stopped:
        hig.train(SYSTEM, method, updates=50, batch=32)
    assert np.isfinite(stopped.value.result.weights).all()
    assert stopped.value.__cause__ is None


def test_ctrl_c_ends_a_training_within_a_second_and_keeps_the_weights():
    pressed = []

    def press():
        pressed.append(time.perf_counter())
        _thread.interrupt_main()

    threading.Timer(0.5, press).start()
    with pytest.raises(KeyboardInterrupt) as stopped:
        train(seconds=60.0, updates=None)
    assert time.perf_counter() - pressed[0] < 1.0
    result = stopped.value.result
    assert isinstance(stopped.value, hig.TrainingInterrupted)
    assert result.updates > 3 and np.isfinite(result.weights).all()
    assert np.array_equal(result.weights, train(updates=result.updates).weights)


def test_ctrl_c_does_not_wait_for_a_long_update():
    system = hig.systems.LinearOscillators(samples=1024, test_samples=8)
    first = hig.train(system, METHOD, updates=0)
    threading.Timer(0.4, _thread.interrupt_main).start()
    started = time.perf_counter()
    with pytest.raises(hig.TrainingInterrupted) as stopped:
        hig.train(system, hig.methods.HalfInverse(route="svd"), updates=50, batch=1024)
    assert time.perf_counter() - started < 1.4
    assert np.array_equal(stopped.value.result.weights, first.weights)


def test_a_setting_that_given_samples_change_is_told():
    system = hig.systems.Poisson(grid=3, modes=2, hidden=(4,), samples=32, test_samples=4)
    own = system.problem(1).train
    with pytest.warns(UserWarning, match="order = shuffled instead of fresh"):
        result = hig.train(system, "hig", data=own, updates=2, progress=False)
    assert result.training.order == "shuffled"


@pytest.mark.parametrize(
    ("settings", "exception", "message"),
    [
        ({"batch": 0}, ValueError, "batch = 0 is not possible"),
        ({"batch": 257}, ValueError, "batch = 257 .* at most the number of training samples, 256"),
        ({"epochs": -1.0}, ValueError, "epochs = -1 is not possible"),
        ({"weights": np.zeros(3)}, ValueError, "parameters has shape length 3, expected length"),
        ({"weights": np.full(1444, np.nan)}, ValueError, "parameters is NaN at row 0"),
        ({"weights": np.zeros(1444, int)}, TypeError, "weights has dtype int64"),
        (
            {"data": hig.Dataset(np.ones((5, 3)), np.ones((5, 4)))},
            ValueError,
            "training input has shape 5 x 3",
        ),
        (
            {"data": hig.Dataset(np.full((5, 4), np.inf), np.ones((5, 4)))},
            ValueError,
            "training input is inf",
        ),
        ({"memory_limit": 1e-6}, MemoryError, "more than memory_limit"),
    ],
)
def test_what_is_not_possible_is_said_before_any_work(settings, exception, message):
    with pytest.raises(exception, match=message):
        train(**settings)


@pytest.mark.parametrize(
    ("make", "exception", "message"),
    [
        (
            lambda: hig.Dataset(np.ones(3), np.ones(3)),
            ValueError,
            r"input has shape \(3,\), expected \(samples, width\)",
        ),
        (
            lambda: hig.Dataset(np.ones((0, 3)), np.ones((0, 3))),
            ValueError,
            r"input has shape \(0, 3\): it is empty",
        ),
        (
            lambda: hig.Dataset(np.ones((2, 3)) * 1j, np.ones((2, 3))),
            TypeError,
            "input has dtype complex128",
        ),
        (lambda: hig.train("toy", METHOD, updates=1), TypeError, "problem is a str"),
        (lambda: hig.train(SYSTEM, None, updates=1), TypeError, "method is a NoneType"),
        (
            lambda: train().predict(np.ones((2, 3))),
            ValueError,
            r"input has shape \(2, 3\), expected \(samples, 4\)",
        ),
        (lambda: hig.networks.mlp([3]), ValueError, r"widths = \[3\] is not possible"),
        (lambda: hig.networks.mlp([3, 2], "tanhh"), ValueError, "unknown activation `tanhh`"),
        (lambda: hig.networks.unet((1, 3, 8), [4, 4]), ValueError, "layer"),
    ],
)
def test_other_hostile_input(make, exception, message):
    with pytest.raises(exception, match=message):
        make()


def test_a_result_is_saved_and_its_weights_read_again(tmp_path):
    result = train()
    folder = result.save(tmp_path / "run")
    assert np.array_equal(
        result.problem.load_weights(folder / "weights.safetensors"), result.weights
    )
    columns = np.loadtxt(folder / "metrics.csv", delimiter=",", skiprows=1)
    assert np.array_equal(columns[:, 4], result.history.test_loss)
    settings = json.loads((folder / "settings.json").read_text())
    assert settings["method"]["name"] == "hig" and settings["training"]["batch"] == 32
    with pytest.raises(OSError, match="nothing-here"):
        result.problem.load_weights(tmp_path / "nothing-here")


def test_a_saved_result_replaces_no_other_training_unless_asked(tmp_path):
    first, other = train(), train(seed=7)
    folder = first.save(tmp_path / "run")
    # The same training once more takes nothing away.
    assert train().save(tmp_path / "run") == folder
    foreign = {"notes.txt": "mine", "pictures.json": "[]", "checkpoint.safetensors": "x"}
    before = (folder / "weights.safetensors").read_bytes()
    with pytest.raises(FileExistsError, match=r"another training .*overwrite=True"):
        other.save(tmp_path / "run")
    assert (folder / "weights.safetensors").read_bytes() == before
    for name, text in foreign.items():
        (folder / name).write_text(text)
    with pytest.raises(FileExistsError, match=r"pictures\.json, checkpoint\.safetensors"):
        first.save(tmp_path / "run")
    assert other.save(tmp_path / "run", overwrite=True) == folder
    weights = other.problem.load_weights(folder / "weights.safetensors")
    assert np.array_equal(weights, other.weights)
    assert (folder / "notes.txt").read_text() == "mine"
    assert not (folder / "pictures.json").exists()
    assert not (folder / "checkpoint.safetensors").exists()
    # A file that only has one of the names is not known to be of the same training.
    alone = tmp_path / "other" / "hig"
    alone.mkdir(parents=True)
    (alone / "settings.json").write_text("[]")
    with pytest.raises(FileExistsError, match=r"settings\.json"):
        first.save(tmp_path / "other")


def test_a_result_shows_itself():
    result = train()
    shown = result._repr_html_()
    assert f"{result.test_loss:.4e}" in shown and "<svg" in shown and "budget used" in shown
    assert "after 12 updates" in repr(result)
    pyplot = pytest.importorskip("matplotlib.pyplot")
    pyplot.switch_backend("agg")
    axes = result.plot(against="update")
    assert np.array_equal(axes.lines[0].get_ydata(), result.history.test_loss)
    assert axes.get_yscale() == "log"
    pyplot.close("all")


def test_the_bar_counts_the_budget(monkeypatch):
    shown = io.StringIO()
    monkeypatch.setattr(sys, "stderr", shown)
    train(progress=True)
    assert "hig: 100%" in shown.getvalue() and "12/12" in shown.getvalue()
    shown.truncate(0)
    train(progress=True, epochs=0.5, updates=None)
    assert "0.5/0.5 epoch" in shown.getvalue()
    shown.truncate(0)
    shown.seek(0)
    train()
    assert shown.getvalue() == "", "a pipe wants no bar"


def test_ctrl_c_ends_a_program():
    program = (
        "import hig, threading, _thread; threading.Timer(1.0, _thread.interrupt_main).start();"
        "hig.train(hig.systems.LinearOscillators(), 'hig', seconds=60.0)"
    )
    started = time.perf_counter()
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30
    )
    assert ended.returncode != 0 and "TrainingInterrupted: after update" in ended.stderr
    assert time.perf_counter() - started < 20


def test_a_training_goes_on_from_its_checkpoint(tmp_path):
    whole = train(updates=20)
    path = tmp_path / "kept.safetensors"

    def stop(evaluation):
        if evaluation.update >= 7:
            raise StopIteration

    first = train(updates=20, checkpoint=path, callbacks=stop)
    assert first.updates < 20 and path.exists()
    second = train(updates=20, checkpoint=path, checkpoint_every=0)
    assert np.array_equal(second.weights, whole.weights)
    assert (second.train_loss, second.test_loss) == (whole.train_loss, whole.test_loss)
    assert second.history.update[0] > 6
    again = train(updates=20, checkpoint=path)
    assert np.array_equal(again.weights, whole.weights) and again.test_loss == whole.test_loss

    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(damaged)
    assert np.array_equal(train(updates=20, checkpoint=path).weights, whole.weights)

    for other in ({"seed": 1}, {"batch": 16}):
        with pytest.raises(ValueError, match="belongs to another training"):
            train(updates=20, checkpoint=path, **other)
    with pytest.raises(ValueError, match="checkpoint_every"):
        train(updates=20, checkpoint=tmp_path / "new.safetensors", checkpoint_every=-1.0)
    assert not (tmp_path / "new.safetensors").exists()
