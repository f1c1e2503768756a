"""A JAX function as an objective: against the library's own systems, and what is refused."""

from __future__ import annotations

import functools

import numpy as np
import pytest

import hig
from hig._optional import jax_double

jax = pytest.importorskip("jax")
optax = pytest.importorskip("optax")
from jax_systems import written_again  # noqa: E402

jnp = jax.numpy


@pytest.mark.parametrize("name", ["linear", "nonlinear", "toy", "poisson"])
@pytest.mark.parametrize("method", ["hig", "adam", "lm", "adaptive-hig"])
def test_the_trajectory_is_that_of_the_system(name, method):
    system, objective = written_again(name)
    # Without what magnifies rounding: small singular values, and differences of outputs from what J tells of them.
    slow = {"learning_rate": 0.3} if name == "poisson" else {}
    exact = {
        "adam": {},
        "hig": {"accuracy": 1e-10, "cutoff": 1e-3},
        "lm": {"accuracy": 1e-10, "geodesic": False, "corrections": 0, **slow},
        "adaptive-hig": {"accuracy": 1e-10},
    }
    method = system.method(method, **exact[method])
    settings = {"updates": 20, "batch": 16, "order": "shuffled", "evaluate_every": 1}
    ours = hig.train(system, method, **settings)
    theirs = hig.train(objective, method, **settings)
    assert np.allclose(theirs.history.train_loss, ours.history.train_loss, rtol=1e-9, atol=0)
    assert np.allclose(theirs.history.test_loss, ours.history.test_loss, rtol=1e-9, atol=0)


def regression(dtype=np.float64, samples=24):
    random = np.random.default_rng(1)
    x = random.normal(size=(samples, 2))
    y = np.stack([np.sin(x[:, 0]), x[:, 0] * x[:, 1]], axis=1)
    parameters = {
        "in": {"w": random.normal(size=(2, 8)).astype(dtype), "b": np.zeros(8, dtype)},
        "out": random.normal(size=(8, 2)).astype(dtype),
        "scale": np.asarray(1.0, dtype),
    }
    return parameters, {"x": x, "y": y}


def predict(parameters, batch):
    hidden = jnp.tanh(batch["x"] @ parameters["in"]["w"] + parameters["in"]["b"])
    return parameters["scale"] * hidden @ parameters["out"]


def loss(y, batch):
    return jnp.mean(jnp.sum((y - batch["y"]) ** 2, axis=1))


@functools.cache
def plain():
    """Compiled once for all that do not change it."""
    return make(loss=loss)


def make(**changes):
    if not changes:
        return plain()
    parameters, train = regression()
    given = {"predict": predict, "loss": loss, "parameters": parameters, "train": train, **changes}
    return hig.jax.objective(**given)


def test_it_tells_its_arrays_by_name():
    objective = make()
    assert objective.shapes == {"in.b": (8,), "in.w": (2, 8), "out": (8, 2), "scale": ()}
    weights = objective.initial_weights()
    assert np.array_equal(objective.weights(objective.parameters(weights)), weights)


@pytest.mark.parametrize("name", ["hig", "lm", "spring", "lbfgs"])
@pytest.mark.parametrize("settings", [{"per_sample": False}, {"held": 200}])
def test_neither_the_way_of_differentiation_nor_pieces_change_a_training(name, settings):
    settings = dict(settings)
    held = settings.pop("held", None)
    objective = make(**settings)
    if held:
        objective._adapter.held = held
        objective = hig.Objective._of(objective._adapter, *objective._made)
    how = {"updates": 8, "batch": 8, "returned": "last"}
    method = hig.methods.HalfInverse(cutoff=1e-2) if name == "hig" else name
    found = hig.train(objective, method, **how).weights
    assert np.allclose(found, hig.train(make(), method, **how).weights, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("settings", [{"per_sample": False}, {}])
def test_combinations_of_rows_are_those_of_the_rows(settings):
    objective = make(**settings)
    point, *_ = objective._adapter.linearize(objective.initial_weights(), np.arange(5, 12))
    rows = point.rows(0, 7)
    weights = np.random.default_rng(0).normal(size=(7, 3, 2))
    combined = point.combined(0, 7, weights.reshape(21, 2))
    assert np.allclose(combined, np.einsum("skm,smp->skp", weights, rows), rtol=1e-12)
    some = point.combined(2, 3, weights[2:5].reshape(9, 2))
    assert np.allclose(some, combined[2:5], rtol=1e-12)
    v = np.random.default_rng(2).normal(size=rows.shape[2])
    assert np.allclose(point.jvp(v), rows @ v, rtol=1e-10)
    w = np.random.default_rng(3).normal(size=(7, 2))
    assert np.allclose(point.vjp(w), np.einsum("sm,smp->p", w, rows), rtol=1e-10)


def test_single_precision_parameters_keep_their_type():
    parameters, _ = regression(np.float32)
    result = hig.train(make(parameters=parameters), "hig", updates=5)
    kinds = jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), result.parameters)
    assert kinds == jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), parameters)
    # Computed in f64 from the same start all the same.
    doubles = jax.tree.map(lambda leaf: leaf.astype(np.float64), parameters)
    assert np.array_equal(
        hig.train(make(parameters=doubles), "hig", updates=5).weights, result.weights
    )


def test_named_blocks_are_the_outputs_side_by_side():
    def blocks(parameters, batch):
        y = predict(parameters, batch)
        return {"a": y[:, 0], "b": 2.0 * y[:, 1:]}

    def block_loss(y, batch):
        a = (y["a"] - batch["y"][:, 0]) ** 2
        return jnp.mean(a + (y["b"][:, 0] - 2.0 * batch["y"][:, 1]) ** 2)

    def weighted(parameters, batch):
        return predict(parameters, batch) * jnp.array([1.0, 2.0])

    def weighted_loss(y, batch):
        return jnp.mean(jnp.sum((y - batch["y"] * jnp.array([1.0, 2.0])) ** 2, axis=1))

    a = hig.train(make(predict=blocks, loss=block_loss), "lm", updates=10)
    b = hig.train(make(predict=weighted, loss=weighted_loss), "lm", updates=10)
    assert np.allclose(a.weights, b.weights, rtol=1e-9)


def test_a_function_without_samples():
    def residuals(q):
        return jnp.stack([1.0 - q["x"], 10.0 * (q["y"] - q["x"] ** 2)])

    start = {"x": np.float64(-1.2), "y": np.float64(1.0)}
    objective = hig.jax.objective(residuals, lambda r: jnp.sum(r**2), start)
    result = hig.train(objective, "lm", updates=100)
    assert jax.tree.map(float, result.parameters) == pytest.approx({"x": 1.0, "y": 1.0})


@pytest.mark.parametrize(
    ("of", "curvature"),
    [
        (loss, 2.0 / 8),
        (lambda y, b: jnp.sum((y - b["y"]) ** 2), 2.0),
        (lambda y, b: jnp.mean(jnp.sum(y, axis=1) ** 2), 2.0 / 8),  # mixes the components
        (lambda y, b: jnp.sqrt(jnp.mean(jnp.sum(y**2, axis=1) ** 2)), None),  # mixes the samples
    ],
)
def test_the_curvature_is_the_second_derivative(of, curvature):
    objective = make(loss=of)
    point, y, *_ = objective._adapter.linearize(objective.initial_weights(), np.arange(8))
    found = point.curvature()
    if curvature is None:
        batch = jax.tree.map(lambda leaf: leaf[:8], objective.train)
        with jax_double():
            whole = jax.hessian(lambda v: of(v.reshape(8, 2), batch))(jnp.asarray(y.ravel()))
        curvature = np.diag(np.asarray(whole)).reshape(8, 2)
    assert np.allclose(found, curvature, rtol=1e-9)


def test_a_reverse_derivative_is_enough():
    @jax.custom_vjp
    def same(x):
        return x

    same.defvjp(lambda x: (x, None), lambda _, w: (w,))
    objective = make(predict=lambda q, b: same(predict(q, b)))
    settings = {"updates": 5, "batch": 8}
    found = hig.train(objective, "adaptive-hig", **settings)
    assert np.allclose(found.weights, hig.train(make(), "adaptive-hig", **settings).weights)


def normalised(parameters, batch):
    y = predict(parameters, batch)
    return y - jnp.mean(y, axis=0)


def test_samples_that_depend_on_each_other():
    with pytest.raises(ValueError, match="say per_sample=False"):
        make(predict=normalised)
    result = hig.train(make(predict=normalised, per_sample=False), "lm", updates=20)
    assert result.train_loss < result.history.train_loss[0]


def with_leaf(leaf):
    parameters, _ = regression()
    return {**parameters, "extra": leaf}


@pytest.mark.parametrize(
    ("changes", "exception", "message"),
    [
        (
            {"parameters": with_leaf(np.arange(3))},
            TypeError,
            r"parameters\['extra'\] has dtype int64",
        ),
        (
            {"parameters": with_leaf(1j * np.ones(2))},
            TypeError,
            "has dtype complex128, expected real",
        ),
        (
            {"parameters": with_leaf(np.ones((0, 2)))},
            ValueError,
            r"has shape \(0, 2\): it is empty",
        ),
        (
            {"parameters": with_leaf(np.tanh)},
            TypeError,
            r"parameters\['extra'\] is a ufunc, expected",
        ),
        ({"parameters": with_leaf("name")}, TypeError, r"parameters\['extra'\] is a str, expected"),
        (
            {"parameters": with_leaf(np.array([1.0, np.nan]))},
            ValueError,
            r"extra'\] is nan at \(1,\)",
        ),
        ({"parameters": {}}, ValueError, "parameters have no leaves"),
        ({"predict": 3}, TypeError, "predict is a int, expected a function"),
        (
            {"loss": hig.losses.SquaredError()},
            TypeError,
            "loss is a SquaredError, expected a function",
        ),
        ({"per_sample": "yes"}, TypeError, "per_sample = 'yes' is not possible"),
        (
            {"loss": lambda y, b: (y - b["y"]) ** 2},
            TypeError,
            r"loss returned float64 of shape \(3, 2\)",
        ),
        (
            {"predict": lambda q, b: jnp.sum(predict(q, b))},
            ValueError,
            r"has shape \(\) for 2 samples",
        ),
        (
            {"predict": lambda q, b: predict(q, b)[:, :1] * jnp.ones(len(b["x"]))},
            ValueError,
            "must have as many outputs in every batch",
        ),
        ({"predict": lambda q, b: b["x"].astype(int)}, TypeError, "has dtype int64, expected real"),
        (
            {"predict": lambda q, b: jax.lax.stop_gradient(predict(q, b))},
            TypeError,
            "has no derivative in the parameters: jax.lax.stop_gradient",
        ),
        ({"loss": lambda y, b: jnp.mean(b["y"] ** 2)}, TypeError, "loss has no derivative in y"),
        (
            {
                "predict": lambda q, b: jax.lax.while_loop(
                    lambda y: y[0, 0] > 9, jnp.tanh, predict(q, b)
                )
            },
            ValueError,
            "Reverse-mode differentiation does not work",
        ),
        (
            {"train": {"x": np.ones((3, 2)), "y": jax.random.split(jax.random.key(0), 3)}},
            TypeError,
            r"train\['y'\] has dtype key.*give jax.random.key_data",
        ),
        ({"train": {"x": np.ones((3, 2)), "y": np.ones((4, 2))}}, ValueError, "has 4 samples"),
        ({"train": {"x": np.ones((0, 2)), "y": np.ones((0, 2))}}, ValueError, "it has no samples"),
        (
            {"test": {"x": np.ones((3, 5)), "y": np.ones((3, 2))}},
            ValueError,
            r"test\['x'\] has samples",
        ),
    ],
)
def test_what_cannot_be_is_refused_by_its_path(changes, exception, message):
    with pytest.raises(exception, match=message):
        make(**changes)


def test_a_width_that_does_not_fit_is_jaxs_own_exception():
    with pytest.raises(TypeError, match="dot_general"):
        make(train={"x": np.ones((4, 3)), "y": np.ones((4, 2))})


def test_outputs_of_single_precision_are_warned_of():
    with pytest.warns(hig.PrecisionWarning, match="returned float32"):
        make(predict=lambda q, b: predict(q, b).astype(jnp.float32))


def test_a_number_that_is_not_finite_is_told_with_its_sample():
    def spoilt(parameters, batch):
        y = predict(parameters, batch)
        return jnp.where(batch["x"][:, :1] == regression()[1]["x"][7, 0], jnp.nan, y)

    with pytest.raises(
        hig.TrainingStopped, match="spoilt is NaN for training sample 7, component 0"
    ):
        hig.train(make(predict=spoilt), "hig", updates=3)
    with pytest.raises(hig.TrainingStopped, match="loss is NaN for training sample 7"):
        by = lambda y, b: jnp.mean(  # noqa: E731
            jnp.where(b["x"][:, 0] == regression()[1]["x"][7, 0], jnp.nan, jnp.sum(y**2, axis=1))
        )
        hig.train(make(loss=by), "adam", updates=3)


def test_a_loss_that_bends_down_is_told_to_the_methods_that_mind():
    objective = make(loss=lambda y, b: jnp.mean(jnp.sum(jnp.cos(y), axis=1)))
    with pytest.raises(
        hig.TrainingStopped, match=r"curvature of the loss is .* this method needs it above 0"
    ):
        hig.train(objective, "lm", updates=3)
    told = make(
        loss=lambda y, b: jnp.mean(jnp.sum(jnp.cos(y), axis=1)),
        curvature=lambda y, b: jnp.ones_like(y),
    )
    assert hig.train(told, "lm", updates=3).updates == 3


def test_rows_are_differentiated_sample_by_sample():
    # By the whole batch at once, 256 samples take 256 times as many operations.
    parameters, train = regression(samples=256)
    objective = make(parameters=parameters, train=train)
    hlo = objective._adapter._rows.lower(
        jnp.asarray(objective.initial_weights(), jnp.float32),
        objective._adapter._data,
        np.arange(256),
    )
    cost = hlo.compile().cost_analysis()
    cost = cost[0] if isinstance(cost, list) else cost
    assert cost["flops"] < 256 * 2 * 100 * objective.initial_weights().size


def test_checkpoints_go_on_to_the_same_bits(tmp_path):
    settings = {"batch": 8, "returned": "last"}
    whole = hig.train(make(), "adaptive-hig", updates=16, **settings)
    path = tmp_path / "kept.safetensors"
    hig.train(make(), "adaptive-hig", updates=7, checkpoint=path, **settings)
    again = hig.train(make(), "adaptive-hig", updates=16, checkpoint=path, **settings)
    assert np.array_equal(again.weights, whole.weights)


def test_predict_answers_for_samples_of_any_origin():
    objective = make()
    weights = objective.initial_weights()
    batch = {"x": np.ones((2, 2))}
    answer = objective.predict(weights, batch)
    with jax_double():
        expected = np.asarray(predict(objective.parameters(weights), batch))
    assert np.allclose(answer, expected, rtol=1e-12)
    assert objective.predict(weights).shape == (24, 2)


def test_adaptive_updates_in_a_loop_are_those_of_a_training():
    parameters, train = regression()
    batches = {"batch": 24, "order": "fixed", "returned": "last"}
    whole = hig.train(make(), "adaptive-hig", updates=6, **batches)
    optimizer = hig.jax.adaptive_half_inverse(predict, loss)
    state = optimizer.init(parameters)
    with jax_double():
        for _ in range(6):
            before = state
            updates, state = optimizer.update(None, state, parameters, batch=train)
            again, same = optimizer.update(None, before, parameters, batch=train)
            assert (same.updates, same.loss) == (state.updates, state.loss)
            assert jax.tree.all(jax.tree.map(np.array_equal, again, updates))
            parameters = optax.apply_updates(parameters, updates)
    assert np.allclose(make().weights(parameters), whole.weights, rtol=1e-12, atol=1e-14)
    assert state.updates == 6 and np.isfinite(state.loss) and state.diagnostics


def test_adaptive_updates_take_batches_of_any_size_and_say_what_they_cannot():
    parameters, train = regression(np.float32)
    optimizer = hig.jax.adaptive_half_inverse(predict, loss)
    state = optimizer.init(parameters)
    for size in (24, 7):
        batch = jax.tree.map(lambda leaf, size=size: leaf[:size], train)
        updates, state = optimizer.update(None, state, parameters, batch=batch)
        assert all(leaf.dtype == np.float32 for leaf in jax.tree.leaves(updates))
    with pytest.raises(ValueError, match="needs update"):
        optimizer.update(None, state)
    with pytest.raises(ValueError, match=r"exponent = -9\.0 is not possible"):
        hig.jax.adaptive_half_inverse(predict, loss, exponent=-9.0)


def test_the_package_tells_its_version():
    assert hig.__version__.count(".") >= 1
