"""Networks that are called at every time step of a simulation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from . import _hig
from ._data import Dataset
from ._problem import Problem, told_loss
from ._settings import count, number
from .fields import Unknown
from .losses import Loss
from .networks import Network
from .physics import Simulator, Step
from .physics._adapter import Adapter
from .physics._step import StepAdapter


class ClosedLoop(Problem):
    """A network inside a simulation: at every time step it sees the state x and answers the control u.

    u = network(x, input), x' = step(x, u), and the loss is one of y, the state after the last step or what
    ``after`` and ``observe`` say. Derivatives go backwards through step and network, for all rows of a sample
    at once. Every method but ``sip`` trains it. The samples' ``state`` is that at the start, their ``input`` is
    what the network sees beside the state, a goal for example; it may have no columns.

    Parameters
    ----------
    network : from :mod:`hig.networks`: it reads the state, the input and, with ``knows_time``, the time, side
        by side; its output is the control. None where ``unknowns`` alone act
    step : the physics, see :class:`hig.physics.Step`; :func:`hig.physics.step_from_jax` and
        :func:`hig.physics.step_from_torch` make one of a function
    train : samples to train on
    test : samples to judge by; the training samples without
    loss : of y and the target, from :mod:`hig.losses`; Σ (y - ŷ)² without
    steps : number of time steps
    dt : length of a time step, for those who know the time: step k begins at k·dt
    timed : whether ``step`` and its derivatives get the time at which the step begins as one more argument
    knows_time : whether the network sees the time behind state and input
    see : what the network reads instead: a :class:`hig.physics.Simulator` whose control is the state x, and
        whose state is the input with the time behind it; :func:`hig.physics.from_jax` makes one
    after : numbers of steps after which the state is observed, in rising order; y has these states side by
        side. The last without
    observe : y of the observed states: a :class:`hig.physics.Simulator` whose control they are, side by
        side, and whose state is that at the start
    weighed : whether each target has weights behind what was observed: 1/σ² for a noise of standard deviation
        σ, 0 for what is missing. The loss is then Σ w·(y - ŷ)²
    summed : whether the losses of a batch are summed instead of averaged
    stop_gradients : whether derivatives go backwards through the steps alone, as if what the network sees did
        not depend on what it answered before (arXiv 2405.02041): no derivative of the loss, but a remedy to
        compare with where derivatives explode
    hold : the time steps whose values inside the network a batch holds at once; the others are computed once
        more for derivatives. Without, all of them up to a GiB
    unknowns : numbers of the physics to be found, by name: their values stand behind the network's output in
        the control, the same at all steps. :meth:`unknowns` has them with standard errors, for the loss
        ``hig.losses.SquaredError(0.5)`` of observations that are ``weighed``

    Raises
    ------
    ValueError, TypeError
        Parts that do not fit, by name.
    """

    def __init__(
        self,
        network: Network | None,
        step: Step,
        train: Dataset,
        test: Dataset | None = None,
        loss: Loss | None = None,
        *,
        steps: int,
        dt: float = 1.0,
        timed: bool = False,
        knows_time: bool = False,
        see: Simulator | None = None,
        after: Sequence[int] | None = None,
        observe: Simulator | None = None,
        weighed: bool = False,
        summed: bool = False,
        stop_gradients: bool = False,
        hold: int | None = None,
        unknowns: Mapping[str, Unknown] | None = None,
    ) -> None:
        self._made = (
            (network, step, train, test, loss),
            {
                "steps": steps,
                "dt": dt,
                "timed": timed,
                "knows_time": knows_time,
                "see": see,
                "after": after,
                "observe": observe,
                "weighed": weighed,
                "summed": summed,
                "stop_gradients": stop_gradients,
                "hold": hold,
                "unknowns": unknowns,
            },
        )
        test = train if test is None else test
        name, weights = told_loss(loss)
        steps, dt = _positive("steps", steps), number("dt", dt)
        after = None if after is None else [count("after", k) for k in after]
        flags = {
            "timed": timed,
            "knows_time": knows_time,
            "weighed": weighed,
            "summed": summed,
            "stop_gradients": stop_gradients,
        }
        for flag, value in flags.items():
            if not isinstance(value, (bool, np.bool_)):
                raise ValueError(f"{flag} = {value!r} is not possible: it must be True or False")
        if see is not None and knows_time:
            raise ValueError(
                "knows_time=True is not possible with see, which is given the time behind the input"
            )
        outputs = train.target.shape[1]
        if weighed and outputs % 2:
            raise ValueError(
                f"target has {outputs} columns, expected as many weights as observations behind them"
            )
        outputs = outputs // 2 if weighed else outputs
        self._adapter: Any = StepAdapter(step, dt, bool(timed))
        sees = 0 if network is None else network.inputs
        told = {"steps": steps, "dt": dt, "after": after or [steps], **flags}
        if see is not None and network is None:
            raise ValueError("see is not possible without a network")
        self._compiled = _hig.Problem.steered(
            {
                "network": network,
                "unknowns": [u._told(key) for key, u in (unknowns or {}).items()],
                "step": self._adapter,
                "steps": steps,
                "dt": dt,
                "see": None if see is None else Adapter(see, sees),
                "observe": None if observe is None else Adapter(observe, outputs),
                "knows_time": bool(knows_time),
                "after": after,
                "weighed": bool(weighed),
                "summed": bool(summed),
                "stop_gradients": bool(stop_gradients),
                "hold": None if hold is None else _positive("hold", hold),
                "loss": name,
                "weights": weights,
                "told": [(key, str(value)) for key, value in told.items()],
            },
            train._arrays(),
            test._arrays(),
        )

    def __reduce__(self) -> tuple[Any, ...]:
        # Made again from its parts: what is compiled is not copied.
        return _again, self._made


def _again(given: tuple[Any, ...], named: dict[str, Any]) -> ClosedLoop:
    return ClosedLoop(*given, **named)


def _positive(name: str, value: int) -> int:
    found = count(name, value)
    if found == 0:
        raise ValueError(f"{name} = 0 is not possible: it must be at least 1")
    return found
