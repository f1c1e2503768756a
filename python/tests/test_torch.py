"""PyTorch modules as objectives, and the optimizers: against other derivatives, and what is refused."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import hig

torch = pytest.importorskip("torch")
nn = torch.nn
_torch_tools = pytest.importorskip("hig._torch_tools")
_torch_factors = pytest.importorskip("hig._torch_factors")


def network(dtype=torch.float64):
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 2)).to(dtype)


def samples(number=24):
    random = np.random.default_rng(1)
    x = random.normal(size=(number, 2))
    return {"x": x, "y": np.stack([np.sin(x[:, 0]), x[:, 0] * x[:, 1]], axis=1)}


def predict(module, batch):
    return module(batch["x"])


def loss(y, batch):
    return ((y - batch["y"]) ** 2).sum(1).mean()


def make(**changes):
    given = {
        "module": network(),
        "predict": predict,
        "loss": loss,
        "train": samples(),
        **changes,
    }
    return hig.torch.objective(**given)


def shut(module, batch):
    """Not open to mapping: it looks at values."""
    y = module(batch["x"])
    return y if float(y.detach().sum()) > -1e9 else -y


class InNumPy:
    """The same network with the derivative written out."""

    def output(self, theta, batch):
        return self._parts(theta, batch)[1]

    def jacobian(self, theta, batch):
        hidden, _ = self._parts(theta, batch)
        x, (_, _, v, _) = batch["x"], self._split(theta)
        rows = np.zeros((len(x), 2, theta.size))
        for i in range(2):
            slope = v[i] * (1.0 - hidden**2)
            rows[:, i, :16] = (slope[:, :, None] * x[:, None, :]).reshape(len(x), 16)
            rows[:, i, 16:24] = slope
            rows[:, i, 24 + 8 * i : 32 + 8 * i] = hidden
            rows[:, i, 40 + i] = 1.0
        return rows

    @staticmethod
    def _split(theta):
        return theta[:16].reshape(8, 2), theta[16:24], theta[24:40].reshape(2, 8), theta[40:]

    def _parts(self, theta, batch):
        w, b, v, c = self._split(theta)
        hidden = np.tanh(batch["x"] @ w.T + b)
        return hidden, hidden @ v.T + c


def in_numpy():
    data = samples()
    train = {"x": data["x"], "target": data["y"]}
    start = make().initial_weights()
    return hig.Objective(InNumPy(), start, train, loss=hig.losses.SquaredError())


@pytest.mark.parametrize("method", ["hig", "adam", "lm", "adaptive-hig", "spring", "lbfgs"])
@pytest.mark.parametrize("of", [predict, shut])
def test_the_trajectory_is_that_of_derivatives_written_out(method, of):
    exact = {"hig": {"cutoff": 1e-3, "accuracy": 1e-10}, "lm": {"accuracy": 1e-10}}
    made = hig.methods.ALL[method](**exact.get(method, {}))
    settings = {"updates": 12, "batch": 8, "evaluate_every": 1}
    ours = hig.train(make(predict=of), made, **settings)
    theirs = hig.train(in_numpy(), made, **settings)
    assert np.allclose(ours.history.train_loss, theirs.history.train_loss, rtol=1e-6, atol=0)
    assert np.allclose(ours.history.train_loss[:4], theirs.history.train_loss[:4], rtol=1e-10)


def test_how_samples_are_differentiated_is_found_out():
    assert make()._adapter._mapped
    assert not make(predict=shut)._adapter._mapped
    assert not make(per_sample=False)._adapter._mapped


@pytest.mark.parametrize("settings", [{}, {"predict": shut}, {"per_sample": False}])
def test_products_are_those_of_the_rows(settings):
    objective = make(**settings)
    theta = objective.initial_weights()
    point, *_ = objective._adapter.linearize(theta, np.arange(5, 12))
    rows = point.rows(0, 7)
    batch = {name: value[5:12] for name, value in samples().items()}
    assert np.allclose(rows, InNumPy().jacobian(theta, batch), rtol=1e-12, atol=1e-14)
    assert np.allclose(point._by_columns(2, 3), rows[2:5], rtol=1e-10, atol=1e-12)
    weights = np.random.default_rng(0).normal(size=(7, 3, 2))
    combined = point.combined(0, 7, weights.reshape(21, 2))
    assert np.allclose(combined, np.einsum("skm,smp->skp", weights, rows), rtol=1e-12)
    some = point.combined(2, 3, weights[2:5].reshape(9, 2))
    assert np.allclose(some, combined[2:5], rtol=1e-12)
    v = np.random.default_rng(2).normal(size=rows.shape[2])
    assert np.allclose(point.jvp(v), rows @ v, rtol=1e-10)
    w = np.random.default_rng(3).normal(size=(7, 2))
    assert np.allclose(point.vjp(w), np.einsum("sm,smp->p", w, rows), rtol=1e-10)


def test_single_precision_modules_are_computed_in_double_and_loaded_back():
    module = network(torch.float32)
    start = copy.deepcopy(module.state_dict())
    result = hig.train(make(module=module), "lm", updates=10)
    assert all(torch.equal(start[name], value) for name, value in module.state_dict().items())
    doubles = hig.train(make(module=copy.deepcopy(module).double()), "lm", updates=10)
    assert np.array_equal(doubles.weights, result.weights)
    module.load_state_dict(result.parameters)
    assert module[0].weight.dtype == torch.float32
    data = {name: torch.tensor(value, dtype=torch.float32) for name, value in samples().items()}
    assert float(loss(predict(module, data), data)) == pytest.approx(result.train_loss, rel=1e-4)
    objective = result.problem
    assert np.allclose(objective.weights(module), result.weights, rtol=1e-6)
    assert objective.shapes["0.weight"] == (8, 2)


def test_samples_may_have_any_real_type():
    half = {name: torch.tensor(value).bfloat16() for name, value in samples().items()}
    wide = {name: value.double() for name, value in half.items()}
    found, expected = (hig.train(make(train=of), "hig", updates=2) for of in (half, wide))
    assert np.array_equal(found.weights, expected.weights)


def test_an_objective_is_made_again_by_pickle():
    module = network(torch.float32)
    objective = make(module=module)
    with torch.no_grad():
        module[0].weight.zero_()
    again = pickle.loads(pickle.dumps(objective))
    assert np.array_equal(again.initial_weights(), objective.initial_weights())


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(2, 2)
        self.second = nn.Linear(2, 2)
        self.second.weight = self.first.weight
        self.second.bias.requires_grad_(False)
        self.register_buffer("scale", torch.tensor(2.0))

    def forward(self, x):
        return self.scale * self.second(torch.tanh(self.first(x)))


def test_shared_and_frozen_parameters_and_buffers():
    torch.manual_seed(0)
    module = Tied()
    objective = make(module=module)
    assert objective.shapes == {"first.weight": (2, 2), "first.bias": (2,)}
    result = hig.train(objective, "lm", updates=20)
    assert result.train_loss < result.history.train_loss[0]
    frozen = module.second.bias.clone()
    module.load_state_dict(result.parameters)
    assert torch.equal(module.second.bias, frozen)
    assert module.second.weight is module.first.weight
    data = {name: torch.tensor(value, dtype=torch.float32) for name, value in samples().items()}
    assert float(loss(predict(module, data), data)) == pytest.approx(result.train_loss, rel=1e-4)


def test_named_blocks_are_the_outputs_side_by_side():
    def blocks(module, batch):
        y = module(batch["x"])
        return {"a": y[:, 0], "b": 2.0 * y[:, 1:]}

    def block_loss(y, batch):
        a = (y["a"] - batch["y"][:, 0]) ** 2
        return (a + (y["b"][:, 0] - 2.0 * batch["y"][:, 1]) ** 2).mean()

    def weighted(module, batch):
        return module(batch["x"]) * torch.tensor([1.0, 2.0])

    def weighted_loss(y, batch):
        return ((y - batch["y"] * torch.tensor([1.0, 2.0])) ** 2).sum(1).mean()

    a = hig.train(make(predict=blocks, loss=block_loss), "lm", updates=10)
    b = hig.train(make(predict=weighted, loss=weighted_loss), "lm", updates=10)
    assert np.allclose(a.weights, b.weights, rtol=1e-9)


class Rosenbrock(nn.Module):
    def __init__(self):
        super().__init__()
        self.x = nn.Parameter(torch.tensor(-1.2, dtype=torch.float64))
        self.y = nn.Parameter(torch.tensor(1.0, dtype=torch.float64))

    def forward(self):
        return torch.stack([1.0 - self.x, 10.0 * (self.y - self.x**2)])


def test_a_module_without_samples():
    objective = hig.torch.objective(Rosenbrock(), lambda m: m(), lambda r: (r**2).sum())
    result = hig.train(objective, "lm", updates=100)
    assert {k: float(v) for k, v in result.parameters.items()} == pytest.approx({"x": 1, "y": 1})


@pytest.mark.parametrize(
    ("of", "curvature"),
    [
        (loss, 2.0 / 8),
        (lambda y, b: ((y - b["y"]) ** 2).sum(), 2.0),
        (lambda y, b: (y.sum(1) ** 2).mean(), 2.0 / 8),  # mixes the components
        (lambda y, b: (y.sum(1) ** 2).mean().sqrt(), None),  # mixes the samples
    ],
)
def test_the_curvature_is_the_second_derivative(of, curvature):
    objective = make(loss=of)
    point, y, *_ = objective._adapter.linearize(objective.initial_weights(), np.arange(8))
    found = point.curvature()
    if curvature is None:
        batch = {name: torch.from_numpy(value[:8]) for name, value in samples().items()}
        flat = torch.from_numpy(y.ravel())
        whole = torch.autograd.functional.hessian(lambda v: of(v.reshape(8, 2), batch), flat)
        curvature = np.diag(whole.numpy()).reshape(8, 2)
    assert np.allclose(found, curvature, rtol=1e-9)


def normalised(module, batch):
    y = module(batch["x"])
    return y - y.mean(0)


def test_samples_that_depend_on_each_other():
    with pytest.raises(ValueError, match="say per_sample=False"):
        make(predict=normalised)
    result = hig.train(make(predict=normalised, per_sample=False), "lm", updates=20)
    assert result.train_loss < result.history.train_loss[0]


def with_parameter(value, **how):
    module = network()
    module.register_parameter("extra", nn.Parameter(value, **how))
    return module


@pytest.mark.parametrize(
    ("changes", "exception", "message"),
    [
        ({"module": predict}, TypeError, "module is a function, expected a torch.nn.Module"),
        ({"module": nn.Tanh()}, ValueError, "no parameter that requires a gradient"),
        (
            {"module": with_parameter(torch.ones(2, dtype=torch.complex64))},
            TypeError,
            "module.extra has dtype torch.complex64, expected real",
        ),
        (
            {"module": with_parameter(torch.ones(0, 2))},
            ValueError,
            r"module.extra has shape \(0, 2\): it is empty",
        ),
        (
            {"module": with_parameter(torch.tensor([1.0, float("nan")]))},
            ValueError,
            r"module.extra is nan at \(1,\)",
        ),
        ({"module": nn.LazyLinear(2)}, ValueError, "has no values yet: call the module once"),
        (
            {"module": nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5))},
            ValueError,
            "module.1 is a Dropout that is training.*module.eval",
        ),
        (
            {"module": nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))},
            ValueError,
            "module.1 is a BatchNorm1d that is training",
        ),
        ({"predict": 3}, TypeError, "predict is a int, expected a function"),
        ({"loss": hig.losses.SquaredError()}, TypeError, "loss is a SquaredError"),
        ({"loss": lambda y, b: (y - b["y"]) ** 2}, TypeError, r"of shape \(3, 2\), expected one"),
        ({"loss": lambda y, b: 1.0}, TypeError, "loss returned a float, expected a tensor"),
        ({"loss": lambda y, b: loss(y.detach(), b)}, TypeError, "loss does not depend on y"),
        ({"loss": lambda y, b: (b["y"] ** 2).mean()}, TypeError, "loss does not depend on y"),
        ({"predict": lambda m, b: m(b["x"]).sum()}, ValueError, r"has shape \(\) for 2 samples"),
        (
            {"predict": lambda m, b: m(b["x"])[:, :1] * torch.ones(len(b["x"]))},
            ValueError,
            "must have as many outputs in every batch",
        ),
        ({"predict": lambda m, b: m(b["x"]).detach()}, TypeError, "does not depend on the param"),
        (
            {"predict": lambda m, b: b["x"].long()},
            TypeError,
            "has dtype torch.int64, expected real",
        ),
        ({"predict": lambda m, b: m(b["x"]).detach().numpy()}, TypeError, "is a ndarray, expected"),
        (
            {"predict": lambda m, b: m(b["x"]) + torch.randn(1)},
            ValueError,
            "answers differently when it is asked twice",
        ),
        ({"train": {"x": np.ones((3, 2)), "y": np.ones((4, 2))}}, ValueError, "has 4 samples"),
        (
            {"test": {"x": np.ones((3, 5)), "y": np.ones((3, 2))}},
            ValueError,
            r"test\['x'\] has samples",
        ),
        ({"train": hig.Dataset(np.ones((3, 2)), np.ones((3, 2)))}, TypeError, "is a Dataset"),
    ],
)
def test_what_cannot_be_is_refused_by_its_path(changes, exception, message):
    with pytest.raises(exception, match=message):
        make(**changes)


def test_what_fails_later_is_told():
    def spoilt(module, batch):
        y = module(batch["x"])
        there = batch["x"][:, :1] == samples()["x"][7, 0]
        return torch.where(there, torch.full_like(y, float("nan")), y)

    with pytest.raises(hig.TrainingStopped, match="spoilt is NaN for training sample 7"):
        hig.train(make(predict=spoilt), "hig", updates=3)
    with pytest.raises(hig.TrainingStopped, match="needs it above 0"):
        hig.train(make(loss=lambda y, b: torch.cos(y).sum(1).mean()), "lm", updates=3)


def test_predict_answers_for_samples_of_any_origin():
    objective = make()
    answer = objective.predict(objective.initial_weights(), {"x": np.ones((2, 2))})
    expected = network()(torch.ones(2, 2, dtype=torch.float64)).detach().numpy()
    assert np.allclose(answer, expected, rtol=1e-12)


# Optimizers.

OPTIMIZERS = [
    ("hig", lambda p: hig.torch.HIG(p, cutoff=1e-3, accuracy=1e-10)),
    ("lm", lambda p: hig.torch.LM(p, accuracy=1e-10)),
    ("adaptive-hig", lambda p: hig.torch.AdaptiveHIG(p, accuracy=1e-10)),
]


def data(dtype=torch.float64):
    return {name: torch.tensor(value, dtype=dtype) for name, value in samples().items()}


def answers(kind, module, batch):
    out = module(batch["x"])
    if kind == "residuals":
        return out - batch["y"]
    if kind == "outputs":
        return out, ((out - batch["y"]) ** 2).sum(1).mean()
    r = out - batch["y"]
    if kind == "blocks":
        return {"a": r[:, 0], "b": (4.0, r[:, 1] / 2.0)}
    a, b = out[:, :1], out[:, 1]
    squares = (a[:, 0] - batch["y"][:, 0]) ** 2 + (b - batch["y"][:, 1]) ** 2
    return {"a": a, "b": b}, squares.mean()


@pytest.mark.parametrize(("name", "of"), OPTIMIZERS)
@pytest.mark.parametrize("kind", ["residuals", "outputs", "blocks", "named outputs"])
def test_updates_in_a_loop_are_those_of_a_training(name, of, kind):
    exact = {"hig": {"cutoff": 1e-3}}.get(name, {})
    method = hig.methods.ALL[name](accuracy=1e-10, **exact)
    whole = hig.train(
        make(), method, updates=6, batch=24, order="fixed", returned="last", evaluate_every=1
    )
    module, batch = network(), data()
    optimizer = of(module.parameters())
    losses = [float(optimizer.step(lambda: answers(kind, module, batch))) for _ in range(6)]
    if kind == "blocks" and name == "hig":
        # A power of Λ other than the inverse is not indifferent to the scale of rows.
        assert losses[-1] < losses[0]
        return
    assert np.allclose(losses, whole.history.train_loss[:6], rtol=1e-6)
    assert set(optimizer.diagnostics)


@pytest.mark.parametrize(("name", "of"), OPTIMIZERS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_optimizer_goes_on_from_its_state(tmp_path, name, of, dtype):
    def run(module, optimizer, steps):
        batch = data(dtype)
        return [
            float(optimizer.step(lambda: answers("residuals", module, batch))) for _ in range(steps)
        ]

    whole = network(dtype)
    run(whole, of(whole.parameters()), 5)
    first = network(dtype)
    optimizer = of(first.parameters())
    run(first, optimizer, 2)
    torch.save([first.state_dict(), optimizer.state_dict()], tmp_path / "kept")
    again = network(dtype)
    module_state, state = torch.load(tmp_path / "kept")
    again.load_state_dict(module_state)
    other = of(again.parameters())
    other.load_state_dict(state)
    run(again, other, 3)
    for a, b in zip(whole.parameters(), again.parameters()):
        assert torch.equal(a, b) and a.dtype == dtype


def test_groups_have_learning_rates_and_schedules():
    def changes(rates):
        module, batch = network(), data()
        start = [p.detach().clone() for p in module.parameters()]
        groups = [{"params": module[0].parameters(), "lr": rates[0]}]
        groups.append({"params": module[2].parameters(), "lr": rates[1]})
        optimizer = hig.torch.HIG(groups, cutoff=1e-3)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda k: 0.5**k)
        optimizer.step(lambda: answers("residuals", module, batch))
        schedule.step()
        assert [group["lr"] for group in optimizer.param_groups] == [r / 2 for r in rates]
        return [p.detach() - s for p, s in zip(module.parameters(), start)]

    whole, scaled = changes([1.0, 1.0]), changes([0.5, 0.0])
    assert all(torch.allclose(s, 0.5 * w) for s, w in zip(scaled[:2], whole[:2]))
    assert all(torch.equal(s, torch.zeros_like(s)) for s in scaled[2:])


def test_schedulers_that_change_nothing_stand_beside_methods_that_find_their_length():
    module, batch = network(), data()
    optimizer = hig.torch.AdaptiveHIG(module.parameters())
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda k: 1.0 if k < 3 else 0.1)
    losses = []
    for _ in range(3):
        losses.append(float(optimizer.step(lambda: answers("residuals", module, batch))))
        schedule.step()
    assert losses[2] < losses[0]
    with pytest.raises(
        ValueError, match=r"lr = 0\.1 is not possible: AdaptiveHIG finds the length"
    ):
        optimizer.step(lambda: answers("residuals", module, batch))


def test_frozen_parameters_stay_and_batches_may_change_their_size():
    module, batch = network(), data()
    module[0].requires_grad_(False)
    module.counts = nn.Parameter(torch.arange(3), requires_grad=False)
    kept = module[0].weight.clone()
    optimizer = hig.torch.AdaptiveHIG(module.parameters())
    for size in (24, 7, 24):
        part = {name: value[:size] for name, value in batch.items()}
        optimizer.step(lambda part=part: answers("residuals", module, part))
    assert torch.equal(module[0].weight, kept)


def test_more_residuals_than_parameters():
    module = Rosenbrock()
    optimizer = hig.torch.LM(module.parameters())
    for _ in range(60):
        optimizer.step(lambda: torch.cat([module(), 0.0 * module()]))
    assert float(module.x) == pytest.approx(1.0) and float(module.y) == pytest.approx(1.0)


def test_residuals_may_be_derivatives_in_the_input():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(1, 10), nn.Tanh(), nn.Linear(10, 1)).double()
    x = torch.linspace(0, 1, 20, dtype=torch.float64)[:, None].requires_grad_()

    def residuals():  # u' = u, u(0) = 1
        u = module(x)
        (slope,) = torch.autograd.grad(u.sum(), x, create_graph=True)
        return {"equation": slope - u, "start": (10.0, u[0] - 1.0)}

    optimizer = hig.torch.AdaptiveHIG(module.parameters())
    for _ in range(40):
        optimizer.step(residuals)
    assert np.allclose(module(x).detach().numpy(), np.exp(x.detach().numpy()), atol=1e-3)


class Convolved(nn.Module):
    """A layer whose parameters are used in another way than those of dense layers."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.inner = nn.Conv1d(1, 3, 2)
        self.outer = nn.Linear(3, 1)

    def forward(self, x):
        return self.outer(torch.tanh(self.inner(x[:, None]))[:, :, 0])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rows_from_factors_are_those_of_single_passes(dtype):

    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(2, 9), nn.Tanh(), nn.Linear(9, 9), nn.Tanh(), nn.Linear(9, 1))
    net = net.to(dtype)
    rate = nn.Parameter(torch.tensor(0.3, dtype=dtype))
    of = [*net.parameters(), rate]
    x = torch.rand(50, 2, dtype=dtype, requires_grad=True)
    u = net(x)
    (slopes,) = torch.autograd.grad(u.sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(slopes[:, 0].sum(), x, create_graph=True)
    equation = slopes[:, 1:] + u * slopes[:, :1] - rate * second[:, :1]
    ends = net(x[:20]) - net(x[20:40])  # two points a row
    blocks = [equation, u[:30], torch.cat([u, u**2], dim=1), ends]

    def compare(blocks):
        y = torch.cat([block.reshape(-1) for block in blocks])
        places = _torch_factors.columns([tuple(block.shape) for block in blocks])
        found = _torch_factors.rows(y, of, places)
        expected = _torch_tools.Rows()(y, of, torch.eye(len(y), dtype=dtype))
        error = (found - expected).abs().max() / expected.abs().max()
        assert error < (1e-12 if dtype == torch.float64 else 1e-5)

    compare(blocks)
    # Points that belong to several rows of a block are found out.
    for mixed in (u[1:] - u[:-1], u[2:] + u[:-2], u - u.mean(), u[2:] - 2.0 * u[1:-1] + u[:-2]):
        with pytest.raises(_torch_factors.NotFactored):
            compare([mixed])
    with pytest.raises(_torch_factors.NotFactored):
        made = Convolved().to(dtype)
        of = list(made.parameters())
        compare([made(x)])


def test_rows_of_points_at_which_nothing_gets_through():
    """Slopes of softplus down to 1e-174, whose squares have few digits or none."""
    module = nn.Sequential(nn.Linear(1, 1), nn.Softplus(), nn.Linear(1, 1)).double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.fill_(1.0)
    x = torch.linspace(-400.0, 1.0, 200, dtype=torch.float64)[:, None]
    y, parameters = module(x)[:, 0], list(module.parameters())
    found = _torch_factors.rows(y, parameters, [torch.arange(200)])
    single = [torch.autograd.grad(value, parameters, retain_graph=True) for value in y]
    expected = torch.stack([torch.cat([part.ravel() for part in row]) for row in single])
    assert torch.allclose(found, expected, rtol=1e-12, atol=1e-12)


class Labelled(torch.Tensor):
    """Keeps its class through operations, and is particular about indices, as PINA's tensors are."""

    def __getitem__(self, index):
        if index is None or (isinstance(index, tuple) and None in index):
            raise NotImplementedError(f"Unsupported index: {index}")
        return super().__getitem__(index)


@pytest.mark.parametrize("trainer", [False, True])
def test_rows_of_tensors_of_another_class_factor(trainer):
    x = torch.linspace(-1, 1, 40, dtype=torch.float64)[:, None]

    def trained(given):
        torch.manual_seed(5)
        module = nn.Sequential(nn.Linear(1, 8), nn.Softplus(), nn.Linear(8, 1)).double()
        residuals = hig.torch.Residuals()
        told = {"residuals": residuals} if trainer else {}
        optimizer = hig.torch.LM(module.parameters(), **told)

        def closure():
            out = module(given.clone().requires_grad_())
            if not trainer:
                return out - torch.sin(3 * x)
            total = residuals(out, torch.sin(3 * x))
            total.backward()
            return total

        losses = [float(optimizer.step(closure)) for _ in range(4)]
        assert optimizer._factored is True
        return losses

    assert np.allclose(trained(x), trained(x.as_subclass(Labelled)), rtol=1e-9)


@pytest.mark.parametrize("mixed", [False, True])
def test_a_step_is_the_same_however_its_rows_are_found(monkeypatch, mixed):
    batch = data()

    def trained(factored):
        module = network()
        optimizer = hig.torch.LM(module.parameters())
        optimizer._factored = factored

        def closure():
            r = module(batch["x"]) - batch["y"]
            return r - 0.5 * r.mean(0) if mixed else r

        losses = [float(optimizer.step(closure)) for _ in range(4)]
        return losses, optimizer._factored

    (found, known), (expected, _) = trained(None), trained(False)
    assert np.allclose(found, expected, rtol=1e-8) and known is not mixed


@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_trainers_that_call_backward_themselves(reduction):
    batch = data()

    def trained(trainer):
        module = network()
        residuals = hig.torch.Residuals() if trainer else None
        if trainer:
            residuals.reduction = reduction
        optimizer = hig.torch.AdaptiveHIG(module.parameters(), residuals=residuals)

        def closure():
            out = module(batch["x"])
            if not trainer:
                r = out - batch["y"]
                return {
                    "a": (3.0, r[:, 0]),
                    "b": (0.25, r),
                }  # the mean of all squares, weighted by 1/2
            optimizer.zero_grad()
            # A mean of the squares, which `reduction` leaves to the trainer or not.
            total = 3.0 * residuals(out[:, 0], batch["y"][:, 0]).mean()
            total = total + 0.5 * residuals(out, batch["y"]).mean() + 0.0 * residuals(out).mean()
            total.backward()
            return total

        losses = [float(optimizer.step(closure)) for _ in range(5)]
        return losses, module[0].weight.detach()

    (losses, weights), (others, same) = trained(True), trained(False)
    assert np.allclose(losses, others, rtol=1e-9) and torch.allclose(weights, same, rtol=1e-7)


def test_a_trainer_may_weigh_single_points():
    batch, weights = data(), torch.linspace(0.0, 2.0, 48, dtype=torch.float64).reshape(24, 2)

    def trained(trainer):
        module, residuals = network(), hig.torch.Residuals()
        residuals.reduction = "none"
        told = {"residuals": residuals} if trainer else {}
        optimizer = hig.torch.LM(module.parameters(), **told)

        def closure():
            out = module(batch["x"])
            if not trainer:
                return (out - batch["y"]) * weights.sqrt() / 2**0.5
            total = (weights * residuals(out, batch["y"])).mean()
            total.backward()
            return total

        losses = [float(optimizer.step(closure)) for _ in range(5)]
        return losses, module[0].weight.detach()

    (losses, ends), (others, same) = trained(True), trained(False)
    assert np.allclose(losses, others, rtol=1e-9) and torch.allclose(ends, same, rtol=1e-7)


def test_losses_of_trainers_that_are_no_sums_of_squares():
    batch = data()
    optimizer = hig.torch.LM(network().parameters(), residuals=hig.torch.Residuals())
    with pytest.raises(ValueError, match="made no loss of the residuals"):
        optimizer.step(lambda: torch.tensor(1.0))
    module, residuals = network(), hig.torch.Residuals()
    optimizer = hig.torch.LM(module.parameters(), residuals=residuals)

    def penalised():
        total = residuals(module(batch["x"]), batch["y"]) + (module[0].weight ** 2).sum()
        total.backward()
        return total

    with pytest.raises(ValueError, match="a part that is no residual"):
        optimizer.step(penalised)

    def negative():
        total = residuals(module(batch["x"][:, :1].repeat(1, 2)), batch["y"])
        total = (total * torch.tensor([1.0, -1.0])).mean()
        total.backward()
        return total

    residuals.reduction = "none"
    with pytest.raises(ValueError, match="a square of block 0 of the residuals has the weight -0"):
        optimizer.step(negative)
    residuals.reduction = "sum"
    with pytest.raises(ValueError, match="reduction = 'sum' is not possible"):
        residuals(batch["y"])
    with pytest.raises(TypeError, match="residuals is a function, expected"):
        hig.torch.LM(module.parameters(), residuals=loss)


@pytest.mark.filterwarnings("ignore")
def test_the_trainer_of_deepxde(monkeypatch):
    monkeypatch.setenv("DDE_BACKEND", "pytorch")
    dde = pytest.importorskip("deepxde")
    if dde.backend.backend_name != "pytorch":
        pytest.skip("DeepXDE has another backend")
    dde.config.set_random_seed(0)
    geometry = dde.geometry.Interval(-1, 1)

    def equation(x, u):  # u'' = -π²·sin(π·x)
        return dde.grad.hessian(u, x) + np.pi**2 * torch.sin(np.pi * x)

    walls = dde.icbc.DirichletBC(geometry, lambda x: 0.0, lambda _, on: on)
    problem = dde.data.PDE(geometry, equation, walls, 30, 2)
    net = dde.nn.FNN([1, 20, 20, 1], "tanh", "Glorot uniform")
    model = dde.Model(problem, net)
    residuals = hig.torch.Residuals()
    optimizer = hig.torch.AdaptiveHIG(net.parameters(), residuals=residuals)
    model.compile(optimizer, loss=residuals, loss_weights=[1.0, 10.0])
    model.train(iterations=60, display_every=30)
    x = np.linspace(-1, 1, 50)[:, None]
    assert np.abs(model.predict(x) - np.sin(np.pi * x)).max() < 1e-2


@pytest.mark.filterwarnings("ignore")
def test_the_trainer_of_pina():
    """Its own Burgers problem, smooth, by its own solver and trainer."""
    pina = pytest.importorskip("pina")
    zoo, solvers = pytest.importorskip("pina.problem.zoo"), pytest.importorskip("pina.solver")
    optim, models = pytest.importorskip("pina.optim"), pytest.importorskip("pina.model")
    weighting = pytest.importorskip("pina.weighting")
    torch.manual_seed(0)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        problem = zoo.BurgersProblem(nu=0.1)
        problem.discretise_domain(12, "grid", domains=["D"])
        problem.discretise_domain(30, "grid", domains=["t0"])
        problem.discretise_domain(10, "grid", domains=["boundary"])
        net = models.FeedForward(2, 1, layers=[16, 16], func=torch.nn.Tanh)
        residuals = hig.torch.Residuals()
        optimizer = optim.TorchOptimizer(hig.torch.AdaptiveHIG, residuals=residuals)
        solver = solvers.PINN(
            problem,
            net,
            optimizer=optimizer,
            loss=residuals,
            weighting=weighting.ScalarWeighting({"t0": 10.0}),
        )
        quiet = dict.fromkeys(
            ["logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"], False
        )
        trainer = pina.Trainer(solver, max_epochs=40, accelerator="cpu", **quiet)
        trainer.train()
        assert trainer.global_step == 40
        assert float(trainer.callback_metrics["train_loss"]) < 1e-3
        # The rows were found from factors, in tensors with labels.
        assert optimizer.instance._factored is True
        # u(x, t) of nearly the start, a front that has not formed yet: odd in x, 0 at the walls.
        x = torch.linspace(-1, 1, 21)[:, None]
        order = problem.input_variables
        columns = {"x": x, "t": torch.full_like(x, 0.2)}
        given = pina.LabelTensor(torch.cat([columns[name] for name in order], 1), order)
        u = solver(given).detach().as_subclass(torch.Tensor)
        assert float((u + u.flip(0)).abs().max()) < 0.1 and float(u.abs().max()) > 0.5
    finally:
        torch.set_default_dtype(before)


@pytest.mark.parametrize(
    ("closure", "exception", "message"),
    [
        (None, TypeError, "HIG.step needs a closure"),
        (lambda m, b: loss(m(b["x"]), b), TypeError, "answers one number, expected residuals"),
        (lambda m, b: None, TypeError, "answers a NoneType, expected residuals"),
        (lambda m, b: m(b["x"]).detach(), TypeError, "does not depend on the parameters"),
        (lambda m, b: m(b["x"])[:0], ValueError, "closure's answer is empty"),
        (lambda m, b: (m(b["x"]), loss(m(b["x"]), b)), TypeError, "very tensors that the loss"),
        (lambda m, b: (m(b["x"]), torch.tensor(1.0)), TypeError, "does not depend on the outputs"),
        (
            lambda m, b: (m(b["x"]), loss(m(b["x"]), b) + 1j),
            TypeError,
            r"whose loss is torch.complex128 of shape \(\), expected a tensor with one real number",
        ),
        (
            lambda m, b: (m(b["x"]), m(b["x"])),
            TypeError,
            r"whose loss is torch.float64 of shape \(24",
        ),
        (lambda m, b: (m(b["x"]), 1.0), TypeError, "whose loss is float, expected a tensor"),
        (lambda m, b: m(b["x"]) + torch.randn(1), ValueError, "differently when it is asked twice"),
        (lambda m, b: {"a": (-1.0, m(b["x"]))}, ValueError, "weight of block 'a' is -1.0"),
        (
            lambda m, b: {"a": "r"},
            TypeError,
            r"closure's answer\['a'\] is a str, expected a tensor",
        ),
        (lambda m, b: m(b["x"]) * float("nan"), FloatingPointError, "closure"),
    ],
)
def test_what_a_closure_must_not_answer(closure, exception, message):
    module, batch = network(), data()
    start = copy.deepcopy(module.state_dict())
    optimizer = hig.torch.HIG(module.parameters())
    with pytest.raises(exception, match=message):
        optimizer.step(closure and (lambda: closure(module, batch)))
    assert all(torch.equal(start[name], value) for name, value in module.state_dict().items())


def test_all_rows_of_a_closure_count():
    x = torch.linspace(-1, 1, 600)[:, None]
    module = torch.nn.Sequential(torch.nn.Linear(1, 12), torch.nn.Tanh(), torch.nn.Linear(12, 1))
    optimizer = hig.torch.AdaptiveHIG(module.parameters())
    for _ in range(3):
        optimizer.step(lambda: module(x) - torch.sin(3 * x))
    assert "rows" not in optimizer.diagnostics  # Combinations of them would be told.
    # The batch comes again.
    assert optimizer.diagnostics["acceleration"] > 0


def test_an_exception_of_the_model_leaves_the_parameters():
    module, batch = network(), data()
    optimizer = hig.torch.AdaptiveHIG(module.parameters())
    start, calls = copy.deepcopy(module.state_dict()), []

    def closure():
        calls.append(1)
        if len(calls) == 3:
            raise KeyError("mine")
        return module(batch["x"]) - batch["y"]

    with pytest.raises(KeyError, match="mine"):
        optimizer.step(closure)
    assert all(torch.equal(start[name], value) for name, value in module.state_dict().items())


def test_an_answer_that_changes_its_shape_within_a_step():
    module, batch = network(), data()
    optimizer = hig.torch.AdaptiveHIG(module.parameters())
    calls = []

    def closure():
        calls.append(1)
        return (module(batch["x"]) - batch["y"])[: 24 if len(calls) < 3 else 20]

    with pytest.raises(ValueError, match="must keep"):
        optimizer.step(closure)


@pytest.mark.parametrize(
    ("of", "exception", "message"),
    [
        (lambda p: hig.torch.HIG(p, lr=-1.0), ValueError, "lr = -1.0 is not possible"),
        (lambda p: hig.torch.HIG(p, cutoff=-1.0), ValueError, "cutoff"),
        (lambda p: hig.torch.LM(p, cutof=1.0), TypeError, "cutof"),
        (lambda p: hig.torch.LM([]), ValueError, "empty parameter list"),
        (
            lambda p: hig.torch.LM([{"params": p, "lr": 0.5}]),
            ValueError,
            "lr = 0.5 is not possible: LM finds the length of its steps itself, leave lr at 1",
        ),
        (
            lambda p: hig.torch.HIG([{"params": p[:1]}, {"params": p[1:], "cutoff": 1e-2}]),
            ValueError,
            "cutoff is .* only lr may differ",
        ),
        (
            lambda p: hig.torch.HIG([*p, nn.Parameter(torch.ones(0))]),
            ValueError,
            r"params\[4\] of group 0 has shape \(0,\): it is empty",
        ),
    ],
)
def test_settings_of_optimizers_are_checked_when_they_are_made(of, exception, message):
    with pytest.raises(exception, match=message):
        of(list(network().parameters()))
