"""Half-inverse updates: the paper's way, and every way of doing it well in JAX that was tried.

A way is a function (parameters, x, target) -> new parameters, still to be compiled. Vectors of
length n are stacked as in the library: component * batch + sample.
"""

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from systems import ACTIVATIONS, SLOPES


def keep(sigma, cutoff):
    return sigma > cutoff * sigma.max()


def power(sigma, kept, exponent):
    """sigma^-exponent where it is kept, else 0."""
    return jnp.where(kept, jnp.where(kept, sigma, 1.0) ** -exponent, 0.0)


def moved(parameters, direction, rate):
    """The parameters after a step; the direction is flat or of the same shape."""
    if not isinstance(direction, list):
        direction = ravel_pytree(parameters)[1](direction)
    return jax.tree.map(lambda w, d: w - rate * d, parameters, direction)


def automatic_jacobian(problem, parameters, x):
    """y (batch x dim(y)), and J (n x p) by reverse mode for each sample."""
    both = lambda parameters, x: (problem.output(parameters, x),) * 2
    derivative = jax.vmap(jax.jacrev(both, has_aux=True), in_axes=(None, 0))
    parts, y = derivative(parameters, x)
    parts = [jnp.swapaxes(p, 0, 1).reshape(y.size, -1) for p in jax.tree.leaves(parts)]
    return y, jnp.concatenate(parts, 1)


def cotangent(problem, y, target):
    return jax.grad(problem.batch_loss)(y, target).T.reshape(-1)


def papers(problem):
    """J as a matrix, its SVD, V f(Sigma) U^T g."""
    method = problem.method

    def update(parameters, x, target):
        y, jacobian = automatic_jacobian(problem, parameters, x)
        u, sigma, vt = jnp.linalg.svd(jacobian, full_matrices=False)
        weight = power(sigma, keep(sigma, method["cutoff"]), method["exponent"])
        direction = vt.T @ (weight * (u.T @ cotangent(problem, y, target)))
        return moved(parameters, direction, method["learning_rate"])

    return update


class Passes:
    """One batch: forward through network and physics, and rows carried back to every layer."""

    def __init__(self, problem, parameters, x, target):
        self.problem, self.parameters = problem, parameters
        self.values = [x]
        for weight, bias in parameters[:-1]:
            linear = self.values[-1] @ weight.T + bias
            self.values.append(ACTIVATIONS[problem.activation](linear))
        weight, bias = parameters[-1]
        y, self.rows = problem.physics.rows(x, self.values[-1] @ weight.T + bias)
        self.g = cotangent(problem, y, target)

    def back(self, rows):
        """Cotangents of the control (... x batch x control) at the outputs of all layers."""
        layers = [rows]
        for (weight, _), value in zip(self.parameters[:0:-1], self.values[:0:-1]):
            rows = (rows @ weight) * SLOPES[self.problem.activation](value)
            layers.append(rows)
        return layers[::-1]

    def gram_of_factors(self):
        """K = sum over layers of (D D^T) o (A A^T + 1), J never formed."""
        components, samples = self.rows.shape[:2]
        gram = 0
        for rows, value in zip(self.back(self.rows), self.values):
            flat = rows.reshape(components * samples, -1)
            products = (flat @ flat.T).reshape(components, samples, components, samples)
            gram = gram + products * (value @ value.T + 1)[None, :, None, :]
        return gram.reshape(components * samples, -1)

    def jacobian(self):
        """J (n x p) from the rows at every layer."""
        parts = []
        for rows, value in zip(self.back(self.rows), self.values):
            flat = rows.reshape(-1, rows.shape[-1])
            parts += [(rows[..., None] * value[:, None, :]).reshape(len(flat), -1), flat]
        return jnp.concatenate(parts, 1)

    def pull(self, c):
        """J^T c as parameters: one backward pass."""
        cotangents = jnp.einsum("dbu,db->bu", self.rows, c.reshape(self.rows.shape[:2]))
        layers = zip(self.back(cotangents), self.values)
        return [(rows.T @ value, rows.sum(0)) for rows, value in layers]


def combined(problem, passes, vectors, sigma):
    """c = U (f(Sigma) / Sigma) U^T g, to be pulled back."""
    method = problem.method
    ratio = power(sigma, keep(sigma, method["cutoff"]), method["exponent"] + 1)
    return vectors @ (ratio * (vectors.T @ passes.g))


def by_eigh(gram_of):
    def way(problem):
        def update(parameters, x, target):
            passes = Passes(problem, parameters, x, target)
            values, vectors = jnp.linalg.eigh(gram_of(passes))
            c = combined(problem, passes, vectors, jnp.sqrt(jnp.maximum(values, 0)))
            return moved(parameters, passes.pull(c), problem.method["learning_rate"])

        return update

    return way


def product_gram(passes):
    jacobian = passes.jacobian()
    return jacobian @ jacobian.T


def by_qr(problem):
    """J^T = Q R, then the SVD of R: as accurate as that of J, and n x n."""

    def update(parameters, x, target):
        passes = Passes(problem, parameters, x, target)
        triangle = jnp.linalg.qr(passes.jacobian().T, mode="r")
        _, sigma, vt = jnp.linalg.svd(triangle)
        c = combined(problem, passes, vt.T, sigma)
        return moved(parameters, passes.pull(c), problem.method["learning_rate"])

    return update


def by_svd(problem):
    """The SVD of J, all else as well as in the other ways."""

    def update(parameters, x, target):
        passes = Passes(problem, parameters, x, target)
        u, sigma, vt = jnp.linalg.svd(passes.jacobian(), full_matrices=False)
        weight = power(sigma, keep(sigma, problem.method["cutoff"]), problem.method["exponent"])
        direction = vt.T @ (weight * (u.T @ passes.g))
        return moved(parameters, direction, problem.method["learning_rate"])

    return update


# The candidates for the best way in f64; the fastest that is accurate enough stands for JAX.
BEST = {
    "K of layer factors, eigh": by_eigh(Passes.gram_of_factors),
    "K = J J^T, eigh": by_eigh(product_gram),
    "QR of J^T, SVD of R": by_qr,
    "SVD of J": by_svd,
}
