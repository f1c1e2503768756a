"""Half-inverse gradients for a JAX network, against NumPy's SVD of its Jacobian."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

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
            r"parameters\['w'\] has dtype int",
        ),
    ],
)
def test_what_is_not_possible_is_said(make, exception, message):
    with pytest.raises(exception, match=message):
        make()


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("make", ["half_inverse", "adaptive_half_inverse"])
@pytest.mark.parametrize(
    ("leaf", "message"),
    [
        (np.arange(3), r"parameters\['extra'\] has dtype int"),
        (np.ones(2, bool), r"parameters\['extra'\] has dtype bool"),
        (1j * np.ones(2), r"parameters\['extra'\] has dtype complex"),
        (jax.random.key(0), r"parameters\['extra'\] has dtype key.*leave it out"),
    ],
)
def test_leaves_that_are_no_real_numbers_are_told_by_their_path(leaf, message, make, compiled):
    parameters, batch = start()
    made = getattr(hig.jax, make)(predict, loss)
    update = jax.jit(made.update) if compiled else made.update
    state = made.init(parameters)
    with pytest.raises(TypeError, match=message):
        update(None, state, {**parameters, "extra": leaf}, batch=batch)


def test_leaves_without_numbers_and_arrays_that_stand_twice():
    """An array that stands at two places is two parameters, as for every transformation of optax."""
    parameters, batch = start()
    made = optimizer(cutoff=1e-3)
    given = {**parameters, "again": parameters["out"], "empty": jnp.zeros((0, 2))}
    twice = lambda q, b: predict(q, b) + 0.0 * jnp.sum(q["again"])  # noqa: E731
    found, _ = hig.jax.half_inverse(twice, loss, cutoff=1e-3).update(
        None, made.init(given), given, batch=batch
    )
    expected, _ = made.update(None, made.init(parameters), parameters, batch=batch)
    assert close({name: found[name] for name in parameters}, expected, 1e-5)
    assert not np.any(found["again"]) and found["empty"].shape == (0, 2)


CUT = "has no derivative in .*: jax.lax.stop_gradient, rounding and comparisons cut it"


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("make", ["half_inverse", "adaptive_half_inverse"])
@pytest.mark.parametrize(
    ("of", "by", "exception", "message"),
    [
        (lambda q, b: jax.lax.stop_gradient(predict(q, b)), loss, TypeError, CUT),
        (lambda q, b: jnp.round(predict(q, b)), loss, TypeError, CUT),
        (predict, lambda y, b: loss(jax.lax.stop_gradient(y), b), TypeError, "loss " + CUT),
        (predict, lambda y, b: jnp.mean(b["target"] ** 2), TypeError, "loss " + CUT),
        (predict, lambda y, b: (y - b["target"]) ** 2, TypeError, "loss returned float64 of shape"),
        (predict, lambda y, b: 1j * loss(y, b), TypeError, "loss returned complex128 of shape"),
        (
            lambda q, b: jnp.argmax(predict(q, b), axis=1),
            loss,
            TypeError,
            "y of .* has dtype int64",
        ),
        (lambda q, b: 1j * predict(q, b), loss, TypeError, "y of .* has dtype complex128"),
        (lambda q, b: None, loss, TypeError, "returned no arrays"),
        (lambda q, b: predict(q, b)[1:], loss, ValueError, "y of .* has shape"),
    ],
)
def test_functions_that_nothing_can_be_trained_with(of, by, exception, message, make, compiled):
    parameters, batch = start()
    made = getattr(hig.jax, make)(of, by)
    update = jax.jit(made.update) if compiled else made.update
    with pytest.raises(exception, match=message):
        update(None, made.init(parameters), parameters, batch=batch)


@pytest.mark.parametrize("make", ["half_inverse", "adaptive_half_inverse"])
def test_random_numbers_in_compiled_code(make):
    """They are double there, which JAX compiles in its own precision alone."""
    parameters, batch = start()
    keys = np.asarray(jax.random.key_data(jax.random.split(jax.random.key(0), 20)))
    given = {**batch, "key": keys}

    def noisy(dtype):
        draw = lambda key: jax.random.normal(jax.random.wrap_key_data(key), (3,), dtype)  # noqa: E731
        return lambda q, b: predict(q, b) + 0.1 * jax.vmap(draw)(b["key"])

    made = getattr(hig.jax, make)(noisy(float), loss)
    state = made.init(parameters)
    if not jax.config.jax_enable_x64:
        with pytest.raises(TypeError, match=r"random numbers in double precision.*jax_enable_x64"):
            jax.jit(made.update)(None, state, parameters, batch=given)
    made = getattr(hig.jax, make)(noisy(jnp.float32), loss)
    found, _ = jax.jit(made.update)(None, state, parameters, batch=given)
    expected, _ = made.update(None, state, parameters, batch=given)
    assert close(found, expected, 1e-4)


def test_a_predict_that_leaves_jax_is_jaxs_own_exception():
    parameters, batch = start()
    made = hig.jax.half_inverse(lambda q, b: np.tanh(np.asarray(q["out"]))[:1], loss)
    with pytest.raises(jax.errors.TracerArrayConversionError):
        made.update(None, made.init(parameters), parameters, batch=batch)


def test_keys_of_random_numbers_come_with_the_samples():
    parameters, batch = start()
    keys = np.asarray(jax.random.key_data(jax.random.split(jax.random.key(0), 20)))

    def dropped(q, b):
        def of_sample(key, x):
            kept = jax.random.bernoulli(jax.random.wrap_key_data(key), 0.8, (6,))
            return (jnp.tanh(x @ q["in"]["w"] + q["in"]["b"]) * kept) @ q["out"]

        return jax.vmap(of_sample)(b["key"], b["x"])

    made = hig.jax.half_inverse(dropped, loss, cutoff=1e-3)
    given, state = {**batch, "key": keys}, made.init(parameters)
    first, again = (made.update(None, state, parameters, batch=given)[0] for _ in range(2))
    assert close(first, again, 1e-12)
    # One key for all makes masks that differ between a batch and its samples alone.
    together = lambda q, b: predict(q, b) * jax.random.normal(jax.random.key(1), (len(b["x"]), 1))  # noqa: E731
    with pytest.raises(ValueError, match="depend on each other"):
        hig.jax.half_inverse(together, loss).update(None, state, parameters, batch=batch)


def test_nan_is_refused():
    parameters, batch = start()
    batch["x"][3, 1] = np.nan
    optimizer = hig.jax.half_inverse(predict, loss)
    with pytest.raises(ValueError, match=r"is NaN|is nan"):
        optimizer.update(None, optimizer.init(parameters), parameters, batch=batch)
    spoilt = {**parameters, "out": parameters["out"].at[1, 0].set(jnp.nan)}
    with pytest.raises(ValueError, match=r"parameters\['out'\] is nan at \(1, 0\): every number"):
        optimizer.update(None, optimizer.init(parameters), spoilt, batch=start()[1])


def optimizer(**settings):
    return hig.jax.half_inverse(predict, loss, **settings)


def half(parameters):
    return {"in": {"w": True, "b": True}, "out": False}


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda: optax.masked(optimizer(), half),
        lambda: optax.multi_transform({True: optimizer(), False: optax.set_to_zero()}, half({})),
    ],
    ids=["masked", "multi_transform"],
)
def test_a_wrapper_that_cannot_work_is_told_in_one_sentence(wrapped):
    parameters, batch = start()
    gradients = jax.tree.map(jnp.zeros_like, parameters)
    wrapper = wrapped()
    state = wrapper.init(parameters)
    with pytest.raises(TypeError, match="a part of the parameters"):
        wrapper.update(gradients, state, parameters, batch=batch)


def test_what_is_no_number_and_what_is_no_array_is_told():
    with pytest.raises(TypeError, match="predict is of type int"):
        hig.jax.half_inverse(1, loss)
    with pytest.raises(ValueError, match=r"learning_rate = -1.0 is not possible"):
        optimizer(learning_rate=-1.0)
    with pytest.raises(TypeError, match="per_sample = 2 is not possible"):
        optimizer(per_sample=2)
    parameters, batch = start()
    for leaf, kind in ((lambda x: x, "function"), ("tanh", "str")):
        with pytest.raises(TypeError, match=rf"'activation'\] is a {kind}.*equinox\.partition"):
            optimizer().update(None, None, {**parameters, "activation": leaf}, batch=batch)
    nothing = {name: leaf[:0] for name, leaf in batch.items()}
    with pytest.raises(ValueError, match=r"batch\['.*'\] has shape .*: it has no samples"):
        optimizer().update(None, None, parameters, batch=nothing)


def steps(transformation, count, parameters, batch, compiled=False, gradients=None):
    def one(carry, _):
        parameters, state = carry
        updates, state = transformation.update(gradients, state, parameters, batch=batch)
        return (optax.apply_updates(parameters, updates), state), updates

    carry, told = (parameters, transformation.init(parameters)), []
    if compiled:
        return jax.jit(lambda carry: jax.lax.scan(one, carry, length=count))(carry)
    for _ in range(count):
        carry, updates = one(carry, None)
        told.append(updates)
    return carry, jax.tree.map(lambda *each: jnp.stack(each), *told)


def close(found, expected, tolerance):
    pairs = zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True)
    return all(np.allclose(a, b, rtol=tolerance, atol=tolerance) for a, b in pairs)


@pytest.mark.parametrize("matrix", ["jacobian", "gram"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_it_stands_in_compiled_code(dtype, matrix):
    # J is computed in f64 and reaches the decomposition in f64, whatever JAX is set to.
    made = optimizer(cutoff=1e-3, matrix=matrix)

    def compare():
        parameters, batch = start(dtype)
        (_, state), expected = steps(made, 3, parameters, batch)
        (_, other), found = steps(made, 3, parameters, batch, compiled=True)
        assert close(found, expected, 1e-6 if dtype == np.float32 else 1e-11)
        assert jax.tree.leaves(found)[0].dtype == dtype
        assert int(other.updates) == 3 and np.allclose(other.loss, state.loss, rtol=1e-6)

    if dtype == np.float64:
        with jax_double():
            compare()
    else:
        compare()


def test_numbers_that_are_not_finite_make_an_update_of_nan_in_compiled_code():
    parameters, batch = start()
    batch["x"][3, 1] = np.nan
    _, updates = steps(optimizer(), 1, parameters, batch, compiled=True)
    assert all(np.isnan(leaf).all() for leaf in jax.tree.leaves(updates))


@pytest.mark.parametrize("per_sample", [True, False])
def test_samples_that_depend_on_each_other(per_sample):
    def normalised(parameters, batch):
        y = predict(parameters, batch)
        return y - jnp.mean(y, axis=0)

    parameters, batch = start()
    made = hig.jax.half_inverse(normalised, loss, cutoff=1e-3, per_sample=per_sample)
    state = made.init(parameters)
    if not per_sample:
        first, _ = made.update(None, state, parameters, batch=batch)
        wide = hig.jax.half_inverse(normalised, loss, cutoff=1e-3, matrix="gram", per_sample=False)
        assert close(first, wide.update(None, state, parameters, batch=batch)[0], 1e-4)
        return
    with pytest.raises(ValueError, match="depend on each other, say per_sample=False"):
        made.update(None, state, parameters, batch=batch)
    with pytest.raises(Exception, match="depend on each other, say per_sample=False"):
        jax.block_until_ready(jax.jit(made.update)(None, state, parameters, batch=batch))


def test_arrays_without_samples_are_told_by_their_place():
    parameters, batch = start()
    with pytest.raises(ValueError, match=r"batch\['target'\] has shape .*per_sample=False"):
        optimizer().update(None, None, parameters, batch={"a": np.ones(3), **batch})
    made = hig.jax.half_inverse(lambda q, b: jnp.sum(predict(q, b)), lambda y, b: y**2)
    with pytest.raises(ValueError, match=r"y of .* has shape \(\), expected 20 samples"):
        made.update(None, None, parameters, batch=batch)


def test_both_ways_of_differentiation_and_both_directions_are_one_step():
    parameters, batch = start()
    blocks = lambda q, b: {"a": predict(q, b)[:, :1], "b": predict(q, b)[:, 1:]}  # noqa: E731
    joined = lambda y, b: loss(jnp.concatenate([y["a"], y["b"]], axis=1), b)  # noqa: E731
    many = lambda q, b: jnp.tile(predict(q, b), (1, 20))  # more outputs than parameters  # noqa: E731
    twenty = lambda y, b: loss(y[:, :3], b)  # noqa: E731
    for function, of in ((predict, loss), (blocks, joined), (many, twenty)):
        found = []
        for per_sample in (True, False):
            made = hig.jax.half_inverse(function, of, cutoff=1e-3, per_sample=per_sample)
            found.append(made.update(None, made.init(parameters), parameters, batch=batch)[0])
        assert close(*found, 1e-6)


def test_rows_are_differentiated_sample_by_sample():
    # By the whole batch at once, 256 samples take 256 times as many operations.
    parameters, batch = start(samples=256)
    passes = hig.jax._passes(predict, loss, 64, True)
    with jax_double():
        cost = passes.jacobian.lower(parameters, batch).compile().cost_analysis()
    cost = cost[0] if isinstance(cost, list) else cost
    assert cost["flops"] < 256 * 3 * 100 * 36


@pytest.mark.parametrize("compiled", [False, True])
def test_a_learning_rate_may_be_a_schedule(compiled):
    parameters, batch = start()
    schedule = optax.piecewise_constant_schedule(1.0, {1: 0.5, 2: 0.0})
    _, found = steps(optimizer(learning_rate=schedule, cutoff=1e-3), 3, parameters, batch, compiled)
    chain = optax.chain(optimizer(cutoff=1e-3), optax.scale_by_schedule(schedule))
    _, expected = steps(chain, 3, parameters, batch)
    assert close(found, expected, 1e-6)
    assert not jax.tree.leaves(found)[0][2].any()


@pytest.mark.parametrize("compiled", [False, True])
def test_injected_settings_compile_nothing_again(compiled):
    parameters, batch = start()
    static = ("predict", "loss", "treatment", "matrix", "rows", "per_sample")
    made = optax.inject_hyperparams(hig.jax.half_inverse, static_args=static)
    decay = optax.exponential_decay(0.5, 1, 0.5)
    asked = []

    def counted(q, b):
        asked.append(1)
        return predict(q, b)

    injected = made(counted, loss, learning_rate=decay, cutoff=1e-3)
    steps(injected, 1, parameters, batch)
    once = len(asked)
    _, found = steps(injected, 4, parameters, batch, compiled)
    assert len(asked) <= (once if not compiled else 3 * once)
    _, expected = steps(optimizer(learning_rate=decay, cutoff=1e-3), 4, parameters, batch)
    assert close(found, expected, 1e-5)


def test_wrappers_that_compile():
    parameters, batch = start()
    zeros = jax.tree.map(jnp.zeros_like, parameters)
    plain = optimizer(cutoff=1e-3)
    _, expected = steps(plain, 3, parameters, batch)
    _, found = steps(optax.apply_if_finite(plain, 2), 3, parameters, batch, True, zeros)
    assert close(found, expected, 1e-5)
    # The mean of two steps, as that of two gradients.
    mean = optax.MultiSteps(optax.identity(), 2).gradient_transformation()
    _, (found) = steps(optax.chain(plain, mean), 2, parameters, batch, True)
    first = jax.tree.map(lambda leaf: leaf[0], expected)
    assert not jax.tree.leaves(found)[0][0].any()
    assert close(jax.tree.map(lambda leaf: leaf[1], found), first, 1e-5)
    # Around it: a step of the last batch each time.
    around = optax.MultiSteps(plain, 2).gradient_transformation()
    _, found = steps(around, 2, parameters, batch, True, zeros)
    assert close(jax.tree.map(lambda leaf: leaf[1], found), first, 1e-5)


def test_functions_may_be_objects_without_a_hash():
    class Predict:
        __hash__ = None

        def __call__(self, parameters, batch):
            return predict(parameters, batch)

    parameters, batch = start()
    made = hig.jax.half_inverse(Predict(), loss, cutoff=1e-3)
    found, _ = made.update(None, made.init(parameters), parameters, batch=batch)
    plain = optimizer(cutoff=1e-3)
    expected, _ = plain.update(None, plain.init(parameters), parameters, batch=batch)
    assert close(found, expected, 1e-6)


def test_several_starts_at_once():
    parameters, batch = start()
    made = optimizer(cutoff=1e-3)
    two = jax.tree.map(lambda leaf: jnp.stack([leaf, 0.5 * leaf]), parameters)
    found, _ = jax.vmap(lambda q: made.update(None, made.init(q), q, batch=batch))(two)
    for i, factor in enumerate((1.0, 0.5)):
        one = jax.tree.map(lambda leaf, f=factor: f * leaf, parameters)
        expected, _ = made.update(None, made.init(one), one, batch=batch)
        assert close(jax.tree.map(lambda leaf, i=i: leaf[i], found), expected, 1e-5)


def test_a_batch_may_lie_on_several_devices():
    # Devices are forced before JAX is imported.
    program = """
import jax, jax.numpy as jnp, numpy as np, optax, hig.jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from test_jax import loss, predict, start
from hig._optional import jax_double
with jax_double():
    parameters, batch = start(np.float64, 16)
    mesh = Mesh(np.array(jax.devices()), ("devices",))
    assert mesh.size == 8
    spread = jax.device_put(batch, NamedSharding(mesh, PartitionSpec("devices")))
    everywhere = jax.device_put(parameters, NamedSharding(mesh, PartitionSpec()))
    for matrix in ("jacobian", "gram"):
        made, found = hig.jax.half_inverse(predict, loss, cutoff=1e-3, matrix=matrix), []
        for theta, samples in ((parameters, batch), (everywhere, spread)):
            state = made.init(theta)
            for _ in range(4):
                updates, state = made.update(None, state, theta, batch=samples)
                theta = optax.apply_updates(theta, updates)
            found.append(theta)
        for one, eight in zip(*map(jax.tree.leaves, found)):
            assert np.allclose(one, eight, rtol=1e-10, atol=1e-10), matrix
"""
    devices = {"XLA_FLAGS": "--xla_force_host_platform_device_count=8"}
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    environment = {**os.environ, **devices, "PYTHONPATH": path, "JAX_PLATFORMS": "cpu"}
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
