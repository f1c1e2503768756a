"""Whatever ends or disturbs a training from Python loses nothing and is told."""

from __future__ import annotations

import asyncio
import concurrent.futures
import copy
import multiprocessing
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import hig

HERE = Path(__file__).parent


class Throw:
    """Where a ball lands and how high it flies; ``before`` is called before every simulation."""

    def __init__(self, before=None):
        self.before = before

    def simulate(self, state, control):
        if self.before is not None:
            self.before()
        flight = 2.0 * control[:, 1] / 9.81
        landing = (control[:, 0] + state[:, 0]) * flight
        return np.stack([landing, control[:, 1] ** 2 / 19.62], axis=1)

    def jacobian(self, state, control):
        j = np.zeros((len(control), 2, 2))
        j[:, 0, 0] = 2.0 * control[:, 1] / 9.81
        j[:, 0, 1] = 2.0 * (control[:, 0] + state[:, 0]) / 9.81
        j[:, 1, 1] = control[:, 1] / 9.81
        return j


def throws(samples=64):
    random = np.random.default_rng(0)
    wind = random.uniform(-1, 1, size=(samples, 1))
    goal = np.stack([random.uniform(1, 5, samples), random.uniform(0.5, 2, samples)], axis=1)
    return hig.Dataset(np.hstack([wind, goal]), goal, wind)


def problem(before=None, samples=64):
    return hig.Problem(hig.networks.mlp([3, 8, 2]), Throw(before), throws(samples))


class FailAt:
    """Raises at one of its calls."""

    def __init__(self, call, error):
        self.left, self.error = call, error

    def __call__(self):
        self.left -= 1
        if self.left == 0:
            raise self.error


@pytest.mark.parametrize("method", ["hig", "adam", "adaptive-hig", "gn-line-search", "lbfgs"])
@pytest.mark.parametrize("call", [60, 61, 62, 63, 64])
def test_a_training_goes_on_from_before_the_exception_of_a_simulator(tmp_path, method, call):
    settings = {"updates": 40, "batch": 16, "evaluate_every": 3, "checkpoint_every": 1e9}
    path = tmp_path / "kept.safetensors"
    error = ZeroDivisionError("the solver broke down")
    whole = hig.train(problem(), method, **settings)
    with pytest.raises(hig.TrainingStopped) as stopped:
        hig.train(problem(FailAt(call, error)), method, checkpoint=path, **settings)
    assert stopped.value.__cause__ is error
    done = stopped.value.result.updates
    assert 0 < done < 40
    told = []
    second = hig.train(problem(), method, checkpoint=path, callbacks=told.append, **settings)
    assert np.array_equal(second.weights, whole.weights)
    assert second.test_loss == whole.test_loss
    # From the last update on, and with every evaluation since.
    assert done - 3 < told[0].update <= done + 3
    since = whole.history.update >= told[0].update
    assert np.array_equal(second.history.test_loss, whole.history.test_loss[since])


NESTED = """
import sys, threading
import numpy as np
import hig
from test_failures import problem, throws

def step():
    inner = hig.spectral_step(np.random.default_rng(0).normal(size=(300, 400)), np.ones(300))
    assert np.isfinite(inner).all()

def nested():
    hig.train(problem(samples=16), "hig", updates=1, batch=8)
    step()

def elsewhere():
    thread = threading.Thread(target=nested)
    thread.start()
    thread.join()

def train(before):
    return hig.train(problem(before, samples=16), "hig", updates=2, batch=8)

what = sys.argv[1]
if what == "threads":
    threads = [threading.Thread(target=train, args=(nested,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
else:
    train({"step": step, "nested": nested, "elsewhere": elsewhere}[what])
problem(step, samples=16).loss(problem().initial_weights())
print("done")
"""


@pytest.mark.parametrize("threads", ["1", "2"])
@pytest.mark.parametrize("what", ["step", "nested", "elsewhere", "threads"])
def test_a_simulator_may_call_hig(what, threads):
    environment = {**os.environ, "RAYON_NUM_THREADS": threads, "PYTHONPATH": str(HERE)}
    program = [sys.executable, "-c", NESTED, what]
    ended = subprocess.run(
        program, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.stdout == "done\n", ended.stderr


FORKED = """
import os, sys, time
import numpy as np
import hig
from test_failures import problem

CALLS = {
    "step": lambda: hig.spectral_step(np.eye(4), np.ones(4)),
    "gram": lambda: hig.gram_step(np.eye(4), np.ones(4)),
    "inverse": lambda: hig.half_inverse(np.eye(4)),
    "system": lambda: hig.systems.Toy(samples=16, test_samples=4).problem(0),
    "own": lambda: hig.train(problem(), "hig", updates=2, batch=8),
}
call, computed = CALLS[sys.argv[1]], sys.argv[2] == "computed"
if computed:
    call()
child = os.fork()
if child == 0:
    try:
        call()
    except RuntimeError as error:
        os._exit(7 if "forked" in str(error) and "spawn" in str(error) else 8)
    os._exit(0)
until = time.monotonic() + 20
while time.monotonic() < until:
    done, status = os.waitpid(child, os.WNOHANG)
    if done:
        print(os.waitstatus_to_exitcode(status))
        break
    time.sleep(0.02)
else:
    os.kill(child, 9)
    print("never returned")
call()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("call", ["step", "gram", "inverse", "system", "own"])
@pytest.mark.parametrize(("computed", "ending"), [("computed", "7"), ("fresh", "0")])
def test_a_forked_child_is_told_at_once(call, computed, ending):
    program = [sys.executable, "-W", "ignore", "-c", FORKED, call, computed]
    environment = {**os.environ, "PYTHONPATH": str(HERE)}
    ended = subprocess.run(
        program, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.stdout == f"{ending}\n" and ended.returncode == 0, ended.stderr


HUGE = """
import hig
from test_failures import Throw, throws

def own():
    network = hig.networks.mlp([3, 10**6, 10**6, 2])
    return hig.train(hig.Problem(network, Throw(), throws()), "hig", updates=1, batch=8)

small = {"samples": 8, "test_samples": 8}
for make in [
    lambda: hig.train(hig.systems.Toy(**small, hidden=[10**6, 10**6]), "hig", updates=1, batch=8),
    lambda: hig.systems.Toy(**small, hidden=[10**6, 10**6]).problem(),
    lambda: hig.train(hig.systems.Toy(samples=10**15), "hig", updates=1),
    lambda: hig.systems.Toy(test_samples=10**15).problem(0),
    lambda: hig.train(hig.systems.Toy(), "hig", updates=1, memory_limit=1e-9),
    own,
    lambda: hig.networks.mlp([10**10, 10**10]),
]:
    try:
        make()
    except Exception as error:
        print(type(error).__name__, error)
"""


def test_sizes_that_no_memory_holds_are_refused_by_name():
    environment = {**os.environ, "PYTHONPATH": str(HERE)}
    ended = subprocess.run(
        [sys.executable, "-c", HUGE],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    limit = "MemoryError toy needs more than memory_limit: "
    expected = [f"{limit}hidden = 1000000,1000000 is"] * 2
    expected += [
        f"{limit}samples = 1000000000000000 is",
        f"{limit}test_samples = 1000000000000000 is",
    ]
    expected += [limit, "MemoryError the parameters of the network", "ValueError network = "]
    told = ended.stdout.splitlines()
    assert len(told) == len(expected), ended.stdout
    for line, start in zip(told, expected):
        assert line.startswith(start), ended.stdout


NETWORKS = [
    hig.networks.mlp([3, 8, 2], "sine", "he"),
    hig.networks.resnet((1, 4, 4), [2, 3], 2, "periodic", "gelu", "lecun"),
    hig.networks.unet((1, 4, 4), [2, 3]),
]


def pickled(value):
    return pickle.loads(pickle.dumps(value))


COPIES = pytest.mark.parametrize("copied", [pickled, copy.copy, copy.deepcopy])


@COPIES
@pytest.mark.parametrize("network", NETWORKS)
def test_networks_are_copied_and_compared(copied, network):
    assert copied(network) == network and hash(copied(network)) == hash(network)
    assert copied(network).parameter_count == network.parameter_count
    assert [copied(network) == other for other in NETWORKS].count(True) == 1


@COPIES
def test_values_are_copied_and_compared(copied):
    for value in [throws(), hig.methods.HalfInverse(cutoff=1e-3), hig.Training(batch=7)]:
        assert copied(value) == value and hash(copied(value)) == hash(value)
    assert copied(hig.systems.Toy(samples=9)) == hig.systems.Toy(samples=9)
    assert throws(8) != throws(9) and throws(8) != 1


@COPIES
@pytest.mark.parametrize(
    "made",
    [
        lambda: hig.Problem(
            NETWORKS[0], Throw(), throws(), throws(9), hig.losses.SquaredError(0.5, [1.0, 100.0])
        ),
        lambda: hig.systems.Toy(samples=32, test_samples=8).problem(3),
        lambda: hig.systems.LinearOscillators(samples=16).problem(test=ones()),
    ],
)
def test_problems_and_results_are_copied(copied, made):
    problem = made()
    weights = problem.initial_weights(1)
    assert copied(problem).loss(weights) == problem.loss(weights)
    assert copied(problem).train == problem.train and copied(problem).test == problem.test
    result = hig.train(problem, "hig", updates=3, batch=8)
    other = copied(result)
    assert np.array_equal(other.weights, result.weights)
    assert np.array_equal(other.history.test_loss, result.history.test_loss)
    assert other.method == result.method and repr(other) == repr(result)
    assert other.problem.loss(other.weights) == pytest.approx((result.train_loss, result.test_loss))


def ones():
    return hig.Dataset(np.ones((5, 4)), np.ones((5, 4)))


@COPIES
def test_exceptions_keep_their_result(copied):
    result = hig.train(problem(), "hig", updates=1, batch=8)
    for error in [hig.TrainingStopped("loss is nan", result), hig.TrainingInterrupted(result)]:
        other = copied(error)
        assert type(other) is type(error) and str(other) == str(error)
        assert np.array_equal(other.result.weights, result.weights)


def trained_elsewhere(learning_rate):
    method = hig.methods.Sgd(learning_rate=learning_rate)
    return hig.train(hig.systems.Toy(samples=32, test_samples=8), method, updates=20, batch=8)


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_results_and_errors_cross_processes(method):
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip("there is none")
    context = multiprocessing.get_context(method)
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
        assert pool.submit(trained_elsewhere, 1e-3).result(60).updates == 20
        with pytest.raises(hig.TrainingStopped, match=r"finite|loss is") as stopped:
            pool.submit(trained_elsewhere, 1e250).result(60)
    assert np.isfinite(stopped.value.result.weights).all()


@pytest.mark.parametrize(
    "error",
    [SystemExit(3), asyncio.CancelledError(), GeneratorExit(), KeyboardInterrupt()],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("where", ["simulator", "callback"])
def test_what_ends_programs_and_tasks_passes_as_it_is(where, error):
    fail = FailAt(5, error)
    with pytest.raises(type(error)) as raised:
        if where == "simulator":
            hig.train(problem(fail), "hig", updates=9, batch=8)
        else:
            hig.train(problem(), "hig", updates=9, batch=8, callbacks=lambda _: fail())
    if isinstance(error, KeyboardInterrupt):
        assert raised.value.result.updates < 9 and raised.value.__cause__ is error
    else:
        assert raised.value is error
    with pytest.raises(type(error)):
        problem(FailAt(1, error)).loss(problem().initial_weights())


class Closed:
    """A standard error that was closed."""

    closed = True

    def isatty(self):
        raise ValueError("I/O operation on closed file")

    def write(self, text):
        raise ValueError("I/O operation on closed file")


class Bare:
    """Something that can be written to and no more."""

    def write(self, text):
        return len(text)


@pytest.mark.parametrize("stderr", [None, Closed(), Bare()])
@pytest.mark.parametrize("progress", [None, True, False])
def test_a_training_needs_no_standard_error(monkeypatch, stderr, progress):
    monkeypatch.setattr(sys, "stderr", stderr)
    result = hig.train(problem(), "hig", updates=3, batch=8, progress=progress)
    monkeypatch.undo()
    assert result.updates == 3


def test_a_program_without_standard_error_trains():
    program = (
        "import hig; print(hig.train(hig.systems.Toy(samples=32, test_samples=8), 'hig',"
        " updates=2, batch=8, progress=True).updates)"
    )
    command = f'"{sys.executable}" -c "{program}" 2>&-'
    ended = subprocess.run(
        command, shell=True, stdout=subprocess.PIPE, text=True, timeout=60, check=False
    )
    assert ended.stdout == "2\n" and ended.returncode == 0


def test_scalars_of_any_kind_are_numbers():
    jnp = pytest.importorskip("jax.numpy")
    for kind in (np.float64, np.float32, np.array, jnp.asarray, jnp.float32):
        method = hig.methods.HalfInverse(cutoff=kind(0.25))
        assert method == hig.methods.HalfInverse(cutoff=0.25), kind
        step = hig.spectral_step(np.eye(2), np.ones(2), exponent=kind(0.5), cutoff=kind(0.25))
        assert np.array_equal(step, hig.spectral_step(np.eye(2), np.ones(2), 0.5, 0.25))
    for kind in (np.int64, np.uint8, np.array, jnp.asarray):
        assert hig.Training(batch=kind(7)) == hig.Training(batch=7)
        system = hig.systems.LinearOscillators(hidden=[kind(5), kind(6)])
        assert system.hidden == (5, 6)
        result = hig.train(problem(), "hig", updates=kind(2), seed=kind(3), batch=kind(8))
        assert result.updates == 2 and result.seed == 3
    assert hig.train(problem(), "hig", epochs=np.array(0.5), batch=8).updates == 4


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"updates": 1e4}, "updates = 10000.0 is not possible: it must be a whole number"),
        ({"updates": -1}, "updates = -1 is not possible: it must be a whole number"),
        ({"updates": 2**70}, "updates = 1180591620717411303424 is not possible"),
        ({"updates": "3"}, "updates = 3 is not possible: it must be a whole number"),
        ({"updates": True}, "updates = True is not possible"),
        ({"epochs": "one"}, "epochs = one is not possible: it must be a number"),
        ({"seconds": [1]}, r"seconds = \[1\] is not possible: it must be a number"),
        ({"updates": 1, "seed": None}, "seed = None is not possible: it must be a whole number"),
        ({"updates": 1, "seed": -1}, "seed = -1 is not possible"),
        ({"updates": 1, "seed": 0.5}, "seed = 0.5 is not possible"),
        ({"updates": 1, "checkpoint_every": None}, "checkpoint_every = None is not possible"),
    ],
)
@pytest.mark.parametrize("made", [problem, lambda: hig.systems.Toy(samples=32, test_samples=8)])
def test_arguments_are_named(made, settings, message):
    with pytest.raises(ValueError, match=message):
        hig.train(made(), "hig", batch=8, **settings)


def test_other_arguments_are_named():
    with pytest.raises(ValueError, match="seed = None is not possible"):
        problem().initial_weights(None)
    masked = np.ma.masked_equal(np.eye(3), 0)
    with pytest.raises(ValueError, match="jacobian is a masked array"):
        hig.half_inverse(masked)
    assert np.array_equal(hig.half_inverse(np.ma.array(np.eye(3))), np.eye(3))
    own_jax = pytest.importorskip("hig.jax")
    for rate in (float("nan"), -1.0):
        with pytest.raises(ValueError, match=f"learning_rate = {rate} is not possible"):
            own_jax.half_inverse(lambda p, b: p, lambda y, b: y, learning_rate=rate)


class WeakOnTest(Throw):
    """Has no answer for one of the test samples once it was trained for a while."""

    def __init__(self, calls):
        super().__init__()
        self.calls = calls

    def simulate(self, state, control):
        y = super().simulate(state, control)
        self.calls -= 1
        if self.calls < 0 and len(y) == 8:
            y[3, 1] = np.nan
        return y


@pytest.mark.parametrize("method", ["hig", "adaptive-hig"])
@pytest.mark.parametrize(("calls", "every"), [(0, 1), (12, 1), (12, 1000)])
def test_a_test_loss_that_is_no_number_ends_a_training_by_name(method, calls, every):
    weak = hig.Problem(hig.networks.mlp([3, 8, 2]), WeakOnTest(calls), throws(32), throws(8))
    with pytest.raises(hig.TrainingStopped, match="test loss is NaN after update") as stopped:
        hig.train(weak, method, updates=20, batch=16, evaluate_every=every)
    assert "output of WeakOnTest is NaN for test sample 3, component 1" in str(stopped.value)
    result = stopped.value.result
    assert np.isfinite(result.weights).all() and np.isfinite(result.train_loss)
    assert np.isnan(result.test_loss)


@pytest.mark.parametrize("what", ["input", "state", "target"])
@pytest.mark.parametrize("whose", ["training", "test"])
def test_samples_that_are_no_numbers_are_refused(what, whose):
    data = {"training": throws(32), "test": throws(8)}
    getattr(data[whose], what)[3, 0] = np.nan
    with pytest.raises(ValueError, match=f"{whose} {what} is NaN at row 3, column 0"):
        hig.Problem(hig.networks.mlp([3, 8, 2]), Throw(), *data.values())


def test_a_checkpoint_that_cannot_be_written_is_refused_before_any_work(tmp_path):
    called = []
    (tmp_path / "file").write_text("no folder")
    folder = tmp_path / "folder.safetensors"
    folder.mkdir()
    for path in [tmp_path / "nowhere" / "x", tmp_path / "file" / "x", folder, "x" * 300]:
        with pytest.raises(OSError, match=Path(path).name):
            work = problem(lambda: called.append(1))
            hig.train(work, "hig", updates=1, batch=8, checkpoint=path)
    assert not called
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder.safetensors"]


def is_run(folder):
    """As `hig compare` and the like know a run that has no configuration."""
    return any((method / "metrics.csv").is_file() for method in folder.iterdir())


def test_a_saved_result_is_a_run_and_its_parent_is_none(tmp_path):
    results = [hig.train(problem(), method, updates=2, batch=8) for method in ("hig", "adam")]
    folders = [result.save(tmp_path / "from-python") for result in results]
    assert [folder.name for folder in folders] == ["hig", "adam"]
    assert is_run(tmp_path / "from-python") and not is_run(tmp_path)
    for folder, result in zip(folders, results):
        weights = problem().load_weights(folder / "weights.safetensors")
        assert np.array_equal(weights, result.weights)
