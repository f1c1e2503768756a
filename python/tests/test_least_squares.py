"""Least squares against SciPy, closed forms and differences."""

from __future__ import annotations

import sys

import numpy as np
import pytest

import hig

FREE = (-np.inf, np.inf)
T = np.linspace(0.0, 3.0, 40)
SEEN = 2.0 * np.exp(-0.7 * T) + 0.1 * np.random.default_rng(0).normal(size=40)


def rosenbrock(x):
    return np.array([10.0 * (x[1] - x[0] ** 2), 1.0 - x[0]])


def powell(x):
    return np.array(
        [
            x[0] + 10.0 * x[1],
            np.sqrt(5.0) * (x[2] - x[3]),
            (x[1] - 2.0 * x[2]) ** 2,
            np.sqrt(10.0) * (x[0] - x[3]) ** 2,
        ]
    )


def beale(x):
    return np.array([1.5, 2.25, 2.625]) - x[0] * (1.0 - x[1] ** np.array([1, 2, 3]))


def brown(x):
    return np.array([x[0] - 1e6, x[1] - 2e-6, x[0] * x[1] - 2.0])


def wood(x):
    return np.array(
        [
            10.0 * (x[1] - x[0] ** 2),
            1.0 - x[0],
            np.sqrt(90.0) * (x[3] - x[2] ** 2),
            1.0 - x[2],
            np.sqrt(10.0) * (x[1] + x[3] - 2.0),
            (x[1] - x[3]) / np.sqrt(10.0),
        ]
    )


def helical(x):
    angle = np.arctan2(x[1], x[0]) / (2.0 * np.pi)
    return np.array([10.0 * (x[2] - 10.0 * angle), 10.0 * (np.hypot(x[0], x[1]) - 1.0), x[2]])


def decay(x):
    return x[0] * np.exp(-x[1] * T) - SEEN


def with_offset(x):
    return decay(x) + x[2]


PROBLEMS = [
    (rosenbrock, [-1.2, 1.0], FREE),
    (rosenbrock, [2.0, 2.0], ([-np.inf, 1.5], np.inf)),
    (rosenbrock, [-0.5, 0.2], ([-2.0, -1.0], [0.5, 3.0])),
    (powell, [3.0, -1.0, 0.0, 1.0], FREE),
    (beale, [1.0, 1.0], FREE),
    (beale, [1.0, 0.1], ([0.5, 0.0], [2.0, 0.9])),
    (brown, [1.0, 1.0], FREE),
    (wood, [-3.0, -1.0, -3.0, -1.0], FREE),
    (helical, [-1.0, 0.01, 0.0], FREE),
    (decay, [1.0, 3.0], (0.0, np.inf)),
    (with_offset, [1.0, 0.5, 0.3], ([0.0, 0.0, 0.2], [1.8, 5.0, 1.0])),
]


@pytest.mark.parametrize(("fun", "x0", "bounds"), PROBLEMS)
@pytest.mark.parametrize("jac", ["2-point", "3-point"])
def test_it_finds_what_scipy_finds(fun, x0, bounds, jac):
    optimize = pytest.importorskip("scipy.optimize")
    ours = hig.least_squares(fun, x0, jac, bounds)
    theirs = optimize.least_squares(fun, x0, jac, bounds, ftol=1e-12, xtol=1e-12, gtol=1e-12)
    assert type(ours) is type(theirs)
    assert {*ours} == {*theirs} and ours.success and ours.message
    assert ours.cost <= theirs.cost * (1.0 + 1e-7) + 1e-11
    if fun is not powell:  # flat at its solution
        assert np.allclose(ours.x, theirs.x, rtol=1e-4, atol=1e-4)
    if theirs.active_mask.any():
        assert np.array_equal(ours.active_mask, theirs.active_mask)
    low, high = bounds
    assert (ours.x >= low).all() and (ours.x <= high).all()
    assert ours.nfev <= 3 * theirs.nfev + 10


def test_the_fields_say_what_they_do():
    result = hig.least_squares(decay, [1.0, 1.0])
    slope = np.exp(-result.x[1] * T)
    jacobian = np.stack([slope, -result.x[0] * T * slope], axis=1)
    assert np.allclose(result.jac, jacobian, atol=1e-6)
    assert np.array_equal(result.fun, decay(result.x))
    assert result.cost == 0.5 * result.fun @ result.fun
    assert np.allclose(result.grad, result.jac.T @ result.fun)
    assert result.optimality == pytest.approx(np.abs(result.grad).max())
    assert not result.active_mask.any()


@pytest.mark.parametrize(("jac", "error"), [("2-point", 1e-6), ("3-point", 1e-9), ("cs", 1e-13)])
@pytest.mark.parametrize("bounds", [FREE, ([1.0, 0.0, -1.0], [2.0, 0.5, 1.0])])
def test_differences_have_their_accuracy(jac, error, bounds):
    if jac == "cs" and bounds != FREE:
        bounds = FREE  # never leaves x
    asked = []

    def fun(x):
        asked.append(x.real.copy())
        return np.array([np.exp(x[0] * x[1]), np.sin(x[2]) * x[0], x[1] ** 3])

    x = np.array([1.0, 0.5, 1.0])
    result = hig.least_squares(fun, x, jac, bounds, max_nfev=1)
    assert result.status == 0 and not result.success and np.array_equal(result.x, x)
    e = np.exp(0.5)
    expected = [[0.5 * e, e, 0.0], [np.sin(1.0), 0.0, np.cos(1.0)], [0.0, 0.75, 0.0]]
    assert np.abs(result.jac - expected).max() < error
    assert all((x >= bounds[0]).all() and (x <= bounds[1]).all() for x in asked)


def test_linear_problems_have_numpys_solution():
    random = np.random.default_rng(1)
    a, b = random.normal(size=(200, 30)), random.normal(size=200)
    result = hig.least_squares(lambda x: a @ x - b, np.zeros(30), lambda x: a)
    assert np.allclose(result.x, np.linalg.lstsq(a, b, rcond=None)[0], atol=1e-6)
    # With bounds: the conditions of Karush, Kuhn and Tucker.
    result = hig.least_squares(lambda x: a @ x - b, np.full(30, 0.01), lambda x: a, (0.0, np.inf))
    held = result.active_mask == -1
    assert held.any() and (result.grad[held] > 0).all()
    assert np.abs(result.grad[~held]).max() < 1e-5
    # More parameters than residuals.
    result = hig.least_squares(lambda x: a.T @ x - b[:30], np.zeros(200), lambda x: a.T)
    assert result.cost < 1e-12


def test_arguments_reach_both_functions_and_units_do_not_matter():
    def fun(x, rate, amount=0.0):
        return amount * np.exp(-rate * x[0] * T) - SEEN

    def jac(x, rate, amount=0.0):
        return -amount * rate * T * np.exp(-rate * x[0] * T)

    more = {"amount": 2.0}
    found = [
        rate * hig.least_squares(fun, 1.0 / rate, jac, args=(rate,), gtol=None, kwargs=more).x[0]
        for rate in (1e-6, 1.0, 1e6)
    ]
    assert np.allclose(found, found[1], rtol=1e-5)


def test_without_scipy_the_result_has_the_same_fields(monkeypatch):
    with_scipy = hig.least_squares(decay, [1.0, 1.0])
    monkeypatch.setitem(sys.modules, "scipy.optimize", None)
    without = hig.least_squares(decay, [1.0, 1.0])
    assert np.array_equal(without.x, with_scipy.x) and without["cost"] == without.cost
    assert "optimality" in repr(without) and "x" in dir(without)
    with pytest.raises(AttributeError):
        _ = without.nothing


@pytest.mark.parametrize(
    ("changes", "exception", "message"),
    [
        ({"fun": 1}, TypeError, "fun is a int, expected a function"),
        ({"jac": "4-point"}, ValueError, "jac = '4-point' is not possible"),
        ({"x0": [[1.0, 1.0]]}, ValueError, r"x0 has shape \(1, 2\)"),
        ({"x0": [1j, 1.0]}, TypeError, "x0 is complex"),
        ({"x0": [np.nan, 1.0]}, ValueError, r"x0\[0\] is nan"),
        ({"bounds": (0.0, [5.0, 0.5])}, ValueError, r"x0\[1\] is 1.0, expected .* from 0.0 to 0.5"),
        ({"bounds": (1.0, 1.0)}, ValueError, r"bounds of x\[0\] are 1.0 and 1.0"),
        ({"bounds": ([1.0, 1.0, 1.0], 2.0)}, ValueError, r"bounds has shape \(3,\)"),
        ({"bounds": 3}, ValueError, "bounds must be a pair"),
        ({"ftol": -1.0}, ValueError, "ftol = -1.0 is not possible"),
        ({"ftol": None, "xtol": None, "gtol": None}, ValueError, "one of them must be above 0"),
        ({"max_nfev": 0}, ValueError, "max_nfev = 0 is not possible"),
        ({"x_scale": -1.0}, ValueError, "x_scale = -1.0 is not possible"),
        ({"jac": lambda x: np.ones((3, 2))}, ValueError, r"jac returned shape \(3, 2\), expected"),
        ({"fun": lambda x: np.ones((2, 2))}, ValueError, r"fun returned shape \(2, 2\)"),
        ({"fun": lambda x: x * np.nan}, ValueError, r"fun\(x0\) is nan at 0"),
        ({"fun": lambda x: x * 1j}, TypeError, "fun returned dtype complex128"),
    ],
)
def test_what_cannot_be_is_refused_by_its_name(changes, exception, message):
    with pytest.raises(exception, match=message):
        hig.least_squares(**{"fun": decay, "x0": [1.0, 1.0], **changes})


def test_a_function_that_fails_elsewhere_is_stepped_back_from():
    def fun(x):
        return np.array([np.log(x[0]) if x[0] > 0 else np.nan, 0.1 * (x[0] - 1.0)])

    result = hig.least_squares(fun, [5.0])
    assert result.success and result.x[0] == pytest.approx(1.0)


def test_an_exception_is_the_users_own():
    with pytest.raises(ZeroDivisionError):
        hig.least_squares(lambda x: [1 / 0], [1.0])
