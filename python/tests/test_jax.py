"""Half-inverse gradients for a JAX network, against NumPy's SVD of its Jacobian."""

from __future__ import annotations

import numpy as np
import pytest
from test_steps import reference

import hig
from hig._optional import jax_double

jax = pytest.importorskip("jax")
optax = pytest.importorskip("optax")
jnp = jax.numpy


def predict(parameters, batch):
    hidden = jnp.tanh(batch["x"] @ parameters["in"]["w"] + parameters["in"]["b"])
    return hidden @ parameters["out"]


def loss(y, batch):
    return jnp.mean(jnp.sum((y - batch["target"]) ** 2, axis=1))


def start(dtype=np.float32, samples=20):
    random = np.random.default_rng(0)

    def draw(*shape):
        return jnp.asarray(random.normal(size=shape), dtype=dtype)

    parameters = {"in": {"w": draw(2, 6), "b": draw(6)}, "out": draw(6, 3)}
    x = random.normal(size=(samples, 2))
    target = np.stack([np.sin(x[:, 0]), x[:, 0] * x[:, 1], np.cos(x[:, 1])], axis=1)
    return parameters, {"x": x, "target": target}


def expected_step(parameters, batch, exponent, cutoff):
    """From differences, in NumPy."""
    flat = [np.asarray(v, dtype=np.float64) for v in jax.tree.leaves(parameters)]
    b, w, out = flat
    x, target = batch["x"], batch["target"]
    hidden = np.tanh(x @ w + b)
    slope = 1.0 - hidden**2
    samples = len(x)
    rows = np.zeros((samples, 3, b.size + w.size + out.size))
    for i in range(3):
        back = slope * out[:, i]
        rows[:, i, :6] = back
        rows[:, i, 6:18] = np.einsum("sk,sh->skh", x, back).reshape(samples, 12)
        for h in range(6):
            rows[:, i, 18 + 3 * h + i] = hidden[:, h]
    gradient = 2.0 / samples * (hidden @ out - target)
    return -reference(rows.reshape(samples * 3, -1), gradient.ravel(), exponent, cutoff)


@pytest.mark.parametrize("exponent", [0.5, 1.0])
@pytest.mark.parametrize(
    ("matrix", "tolerance"), [("jacobian", 1e-9), ("gram", 1e-7), ("auto", 1e-9)]
)
def test_the_step_is_that_of_the_dense_jacobian(matrix, tolerance, exponent):
    with jax_double():
        parameters, batch = start(np.float64)
        optimizer = hig.jax.half_inverse(predict, loss, 0.7, exponent, 1e-3, matrix=matrix, rows=7)
        updates, state = optimizer.update(None, optimizer.init(parameters), parameters, batch=batch)
        found = np.concatenate([np.ravel(v) for v in jax.tree.leaves(updates)])
        value = float(loss(predict(parameters, batch), batch))
    expected = 0.7 * expected_step(parameters, batch, exponent, 1e-3)
    assert np.linalg.norm(found - expected) < tolerance * np.linalg.norm(expected)
    assert state.updates == 1 and state.loss == pytest.approx(value)


def test_updates_have_the_shape_and_the_precision_of_the_parameters():
    parameters, batch = start()
    optimizer = hig.jax.half_inverse(predict, loss)
    updates, _ = optimizer.update(None, optimizer.init(parameters), parameters, batch=batch)
    assert jax.tree.map(lambda v: (v.shape, v.dtype), updates) == jax.tree.map(
        lambda v: (v.shape, v.dtype), parameters
    )
    # Computed in f64 all the same: rounded once.
    expected = expected_step(parameters, batch, 0.5, 1e-6)
    found = np.concatenate([np.ravel(v) for v in jax.tree.leaves(updates)])
    assert np.linalg.norm(found - expected) < 1e-6 * np.linalg.norm(expected)


def test_it_trains_within_an_optax_chain():
    parameters, batch = start()
    optimizer = optax.chain(
        hig.jax.half_inverse(predict, loss, cutoff=1e-5), optax.clip_by_global_norm(1.0)
    )
    state, losses = optimizer.init(parameters), []
    for _ in range(60):
        updates, state = optimizer.update(parameters, state, parameters, batch=batch)
        parameters = optax.apply_updates(parameters, updates)
        losses.append(state[0].loss)
    assert losses[-1] < 1e-2 * losses[0]


@pytest.mark.parametrize(
    ("make", "exception", "message"),
    [
        (lambda: hig.jax.half_inverse(predict, loss, cutoff=2.0), ValueError, "cutoff = 2.0"),
        (
            lambda: hig.jax.half_inverse(predict, loss, matrix="k"),
            ValueError,
            "matrix = k is not possible",
        ),
        (
            lambda: hig.jax.half_inverse(predict, loss).update(None, None),
            ValueError,
            "needs update",
        ),
        (
            lambda: hig.jax.half_inverse(predict, loss).update(
                None, None, {"w": jnp.ones(2, dtype=int)}, batch=start()[1]
            ),
            TypeError,
            "parameters have a leaf of dtype int",
        ),
    ],
)
def test_what_is_not_possible_is_said(make, exception, message):
    with pytest.raises(exception, match=message):
        make()


def test_nan_is_refused():
    parameters, batch = start()
    batch["x"][3, 1] = np.nan
    optimizer = hig.jax.half_inverse(predict, loss)
    with pytest.raises(ValueError, match=r"is NaN|is nan"):
        optimizer.update(None, optimizer.init(parameters), parameters, batch=batch)


def optimizer(**settings):
    return hig.jax.half_inverse(predict, loss, **settings)


def half(parameters):
    return {"in": {"w": True, "b": True}, "out": False}


@pytest.mark.parametrize(
    ("wrapped", "told"),
    [
        (lambda: optax.MultiSteps(optimizer(), 2), "compiled code"),
        (lambda: optax.apply_if_finite(optimizer(), 1), "compiled code"),
        (lambda: optax.masked(optimizer(), half), "a part of the parameters"),
        (
            lambda: optax.multi_transform(
                {True: optimizer(), False: optax.set_to_zero()},
                {"in": {"w": True, "b": True}, "out": False},
            ),
            "a part of the parameters",
        ),
    ],
    ids=["MultiSteps", "apply_if_finite", "masked", "multi_transform"],
)
def test_a_wrapper_that_cannot_work_is_told_in_one_sentence(wrapped, told):
    parameters, batch = start()
    gradients = jax.tree.map(jnp.zeros_like, parameters)
    wrapper = wrapped()
    state = wrapper.init(parameters)
    with pytest.raises(TypeError, match=told):
        wrapper.update(gradients, state, parameters, batch=batch)


def test_what_is_no_number_and_what_is_no_array_is_told():
    schedule = optax.cosine_decay_schedule(1.0, 10)
    with pytest.raises(TypeError, match="scale_by_schedule"):
        optimizer(learning_rate=schedule)
    with pytest.raises(TypeError, match="predict is of type int"):
        hig.jax.half_inverse(1, loss)
    parameters, batch = start()
    with pytest.raises(TypeError, match=r"function.*equinox\.partition"):
        optimizer().update(None, None, {**parameters, "activation": lambda x: x}, batch=batch)


def test_a_schedule_is_a_factor_after_it():
    parameters, batch = start()
    chain = optax.chain(optimizer(), optax.scale_by_schedule(lambda count: 0.25))
    updates, _ = chain.update(None, chain.init(parameters), parameters, batch=batch)
    plain, _ = optimizer().update(None, optimizer().init(parameters), parameters, batch=batch)
    for half_way, full in zip(jax.tree.leaves(updates), jax.tree.leaves(plain), strict=True):
        np.testing.assert_allclose(half_way, 0.25 * full, rtol=1e-6)
