"""`torch-levenberg-marquardt` on one system: `torch_worker.py NAME FOLDER`, asked in lines of JSON.

One damped Gauss-Newton update, as in packages.py: its exact step for the residual y - (y_0 - g),
with one attempt, whatever the loss does.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file
from torch_levenberg_marquardt.damping import StandardDampingStrategy
from torch_levenberg_marquardt.training import LevenbergMarquardtModule

torch.set_default_dtype(torch.float64)


class Oscillators(torch.nn.Module):
    """`Oscillators` of systems.py, for a batch."""

    def __init__(self, settings):
        super().__init__()
        self.masses, self.dt, self.control = (settings[k] for k in ("masses", "dt", "control"))
        coupling = settings.get("coupling")
        self.force = (lambda s: s * s * s) if coupling is None else (lambda s: coupling * s)

    def rate(self, z, u):
        x, v = z[:, : self.masses], z[:, self.masses :]
        pull, none = self.force(x[:, 1:] - x[:, :-1]), torch.zeros_like(x[:, :1])
        push = torch.cat([torch.zeros_like(x[:, 1:]), self.control * u[:, None]], 1)
        return torch.cat([v, torch.cat([pull, none], 1) - torch.cat([none, pull], 1) - x + push], 1)

    def forward(self, z, controls):
        h = self.dt
        for u in controls.unbind(1):
            k1 = self.rate(z, u)
            k2 = self.rate(z + 0.5 * h * k1, u)
            k3 = self.rate(z + 0.5 * h * k2, u)
            k4 = self.rate(z + h * k3, u)
            z = z + h / 6 * (k1 + 2 * (k2 + k3) + k4)
        return z


class Laplacian(torch.nn.Module):
    def __init__(self, settings):
        super().__init__()
        grid = settings["grid"]
        line = np.eye(grid, k=1) + np.eye(grid, k=-1) - 2 * np.eye(grid)
        matrix = np.kron(line, np.eye(grid)) + np.kron(np.eye(grid), line)
        self.register_buffer("matrix", torch.tensor(matrix / settings["spacing"] ** 2))

    def forward(self, _, controls):
        return controls @ self.matrix


class Chain(torch.nn.Module):
    """Network and physics."""

    def __init__(self, described, tensors):
        super().__init__()
        settings = described["system"]
        activation = {"tanh": torch.nn.Tanh, "relu": torch.nn.ReLU}[settings["activation"]]
        layers = []
        for i in range(len(settings["hidden"]) + 1):
            weight, bias = (torch.tensor(tensors[f"layers.{i}.{k}"]) for k in ("weight", "bias"))
            dense = torch.nn.Linear(weight.shape[1], weight.shape[0])
            dense.load_state_dict({"weight": weight, "bias": bias})
            layers += [activation(), dense] if layers else [dense]
        self.network = torch.nn.Sequential(*layers)
        self.physics = (Laplacian if "grid" in settings else Oscillators)(settings)

    def forward(self, x):
        return self.physics(x, self.network(x))


class Worker:
    def __init__(self, name, folder):
        described = json.loads((folder / f"{name}.json").read_text())
        tensors = load_file(folder / f"{name}.safetensors")
        self.model = Chain(described, tensors)
        self.batch, outputs = described["batch"], described["outputs"]
        self.x = torch.tensor(tensors["train.input"][: self.batch])
        y = torch.tensor(tensors["y"])
        with torch.no_grad():
            difference = (self.model(self.x) - y).abs().max().item()
        if difference > 1e-10:
            raise SystemExit(f"torch_worker.py: y differs from the library's by {difference:.0e}")
        self.wanted = y - torch.tensor(tensors["g"]).reshape(outputs, self.batch).T

    def prepare(self, way, damping):
        strategy = StandardDampingStrategy(starting_value=damping / self.batch, min_value=0.0)
        self.module = LevenbergMarquardtModule(
            self.model, damping_strategy=strategy, attempts_per_step=0, solve_method="cholesky"
        )
        self.start = self.module.flat_params.clone()
        return self.time(way, 1)[0] / 1e3

    def update(self):
        self.module.flat_params.copy_(self.start)
        clock = time.perf_counter()
        self.module.training_step(self.x, self.wanted)
        return 1e3 * (time.perf_counter() - clock)

    def time(self, way, count):
        return [self.update() for _ in range(count)]

    def step(self, way, file):
        self.update()
        np.save(file, (self.module.flat_params - self.start).numpy())


def main():
    worker = Worker(sys.argv[1], Path(sys.argv[2]))
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            answer = {"value": getattr(worker, asked.pop("do"))(**asked)}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}".splitlines()[0][:300]}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
