"""The method adaptive-hig in compiled JAX code, against the same from plain Python."""

from __future__ import annotations

import numpy as np
import pytest

import hig
from hig._optional import jax_double

jax = pytest.importorskip("jax")
optax = pytest.importorskip("optax")
from test_jax_objective import loss, predict, regression  # noqa: E402

jnp = jax.numpy


def adaptive_steps(optimizer, parameters, batch, count, compiled):
    def step(carry, _):
        parameters, state = carry
        updates, state = optimizer.update(None, state, parameters, batch=batch)
        return (optax.apply_updates(parameters, updates), state), state.loss

    carry = parameters, optimizer.init(parameters)
    if compiled:
        return jax.jit(lambda carry: jax.lax.scan(step, carry, length=count))(carry)
    losses = []
    for _ in range(count):
        carry, told = step(carry, None)
        losses.append(told)
    return carry, jnp.stack(losses)


def wide(parameters, batch):
    """Fewer rows than a pass costs: more outputs of a sample than parameters."""
    return jnp.tile(predict(parameters, batch), (1, 40))


def coupled(parameters, batch):
    y = predict(parameters, batch)
    return y - jnp.mean(y, axis=0)


def mixed(y, batch):
    """A loss whose second derivative mixes components, and samples."""
    away = y[:, :2] - batch["y"]
    return (
        jnp.mean(jnp.sum(away**2, axis=1) + 0.2 * jnp.prod(away, axis=1))
        + 0.01 * jnp.mean(away) ** 2
    )


@pytest.mark.parametrize(
    ("model", "judged", "settings"),
    [
        (predict, loss, {}),
        (predict, mixed, {}),
        (coupled, loss, {"per_sample": False}),
        (
            wide,
            lambda y, batch: loss(y[:, :2], batch),
            {"curvature": lambda y, _: jnp.ones_like(y)},
        ),
        (predict, loss, {"sketch": 1}),
        (predict, loss, {"route": "lanczos"}),
        (predict, loss, {"geodesic": True}),
    ],
    ids=["factors", "mixed", "whole batch", "wide", "sketch", "lanczos", "geodesic"],
)
def test_adaptive_updates_stand_in_compiled_code(model, judged, settings):
    parameters, train = regression()
    with jax_double():
        optimizer = hig.jax.adaptive_half_inverse(model, judged, **settings)
        found = [adaptive_steps(optimizer, parameters, train, 5, way) for way in (False, True)]
        ((plain, state), losses), ((other, after), found_losses) = found
    # Lanczos magnifies the rounding in which the two differ.
    rounding = 1e-6 if "route" in settings else 1e-9
    assert np.allclose(losses, found_losses, rtol=rounding)
    for a, b in zip(jax.tree.leaves(plain), jax.tree.leaves(other), strict=True):
        assert np.allclose(a, b, rtol=100 * rounding, atol=rounding)
    assert int(after.updates) == 5 and after.diagnostics.keys() == state.diagnostics.keys()
    assert np.allclose(after.diagnostics["rank"], state.diagnostics["rank"], rtol=1e3 * rounding)


def test_adaptive_updates_in_compiled_code_in_single_precision_and_side_by_side():
    parameters, train = regression(np.float32)
    optimizer = hig.jax.adaptive_half_inverse(predict, loss)
    (plain, _), losses = adaptive_steps(optimizer, parameters, train, 4, True)
    assert all(leaf.dtype == np.float32 for leaf in jax.tree.leaves(plain))
    assert losses[-1] < 0.5 * losses[0]
    # Several trainings at once take their turns.
    several = jax.tree.map(lambda leaf: jnp.stack([leaf, 0.5 * leaf]), parameters)
    states = jax.vmap(optimizer.init)(several)
    both = jax.jit(jax.vmap(lambda q, s: optimizer.update(None, s, q, batch=train)[0]))
    updates = both(several, states)
    for i in range(2):
        one, state = jax.tree.map(lambda leaf, i=i: leaf[i], (several, states))
        alone = optimizer.update(None, state, one, batch=train)[0]
        for a, b in zip(jax.tree.leaves(updates), jax.tree.leaves(alone)):
            assert np.allclose(a[i], b, rtol=1e-4, atol=1e-6)


def test_adaptive_updates_compose_with_what_compiles():
    parameters, train = regression()
    with jax_double():
        made = hig.jax.adaptive_half_inverse(predict, loss)
        for wrapped in (optax.apply_if_finite(made, 2), optax.chain(made, optax.clip(1e3))):
            state = wrapped.init(parameters)
            zeros = jax.tree.map(jnp.zeros_like, parameters)
            found, _ = jax.jit(wrapped.update)(zeros, state, parameters, batch=train)
            expected, _ = made.update(None, made.init(parameters), parameters, batch=train)
            for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected)):
                assert np.allclose(a, b, rtol=1e-7, atol=1e-10)


def test_what_goes_wrong_in_an_adaptive_update_of_compiled_code():
    parameters, train = regression()
    with jax_double():
        optimizer = hig.jax.adaptive_half_inverse(predict, loss)
        state = optimizer.init(parameters)
        spoilt = {**train, "y": np.full_like(train["y"], np.nan)}
        updates, after = jax.jit(optimizer.update)(None, state, parameters, batch=spoilt)
        assert all(np.isnan(leaf).all() for leaf in jax.tree.leaves(updates))
        assert np.array_equal(after.memory, state.memory)
        # The next one goes on.
        updates, _ = jax.jit(optimizer.update)(None, after, parameters, batch=train)
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(updates))
        together = hig.jax.adaptive_half_inverse(coupled, loss)
        with pytest.raises(Exception, match="say per_sample=False"):
            jax.block_until_ready(jax.jit(together.update)(None, state, parameters, batch=train))
        with pytest.raises(ValueError, match="as many samples along the first axis"):
            jax.jit(optimizer.update)(None, state, parameters, batch={**train, "x": train["x"][:3]})
