"""A model of the user's as an objective: in NumPy, and what is refused."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

import hig

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(50, 2))
SAMPLES = {"x": X, "target": np.stack([X @ [1.0, 2.0] + 3.0, X[:, 1]], axis=1)}
BEST = [1.0, 2.0, np.sqrt(3.0)]


class Curved:
    """y = (θ₀·x₀ + θ₁·x₁ + θ₂², θ₀·x₁)."""

    def __init__(self, *offers):
        for name in {"jacobian", "vjp", "jvp"} - set(offers):
            setattr(self, name, None)

    def output(self, theta, batch):
        x = batch["x"]
        return np.stack([x @ theta[:2] + theta[2] ** 2, theta[0] * x[:, 1]], axis=1)

    def jacobian(self, theta, batch):
        x = batch["x"]
        rows = np.zeros((len(x), 2, 3))
        rows[:, 0, :2], rows[:, 0, 2], rows[:, 1, 0] = x, 2.0 * theta[2], x[:, 1]
        return rows

    def vjp(self, theta, batch, cotangent):
        return np.einsum("sm,smp->p", cotangent, Curved.jacobian(self, theta, batch))

    def jvp(self, theta, batch, tangent):
        return Curved.jacobian(self, theta, batch) @ tangent


class CurvedResidual(Curved):
    """The same, as a residual."""

    output = None

    def residual(self, theta, batch):
        return Curved.output(self, theta, batch) - batch["target"]


def curved(*offers):
    return hig.Objective(Curved(*offers), np.ones(3), SAMPLES, loss=hig.losses.SquaredError())


#: Those that need more than an objective tells, and say so.
PARTS = {"sip": "inverts a simulator", "kron-hig": "second moments of each layer"}


@pytest.mark.parametrize("name", sorted(hig.methods.ALL))
def test_every_method_trains_a_model(name):
    objective = curved("jacobian")
    if name in PARTS:
        with pytest.raises(ValueError, match=PARTS[name]):
            hig.train(objective, name, updates=1)
        return
    result = hig.train(objective, name, updates=200, batch=25)
    assert result.train_loss < result.history.train_loss[0]
    assert objective.loss(result.weights)[0] == pytest.approx(result.train_loss, rel=1e-12)


@pytest.mark.parametrize("name", ["hig", "lm", "adaptive-hig", "spring", "lbfgs", "gn-line-search"])
@pytest.mark.parametrize("offers", [("vjp",), ("jvp",), ("vjp", "jvp")])
def test_what_a_model_offers_changes_nothing_but_rounding(name, offers):
    settings = {"updates": 8, "batch": 10, "returned": "last"}
    expected = hig.train(curved("jacobian"), name, **settings).weights
    found = hig.train(curved(*offers), name, **settings).weights
    assert np.allclose(found, expected, rtol=1e-9, atol=1e-12)


def test_a_residual_is_an_output_without_its_target():
    residual = hig.Objective(CurvedResidual("jacobian"), np.ones(3), SAMPLES)
    settings = {"updates": 12, "batch": 10}
    for name in ("hig", "lm", "adam"):
        a = hig.train(residual, name, **settings)
        b = hig.train(curved("jacobian"), name, **settings)
        assert np.allclose(a.weights, b.weights, rtol=1e-12)
    assert np.allclose(hig.train(residual, "lm", updates=40).weights, BEST)


class Rosenbrock:
    """The residual of Rosenbrock's function."""

    def residual(self, theta):
        return np.array([1.0 - theta[0], 10.0 * (theta[1] - theta[0] ** 2)])

    def jacobian(self, theta):
        return np.array([[-1.0, 0.0], [-20.0 * theta[0], 10.0]])


def test_a_model_without_samples_is_one_sample():
    objective = hig.Objective(Rosenbrock(), [-1.2, 1.0])
    assert objective.loss([-1.2, 1.0])[0] == pytest.approx(24.2)
    result = hig.train(objective, "lm", updates=100)
    assert np.allclose(result.weights, 1.0) and np.array_equal(result.parameters, result.weights)
    assert np.array_equal(objective.predict([0.0, 1.0]), [[1.0, 10.0]])


@pytest.mark.parametrize(
    "settings", [{}, {"sketch": 1}, {"route": "svd"}, {"route": "normal"}, {"route": "lanczos"}]
)
def test_pieces_of_j_give_the_step_of_the_whole(settings):
    method = hig.methods.HalfInverse(cutoff=1e-3, **settings)
    whole = hig.train(curved("jacobian"), method, updates=6, batch=10).weights
    # One sample, and three, at a time.
    for held in (6, 18):
        objective = curved("jacobian")
        objective._adapter.held = held
        objective = hig.Objective._of(objective._adapter, *objective._made)
        pieces = hig.train(objective, method, updates=6, batch=10).weights
        assert np.allclose(pieces, whole, rtol=1e-10)
        lm = hig.train(objective, "lm", updates=6, batch=10).weights
        assert np.allclose(lm, hig.train(curved("jacobian"), "lm", updates=6, batch=10).weights)


def test_a_training_goes_on_from_a_checkpoint(tmp_path):
    settings = {"batch": 10, "returned": "last"}
    whole = hig.train(curved("jacobian"), "adaptive-hig", updates=30, **settings)
    path = tmp_path / "kept.safetensors"
    hig.train(curved("jacobian"), "adaptive-hig", updates=12, checkpoint=path, **settings)
    again = hig.train(curved("jacobian"), "adaptive-hig", updates=30, checkpoint=path, **settings)
    assert np.array_equal(again.weights, whole.weights)
    others = {**SAMPLES, "x": X + 1e-3}
    objective = hig.Objective(
        Curved("jacobian"), np.ones(3), others, loss=hig.losses.SquaredError()
    )
    with pytest.raises(ValueError, match="training data is"):
        hig.train(objective, "adaptive-hig", updates=30, checkpoint=path, **settings)


class FailsAt(Curved):
    def __init__(self, call):
        super().__init__("jacobian")
        self.left = call

    def output(self, theta, batch):
        self.left -= 1
        if self.left == 0:
            raise ZeroDivisionError("the model broke down")
        return super().output(theta, batch)


def test_an_exception_of_the_model_reaches_the_user_with_the_weights_so_far():
    objective = hig.Objective(FailsAt(20), np.ones(3), SAMPLES, loss=hig.losses.SquaredError())
    with pytest.raises(hig.TrainingStopped, match=r"ZeroDivisionError.*broke down") as stopped:
        hig.train(objective, "hig", updates=100)
    assert isinstance(stopped.value.__cause__, ZeroDivisionError)
    assert 0 < stopped.value.result.updates < 20
    assert np.isfinite(stopped.value.result.weights).all()


class Spoilt(Curved):
    def output(self, theta, batch):
        y = super().output(theta, batch)
        y[batch["x"][:, 0] == X[7, 0], 1] = np.nan
        return y


def test_a_number_that_is_not_finite_is_told_with_its_sample():
    objective = hig.Objective(
        Spoilt("jacobian"), np.ones(3), SAMPLES, loss=hig.losses.SquaredError()
    )
    with pytest.raises(
        hig.TrainingStopped, match="Spoilt is NaN for training sample 7, component 1"
    ):
        hig.train(objective, "hig", updates=10)


def test_a_result_is_kept_and_saved(tmp_path):
    objective = curved("jacobian")
    result = hig.train(objective, "hig", updates=5)
    again = pickle.loads(pickle.dumps(objective))
    assert again.loss(result.weights) == objective.loss(result.weights)
    folder = result.save(tmp_path)
    assert np.array_equal(objective.load_weights(folder / "weights.safetensors"), result.weights)


def squares(**changes):
    return hig.Objective(
        **{
            "model": Curved("jacobian"),
            "weights": np.ones(3),
            "train": SAMPLES,
            "loss": hig.losses.SquaredError(),
            **changes,
        }
    )


class NoLoss:
    def values(self, y, batch):
        return (y**2).sum(axis=1)

    def gradient(self, y, batch):
        return 2.0 * y


@pytest.mark.parametrize(
    ("changes", "exception", "message"),
    [
        ({"model": object()}, TypeError, "object is no model: it needs residual"),
        ({"model": Curved()}, TypeError, "not differentiable: it needs jacobian"),
        ({"loss": None}, ValueError, "loss is missing"),
        ({"loss": lambda y, t: 0.0}, TypeError, "loss is a function, expected hig.losses"),
        ({"weights": np.ones(3, dtype=int)}, TypeError, "weights has dtype int64"),
        ({"weights": np.array([1.0, np.nan, 1.0])}, ValueError, "weights is nan at 1"),
        ({"train": {}}, ValueError, "train has no arrays"),
        ({"train": {**SAMPLES, "x": X[:9]}}, ValueError, r"train\['target'\] has 50 samples"),
        (
            {"train": {**SAMPLES, "x": X * np.inf}},
            ValueError,
            r"train\['x'\] is not finite in sample 0",
        ),
        (
            {"test": {**SAMPLES, "x": X[:, :1]}},
            ValueError,
            r"test\['x'\] has samples of shape \(1,\)",
        ),
        ({"test": {"x": X}}, ValueError, r"test has the arrays \['x'\], expected"),
        ({"train": None, "test": SAMPLES}, ValueError, "without any to train on"),
    ],
)
def test_what_cannot_be_is_refused_at_once(changes, exception, message):
    with pytest.raises(exception, match=message):
        squares(**changes)


def test_a_loss_without_curvature_serves_the_methods_that_need_none():
    objective = squares(loss=NoLoss())
    assert hig.train(objective, "hig", updates=3).train_loss > 0
    with pytest.raises(hig.TrainingStopped, match="NoLoss without curvature"):
        hig.train(objective, "lm", updates=3)


@pytest.mark.parametrize(
    ("method", "answer", "message"),
    [
        (
            "output",
            lambda: np.ones((3, 2)),
            r"Wrong.output returned shape \(3, 2\), expected \(50, 2\)",
        ),
        ("output", lambda: None, "Wrong.output returned None"),
        ("jacobian", lambda: np.ones((4, 2, 3)), r"Wrong.jacobian returned shape \(4, 2, 3\)"),
        ("jacobian", lambda: np.ones((50, 2, 3), dtype=int), "Wrong.jacobian returned dtype int64"),
    ],
)
def test_answers_of_the_wrong_kind_are_told(method, answer, message):
    class Wrong(Curved):
        pass

    objective = squares(model=Wrong("jacobian"))
    setattr(objective._adapter.model, method, lambda theta, batch: answer())
    with pytest.raises(hig.TrainingStopped, match=message):
        hig.train(objective, "hig", updates=3, batch=50)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epoch": 3}, "train has no argument epoch; did you mean epochs?"),
        ({"batch_size": 4}, "did you mean batch?"),
        ({"learning_rate": 0.1}, "hig.methods.HalfInverse.learning_rate=...."),
        ({"wights": 4}, "did you mean weights?"),
    ],
)
def test_misspelt_arguments_are_told_what_they_should_be(settings, message):
    with pytest.raises(TypeError, match=message):
        hig.train(curved("jacobian"), "hig", updates=1, **settings)


def test_a_function_is_no_loss_of_a_problem():
    class Same:
        def simulate(self, state, control):
            return control

        def jacobian(self, state, control):
            return np.broadcast_to(np.eye(2), (len(control), 2, 2))

    data = hig.Dataset(X, X)
    with pytest.raises(TypeError, match=r"loss is a function, expected one of hig.losses"):
        hig.Problem(hig.networks.mlp([2, 2]), Same(), data, loss=lambda y, t: 0.0)
