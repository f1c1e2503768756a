"""Factors of the rows of J, found in JAX functions, against the dense Jacobian."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import hig
from hig._optional import jax_double

jax = pytest.importorskip("jax")
Factors = pytest.importorskip("hig._jax_factors").Factors
flatten_util = pytest.importorskip("jax.flatten_util")
jnp, lax = jax.numpy, jax.lax

random = np.random.default_rng(0)


def draw(*shape):
    return random.normal(size=shape)


def layers(*widths):
    return [{"w": draw(a, b), "b": draw(b)} for a, b in itertools.pairwise(widths)]


def network(parameters, x):
    for layer in parameters[:-1]:
        x = jnp.tanh(x @ layer["w"] + layer["b"])
    return x @ parameters[-1]["w"] + parameters[-1]["b"]


def recurrent(q, x):
    def step(hidden, now):
        return jnp.tanh(hidden @ q["w"] + q["b"] + q["u"] @ now), None

    return lax.scan(step, jnp.zeros(4), x)[0]


def stack(q, x):
    """A scan over a stack of layers."""
    return lax.scan(lambda h, q: (h + jnp.tanh(h @ q["w"] + q["b"]), None), x, q)[0]


def repeated_stack(q, x):
    return lax.scan(lambda h, x: (stack(q, h + x), None), jnp.zeros(4), x, reverse=True)[0]


def convolution(q, x):
    numbers = ("NHWC", "HWIO", "NHWC")
    z = lax.conv_general_dilated(x[None], q["k"], (1, 1), "SAME", dimension_numbers=numbers)
    return (jnp.tanh(z + q["b"]) @ q["v"]).ravel()


def strided(q, x):
    numbers = ("NCHW", "OIHW", "NCHW")
    z = lax.conv_general_dilated(
        x[None], q, (2, 1), [(1, 0), (0, 2)], lhs_dilation=(1, 2), dimension_numbers=numbers
    )
    return jnp.tanh(z).sum((2, 3))[0]


def flat(q, x):
    w, b, v = jnp.split(q, [12, 16])
    return jnp.tanh(x @ w.reshape(3, 4) + b) @ v.reshape(4, 2)


@jax.custom_jvp
def bent(x):
    return jnp.tanh(x)


bent.defjvp(lambda at, along: (bent(*at), (1.0 - jnp.tanh(at[0]) ** 2) * along[0]))


def by_position(q, x):
    return jax.vmap(lambda x: q["v"] @ jax.nn.silu(q["w"] @ x + q["b"]))(x).ravel()


# Function, parameters, a sample, and which share of the parameters is left.
CASES = {
    "dense": (network, layers(3, 5, 4), draw(3), 0),
    "positions": (lambda q, x: network(q, x).ravel(), layers(3, 5, 4), draw(2, 3), 0),
    "weight on the left": (
        by_position,
        {"w": draw(5, 3), "b": draw(5), "v": draw(2, 5)},
        draw(2, 3),
        0,
    ),
    "einsum": (lambda q, x: jnp.einsum("i,io->o", x, q["w"]) + q["b"], layers(3, 4)[0], draw(3), 0),
    "called twice": (
        lambda q, x: network(q, jnp.tanh(network(q, x))[:3]),
        layers(3, 5, 4),
        draw(3),
        0,
    ),
    "with and without bias": (
        lambda q, x: jnp.tanh(x @ q["w"] + q["b"]) + (x**2) @ q["w"],
        layers(4, 4)[0],
        draw(4),
        0,
    ),
    "residual": (lambda q, x: x + jnp.tanh(x @ q["w"] + q["b"]), layers(4, 4)[0], draw(4), 0),
    "recurrent": (recurrent, {"w": draw(4, 4), "b": draw(4), "u": draw(4, 3)}, draw(2, 3), 0),
    "stack": (stack, {"w": draw(3, 4, 4), "b": draw(3, 4)}, draw(4), 0),
    "repeated stack": (repeated_stack, {"w": draw(3, 4, 4), "b": draw(3, 4)}, draw(2, 4), 0),
    "ensemble": (
        lambda q, x: jax.vmap(lambda q: jnp.tanh(x @ q["w"] + q["b"]))(q).ravel(),
        {"w": draw(3, 4, 4), "b": draw(3, 4)},
        draw(4),
        0,
    ),
    "checkpoint": (jax.checkpoint(network), layers(3, 5, 4), draw(3), 0),
    "compiled inside": (jax.jit(network), layers(3, 5, 4), draw(3), 0),
    "own derivative": (lambda q, x: bent(x @ q["w"] + q["b"]), layers(4, 4)[0], draw(4), 0),
    "flat": (flat, draw(24), draw(3), 0),
    "derivative in the input": (
        lambda q, x: jax.jvp(lambda x: network(q, x), (x,), (jnp.ones(3),))[1],
        layers(3, 5, 4),
        draw(3),
        0,
    ),
    "convolution": (
        convolution,
        {"k": draw(3, 3, 2, 5), "b": draw(5), "v": draw(5, 2)},
        draw(2, 2, 2),
        10,
    ),
    "strides and dilation": (strided, draw(5, 2, 2, 3), draw(2, 3, 2), 0),
    "many passes": (lambda q, x: network(q, x).sum(0), layers(3, 5, 4), draw(9, 3), 44),
    # What is used in another way as well is left as it is.
    "tied": (lambda q, x: jnp.tanh(x @ q) @ q.T, draw(3, 7), draw(3), 21),
    "one bias for two": (
        lambda q, x: jnp.tanh(x @ q["w"] + q["b"]) @ q["v"] + q["b"],
        {"w": draw(3, 4), "b": draw(4), "v": draw(4, 4)},
        draw(3),
        4,
    ),
    "scaled": (
        lambda q, x: jnp.tanh(x @ (q["w"] * 2.0)) @ q["v"],
        {"w": draw(3, 4), "v": draw(4, 2)},
        draw(3),
        12,
    ),
    "a part of an array": (
        lambda q, x: jnp.tanh(x @ q[:3]) @ q[1:],
        draw(4, 3),
        draw(3),
        12,
    ),
    "branches": (
        lambda q, x: lax.cond(x[0] > 0, lambda: jnp.tanh(x @ q), lambda: x @ q),
        draw(4, 4),
        draw(4),
        16,
    ),
    "decay of weights": (
        lambda q, x: jnp.append(x @ q, jnp.sum(q**2)),
        draw(4, 4),
        draw(4),
        16,
    ),
    "no effect": (lambda q, x: x @ q["w"], {"w": draw(3, 2), "unused": draw(3)}, draw(3), 0),
}


@pytest.mark.parametrize("name", CASES)
def test_rows_are_those_of_the_dense_jacobian(name):
    function, parameters, sample, left = CASES[name]
    with jax_double():
        factors = Factors(function, parameters, sample)
        theta, unravel = flatten_util.ravel_pytree(parameters)

        def both(theta, sample):
            rows = jax.jacrev(lambda t: function(unravel(t), sample))(theta)
            return factors.of_sample(function, unravel(theta), sample), rows

        (_, given, rest), expected = jax.jit(both)(theta, sample)
    expected = np.asarray(expected)
    found = np.zeros_like(expected)
    found[:, factors.rest] = rest
    for part, (a, d) in zip(factors.parts, given, strict=True):
        found[:, part.weight] = np.einsum("ci,kco->kio", a, d)
        biased = part.bias >= 0
        found[:, part.bias[biased]] = np.einsum("c,kco->ko", part.biased, d)[:, biased]
    assert len(factors.rest) == left
    assert np.abs(found - expected).max() < 1e-13 * np.abs(expected).max()


def many(name):
    """The function of a case for a batch, with the batch of seven samples."""
    function, parameters, sample, _ = CASES[name]
    x = np.random.default_rng(1).normal(size=(7, *sample.shape))

    def predict(parameters, batch):
        return jax.vmap(lambda x: function(parameters, x))(batch["x"])

    width = len(function(parameters, sample))
    return predict, parameters, {"x": x, "y": np.random.default_rng(2).normal(size=(7, width))}


def loss(y, batch):
    return jnp.mean(jnp.sum((y - batch["y"]) ** 2, axis=1))


@pytest.mark.parametrize(
    "name", ["dense", "recurrent", "repeated stack", "convolution", "one bias for two"]
)
@pytest.mark.parametrize("compiled", [False, True])
def test_a_step_is_that_of_the_dense_jacobian(name, compiled):
    with jax_double():
        predict, parameters, batch = many(name)
        assert found_factors(predict, parameters, batch) is not None
        found = []
        for matrix in ("jacobian", "auto"):
            made = hig.jax.half_inverse(predict, loss, cutoff=1e-3, matrix=matrix)
            update = jax.jit(made.update) if compiled else made.update
            updates, _ = update(None, made.init(parameters), parameters, batch=batch)
            found.append(flatten_util.ravel_pytree(updates)[0])
    assert np.linalg.norm(found[0] - found[1]) < 1e-9 * np.linalg.norm(found[0])


def found_factors(predict, parameters, batch):
    passes = hig.jax._passes(predict, loss, 64, True)
    arrays = jax.tree.map(jnp.asarray, (parameters, batch))
    return passes.factors(*arrays)


@pytest.mark.parametrize("name", ["dense", "recurrent", "one bias for two"])
@pytest.mark.parametrize("method", ["hig", "lm", "adaptive-hig", "spring"])
def test_a_training_is_that_of_the_dense_jacobian(name, method):
    predict, parameters, batch = many(name)
    found = []
    for factored in (True, False):
        objective = hig.jax.objective(predict, loss, parameters, batch)
        assert objective._adapter.factors is not None
        if not factored:
            objective._adapter.factors = None
            objective = hig.Objective._of(objective._adapter, *objective._made)
        chosen = hig.methods.HalfInverse(cutoff=1e-3) if method == "hig" else method
        result = hig.train(objective, chosen, updates=6, batch=7, returned="last")
        found.append(result.weights)
    assert np.allclose(*found, rtol=1e-7, atol=1e-9)


def test_the_jacobian_is_not_formed():
    # A network of 2.6 million weights: 300 rows of J would be 6 GB.
    parameters = layers(8, 1600, 1600, 2)
    predict = lambda q, batch: network(q, batch["x"])  # noqa: E731
    x = draw(150, 8)
    batch = {"x": x, "y": np.sin(x[:, :2])}
    made = hig.jax.half_inverse(predict, loss, cutoff=1e-3)
    update = jax.jit(made.update).lower(None, made.init(parameters), parameters, batch=batch)
    with jax_double():
        memory = update.compile().memory_analysis()
    assert memory.temp_size_in_bytes < 2e8


def test_values_of_the_code_around_a_function_may_change():
    """A function that closes over a value that is traced."""
    parameters, batch = layers(3, 5, 4), {"x": draw(6, 3), "y": draw(6, 4)}

    @jax.jit
    def stepped(scale):
        predict = lambda q, batch: scale * network(q, batch["x"])  # noqa: E731
        made = hig.jax.half_inverse(predict, loss, cutoff=1e-3)
        return made.update(None, made.init(parameters), parameters, batch=batch)[0]

    for scale in (1.0, 2.0):
        predict = lambda q, batch, scale=scale: scale * network(q, batch["x"])  # noqa: E731
        made = hig.jax.half_inverse(predict, loss, cutoff=1e-3)
        expected = made.update(None, made.init(parameters), parameters, batch=batch)[0]
        for a, b in zip(jax.tree.leaves(stepped(scale)), jax.tree.leaves(expected)):
            assert np.allclose(a, b, rtol=1e-4, atol=1e-6)
