"""The progress bar of a training."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

# Counters (updates, epochs, seconds), used fraction of the budget, loss of the last batch, and
# (training, test) loss of the last evaluation.
Tick = Callable[[tuple[int, float, float], float, float, "tuple[float, float] | None"], None]
Budget = tuple["int | None", "float | None", "float | None"]


class Bar:
    """A tqdm bar over the first limit of a budget."""

    def __init__(self, name: str, budget: Budget) -> None:
        from tqdm.auto import tqdm

        units = ("update", "epoch", "s")
        self._place = next(i for i, limit in enumerate(budget) if limit is not None)
        unit = units[self._place]
        self._bar: Any = tqdm(total=budget[self._place], desc=name, unit=unit, file=sys.stderr)
        if unit != "update":
            # tqdm would write 0.30000000000000004.
            self._bar.bar_format = "{desc}: {percentage:3.0f}%|{bar}| {n:.1f}/{total:.1f} {unit} [{elapsed}<{remaining}{postfix}]"

    def __call__(
        self,
        counters: tuple[int, float, float],
        used: float,
        batch_loss: float,
        losses: tuple[float, float] | None,
    ) -> None:
        if losses is not None:
            self._bar.set_postfix_str(f"train {losses[0]:.2e}, test {losses[1]:.2e}", refresh=False)
        self._bar.update(min(counters[self._place], self._bar.total) - self._bar.n)

    def close(self) -> None:
        """Leaves the bar as it stands."""
        self._bar.close()


def wanted(progress: bool | None) -> bool:
    """Whether to show a bar: as told, otherwise in a terminal and in a notebook."""
    if progress is not None:
        return progress and _writable()
    return _in_terminal() or _in_notebook()


def _writable() -> bool:
    """Whether there is anything to write a bar to; a closed standard error is none."""
    return sys.stderr is not None and not getattr(sys.stderr, "closed", False)


def _in_terminal() -> bool:
    isatty = getattr(sys.stderr, "isatty", None)
    return _writable() and isatty is not None and bool(isatty())


def _in_notebook() -> bool:
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and "IPKernelApp" in shell.config
