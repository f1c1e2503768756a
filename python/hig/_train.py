"""Training."""

from __future__ import annotations

import dataclasses
import difflib
import inspect
import os
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from . import _hig, fields, methods
from ._arrays import Array, double
from ._closed_loop import ClosedLoop
from ._data import Dataset
from ._objective import Objective
from ._problem import Problem
from ._progress import Bar, wanted
from ._result import Result
from ._settings import count, field_name, number
from ._system import System
from .errors import TrainingInterrupted, TrainingStopped, TrainingWarning
from .methods import Method
from .training import Training

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .training import _TrainingSettings


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What a callback is told: the counters, the mean losses of all samples, and the weights.

    ``train_loss`` is that of the training samples without those that are held out, ``validation_loss``
    that of these, NaN without any; ``best`` tells whether the weights are the best so far by the latter,
    or else by the former. ``spectrum`` holds the singular values of J that the last step found, largest first; it is empty
    for a method that decomposes nothing.
    """

    update: int
    epoch: float
    seconds: float
    train_loss: float
    validation_loss: float
    test_loss: float
    best: bool
    diagnostics: dict[str, float]
    spectrum: Array
    weights: Array


Callback = Callable[[Evaluation], object]


def train(
    problem: System | Problem,
    method: Method | str,
    *,
    updates: int | None = None,
    epochs: float | None = None,
    seconds: float | None = None,
    seed: int = 0,
    weights: ArrayLike | None = None,
    data: Dataset | None = None,
    test_data: Dataset | None = None,
    training: Training | None = None,
    callbacks: Callback | Iterable[Callback] = (),
    progress: bool | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every: float = 30.0,
    restart: bool = False,
    **settings: Unpack[_TrainingSettings],
) -> Result:
    """Trains a network through physics until the first limit of the budget is reached.

    The weights of the result are the best that were evaluated, see ``returned`` and ``validation`` of
    :class:`hig.Training`.

    Parameters
    ----------
    problem : a system of :mod:`hig.systems`, a :class:`hig.Problem` with a simulator of your own, a
        :class:`hig.ClosedLoop` with a time step of your own, or a :class:`hig.Objective` of any model of
        your own
    method : of :mod:`hig.methods`; or a registered name, with the settings that the system's source
        recommends for it
    updates, epochs, seconds : the budget; without any, that of the system's comparison
    seed : of the system's data, the initial weights and the order of the samples
    weights : initial weights (p,) instead of random ones
    data, test_data : samples instead of the system's own; with ``data`` the order ``fresh`` becomes
        ``shuffled``, with a warning
    training : batch size, order, schedule, …; without, as the system's source recommends, and for an
        objective or a closed loop of few samples a batch of them all
    callbacks : called with an :class:`Evaluation` at every evaluation, on this thread; one that raises
        ``StopIteration`` ends the training
    progress : whether to show a bar; without, in a terminal and in a notebook
    checkpoint : a file (``*.safetensors``) that keeps the whole state. Where it is there already, the
        training goes on from it, to the bits of one that was never stopped; its result then tells of
        the evaluations since. One of another training is refused with what differs: problem, data,
        initial weights, method, settings or seed; the budget, ``evaluate_every``, ``returned`` and
        ``memory_limit`` may change. Networks, simulators and losses are compared by what they answer for
        two samples. A schedule goes by the budget: with another one its learning rate jumps, with a warning
    checkpoint_every : seconds between two checkpoints; one is written at the end as well
    restart : whether to begin anew where there is a checkpoint, and to set it aside as
        ``NAME.replaced.safetensors``
    **settings : single settings of :class:`hig.Training`, over the others

    The interpreter lock is free meanwhile, and Ctrl-C is obeyed within a second.

    Warns
    -----
    TrainingWarning
        What the training does that it should not, such as updates that change nothing or a loss that
        explodes, with what to try: given once while it goes on, and listed in the result.

    Raises
    ------
    ValueError, TypeError, MemoryError
        Everything that can be known before the first update.
    TrainingStopped
        The loss or an update stopped being finite, or a simulator, callback or decomposition
        failed, or a filter of the user's makes a warning an error; its ``result`` holds everything until then.
    TrainingInterrupted
        Ctrl-C, likewise with its ``result``. It is a ``KeyboardInterrupt``.
    SystemExit, asyncio.CancelledError, GeneratorExit
        As they are, where a simulator or callback raises them.
    """
    seed = count("seed", seed)
    updates = None if updates is None else count("updates", updates)
    epochs = None if epochs is None else number("epochs", epochs)
    seconds = None if seconds is None else number("seconds", seconds)
    checkpoint_every = number("checkpoint_every", checkpoint_every)
    if not isinstance(restart, (bool, np.bool_)):
        raise ValueError(f"restart = {restart!r} is not possible: it must be True or False")
    place = None if checkpoint is None else os.fspath(checkpoint)
    if place is not None:
        _hig.try_checkpoint(place)
    chosen, how = _chosen(problem, method, training, settings)
    if isinstance(problem, System):
        if updates is None and epochs is None and seconds is None:
            updates, epochs, seconds = problem.budget
        if data is not None:
            how = _with_given_samples(how)
        problem = problem.problem(seed, train=data, test=test_data, memory_limit=how.memory_limit)
    elif data is not None or test_data is not None:
        raise ValueError("data belong into the Problem; only a system's own can be replaced")
    if weights is None:
        start = problem.initial_weights(seed, memory_limit=how.memory_limit)
    else:
        start = double("weights", weights, 1)
    agree = getattr(getattr(problem, "_adapter", None), "agree", None)
    if agree is not None:
        place = agree(place, seconds)
    budget = (updates, epochs, seconds)
    listeners = [callbacks] if callable(callbacks) else list(callbacks)
    bar = Bar(chosen.name, budget) if wanted(progress) and budget != (None, None, None) else None
    warned = _Warned()
    try:
        left, raised = _hig.train(
            problem._compiled,
            (chosen.name, chosen._assignments()),
            how._assignments(),
            budget,
            seed,
            start,
            _Listeners(listeners) if listeners else None,
            warned.tell,
            bar,
            None if place is None else (place, checkpoint_every, bool(restart)),
        )
    finally:
        if bar is not None:
            bar.close()
    result = Result._of(left, problem, chosen, how, seed, warned.told)
    if isinstance(raised, KeyboardInterrupt):
        raise TrainingInterrupted(result) from raised
    if raised is not None and not isinstance(raised, Exception):
        # SystemExit, CancelledError, GeneratorExit: whoever waits for one knows it by its type.
        raise raised
    if raised is not None:
        message = f"{type(raised).__name__} after update {result.updates}: {raised}"
        message = "\n".join([message, *getattr(raised, "__notes__", ())])
        raise TrainingStopped(message, result) from raised
    if not left["well"]:
        raise TrainingStopped(result.stop, result)
    return result


def _chosen(
    problem: System | Problem, method: Method | str, training: Training | None, settings: Any
) -> tuple[Method, Training]:
    """The method, and how to train, with what the system's source recommends where nothing is said."""
    if not isinstance(problem, (System, Problem)):
        kind = type(problem).__name__
        raise TypeError(
            f"problem is a {kind}, expected a system of hig.systems, a hig.Problem or a hig.Objective"
        )
    if not isinstance(method, (Method, str)):
        kind = type(method).__name__
        raise TypeError(f"method is a {kind}, expected one of hig.methods or its name")
    recommends = isinstance(problem, (System, fields.Problem))
    if isinstance(method, str):
        method = problem.method(method) if recommends else methods.by_name(method)  # type: ignore[union-attr]
    if training is None:
        training = problem.training(method.name) if recommends else Training()  # type: ignore[union-attr]
        if isinstance(problem, (Objective, ClosedLoop)):
            samples = len(problem.train if isinstance(problem, ClosedLoop) else problem)
            training = dataclasses.replace(training, batch=min(training.batch, samples))
    unknown = settings.keys() - {field.name for field in dataclasses.fields(training)}
    if unknown:
        raise _unknown(min(unknown), method)
    return method, dataclasses.replace(training, **settings)


def _unknown(name: str, method: Method) -> Exception:
    """What an argument of :func:`train` that is none should have been."""
    if name in {field.name for field in dataclasses.fields(method)}:  # type: ignore[arg-type]
        kind = type(method).__name__
        return TypeError(
            f"train has no argument {name}: it is a setting of the method, "
            f"hig.methods.{kind}({name}=...)"
        )
    own = [p.name for p in inspect.signature(train).parameters.values() if p.kind == p.KEYWORD_ONLY]
    # What other packages call them.
    others = {
        "batch_size": "batch",
        "data_loader": "data",
        "epoch": "epochs",
        "callback": "callbacks",
        "iterations": "updates",
        "lr": "learning_rate of the method",
        "max_iter": "updates",
        "n_epochs": "epochs",
        "num_epochs": "epochs",
        "optimizer": "the method, the second argument",
        "params": "weights",
        "steps": "updates",
        "verbose": "progress",
    }
    meant = others.get(name) or next(iter(difflib.get_close_matches(name, own, n=1)), None)
    if meant is None:
        # The compiled half raises, with the nearest setting.
        _hig.canonical("training", "", [(name, "")])
    return TypeError(f"train has no argument {name}; did you mean {meant}?")


def _with_given_samples(training: Training) -> Training:
    """The training, with a warning where a setting had to change for samples that are given."""
    settings, changed = _hig.for_given_samples(training._assignments())
    if changed is not None:
        warnings.warn(changed, stacklevel=3)
    return Training(**{field_name(name): value for name, value in settings.items()})


class _Warned:
    """What a training is warned of, given once each where :func:`train` was called."""

    def __init__(self) -> None:
        self.told: list[TrainingWarning] = []

    def tell(self, update: int, name: str, message: str, advice: str) -> None:
        self.told.append(TrainingWarning(update, name, message, advice))
        # Another than the one that is kept: a filter may raise it, with all frames in its traceback.
        warnings.warn(TrainingWarning(update, name, message, advice), stacklevel=3)


class _Listeners:
    """All callbacks as one; answers whether to stop."""

    def __init__(self, callbacks: list[Callback]) -> None:
        self._callbacks = callbacks

    def __call__(self, told: dict[str, Any], weights: Array) -> bool:
        evaluation = Evaluation(**told, weights=weights)
        stop = False
        for callback in self._callbacks:
            try:
                callback(evaluation)
            except StopIteration:
                stop = True
        return stop
