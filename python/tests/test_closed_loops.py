"""Networks inside simulations: what a problem answers of them."""

from __future__ import annotations

import numpy as np
import pytest

import hig


def small_field() -> hig.Problem:
    return hig.systems.KsCorrection(
        points=12, length=8.0, finer=2, steps=3, samples=6, test_samples=4, channels=[2], kernel=3
    ).problem()


def test_a_simulation_is_what_the_loss_is_of():
    problem = small_field()
    weights = problem.initial_weights(3)
    test = problem.test
    y = problem.simulate(weights, test.input, test.state)
    assert y.shape == test.target.shape == (4, 36)
    expected = 0.5 * np.mean((y - test.target) ** 2)
    assert np.isclose(problem.loss(weights)[1], expected, rtol=1e-12)


def test_the_motion_has_what_the_network_saw_and_answered():
    problem = small_field()
    weights, test = problem.initial_weights(3), problem.test
    states, controls = problem.motion(weights, test.input, test.state)
    assert states.shape == (4, 4, 12) and controls.shape == (3, 4, 12)
    assert np.array_equal(states[0], test.state)
    for seen, answered in zip(states, controls):
        assert np.allclose(problem.predict(weights, seen), answered, rtol=1e-12, atol=1e-15)
    y = problem.simulate(weights, test.input, test.state)
    assert np.array_equal(np.concatenate(list(states[1:]), axis=1), y)


def test_what_does_not_fit_is_said():
    problem = small_field()
    weights, test = problem.initial_weights(3), problem.test
    with pytest.raises(ValueError, match=r"state.*\(samples, 12\)"):
        problem.motion(weights, test.input, test.state[:, :5])
    with pytest.raises(ValueError, match="state"):
        problem.simulate(weights, test.input, test.state[:2])
    toy = hig.systems.Toy().problem()
    at = toy.initial_weights()
    with pytest.raises(ValueError, match="time steps"):
        toy.motion(at, toy.test.input, toy.test.state)
    with pytest.raises(ValueError, match="log-likelihood"):
        toy.unknowns(at)


def test_unknowns_come_with_their_standard_errors():
    system = hig.systems.ParameterEstimation(learned_force=False, samples=32, test_samples=8)
    result = hig.train(system, "lm", updates=20, batch=32)
    found = result.problem.unknowns(result.weights)
    assert {"stiffness", "damping"} <= set(found)
    for name in ("stiffness", "damping"):
        value, error = found[name]
        assert 0 < error < 0.2 * value, (name, value, error)
    # Weights of observations: y is not multiplied by them.
    test = result.problem.test
    y = result.simulate(test.input, test.state)
    assert y.shape[1] * 2 == test.target.shape[1]
    assert np.std(y) > 0.05


def test_a_horizon_grows():
    system = hig.systems.CartPole(steps=20, samples=16, test_samples=4)
    grown = hig.train(system, "adam", updates=3, first_horizon=0.2, horizon_updates=2)
    whole = hig.train(system, "adam", updates=3)
    assert not np.array_equal(grown.last_weights, whole.last_weights)
    with pytest.raises(ValueError, match="first_horizon"):
        hig.train(hig.systems.Toy(), "adam", updates=1, first_horizon=0.2)
