"""Networks in the loop of time steps written in Python."""

from __future__ import annotations

import pickle
from collections import Counter

import numpy as np
import pytest
from own_steps import Direction, Pendulum, Upright, offering, pendulum_in

import hig
from cart_pole import CartPole, Top, jax_cart_pole

STEPS, WIDTHS = 20, [3, 7, 1]
SYSTEM = hig.systems.PendulumSwingUp(steps=STEPS, samples=24, test_samples=10, hidden=[7])
HALF = hig.losses.SquaredError(0.5)
GIVEN = SYSTEM.problem(0)
HIG = hig.methods.HalfInverse(cutoff=1e-2, learning_rate=0.2)


def pendulum(step=None, **named):
    step = offering("vjp")() if step is None else step
    loop = {"steps": STEPS, "see": Direction(), "observe": Upright(), **named}
    return hig.ClosedLoop(hig.networks.mlp(WIDTHS), step, GIVEN.train, GIVEN.test, HALF, **loop)


def train(problem, method=HIG, **settings):
    return hig.train(problem, method, **{"updates": 8, "batch": 8, "returned": "last", **settings})


@pytest.fixture(scope="module")
def built_in():
    return train(SYSTEM)


KINDS = [("vjp",), ("jacobian",), ("jvp",), ("vjp", "jacobian")]


@pytest.mark.parametrize("kinds", KINDS, ids="+".join)
def test_a_numpy_step_trains_as_the_built_in_one(kinds, built_in):
    result = train(pendulum(offering(*kinds)()))
    assert np.allclose(result.weights, built_in.weights, rtol=0, atol=1e-9)
    assert np.allclose(result.history.test_loss, built_in.history.test_loss, rtol=1e-9)
    assert result.test_loss < result.history.test_loss[0]


def test_losses_and_motion_are_those_of_the_built_in_system():
    own, weights = pendulum(), GIVEN.initial_weights(3)
    assert np.array_equal(own.initial_weights(3), weights)
    assert np.allclose(own.loss(weights), GIVEN.loss(weights), rtol=1e-13)
    test = GIVEN.test
    for found, expected in zip(
        own.motion(weights, test.input, test.state), GIVEN.motion(weights, test.input, test.state)
    ):
        assert found.shape == expected.shape
        assert np.allclose(found, expected, rtol=1e-12, atol=1e-12)
    y = own.simulate(weights, test.input, test.state)
    assert np.allclose(y, GIVEN.simulate(weights, test.input, test.state), rtol=1e-12, atol=1e-12)


def test_a_jax_step_trains_as_the_built_in_one(built_in):
    pytest.importorskip("jax")
    import jax.numpy as jnp

    step = hig.physics.step_from_jax(pendulum_in(jnp, jnp.stack))
    see = hig.physics.from_jax(
        lambda place, x: jnp.stack([jnp.cos(x[0]), jnp.sin(x[0]), x[1] / np.sqrt(15.0)])
    )
    result = train(pendulum(step, see=see))
    assert np.allclose(result.weights, built_in.weights, rtol=0, atol=1e-9)
    assert jnp.ones(3).dtype == np.float32


def test_a_jax_step_is_compiled_once_for_each_size_of_a_batch():
    pytest.importorskip("jax")
    import jax.numpy as jnp

    traced = []
    inner = pendulum_in(jnp, jnp.stack)

    def step(x, u):
        traced.append(x.shape)
        return inner(x, u)

    train(pendulum(hig.physics.step_from_jax(step)), updates=6, evaluate_every=1000)
    # Batches, all training samples, all test samples; and derivatives of a batch.
    assert 3 <= len(traced) <= 6 and set(traced) == {(2,)}


def test_a_torch_step_trains_as_the_built_in_one(built_in):
    torch = pytest.importorskip("torch")
    step = hig.physics.step_from_torch(pendulum_in(torch, torch.stack))
    report = hig.physics.check_step(step, np.ones((3, 2)), np.full((3, 1), 0.3))
    assert report.faults == () and report.finite_difference < 1e-8
    result = train(pendulum(step))
    assert np.allclose(result.weights, built_in.weights, rtol=0, atol=1e-9)


def test_every_method_trains_an_own_step_as_a_built_in_one():
    for made in hig.methods.ALL.values():
        method = made()
        if method.name == "soap":
            continue  # what is rounding in its eigenbasis becomes a step of full length
        if method.name == "sip":
            with pytest.raises(ValueError, match="sip"):
                train(pendulum(), method)
            continue
        # With their defaults some look into what is nearly rounding, and later updates show it.
        own, other = (train(problem, method, updates=1) for problem in (pendulum(), SYSTEM))
        near = 1e-5 * np.abs(other.weights).max()
        assert np.allclose(own.weights, other.weights, rtol=0, atol=near), method.name


def gradient(problem, at):
    """That of the mean loss of all training samples, from a step of gradient descent."""
    descent = hig.methods.GradientDescent(learning_rate=1.0)
    samples = len(problem.train)
    given = {"updates": 1, "batch": samples, "order": "fixed", "returned": "last"}
    return at - hig.train(problem, descent, weights=at, **given).weights


def differences(problem, at, size=1e-5):
    units = size * np.eye(len(at))
    return np.array(
        [(problem.loss(at + e)[0] - problem.loss(at - e)[0]) / (2 * size) for e in units]
    )


class Driven:
    """A spring that the time shakes: it knows the time, and two controls act on it."""

    def step(self, x, u, time):
        push = u[:, 0] + np.cos(time) * u[:, 1] ** 2 - np.sin(x[:, 0])
        return x + 0.2 * np.stack([x[:, 1], push], axis=1)

    def vjp(self, x, u, w, time):
        of_state = w + 0.2 * np.stack([-np.cos(x[:, 0]) * w[:, 1], w[:, 0]], axis=1)
        of_control = (
            0.2 * w[:, 1:] * np.stack([np.ones(len(u)), 2.0 * np.cos(time) * u[:, 1]], axis=1)
        )
        return of_state, of_control


def random_samples(count, inputs, outputs, states=2, seed=1):
    random = np.random.default_rng(seed)
    normal = (random.normal(size=(count, width)) for width in (inputs, outputs, states))
    return hig.Dataset(*normal)


LOOPS = {
    "final state": {},
    "time seen": {"knows_time": True, "inputs": 3},
    "several states": {"after": [2, 5, 6], "outputs": 6},
    "weights": {"after": [3, 6], "weighed": True, "outputs": 8},
    "the sum": {"summed": True},
    "a few steps held": {"hold": 2},
}


@pytest.mark.parametrize("name", LOOPS)
def test_gradients_are_finite_differences(name):
    named = dict(LOOPS[name])
    outputs = named.pop("outputs", 2)
    seen = 2 + 1 + int(named.pop("inputs", 2) == 3)
    samples = random_samples(5, 1, outputs)
    if named.get("weighed"):
        target = samples.target.copy()
        target[:, 4:] **= 2
        samples = hig.Dataset(samples.input, target, samples.state)
    problem = hig.ClosedLoop(
        hig.networks.mlp([seen, 4, 2]), Driven(), samples, steps=6, dt=0.2, timed=True, **named
    )
    at = problem.initial_weights(1)
    expected = differences(problem, at) * (5 if named.get("summed") else 1)
    found = gradient(problem, at)
    assert np.linalg.norm(found - expected) < 1e-6 * np.linalg.norm(expected)


def test_the_time_of_a_step_is_told():
    told = []

    class Clock(Driven):
        def step(self, x, u, time):
            told.append(time)
            return super().step(x, u, time)

    problem = hig.ClosedLoop(
        hig.networks.mlp([2, 2]), Clock(), random_samples(3, 0, 2), steps=4, dt=0.5, timed=True
    )
    problem.motion(problem.initial_weights(), np.zeros((3, 0)), np.ones((3, 2)))
    assert told == [0.0, 0.5, 1.0, 1.5]


def test_a_jax_step_may_know_the_time():
    pytest.importorskip("jax")
    import jax.numpy as jnp

    def driven(x, u, time):
        push = u[0] + jnp.cos(time) * u[1] ** 2 - jnp.sin(x[0])
        return x + 0.2 * jnp.stack([x[1], push])

    results = []
    for step in (Driven(), hig.physics.step_from_jax(driven)):
        network, samples = hig.networks.mlp([3, 5, 2]), random_samples(8, 1, 2)
        problem = hig.ClosedLoop(network, step, samples, steps=5, dt=0.3, timed=True)
        results.append(hig.train(problem, HIG, updates=5).weights)
        report = hig.physics.check_step(
            step, np.ones((3, 2)), np.full((3, 2), 0.4), timed=True, dt=0.3, number=2
        )
        assert report.faults == () and report.finite_difference < 1e-8
    assert np.allclose(*results, rtol=0, atol=1e-10)


def calls_of(step, method=HIG, updates=4):
    """Those of so many updates with their numbers of rows; evaluations make some as well."""
    counted = []
    for more in (0, updates):
        before, first = dict(step.calls), len(step.rows)
        train(pendulum(step), method, updates=3 + more, evaluate_every=1000)
        calls = {name: count - before[name] for name, count in step.calls.items()}
        counted.append((calls, Counter(step.rows[first:])))
    (few, few_rows), (many, many_rows) = counted
    return {name: many[name] - few[name] for name in many}, many_rows - few_rows


def test_an_update_makes_two_calls_a_time_step():
    calls, rows = calls_of(offering("vjp")())
    assert calls["step"] == calls["vjp"] == STEPS * 4
    # Both rows of y of each of the eight samples.
    assert rows == {2 * 8: STEPS * 4}


def test_a_jacobian_is_asked_for_the_samples_alone():
    calls, rows = calls_of(offering("jacobian", "vjp")())
    assert (calls["jacobian"], calls["vjp"]) == (STEPS * 4, 0) and rows == {8: STEPS * 4}
    calls, rows = calls_of(offering("jacobian", "vjp")(), hig.methods.Adam())
    assert (calls["jacobian"], calls["vjp"]) == (0, STEPS * 4) and rows == {8: STEPS * 4}


@pytest.mark.parametrize(
    "method", [HIG, hig.methods.Adam(), hig.methods.KronHalfInverse()], ids=lambda m: m.name
)
def test_steps_that_are_not_held_are_computed_once_more(method):
    whole, few = offering("vjp")(), offering("vjp")()
    results = [train(problem, method) for problem in (pendulum(whole), pendulum(few, hold=5))]
    assert np.allclose(results[0].weights, results[1].weights, rtol=0, atol=1e-9)
    assert few.calls["step"] > whole.calls["step"] and few.calls["vjp"] == whole.calls["vjp"]


def cart_pole(step, given, widths, **named):
    network = hig.networks.mlp(widths)
    loop = {"observe": Top(), **named}
    return hig.ClosedLoop(network, step, given.train, given.test, HALF, **loop)


def test_several_cotangents_of_a_sample_are_one_call():
    system = hig.systems.CartPole(steps=9, samples=20, test_samples=4, hidden=[6])
    given = system.problem(0)
    step = CartPole()
    problem = cart_pole(step, given, [4, 6, 1], steps=9)
    calls = []
    for updates in (2, 4):
        found = train(problem, updates=updates, evaluate_every=1000)
        calls.append(step.calls["vjp"])
    expected = train(system, updates=4)
    assert np.allclose(found.weights, expected.weights, rtol=0, atol=1e-7)
    assert calls[1] - 2 * calls[0] == 9 * 2
    random = np.random.default_rng(2)
    report = hig.physics.check_step(step, random.normal(size=(5, 4)), random.normal(size=(5, 1)))
    assert report.faults == () and report.finite_difference < 1e-8


def test_the_final_state_of_a_jax_cart_pole():
    pytest.importorskip("jax")
    given = hig.systems.CartPole(steps=9, samples=20, test_samples=4).problem(0)
    rest = hig.Dataset(given.train.input, np.zeros((20, 4)), given.train.state)
    results = [
        hig.train(hig.ClosedLoop(hig.networks.mlp([4, 6, 1]), step, rest, steps=9), HIG, updates=5)
        for step in (CartPole(), hig.physics.step_from_jax(jax_cart_pole))
    ]
    assert np.allclose(results[0].weights, results[1].weights, rtol=0, atol=1e-9)


def test_gradients_can_stop_at_the_network():
    system = hig.systems.CartPole(
        stop_gradients=True, steps=8, samples=16, test_samples=4, hidden=[5]
    )
    given = system.problem(0)
    at = 3.0 * given.initial_weights(0)
    stopped, whole = (
        gradient(cart_pole(CartPole(), given, [4, 5, 1], steps=8, stop_gradients=stop), at)
        for stop in (True, False)
    )
    assert np.allclose(stopped, gradient(given, at), rtol=1e-9, atol=1e-15)
    assert np.linalg.norm(stopped - whole) > 1e-3 * np.linalg.norm(whole)


class Decay:
    """x' = x·exp(-dt·rate), the rate an unknown behind the force."""

    def step(self, x, u):
        return x * np.exp(-0.1 * u[:, 1:2]) + 0.1 * u[:, :1]

    def vjp(self, x, u, w):
        fade = np.exp(-0.1 * u[:, 1:2])
        return w * fade, np.concatenate([0.1 * w, -0.1 * w * x * fade], axis=1)


def test_unknowns_of_the_physics_are_found_with_their_errors():
    random = np.random.default_rng(3)
    start = random.uniform(0.5, 2.0, size=(40, 1))
    times, sigma = np.arange(1, 11), 0.02
    exact = start * np.exp(-0.1 * times * 0.7)
    seen = exact + sigma * random.normal(size=exact.shape)
    weights = np.full(exact.shape, sigma**-2)
    weights[:, 3] = 0.0  # missing
    samples = hig.Dataset(np.zeros((40, 0)), np.hstack([seen, weights]), start)

    class Alone(Decay):
        def step(self, x, u):
            return super().step(x, np.hstack([0.0 * u, u]))

        def vjp(self, x, u, w):
            of_state, of_control = super().vjp(x, np.hstack([0.0 * u, u]), w)
            return of_state, of_control[:, 1:]

    loop = {"steps": 10, "after": list(times), "weighed": True}
    unknowns = {"rate": hig.fields.Unknown(0.2)}
    problem = hig.ClosedLoop(None, Alone(), samples, loss=HALF, unknowns=unknowns, **loop)
    result = hig.train(problem, "lm", updates=20, batch=40)
    value, error = problem.unknowns(result.weights)["rate"]
    assert abs(value - 0.7) < 4 * error and 0.0 < error < 0.01
    # Beside a network, which answers the force.
    network = hig.networks.mlp([1, 4, 1])
    problem = hig.ClosedLoop(network, Decay(), samples, loss=HALF, unknowns=unknowns, **loop)
    at = problem.initial_weights(0)
    expected = differences(problem, at, size=1e-6)
    assert np.linalg.norm(gradient(problem, at) - expected) < 1e-5 * np.linalg.norm(expected)
    assert set(problem.unknowns(at)) == {"rate"}


class Unstable(Exception):
    pass


class Spoilt(Pendulum):
    """Does something else in one call of those for batches of eight samples."""

    def __init__(self, method, at, what):
        super().__init__()
        self.method, self.at, self.what, self.asked = method, at, what, 0

    def step(self, state, control):
        return self._do("step", len(state) == 8, super().step(state, control))

    def vjp(self, state, control, cotangent):
        return self._do("vjp", len(state) == 16, self._vjp(state, control, cotangent))

    def _do(self, method, of_batch, answer):
        if method != self.method or not of_batch:
            return answer
        self.asked += 1
        return self.what(answer) if self.asked == self.at else answer


def explode(_):
    raise Unstable("time step too long")


def spoil_second(answer):
    return answer[0], answer[1][:, :0]


@pytest.mark.parametrize(
    ("method", "what", "cause", "message"),
    [
        ("step", explode, Unstable, "Unstable after update 2: time step too long\nin time step 7"),
        ("step", lambda x: x[:, :1], ValueError, r"Spoilt\.step returned shape \(8, 1\), expected \(8, 2\) "),
        ("step", lambda x: None, TypeError, r"Spoilt\.step returned None, expected an array \(samples, state\)"),
        ("step", lambda x: x.astype(int), TypeError, r"Spoilt\.step returned dtype int64"),
        ("vjp", explode, Unstable, r"time step too long\nSpoilt\.vjp was asked with 16 rows"),
        ("vjp", lambda w: w[0], TypeError, r"Spoilt\.vjp returned a ndarray, expected two arrays"),
        ("vjp", lambda w: (*w, w[0]), TypeError, r"Spoilt\.vjp returned 3 arrays, expected two"),
        ("vjp", spoil_second, ValueError, r"Spoilt\.vjp\[1\] returned shape \(16, 0\), expected \(16, 1\)"),
    ],
)  # fmt: skip
def test_what_goes_wrong_is_told_by_the_time_step(method, what, cause, message):
    # In the third update, whose steps go on, and whose derivatives back.
    at = 2 * STEPS + (8 if method == "step" else STEPS - 4)
    with pytest.raises(hig.TrainingStopped, match=message) as stopped:
        train(pendulum(Spoilt(method, at, what)), evaluate_every=1000, returned="last")
    assert type(stopped.value.__cause__) is cause
    where = 7 if method == "step" else 4
    assert f"in time step {where}, counted from 0" in str(stopped.value)
    result = stopped.value.result
    assert result.updates == 2
    whole = train(pendulum(), updates=2, returned="last")
    assert np.array_equal(result.weights, whole.weights)


@pytest.mark.parametrize("name", ["hig", "adaptive-hig", "adam"])
@pytest.mark.parametrize("method", ["step", "vjp"])
def test_a_number_that_is_not_finite_is_told_by_time_step_and_sample(name, method):
    bad = 13
    start = GIVEN.train.state[bad]

    class Broken(Pendulum):
        """NaN where that sample begins."""

        def _is_bad(self, state):
            return np.abs(state - start).max(axis=1) < 1e-12

        def step(self, state, control):
            found = super().step(state, control)
            if method == "step":
                found[self._is_bad(state), 1] = np.nan
            return found

        def vjp(self, state, control, cotangent):
            of_state, of_control = self._vjp(state, control, cotangent)
            if method == "vjp":
                of_control[self._is_bad(state)] = np.nan
            return of_state, of_control

    with pytest.raises(hig.TrainingStopped) as stopped:
        train(pendulum(Broken()), hig.methods.by_name(name), epochs=2, updates=None)
    message = str(stopped.value)
    assert "NaN for training sample 13" in message, message
    whose = {
        "step": "state of Broken after step 0",
        "vjp": "derivative of Broken, with the network in the loop, by its control at step 0",
    }
    assert whose[method] in message, message


def test_calls_may_ask_the_problem():
    problem = pendulum()
    found = []

    def watch(now):
        states, _ = problem.motion(now.weights, GIVEN.test.input, GIVEN.test.state)
        found.append(np.abs(states[-1]).max())

    result = train(problem, callbacks=watch)
    assert len(found) == len(result.history) and np.isfinite(found).all()


def test_a_horizon_may_grow():
    grown = train(pendulum(), updates=4, first_horizon=0.2, horizon_updates=3)
    other = train(SYSTEM, updates=4, first_horizon=0.2, horizon_updates=3)
    assert np.allclose(grown.last_weights, other.last_weights, rtol=0, atol=1e-9)
    assert not np.allclose(grown.last_weights, train(pendulum(), updates=4).last_weights)


def test_ctrl_c_inside_a_step():
    def press(_):
        raise KeyboardInterrupt

    with pytest.raises(hig.TrainingInterrupted) as stopped:
        train(pendulum(Spoilt("step", 3 * STEPS + 2, press)), evaluate_every=1000)
    assert stopped.value.result.updates == 3


def test_a_checkpoint_goes_on_to_the_same_bits(tmp_path):
    file = tmp_path / "loop.safetensors"
    whole = train(pendulum(), updates=8)
    train(pendulum(), updates=4, checkpoint=file)
    found = train(pendulum(), updates=8, checkpoint=file)
    assert np.array_equal(found.last_weights, whole.last_weights)
    with pytest.raises(ValueError, match="another training"):
        train(pendulum(offering("vjp")(friction=0.5)), updates=9, checkpoint=file)
    with pytest.raises(ValueError, match=f"steps is {STEPS} there and {STEPS + 1} here"):
        train(pendulum(steps=STEPS + 1), updates=9, checkpoint=file)


def test_results_are_saved_and_problems_pickled(tmp_path):
    problem = hig.ClosedLoop(
        hig.networks.mlp([3, 4, 2]), Driven(), random_samples(5, 1, 2), steps=3, timed=True, dt=0.4
    )
    again = pickle.loads(pickle.dumps(problem))
    weights = problem.initial_weights(0)
    assert again.name == "Driven" and again.loss(weights) == problem.loss(weights)
    result = hig.train(problem, HIG, updates=2)
    folder = result.save(tmp_path)
    assert np.array_equal(problem.load_weights(folder / "weights.safetensors"), result.weights)


def test_few_samples_are_one_batch():
    problem = hig.ClosedLoop(
        hig.networks.mlp([2, 2]), Driven(), random_samples(3, 0, 2), steps=2, timed=True
    )
    assert hig.train(problem, "lm", updates=1).training.batch == 3


def test_check_step_finds_what_is_broken():
    states, controls = np.random.default_rng(0).normal(size=(2, 4, 2))
    controls = controls[:, :1]
    for kinds in KINDS:
        report = hig.physics.check_step(offering(*kinds)(), states, controls)
        assert report.faults == () and report.finite_difference < 1e-8

    class Wrong(Pendulum):
        def vjp(self, state, control, cotangent):
            of_state, of_control = self._vjp(state, control, cotangent)
            return of_state, 1.01 * of_control

    report = hig.physics.check_step(Wrong(), states, controls)
    assert report.finite_difference > 1e-4 and report.faults == ()

    class Mixed(Pendulum):
        def step(self, state, control):
            return super().step(state, control) + state.mean(axis=0)

        vjp = Pendulum._vjp

    faults = hig.physics.check_step(Mixed(), states, controls).faults
    assert any("depends on the batch" in fault for fault in faults)
    with pytest.raises(ValueError, match="control has shape"):
        hig.physics.check_step(Wrong(), states, controls[:2])


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"step": object()}, TypeError, "object is no time step: it needs step"),
        ({"step": lambda x, u: x}, TypeError, "step_from_jax"),
        ({"step": type("Blind", (), {"step": lambda self, x, u: x})()}, TypeError, "Blind is not diff"),
        ({"steps": 0}, ValueError, "steps = 0 is not possible"),
        ({"hold": 0}, ValueError, "hold = 0 is not possible"),
        ({"after": [3, 2]}, ValueError, r"observed steps = \[3, 2\] is not possible"),
        ({"after": [STEPS + 1]}, ValueError, "rising numbers from 1 to 20"),
        ({"see": object()}, TypeError, "object is no simulator"),
        ({"knows_time": True}, ValueError, "knows_time=True is not possible with see"),
        ({"summed": 1}, ValueError, "summed = 1 is not possible: it must be True or False"),
        ({"see": None}, ValueError, "training input has shape 24 x 0, expected 24 x 1"),
        ({"observe": None, "after": [1, 2]}, ValueError, "training target has shape 24 x 2"),
        ({"weighed": True}, ValueError, None),
    ],
    ids=lambda value: None if isinstance(value, type) else str(value)[:20],
)  # fmt: skip
def test_parts_that_do_not_fit_are_refused(change, error, message):
    change = dict(change)
    if message is None:
        # Two columns are one observation with its weight, and negative ones are no weights.
        change["observe"], message = None, "target"
    step = change.pop("step", None)
    with pytest.raises(error, match=message):
        pendulum(step, **change)


def test_a_network_is_needed_where_nothing_is_unknown():
    with pytest.raises(ValueError, match="network"):
        hig.ClosedLoop(None, Decay(), random_samples(3, 0, 1, 1), steps=2)
