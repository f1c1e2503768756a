"""A result as a notebook shows it: a table and a curve, without any other package."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import numpy as np

from ._arrays import Array

if TYPE_CHECKING:
    from ._result import Result

_WIDTH, _HEIGHT = 320, 90


def page(result: Result) -> str:
    """The table and the curve of the test loss over updates."""
    rows = {
        "method": repr(result.method),
        "test loss": f"{result.test_loss:.4e}",
        "training loss": f"{result.train_loss:.4e}",
        "updates": str(result.updates),
        "epochs": f"{result.epochs:.4g}",
        "seconds": f"{result.seconds:.3g}",
        "ended": result.stop,
    }
    cells = "".join(
        f"<tr><th style='text-align:left'>{escape(name)}</th>"
        f"<td style='text-align:left'>{escape(value)}</td></tr>"
        for name, value in rows.items()
    )
    return f"<table>{cells}</table>{_curve(result.history.update, result.history.test_loss)}"


def _curve(update: np.ndarray[tuple[int], np.dtype[np.int64]], loss: Array) -> str:
    shown = np.isfinite(loss) & (loss > 0)
    if shown.sum() < 2:
        return ""
    x, y = update[shown].astype(float), np.log10(loss[shown])
    x = (x - x[0]) / max(x[-1] - x[0], 1.0) * _WIDTH
    y = (y.max() - y) / max(float(np.ptp(y)), 1e-12) * _HEIGHT
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y))
    label = (
        f"test loss, {loss[shown].max():.1e} to {loss[shown].min():.1e}, logarithmic, over updates"
    )
    return (
        f"<svg width='{_WIDTH}' height='{_HEIGHT + 20}' role='img' aria-label='{label}'>"
        f"<polyline points='{points}' fill='none' stroke='currentColor' stroke-width='1.5'/>"
        f"<text x='0' y='{_HEIGHT + 15}' font-size='11' fill='currentColor'>{label}</text></svg>"
    )
