"""PINA's own Burgers problem by its PINN solver and its trainer: with Adam, with L-BFGS, with one after the other, and
with the optimizers of `hig.torch`, each for the same processor time.

    python bench/python/pina_burgers.py [--seeds 0 1 2] [--seconds 60] [--only LM] [--out docs/pytorch.md]

Needs PyTorch, PINA (`pina-mathlab`) and the package. Everything runs on one thread; what is counted is processor time,
so that other work on the machine does not count. Network, points and learning rate are those of PINA's former
example: layers of 30, 20, 10 and 5 with softplus, 2,000 points inside and 150 at each wall and at the start, Adam with
0.006. Adam and L-BFGS run in float32, PINA's own precision, `hig.torch` in float64.
"""

import argparse
import importlib.metadata
import logging
import time
import warnings
from pathlib import Path

import burgers
import torch
from lightning.pytorch import Callback, seed_everything
from pina import LabelTensor, Trainer
from pina.model import FeedForward
from pina.optim import TorchOptimizer
from pina.problem.zoo import BurgersProblem
from pina.solver import PINN

import hig

LBFGS = TorchOptimizer(torch.optim.LBFGS, history_size=100, line_search_fn="strong_wolfe")


class Clock(Callback):
    """Stops a training after so many seconds of processor time."""

    def __init__(self, seconds):
        self.end = time.process_time() + seconds

    def on_train_batch_end(self, trainer, *_):
        trainer.should_stop = time.process_time() >= self.end


class Run:
    """Problem and network for a seed in a precision, and what trains them."""

    def __init__(self, seed, precision):
        torch.set_default_dtype(precision)
        seed_everything(seed, verbose=False)
        self.problem = BurgersProblem(nu=float(burgers.VISCOSITY))
        self.problem.discretise_domain(2000, "latin", domains=["D"])
        self.problem.discretise_domain(150, "random", domains=["t0"])
        self.problem.discretise_domain(300, "random", domains=["boundary"])
        self.net = FeedForward(2, 1, layers=[30, 20, 10, 5], func=torch.nn.Softplus)

    def train(self, seconds, optimizer, loss=None):
        """Goes on; answers the updates and the seconds that they took."""
        solver = PINN(self.problem, self.net, optimizer=optimizer, loss=loss)
        begin = time.process_time()
        trainer = Trainer(
            solver,
            max_epochs=-1,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            callbacks=[Clock(seconds)],
        )
        trainer.train()
        return trainer.global_step, time.process_time() - begin

    def error(self, where, truth):
        """Relative L² error."""
        # The order of the names is that of the problem.
        given = LabelTensor(torch.as_tensor(where, dtype=torch.get_default_dtype()), ["x", "t"])
        given = given.extract(self.problem.input_variables)
        with torch.no_grad():
            return burgers.error(self.net(given).numpy(), truth)


def rivals(seconds):
    """The optimizers of a run, by name."""

    def of_pina(*optimizers):
        def train(seed):
            run = Run(seed, torch.float32)
            told = [run.train(seconds / len(optimizers), each) for each in optimizers]
            return run, *map(sum, zip(*told))

        return train

    def of_hig(kind):
        def train(seed):
            run, residuals = Run(seed, torch.float64), hig.torch.Residuals()
            optimizer = TorchOptimizer(kind, residuals=residuals)
            return run, *run.train(seconds, optimizer, residuals)

        return train

    adam = TorchOptimizer(torch.optim.Adam, lr=0.006)
    return {
        "Adam": of_pina(adam),
        "L-BFGS": of_pina(LBFGS),
        "Adam, then L-BFGS": of_pina(adam, LBFGS),
        "`AdaptiveHIG`": of_hig(hig.torch.AdaptiveHIG),
        "`LM`": of_hig(hig.torch.LM),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[100, 101, 102])
    parser.add_argument("--seconds", type=float, default=60.0, help="of processor time for each")
    parser.add_argument("--only", nargs="+", help="parts of the names of some of them")
    parser.add_argument("--out", type=Path, help="a page that has a place for the table")
    given = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    where, truth = burgers.points()
    trained, rows = rivals(given.seconds), []
    if given.only:
        trained = {
            name: train
            for name, train in trained.items()
            if any(part in name for part in given.only)
        }
    heads = ["seed", *(f"{name}: error, updates" for name in trained)]
    for seed in given.seeds:
        row, spent = [str(seed)], []
        for train in trained.values():
            run, updates, seconds = train(seed)
            row.append(f"{run.error(where, truth):.1e}, {updates}")
            spent.append(seconds)
        rows.append(row)
        print(burgers.table(heads, rows), [round(s, 1) for s in spent], flush=True)
    note = (
        f"Relative L² error on 256 × 100 points after {given.seconds:g} s of processor time on one thread each; PINA "
        f"{importlib.metadata.version('pina-mathlab')}, PyTorch {torch.__version__}, hig {hig.__version__}."
    )
    print(note)
    if given.out:
        burgers.put(given.out, "pina", f"{burgers.table(heads, rows)}\n\n{note}")


if __name__ == "__main__":
    main()
