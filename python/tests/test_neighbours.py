"""Faces for optimistix and NetKet, against NumPy's SVD."""

from __future__ import annotations

import numpy as np
import pytest
from test_steps import reference

import hig
from hig._optional import jax_double

jax = pytest.importorskip("jax")
jnp = jax.numpy


def problem(seed=0):
    random = np.random.default_rng(seed)
    jacobian = random.normal(size=(5, 9)) * np.geomspace(1.0, 0.03, 5)[:, None]
    return jacobian, random.normal(size=5)


@pytest.mark.parametrize("exponent", [-1.0, 0.5, 1.0])
@pytest.mark.parametrize("compiled", [False, True])
def test_a_linear_solver_finds_the_direction(exponent, compiled):
    jacobian, g = problem()
    expected = reference(jacobian, g, exponent, 0.05)
    with jax_double():
        solve = hig.jax.linear_solver
        solve = jax.jit(solve, static_argnames=("exponent", "cutoff")) if compiled else solve
        b = jacobian.T @ g
        given = {"a": b[:4].reshape(2, 2), "b": b[4:]}
        x, info = solve(jacobian.T @ jacobian, given, exponent=exponent, cutoff=0.05)
        found = np.concatenate([np.ravel(x["a"]), x["b"]])
    kept = np.linalg.svd(jacobian, compute_uv=False)
    assert info["rank"] == (kept > 0.05 * kept[0]).sum()
    assert np.linalg.norm(found - expected) < 1e-9 * np.linalg.norm(expected)


def test_a_linear_solver_takes_operators_and_complex_numbers():
    class Operator:
        def to_dense(self):
            return matrix

    random = np.random.default_rng(3)
    with jax_double():
        jacobian = jnp.asarray(random.normal(size=(4, 6)) + 1j * random.normal(size=(4, 6)))
        g = jnp.asarray(random.normal(size=4) + 1j * random.normal(size=4))
        matrix = jacobian.conj().T @ jacobian
        x, info = hig.jax.linear_solver(Operator(), jacobian.conj().T @ g, exponent=1.0, x0=None)
        assert info["rank"] == 4 and np.allclose(jacobian @ x, g)
        with pytest.raises(ValueError, match=r"A has shape \(6, 6\), expected \(5, 5\)"):
            hig.jax.linear_solver(matrix, g[:1].repeat(5))


@pytest.mark.nightly
def test_netket_takes_the_linear_solver():
    netket = pytest.importorskip("netket")
    hilbert = netket.hilbert.Spin(0.5, 6)
    energy = netket.operator.Ising(hilbert, netket.graph.Chain(6), h=1.0)
    state = netket.vqs.FullSumState(hilbert, netket.models.RBM(alpha=1), seed=0)
    solver = hig.jax.linear_solver
    driver = netket.driver.VMC(
        energy,
        netket.optimizer.Sgd(0.1),
        variational_state=state,
        preconditioner=netket.optimizer.SR(diag_shift=1e-3, solver=solver),
    )
    driver.run(80, out=netket.logging.RuntimeLog(), show_progress=False)
    exact = netket.exact.lanczos_ed(energy)[0]
    assert abs(state.expect(energy).mean.real - exact) < 0.02 * abs(exact)


def residuals(y, t):
    return y["a"] * jnp.exp(-y["b"] * t) - 2.0 * jnp.exp(-0.7 * t)


@pytest.mark.parametrize("exponent", [0.5, 1.0])
def test_optimistix_solves_least_squares(exponent):
    optimistix = pytest.importorskip("optimistix")
    with jax_double():
        t, start = jnp.linspace(0.0, 3.0, 40), {"a": jnp.asarray(1.0), "b": jnp.asarray(1.0)}
        solver = hig.optimistix.HalfInverse(rtol=1e-10, atol=1e-10, exponent=exponent)
        found = optimistix.least_squares(residuals, solver, start, t, max_steps=400)
    assert np.allclose([found.value["a"], found.value["b"]], [2.0, 0.7], atol=1e-6)


def test_the_descent_of_optimistix_is_the_half_inverse():
    optimistix = pytest.importorskip("optimistix")
    lineax = pytest.importorskip("lineax")
    jacobian, g = problem()
    with jax_double():
        descent = hig.optimistix.HalfInverseDescent(cutoff=0.05)
        info = optimistix.FunctionInfo.ResidualJac(
            jnp.asarray(g), lineax.MatrixLinearOperator(jnp.asarray(jacobian))
        )
        y = jnp.zeros(9)
        query = jax.jit(lambda y: descent.query(y, info, descent.init(y, info)))
        step, _ = descent.step(0.5, query(y))
    expected = -0.5 * reference(jacobian, g, 0.5, 0.05)
    assert np.linalg.norm(step - expected) < 1e-9 * np.linalg.norm(expected)
    with pytest.raises(ValueError, match="cutoff = 2"):
        hig.optimistix.HalfInverseDescent(cutoff=2.0)
