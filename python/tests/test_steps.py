"""The step alone against NumPy's SVD, and what it does with hostile arrays."""

from __future__ import annotations

import _thread
import collections
import itertools
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import hig

SHAPES = [(1, 1), (7, 3), (3, 7), (40, 61), (128, 90), (200, 700)]
EXPONENTS = [-1.0, 0.0, 0.5, 1.0]


def conditioned(n, p, condition, seed=0):
    """J with logarithmically spaced singular values, and g."""
    random = np.random.default_rng(seed)
    size = min(n, p)
    u = np.linalg.qr(random.normal(size=(n, size)))[0]
    v = np.linalg.qr(random.normal(size=(p, size)))[0]
    return (u * np.geomspace(1.0, 1.0 / condition, size)) @ v.T, random.normal(size=n)


def weights(sigma, exponent, cutoff, treatment="truncate", damping=0.0):
    if treatment == "truncate":
        return np.where(sigma > cutoff * sigma[0], sigma**-exponent, 0.0)
    if treatment == "clamp":
        return np.maximum(sigma, cutoff * sigma[0]) ** -exponent
    return sigma * (sigma**2 + damping) ** (-(1 + exponent) / 2)


def reference(jacobian, gradient, exponent, cutoff, **treatment):
    u, sigma, vt = np.linalg.svd(jacobian, full_matrices=False)
    return vt.T @ (weights(sigma, exponent, cutoff, **treatment) * (u.T @ gradient))


def error(found, expected):
    return np.linalg.norm(found - expected) / np.linalg.norm(expected)


@pytest.mark.parametrize("exponent", EXPONENTS)
@pytest.mark.parametrize("shape", SHAPES)
def test_random_jacobians_give_numpys_step(shape, exponent):
    random = np.random.default_rng(1)
    jacobian, gradient = random.normal(size=shape), random.normal(size=shape[0])
    found = hig.spectral_step(jacobian, gradient, exponent, 1e-6)
    assert found.shape == (shape[1],)
    assert error(found, reference(jacobian, gradient, exponent, 1e-6)) < 1e-9


@pytest.mark.parametrize("exponent", EXPONENTS)
@pytest.mark.parametrize("condition", [1e2, 1e4, 1e6])
@pytest.mark.parametrize("shape", [(30, 80), (80, 30), (200, 700)])
def test_ill_conditioned_jacobians_give_numpys_step(shape, condition, exponent):
    jacobian, gradient = conditioned(*shape, condition)
    found = hig.spectral_step(jacobian, gradient, exponent, cutoff=1e-5)
    assert error(found, reference(jacobian, gradient, exponent, 1e-5)) < 1e-9


@pytest.mark.parametrize("route", ["gram", "normal", "svd"])
def test_every_exact_route_gives_numpys_step(route):
    jacobian, gradient = conditioned(60, 90, 1e5)
    found = hig.spectral_step(jacobian, gradient, 0.5, 1e-4, route=route)
    assert error(found, reference(jacobian, gradient, 0.5, 1e-4)) < 1e-9


def test_lanczos_comes_as_close_as_its_tolerance():
    jacobian, gradient = conditioned(60, 90, 1e2)
    found = hig.spectral_step(jacobian, gradient, 0.5, 1e-4, route="lanczos", tolerance=1e-6)
    assert error(found, reference(jacobian, gradient, 0.5, 1e-4)) < 1e-5


def test_treatments():
    jacobian, gradient = conditioned(50, 70, 1e5)
    damped = hig.spectral_step(jacobian, gradient, 0.5, treatment="damp", damping=1e-6)
    assert (
        error(damped, reference(jacobian, gradient, 0.5, 0.0, treatment="damp", damping=1e-6))
        < 1e-9
    )
    clamped = hig.spectral_step(jacobian, gradient, 0.5, 1e-3, treatment="clamp")
    assert error(clamped, reference(jacobian, gradient, 0.5, 1e-3, treatment="clamp")) < 1e-9


@pytest.mark.parametrize("shape", [(40, 61), (61, 40)])
def test_the_half_inverse_is_a_matrix(shape):
    jacobian, gradient = conditioned(*shape, 1e6)
    for exponent in (0.5, 1.0):
        inverse = hig.half_inverse(jacobian, exponent, 1e-5)
        assert inverse.shape == shape[::-1]
        assert error(inverse @ gradient, reference(jacobian, gradient, exponent, 1e-5)) < 1e-9
    assert np.allclose(
        hig.half_inverse(jacobian, 1.0, 1e-12), np.linalg.pinv(jacobian), rtol=1e-6, atol=1e-6
    )


@pytest.mark.parametrize("treatment", ["truncate", "damp"])
def test_a_gram_matrix_is_enough(treatment):
    jacobian, gradient = conditioned(60, 90, 1e3)
    c = hig.gram_step(jacobian @ jacobian.T, gradient, 0.5, 1e-2, treatment, damping=1e-3)
    assert c.shape == (60,)
    expected = reference(jacobian, gradient, 0.5, 1e-2, treatment=treatment, damping=1e-3)
    assert error(jacobian.T @ c, expected) < 1e-9


def test_layouts_do_not_matter():
    jacobian, gradient = conditioned(40, 61, 1e3)
    expected = hig.spectral_step(jacobian, gradient)
    wide = np.zeros((80, 122))
    wide[::2, ::2] = jacobian
    swapped = jacobian.astype(">f8")
    locked = jacobian.copy()
    locked.flags.writeable = False
    for given in (np.asfortranarray(jacobian), wide[::2, ::2], swapped, locked, jacobian.tolist()):
        assert error(hig.spectral_step(given, gradient), expected) < 1e-10
    assert error(hig.spectral_step(jacobian, np.repeat(gradient, 2)[::2]), expected) < 1e-12
    assert error(hig.spectral_step(jacobian[::-1], gradient[::-1]), expected) < 1e-10


GROWTH = """
import sys, numpy, hig

def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))

hig.spectral_step(numpy.ones((8, 9)), numpy.ones(8))
jacobian = {make}
before = peak()
hig.spectral_step(jacobian, numpy.ones(8))
print((peak() - before) / jacobian.nbytes)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(
    ("make", "copied"),
    [
        ("numpy.random.default_rng(0).normal(size=(8, 2_000_000))", False),
        ("numpy.random.default_rng(0).normal(size=(2_000_000, 8)).T", False),
        ("numpy.random.default_rng(0).normal(size=(8, 4_000_000))[:, ::2]", True),
    ],
)
def test_contiguous_arrays_are_not_copied(make, copied):
    # In a process of its own: a peak is never forgotten.
    program = [sys.executable, "-c", GROWTH.format(make=make)]
    told = subprocess.run(program, capture_output=True, text=True, check=True).stdout
    # The step itself is an eighth of J.
    assert (float(told) > 0.6) == copied, told


def test_single_precision_is_taken_with_a_note():
    jacobian, gradient = conditioned(20, 30, 10.0)
    with pytest.warns(hig.PrecisionWarning, match="jacobian is float32: .* 1e-07 of the largest"):
        found = hig.spectral_step(jacobian.astype(np.float32), gradient)
    assert error(found, hig.spectral_step(jacobian, gradient)) < 1e-5


J, G = np.eye(3), np.ones(3)
NAN, INFINITE = np.eye(3), np.ones(3)
NAN[2, 1], INFINITE[1] = np.nan, np.inf


@pytest.mark.parametrize(
    ("function", "arguments", "settings", "exception", "message"),
    [
        (
            hig.spectral_step,
            (J.astype(int), G),
            {},
            TypeError,
            "jacobian has dtype int64, expected float64; convert",
        ),
        (hig.spectral_step, (J, G > 0), {}, TypeError, "gradient has dtype bool"),
        (
            hig.spectral_step,
            (J * 1j, G),
            {},
            TypeError,
            "jacobian has dtype complex128, expected float64$",
        ),
        (hig.spectral_step, ([["a"]], G), {}, TypeError, "jacobian has dtype <U1"),
        (
            hig.spectral_step,
            (G, G),
            {},
            ValueError,
            r"jacobian has shape \(3,\), expected \(n, p\)",
        ),
        (hig.spectral_step, (J[None], G), {}, ValueError, r"jacobian has shape \(1, 3, 3\)"),
        (
            hig.spectral_step,
            (J, J),
            {},
            ValueError,
            r"gradient has shape \(3, 3\), expected \(n,\)",
        ),
        (
            hig.spectral_step,
            (J, G[:2]),
            {},
            ValueError,
            r"gradient has shape \(2,\), expected \(3,\)",
        ),
        (
            hig.spectral_step,
            (np.zeros((0, 3)), np.zeros(0)),
            {},
            ValueError,
            r"jacobian has shape \(0, 3\): it is empty",
        ),
        (hig.spectral_step, (np.zeros((3, 0)), G), {}, ValueError, r"\(3, 0\): it is empty"),
        (
            hig.spectral_step,
            (NAN, G),
            {},
            ValueError,
            "jacobian is NaN at row 2, column 1: every number must be finite",
        ),
        (hig.spectral_step, (J, INFINITE), {}, ValueError, "gradient is inf at row 1"),
        (
            hig.spectral_step,
            (J, G, 1.5),
            {},
            ValueError,
            "exponent = 1.5 is not possible: it must be between -1",
        ),
        (
            hig.spectral_step,
            (J, G),
            {"cutoff": -1},
            ValueError,
            "cutoff = -1 is not possible: it must be at least 0",
        ),
        (
            hig.spectral_step,
            (J, G),
            {"cutoff": float("nan")},
            ValueError,
            "cutoff = nan is not possible",
        ),
        (
            hig.spectral_step,
            (J, G),
            {"treatment": "cut"},
            ValueError,
            "treatment = cut .* truncate, clamp or damp",
        ),
        (
            hig.spectral_step,
            (J, G),
            {"route": "qr"},
            ValueError,
            "route = qr .* auto, gram, normal, lanczos or svd",
        ),
        (hig.spectral_step, (J, G), {"accuracy": 0.0}, ValueError, "accuracy = 0"),
        (hig.half_inverse, (NAN,), {}, ValueError, "jacobian is NaN at row 2, column 1"),
        (hig.half_inverse, (J.astype(np.int32),), {}, TypeError, "jacobian has dtype int32"),
        (
            hig.gram_step,
            (np.ones((3, 2)), G),
            {},
            ValueError,
            r"gram has shape \(3, 2\), expected \(n, n\)",
        ),
        (hig.gram_step, (NAN, G), {}, ValueError, "gram is NaN at row 2, column 1"),
        (hig.gram_step, (J, G[:2]), {}, ValueError, r"gradient has shape \(2,\), expected \(3,\)"),
    ],
)
def test_what_is_not_possible_is_said(function, arguments, settings, exception, message):
    with pytest.raises(exception, match=message):
        function(*arguments, **settings)


def test_a_jacobian_of_zeros_has_no_step():
    assert np.array_equal(hig.spectral_step(np.zeros((3, 5)), np.ones(3)), np.zeros(5))
    assert np.array_equal(hig.half_inverse(np.zeros((3, 5))), np.zeros((5, 3)))


def test_other_threads_run_meanwhile():
    jacobian, _ = conditioned(400, 1200, 1e3)
    turns, done = [0], threading.Event()

    def count():
        while not done.is_set():
            turns[0] += 1
            time.sleep(0.001)

    counter = threading.Thread(target=count)
    counter.start()
    before = turns[0]
    hig.half_inverse(jacobian)
    meanwhile = turns[0] - before
    done.set()
    counter.join()
    assert meanwhile > 10


def test_ctrl_c_ends_a_long_step_within_a_second():
    jacobian = np.random.default_rng(0).normal(size=(2800, 2800))
    pressed = []

    def press():
        pressed.append(time.perf_counter())
        _thread.interrupt_main()

    threading.Timer(0.5, press).start()
    with pytest.raises(KeyboardInterrupt):
        hig.half_inverse(jacobian)
    assert time.perf_counter() - pressed[0] < 1.0


@pytest.mark.parametrize("name", ["spectral_step", "half_inverse", "gram_step"])
def test_ctrl_c_ends_a_loop_over_short_steps(name):
    """One that is not Python's own, which would look for signals by itself."""
    jacobian, gradient = conditioned(10, 20, 1e3)
    told = [("exponent", "0.5")]
    arguments = {
        "spectral_step": (jacobian, gradient, told),
        "half_inverse": (jacobian, told),
        "gram_step": (jacobian @ jacobian.T, gradient, told),
    }
    endless = itertools.starmap(getattr(hig._hig, name), itertools.repeat(arguments[name]))
    pressed = []

    def press():
        pressed.append(time.perf_counter())
        _thread.interrupt_main()

    threading.Timer(0.2, press).start()
    with pytest.raises(KeyboardInterrupt):
        collections.deque(endless, maxlen=0)
    assert time.perf_counter() - pressed[0] < 1.0


def test_what_is_no_gram_matrix_is_refused():
    jacobian, gradient = conditioned(20, 30, 1e3)
    gram = jacobian @ jacobian.T
    smallest = f"{-np.linalg.eigvalsh(gram)[-1]:.3g}"[:4]
    with pytest.raises(ValueError, match=f"gram has the eigenvalue {smallest}"):
        hig.gram_step(-gram, gradient)
    with pytest.raises(ValueError, match="gram has the eigenvalue -1: expected"):
        hig.gram_step(np.diag([1.0, -1.0]), np.ones(2))
    for unit in (1e-290, 1e290):
        with pytest.raises(ValueError, match="gram has the eigenvalue -"):
            hig.gram_step(unit * np.diag([1.0, -1e-6]), np.ones(2))
    skew = gram.copy()
    skew[3, 5] += 1e-3 * gram.max()
    with pytest.raises(ValueError, match=r"gram is not symmetric: .* row [35], column [35]"):
        hig.gram_step(skew, gradient)


def test_a_gram_matrix_may_have_the_rounding_of_its_products():
    random = np.random.default_rng(0)
    for n, p in [(2, 100_000), (60, 3), (200, 400)]:
        jacobian = random.normal(size=(n, p))
        jacobian[-1] = jacobian[0]
        gram = np.stack([jacobian @ row for row in jacobian])
        assert np.isfinite(hig.gram_step(gram, np.ones(n))).all()
        with pytest.warns(hig.PrecisionWarning):
            hig.gram_step(gram.astype(np.float32), np.ones(n))
    assert np.array_equal(hig.gram_step(np.zeros((3, 3)), np.ones(3)), np.zeros(3))


def test_a_step_beyond_the_largest_number_is_told():
    jacobian, gradient = conditioned(5, 8, 10.0)
    tiny = 1e-310 * jacobian
    with pytest.raises(np.linalg.LinAlgError, match="beyond the largest"):
        hig.spectral_step(tiny, gradient, exponent=1.0)
    with pytest.raises(np.linalg.LinAlgError, match="beyond the largest"):
        hig.half_inverse(tiny, exponent=1.0)
    assert np.isfinite(hig.spectral_step(1e-290 * jacobian, gradient, exponent=1.0)).all()
