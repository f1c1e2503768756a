"""Burgers' equation as DeepXDE's own example has it, by the recipe of the example (Adam, then L-BFGS) and by
`hig.torch` in a tenth of the recipe's processor time.

    python bench/python/deepxde_burgers.py [--seeds 0 1 2] [--part 0.1] [--out docs/pytorch.md]

Needs PyTorch, DeepXDE and the package. Everything runs on one thread; what is counted is processor time, so that other
work on the machine does not count. The recipe is in DeepXDE's own float32, in which it is written; `hig.torch` in
float64.
"""

import argparse
import os
import statistics
import time
from pathlib import Path

os.environ.setdefault("DDE_BACKEND", "pytorch")

import burgers
import deepxde as dde
import numpy as np
import torch

import hig

ITERATIONS = 15_000
HEADS = [
    "seed",
    "Adam: error, s",
    "then L-BFGS: error, s in all",
    "`AdaptiveHIG`: error, s, updates",
    "`LM`: error, s, updates",
]


def model(seed, precision):
    """Problem and network of the example."""
    dde.config.set_default_float(precision)
    dde.config.set_random_seed(seed)

    def equation(x, u):
        slope = dde.grad.jacobian(u, x, i=0, j=0)
        rate = dde.grad.jacobian(u, x, i=0, j=1)
        return rate + u * slope - burgers.VISCOSITY * dde.grad.hessian(u, x, i=0, j=0)

    space = dde.geometry.Interval(-1, 1)
    domain = dde.geometry.GeometryXTime(space, dde.geometry.TimeDomain(0, 0.99))
    walls = dde.icbc.DirichletBC(domain, lambda x: 0, lambda _, on: on)
    start = dde.icbc.IC(domain, lambda x: -np.sin(np.pi * x[:, 0:1]), lambda _, on: on)
    data = dde.data.TimePDE(
        domain, equation, [walls, start], num_domain=2540, num_boundary=80, num_initial=160
    )
    net = dde.nn.FNN([2, 20, 20, 20, 1], "tanh", "Glorot normal")
    return dde.Model(data, net), net


class Clock(dde.callbacks.Callback):
    """Stops a training after so many seconds of processor time."""

    def __init__(self, seconds):
        super().__init__()
        self.end = time.process_time() + seconds

    def on_epoch_end(self):
        self.model.stop_training = time.process_time() >= self.end


def recipe(seed, where, truth):
    """Error after Adam, error after L-BFGS, and the seconds until then."""
    trained, _ = model(seed, "float32")
    begin = time.process_time()
    trained.compile("adam", lr=1e-3)
    trained.train(iterations=ITERATIONS, display_every=ITERATIONS)
    adam = time.process_time() - begin
    after_adam = burgers.error(trained.predict(where), truth)
    begin = time.process_time()
    trained.compile("L-BFGS")
    trained.train(display_every=ITERATIONS)
    return (
        after_adam,
        burgers.error(trained.predict(where), truth),
        adam,
        adam + time.process_time() - begin,
    )


def ours(optimizer, seed, seconds, where, truth):
    """Error after so many seconds, and the updates that they were enough for."""
    trained, net = model(seed, "float64")
    residuals = hig.torch.Residuals()
    begin = time.process_time()
    trained.compile(optimizer(net.parameters(), residuals=residuals), loss=residuals)
    trained.train(iterations=10**6, display_every=10**6, callbacks=[Clock(seconds)])
    spent = time.process_time() - begin
    return burgers.error(trained.predict(where), truth), trained.train_state.step, spent


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[100, 101, 102])
    parser.add_argument("--part", type=float, default=0.1, help="of the recipe's seconds")
    parser.add_argument("--seconds", type=float, help="in place of running the recipe")
    parser.add_argument("--out", type=Path, help="a page that has a place for the table")
    given = parser.parse_args()
    torch.set_num_threads(1)
    where, truth = burgers.points()
    rows, ratios = [], []
    for seed in given.seeds:
        if given.seconds:
            first, end, adam, whole = np.nan, np.nan, np.nan, given.seconds / given.part
        else:
            first, end, adam, whole = recipe(seed, where, truth)
        row = [str(seed), f"{first:.1e}, {adam:.0f}", f"{end:.1e}, {whole:.0f}"]
        for optimizer in (hig.torch.AdaptiveHIG, hig.torch.LM):
            reached, updates, spent = ours(optimizer, seed, given.part * whole, where, truth)
            row.append(f"{reached:.1e}, {spent:.0f}, {updates}")
            if optimizer is hig.torch.AdaptiveHIG:
                ratios.append(reached / end)
        rows.append(row)
        print(burgers.table(HEADS, rows), flush=True)
    note = (
        f"Relative L² error on 256 × 100 points; seconds of processor time on one thread; DeepXDE {dde.__version__}, "
        f"PyTorch {torch.__version__}, hig {hig.__version__}. `AdaptiveHIG`'s error over the recipe's, median: "
        f"{statistics.median(ratios):.2g}."
    )
    print(note)
    if given.out:
        burgers.put(given.out, "deepxde", f"{burgers.table(HEADS, rows)}\n\n{note}")


if __name__ == "__main__":
    main()
