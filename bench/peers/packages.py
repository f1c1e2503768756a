"""Published packages, asked for one damped Gauss-Newton step, theta - J^T (K + damping)^-1 g.

Their losses are squares of residuals. The residual r(theta) = y(theta) - (y_0 - g), with y_0 and g
those of the starting weights, is g there, so that every system's step is a step of theirs.
"""

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

import ways


def targets(problem, parameters, x, target):
    """y_0 - g (batch x dim(y))."""
    y = jax.vmap(problem.output, in_axes=(None, 0))(parameters, x)
    return y - ways.cotangent(problem, y, target).reshape(y.shape[1], -1).T


def nlls_gram(problem, damping, start):
    """Levenberg-Marquardt with a dense Jacobian and the Cholesky factors of J J^T + damping."""
    from nlls_gram import Cholesky, LevenbergMarquardt

    def residual(parameters, args):
        x, wanted = args
        return (jax.vmap(problem.output, in_axes=(None, 0))(parameters, x) - wanted).T.reshape(-1)

    solver = LevenbergMarquardt(
        residual,
        init_damping=damping,
        linear_solver=Cholesky(),
        geodesic_acceleration=False,
        cache_jacobian=False,
    )
    x, wanted = start[1], targets(problem, *start)

    def update(parameters, x, _):
        state = solver.init(parameters, (x, wanted))
        return solver.update(parameters, state, (x, wanted))[0]

    return update


def somax(problem, damping, start):
    """`egn_mse`: exact Gauss-Newton, Cholesky in the space of the outputs."""
    import somax

    def predict(parameters, x):
        return jax.vmap(problem.output, in_axes=(None, 0))(parameters, x).T.reshape(-1)

    # Its loss is the mean over rows, and the damping that of the mean.
    method = somax.egn_mse(predict_fn=predict, lam0=damping / problem.n, learning_rate=1.0)
    wanted = targets(problem, *start).T.reshape(-1)
    state, key = method.init(start[0]), jax.random.PRNGKey(0)

    def update(parameters, x, _):
        return method.step(parameters, {"x": x, "y": wanted}, state, key)[0]

    return update


def randngd(problem, damping, start):
    """`NGDFull`: the p x p Gramian J^T J and its Cholesky factors, by the package's own parts."""
    import randngd
    from randngd.linalg import cholesky_solve

    terms = [(problem.output, start[1], 1.0)]
    metric = randngd.metrics.gauss_newton(terms, start[0], representation="full")

    def update(parameters, x, target):
        y, pull = jax.vjp(
            lambda parameters: jax.vmap(problem.output, in_axes=(None, 0))(parameters, x),
            parameters,
        )
        g = ways.cotangent(problem, y, target).reshape(y.shape[1], -1).T
        gradient = ravel_pytree(pull(g)[0])[0]
        gramian = metric(parameters).full()
        return ways.moved(parameters, cholesky_solve(gramian, damping, gradient), 1.0)

    return update


def optimistix(problem, damping, start):
    """The step of its Levenberg-Marquardt, `DampedNewtonDescent`, by the package's own parts: the QR
    decomposition of J over sqrt(damping), which has p columns."""
    import lineax
    import optimistix as package

    descent = package.DampedNewtonDescent(linear_solver=lineax.QR())
    unravel = ravel_pytree(start[0])[1]
    wanted = targets(problem, *start)

    def residual(flat, x):
        y = jax.vmap(problem.output, in_axes=(None, 0))(unravel(flat), x)
        return (y - wanted).T.reshape(-1)

    def update(parameters, x, _):
        flat = ravel_pytree(parameters)[0]
        jacobian = lineax.JacobianLinearOperator(residual, flat, x, jac="bwd")
        info = package.FunctionInfo.ResidualJac(residual(flat, x), jacobian)
        state = descent.query(flat, info, None)
        return unravel(flat + descent.step(jnp.asarray(1.0 / damping), state)[0])

    return update


# The most parameters that a package is asked for: p x p matrices, and n products one by one.
PACKAGES = {
    "nlls-gram": (nlls_gram, 10**9),
    "python-somax": (somax, 10**9),
    "randngd": (randngd, 4000),
    "optimistix": (optimistix, 2000),
}
