"""Simulators written in Python, in the training loop of the library."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import hig
from oscillators import NumpyOscillators, Products, jax_oscillator

SYSTEM = hig.systems.LinearOscillators(samples=256, test_samples=64)
METHOD = hig.methods.HalfInverse(cutoff=1e-10)
SQUARES = hig.losses.SquaredError()


def problem(simulator, loss=SQUARES):
    given = SYSTEM.problem(0)
    network = hig.networks.mlp([4, 20, 20, 20, 24])
    return hig.Problem(network, simulator, given.train, given.test, loss)


def train(simulator, method=METHOD, **settings):
    return hig.train(problem(simulator), method, **{"updates": 10, "batch": 32, **settings})


@pytest.fixture(scope="module")
def built_in():
    return hig.train(SYSTEM, METHOD, updates=10, batch=32)


@pytest.mark.parametrize(
    "make", [NumpyOscillators, lambda: Products("vjp"), lambda: Products("jvp")]
)
def test_a_numpy_simulator_trains_as_the_built_in_one(make, built_in):
    result = train(make())
    assert np.allclose(result.weights, built_in.weights, rtol=0, atol=1e-8)
    assert np.allclose(result.history.test_loss, built_in.history.test_loss, rtol=1e-8)


def test_a_jax_simulator_trains_as_the_built_in_one(built_in):
    pytest.importorskip("jax")
    result = train(hig.physics.from_jax(jax_oscillator))
    assert np.allclose(result.weights, built_in.weights, rtol=0, atol=1e-8)


def test_jax_stays_in_single_precision_outside():
    jax = pytest.importorskip("jax")
    simulator = hig.physics.from_jax(jax_oscillator)
    assert simulator.simulate(np.ones((3, 4)), np.ones((3, 24))).dtype == np.float64
    assert jax.numpy.ones(3).dtype == np.float32


def test_a_torch_simulator_trains_as_the_built_in_one(built_in):
    torch = pytest.importorskip("torch")
    from oscillators import DT, _system

    a, b = map(torch.as_tensor, _system())

    def oscillator(state, control):
        x = state
        for force in control:
            k1 = a @ x + b * force
            k2 = a @ (x + 0.5 * DT * k1) + b * force
            k3 = a @ (x + 0.5 * DT * k2) + b * force
            k4 = a @ (x + DT * k3) + b * force
            x = x + DT / 6.0 * (k1 + 2.0 * k2 + 2.0 * k3 + k4)
        return x

    simulator = hig.physics.from_torch(oscillator)
    report = hig.physics.check(simulator, np.ones((3, 4)), np.ones((3, 24)), 4)
    assert report.finite_difference < 1e-8
    assert np.allclose(train(simulator).weights, built_in.weights, rtol=0, atol=1e-8)


def test_an_update_makes_two_calls():
    simulator = NumpyOscillators()
    train(simulator, updates=20, evaluate_every=1000)
    # Evaluations at the beginning and at the end, of training and test samples.
    assert simulator.calls == {"simulate": 20 + 4, "jacobian": 20}


def test_every_method_trains_a_python_simulator():
    for made in hig.methods.ALL.values():
        if made is hig.methods.Soap:
            continue  # what is rounding in its eigenbasis becomes a step of full length
        result = train(Products("vjp"), made(), updates=2, batch=16)
        own = hig.train(SYSTEM, made(), updates=2, batch=16)
        assert np.allclose(result.weights, own.weights, rtol=0, atol=1e-6), made


def test_calls_come_from_the_callers_thread():
    threads = set()

    class Watching(NumpyOscillators):
        def simulate(self, state, control):
            threads.add(threading.get_ident())
            assert state.flags.c_contiguous and state.dtype == np.float64
            return super().simulate(state, control)

    train(Watching(), updates=3)
    assert threads == {threading.get_ident()}


def test_trainings_in_two_threads_do_not_disturb_each_other(built_in):
    results = []
    threads = [
        threading.Thread(target=lambda: results.append(train(NumpyOscillators()))) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 2
    for result in results:
        assert np.allclose(result.weights, built_in.weights, rtol=0, atol=1e-8)


class Failing(NumpyOscillators):
    """Does something else in the call of that number."""

    def __init__(self, method, at, what):
        super().__init__()
        self.method, self.at, self.what = method, at, what

    def _do(self, method, answer):
        return (
            self.what(answer) if method == self.method and self.calls[method] == self.at else answer
        )

    def simulate(self, state, control):
        return self._do("simulate", super().simulate(state, control))

    def jacobian(self, state, control):
        return self._do("jacobian", super().jacobian(state, control))


class Unstable(Exception):
    pass


def explode(_):
    raise Unstable("time step too long")


def nan(answer):
    answer = np.array(answer)
    answer[1, 2] = np.nan
    return answer


@pytest.mark.parametrize("method", ["simulate", "jacobian"])
@pytest.mark.parametrize(
    ("what", "cause", "message"),
    [
        (explode, Unstable, "Unstable after update 5: time step too long"),
        (
            lambda y: y[:, :-1],
            ValueError,
            r"Failing\.{method} returned shape \(32, 3.*\), expected \(32, 4",
        ),
        (lambda y: y[0], ValueError, r"Failing\.{method} returned shape"),
        (lambda y: None, TypeError, r"Failing\.{method} returned None"),
        (
            lambda y: y * 1j,
            TypeError,
            r"Failing\.{method} returned dtype complex128, expected float64",
        ),
        (lambda y: np.ones(y.shape, int), TypeError, r"Failing\.{method} returned dtype int64"),
        (lambda y: "y", TypeError, r"Failing\.{method} returned dtype <U1"),
        (nan, None, r" of Failing is NaN for training sample \d+, component 2.* \(input \["),
    ],
)
def test_what_goes_wrong_ends_the_training_and_keeps_the_weights(method, what, cause, message):
    at = 6 + 2 if method == "simulate" else 6
    with pytest.raises(hig.TrainingStopped, match=message.replace("{method}", method)) as stopped:
        train(Failing(method, at, what), evaluate_every=1000, returned="last")
    assert type(stopped.value.__cause__) is (cause or type(None))
    result = stopped.value.result
    assert result.updates == 5
    whole = train(NumpyOscillators(), updates=5, returned="last")
    assert np.array_equal(result.weights, whole.weights)
    assert np.isfinite(result.history.test_loss).all()


class Spoilt(NumpyOscillators):
    """NaN for one sample, wherever it stands in a batch."""

    def __init__(self, method, state):
        super().__init__()
        self.method, self.bad = method, state

    def _spoil(self, method, state, answer):
        answer = np.array(answer)
        if method == self.method:
            answer[(state == self.bad).all(axis=1), 2] = np.nan
        return answer

    def simulate(self, state, control):
        return self._spoil("simulate", state, super().simulate(state, control))

    def jacobian(self, state, control):
        return self._spoil("jacobian", state, super().jacobian(state, control))


@pytest.mark.parametrize("name", ["hig", "lm", "adaptive-hig", "gn-line-search", "adam"])
@pytest.mark.parametrize(("method", "what"), [("simulate", "output"), ("jacobian", "Jacobian")])
def test_a_number_that_is_not_finite_is_told_by_its_sample(name, method, what):
    data = SYSTEM.problem(0).train
    bad = 77
    simulator = Spoilt(method, data.state[bad])
    with pytest.raises(hig.TrainingStopped) as stopped:
        train(simulator, hig.methods.by_name(name), epochs=2, updates=None)
    message = str(stopped.value)
    first = ", ".join(repr(float(v)) for v in data.input[bad])
    assert f"{what} of Spoilt is NaN for training sample {bad}, " in message
    assert f"(input [{first}])" in message
    if what == "output":
        assert "component 2" in message


def test_ctrl_c_inside_a_simulator():
    def press(_):
        raise KeyboardInterrupt

    with pytest.raises(hig.TrainingInterrupted) as stopped:
        train(Failing("simulate", 8, press), evaluate_every=1000)
    assert stopped.value.result.updates == 5


def test_single_precision_is_taken_with_a_note():
    class Single(NumpyOscillators):
        def simulate(self, state, control):
            return super().simulate(state, control).astype(np.float32)

    with pytest.warns(hig.PrecisionWarning, match="Single.simulate returned float32"):
        result = train(Single())
    assert result.test_loss < result.history.test_loss[0]


def test_check_finds_a_wrong_derivative():
    class Wrong(NumpyOscillators):
        def jacobian(self, state, control):
            return 1.01 * super().jacobian(state, control)

    states, controls = np.ones((3, 4)), np.ones((3, 24))
    right = hig.physics.check(NumpyOscillators(), states, controls, 4)
    wrong = hig.physics.check(Wrong(), states, controls, 4)
    assert right.finite_difference < 1e-8 and right.adjoint_identity < 1e-12
    assert wrong.finite_difference == pytest.approx(0.01, rel=1e-3)


class Averaged(Products):
    """Takes off the mean over the batch."""

    def simulate(self, state, control):
        y = super().simulate(state, control)
        return y - y.mean(axis=0)


def points(samples):
    random = np.random.default_rng(1)
    return random.normal(size=(samples, 4)), random.normal(size=(samples, 24))


@pytest.mark.parametrize("kind", ["vjp", "jvp"])
def test_check_has_nothing_to_say_of_a_right_simulator(kind):
    report = hig.physics.check(Products(kind), *points(4), 4)
    assert report.faults == ()
    assert report.batches < 1e-12 and report.elsewhere < 1e-12
    assert hig.physics.check(NumpyOscillators(), *points(4), 4).faults == ()


class Cubes:
    """y = the first four controls cubed: a derivative that depends on where it is taken."""

    def simulate(self, state, control):
        self.last = control
        return control[:, :4] ** 3

    def at(self, control):
        return control

    def vjp(self, state, control, cotangent):
        product = np.zeros_like(control)
        product[:, :4] = 3.0 * self.at(control)[:, :4] ** 2 * cotangent
        return product


class OfOneSize(Cubes):
    """Has no derivatives but for four samples."""

    def vjp(self, state, control, cotangent):
        return super().vjp(state, control, cotangent + np.zeros((4, 1)))


class RememberingCubes(Cubes):
    def at(self, control):
        return np.resize(self.last, control.shape)


def test_check_says_where_a_simulator_answers_for_its_last_simulation():
    assert hig.physics.check(Cubes(), *points(4), 4).faults == ()
    report = hig.physics.check(RememberingCubes(), *points(4), 4)
    assert report.elsewhere > 1e-3
    assert any("the last simulation" in fault for fault in report.faults)


def test_check_says_where_a_sample_depends_on_its_batch():
    report = hig.physics.check(Averaged("vjp"), *points(4), 4)
    assert report.batches > 1e-3
    assert any("depends on the batch" in fault for fault in report.faults)


def test_a_simulator_of_one_batch_size_is_told_what_it_was_asked():
    with pytest.raises(RuntimeError, match=r"asked about .*twice: ValueError: .*") as failed:
        hig.physics.check(OfOneSize(), *points(4), 4)
    assert isinstance(failed.value.__cause__, ValueError)
    message = "OfOneSize.vjp was asked for the Jacobian: with 16 rows, each of 4 samples once for"
    with pytest.raises(hig.TrainingStopped, match=message) as stopped:
        train(OfOneSize(), batch=4)
    assert isinstance(stopped.value.__cause__, ValueError)


def test_losses():
    simulator, (weights, scale) = (
        NumpyOscillators(),
        (SYSTEM.problem(0).initial_weights(0), np.array([1.0, 2.0, 3.0, 4.0])),
    )
    data = problem(simulator).train
    y = problem(simulator).simulate(weights, data.input)
    squares = (y - data.target) ** 2
    weighted = problem(simulator, hig.losses.SquaredError(0.5, scale))
    assert weighted.loss(weights)[0] == pytest.approx(0.5 * np.mean(squares @ scale))
    for loss, message in [
        (hig.losses.SquaredError(2.0), "factor = 2.0"),
        (hig.losses.SquaredError(weights=[1.0, -1.0, 1.0, 1.0]), "weights = -1"),
        (hig.losses.SquaredError(weights=[1.0]), "loss weights has shape length 1"),
    ]:
        with pytest.raises(ValueError, match=message):
            problem(simulator, loss)


def test_an_exact_inverse_is_used():
    class Scaled:
        """y = 3·u + state, whose inverse is known."""

        inverted = 0

        def simulate(self, state, control):
            return 3.0 * control + state

        def vjp(self, state, control, cotangent):
            return 3.0 * cotangent

        def inverse(self, state, control, y):
            self.inverted += 1
            return (y - state) / 3.0

    simulator = Scaled()
    states = np.random.default_rng(0).normal(size=(32, 2))
    own = hig.Problem(
        hig.networks.mlp([2, 8, 2]), simulator, hig.Dataset(states, np.zeros((32, 2)))
    )
    hig.train(own, hig.methods.ScaleInvariant(), updates=4, batch=32)
    assert simulator.inverted == 4


@pytest.mark.parametrize(
    ("simulator", "message"),
    [
        (object(), "object is no simulator: it needs simulate"),
        (type("Blind", (), {"simulate": lambda self, s, u: u})(), "Blind is not differentiable"),
    ],
)
def test_what_is_no_simulator_is_refused(simulator, message):
    with pytest.raises(TypeError, match=message):
        problem(simulator)


def test_parts_that_do_not_fit_are_refused():
    states = np.ones((8, 4))
    network = hig.networks.mlp([3, 5, 24])
    with pytest.raises(ValueError, match="training input has shape 8 x 4, expected 8 x 3"):
        hig.Problem(network, NumpyOscillators(), hig.Dataset(states, states))
