"""Equations written in Python: what they write down, train and answer."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

import hig
from hig import fields

SLAB = fields.Box((0, 1), (0, 1))


def heat(x, u):
    return u.d(0) - 0.25 * u.d(1, 1)


def start(x, u):
    return u - np.sin(np.pi * x[1])


def sides(x, u):
    return u


def exact(x):
    return np.exp(-0.25 * np.pi**2 * x[0]) * np.sin(np.pi * x[1])


def problem(**options):
    return fields.Problem(
        hig.networks.mlp([2, 12, 1], initializer="wide"),
        {
            "interior": fields.Block(heat, SLAB.inside(), 200),
            "sides": fields.Block(sides, SLAB.boundary(1), 40),
            "initial": fields.Block(start, SLAB.face(0), 40, weight=2.0),
        },
        exact=exact,
        test_points=300,
        **options,
    )


def differences(function, points, i, h=1e-4):
    step = np.zeros(points.shape[1])
    step[i] = h
    return (function(points + step) - function(points - step)) / (2 * h)


def test_derivatives_and_residuals_are_those_of_the_field():
    own = problem()
    weights = own.initial_weights(3)
    points = np.random.default_rng(0).uniform(size=(9, 2))
    value = lambda at: own.predict(weights, at)  # noqa: E731
    assert np.array_equal(own.derivative(weights, points), value(points))
    for i in range(2):
        first = own.derivative(weights, points, i)
        assert np.allclose(first, differences(value, points, i), rtol=1e-6, atol=1e-7)
        slope = lambda at, i=i: own.derivative(weights, at, i)  # noqa: E731
        for j in range(2):
            second = own.derivative(weights, points, i, j)
            assert np.allclose(second, differences(slope, points, j), rtol=1e-6, atol=1e-6)
    train = own.train
    inner, left, first = (train.input[train.state[:, 0] == k] for k in range(3))
    assert (len(inner), len(left), len(first)) == (200, 40, 40)
    assert np.all((left[:, 1] == 0) | (left[:, 1] == 1)) and np.all(first[:, 0] == 0)
    residual = own.derivative(weights, inner, 0) - 0.25 * own.derivative(weights, inner, 1, 1)
    given = value(first) - np.sin(np.pi * first[:, 1:])
    expected = {
        "interior": 0.5 * np.mean(residual**2),
        "sides": 0.5 * np.mean(value(left) ** 2),
        "initial": 2 * 0.5 * np.mean(given**2),
    }
    found = own.blocks(weights)
    assert found.keys() == expected.keys()
    for name, loss in expected.items():
        assert found[name] == pytest.approx(loss, rel=1e-12)
    train_loss, test_loss = own.loss(weights)
    assert train_loss == pytest.approx(sum(expected.values()), rel=1e-12)
    error = value(own.test.input)[:, 0] - exact(own.test.input.T)
    assert test_loss == pytest.approx(0.5 * np.mean(error**2), rel=1e-12)
    known = np.linalg.norm(exact(own.test.input.T))
    assert own.relative_l2(weights) == pytest.approx(np.linalg.norm(error) / known, rel=1e-12)


def test_a_field_is_found():
    own = problem()
    result = hig.train(own, "lm", updates=150, progress=False)
    assert result.training.batch == len(own) == 280 and result.training.order == "fixed"
    assert own.relative_l2(result.weights) < 2e-3
    # The same problem by its registered system has the same equation: so it has nearly the same loss there.
    system = hig.systems.HeatPinn(samples=280, hidden=(12,), test_samples=300)
    of_system = system.problem().loss(result.weights)[1]
    assert of_system == pytest.approx(result.test_loss, rel=0.5)


def test_new_points_and_every_method_that_takes_them():
    own = problem(candidates=3)
    for name in ("adam", "lbfgs", "gn-line-search", "spring", "hig"):
        result = hig.train(own, name, updates=3, order="fresh", progress=False)
        assert np.isfinite(result.train_loss)
    once, again = (
        hig.train(own, "lm", updates=4, order="fresh", renew=2, progress=False).weights
        for _ in range(2)
    )
    assert np.array_equal(once, again)


def test_balanced_weights_give_every_block_the_same_part_in_the_curvature():
    plain, own = problem(), problem(weights="balanced")
    assert plain.block_weights() == {"interior": 1.0, "sides": 1.0, "initial": 2.0}
    found, start = own.block_weights(), own.initial_weights(0)

    def trace(block):
        # w/N·Σ |∂r/∂θ|² by central differences of the residuals, at the parameters of the seed.
        number = list(found).index(block)
        points = own.train.input[own.train.state[:, 0] == number]

        def residual(weights):
            if block == "interior":
                bend = own.derivative(weights, points, 1, 1)
                return own.derivative(weights, points, 0) - 0.25 * bend
            return own.derivative(weights, points)

        step = 1e-5 * np.eye(len(start))
        columns = [(residual(start + s) - residual(start - s)) / 2e-5 for s in step]
        return found[block] * np.sum(np.square(columns)) / len(points)

    # They were found with other points, a few tens of each block.
    for block in ("sides", "initial"):
        assert trace(block) == pytest.approx(trace("interior"), rel=0.3)
    again = pickle.loads(pickle.dumps(own))
    assert again.block_weights() == found
    result = hig.train(own, "lm", updates=100, progress=False)
    assert own.relative_l2(result.weights) < 2e-3
    with pytest.raises(ValueError, match=r"balance.*balanced"):
        problem(weights="balance")
    with pytest.raises(TypeError, match=r"weights is a float, expected 'equal' or 'balanced'"):
        problem(weights=2.0)


def test_what_numpy_can_do_is_written_down():
    def residual(x, u):
        a = np.tanh(u) * np.cos(x[0]) + np.exp(-(u**2)) / (2 + np.sqrt(x[1] + 1))
        b = np.maximum(u.d(0), 0.1) - np.minimum(x[1], u) + abs(u) + np.hypot(u, 2.0)
        c = np.arctan2(u, x[0] + 1) + np.log(2 + u * u) + np.square(u.laplacian()) + u**1.5
        return a, b - np.float64(2) * u, c + np.sign(u) - (-u) / 3

    network = hig.networks.mlp([2, 5, 1], initializer="wide")
    own = fields.Problem(network, {"all": fields.Block(residual, SLAB.inside(), 30)})
    weights = own.initial_weights(1)
    weights[-1] = 4.0  # above 0, where the power is real
    points = own.train.input
    u = own.predict(weights, points)[:, 0]
    assert np.all(u > 0)
    d = lambda *along: own.derivative(weights, points, *along)[:, 0]  # noqa: E731
    x0, x1 = points.T
    laplacian = d(0, 0) + d(1, 1)
    a = np.tanh(u) * np.cos(x0) + np.exp(-(u**2)) / (2 + np.sqrt(x1 + 1))
    b = np.maximum(d(0), 0.1) - np.minimum(x1, u) + abs(u) + np.hypot(u, 2.0) - 2 * u
    c = np.arctan2(u, x0 + 1) + np.log(2 + u * u) + laplacian**2 + u**1.5
    c += np.sign(u) + u / 3
    expected = 0.5 * np.mean(a**2 + b**2 + c**2)
    assert own.blocks(weights)["all"] == pytest.approx(expected, rel=1e-12)


def test_several_fields_and_an_unknown():
    def oscillation(t, u, c):
        position, velocity = u[0], u[1]
        return position.d(0) - velocity, velocity.d(0) + c.stiffness * position

    time = fields.Box((0, 2))
    random = np.random.default_rng(1)
    times = random.uniform(0, 2, size=(80, 1))
    sigma = 0.01
    seen = np.cos(1.5 * times[:, 0]) + sigma * random.normal(size=80)
    total = 60 + 80
    own = fields.Problem(
        hig.networks.mlp([1, 10, 2], initializer="wide"),
        {
            "motion": fields.Block(oscillation, time.inside(), 60, weight=60 / (total * 1e-3**2)),
            "seen": fields.Block(
                lambda t, u, c: u, fields.rows(times, seen), weight=80 / (total * sigma**2)
            ),
        },
        unknowns={"stiffness": fields.Unknown(1.0)},
    )
    result = hig.train(own, "lm", updates=150, progress=False)
    [(value, error)] = own.unknowns(result.weights).values()
    assert abs(value - 2.25) < 4 * error and 1e-3 < error < 0.1
    assert own.derivative(result.weights, times).shape == (80, 3)
    assert np.all(own.derivative(result.weights, times, 0)[:, 2] == 0)


@pytest.mark.parametrize(
    ("residual", "message"),
    [
        (lambda x, u: 1 if u > 0 else 2, "cannot decide by a value"),
        (lambda x, u: np.sinh(u), "np.sinh cannot be part"),
        (lambda x, u: "u", "returns a str"),
        (lambda x, u: (), "returns nothing"),
        (lambda x, u: float(u), "functions of NumPy"),
    ],
)
def test_what_cannot_be_written_down_is_told(residual, message):
    network = hig.networks.mlp([2, 4, 1])
    with pytest.raises((TypeError, ValueError), match=message):
        fields.Problem(network, {"interior": fields.Block(residual, SLAB.inside(), 5)})


def test_parts_that_do_not_fit_are_told():
    network = hig.networks.mlp([2, 4, 1])

    def made(**block):
        parts = {"residual": sides, "points": SLAB.inside(), "count": 5, **block}
        return fields.Problem(network, {"interior": fields.Block(**parts)})

    with pytest.raises(IndexError, match="coordinate 2 is not possible: expected 0 to 1"):
        made(residual=lambda x, u: u.d(2))
    with pytest.raises(IndexError, match="field 1 is not possible: expected 0 to 0"):
        made(residual=lambda x, u: u[1])
    with pytest.raises(ValueError, match="has no count"):
        made(count=None)
    with pytest.raises(TypeError, match="points of block interior are a list"):
        made(points=[1.0])
    with pytest.raises(ValueError, match="boundary"):
        made(points=SLAB.boundary(2))
    with pytest.raises(ValueError, match="weight"):
        made(weight=-1.0)
    with pytest.raises(ValueError, match=r"expected \(3,\) or \(3, residuals\)"):
        fields.rows(np.zeros((3, 2)), np.zeros(4))
    with pytest.raises(ValueError, match="smooth"):
        fields.Problem(
            hig.networks.mlp([2, 4, 1], activation="relu"),
            {"interior": fields.Block(heat, SLAB.inside(), 5)},
        )
    with pytest.raises(ValueError, match="exact solution is not known"):
        made().relative_l2(made().initial_weights())


def test_a_problem_is_made_again_by_pickle():
    own = problem()
    again = pickle.loads(pickle.dumps(own))
    weights = own.initial_weights(2)
    assert own.loss(weights) == again.loss(weights)


def test_a_checkpoint_belongs_to_an_equation(tmp_path):
    place = tmp_path / "state.safetensors"
    first = hig.train(problem(), "lm", updates=4, progress=False, checkpoint=place)
    more = hig.train(problem(), "lm", updates=8, progress=False, checkpoint=place)
    whole = hig.train(problem(), "lm", updates=8, progress=False)
    assert first.updates == 4 and np.array_equal(more.weights, whole.weights)
    with pytest.raises(ValueError, match="block interior"):
        other = fields.Problem(
            hig.networks.mlp([2, 12, 1], initializer="wide"),
            {
                "interior": fields.Block(lambda x, u: u.d(0) - 0.3 * u.d(1, 1), SLAB.inside(), 200),
                "sides": fields.Block(sides, SLAB.boundary(1), 40),
                "initial": fields.Block(start, SLAB.face(0), 40, weight=2.0),
            },
            exact=exact,
            test_points=300,
        )
        hig.train(other, "lm", updates=8, progress=False, checkpoint=place)
