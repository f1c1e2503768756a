"""A result as a notebook shows it: a table and a curve, without any other package."""

from __future__ import annotations

from html import escape

import numpy as np
from numpy.typing import NDArray

from ._arrays import Array

_WIDTH, _HEIGHT = 320, 90


def page(rows: dict[str, str], update: NDArray[np.int64], test_loss: Array) -> str:
    """A table of names and values, and the curve of the test loss over updates."""
    cells = "".join(
        f"<tr><th style='text-align:left'>{escape(name)}</th>"
        f"<td style='text-align:left'>{escape(value)}</td></tr>"
        for name, value in rows.items()
    )
    return f"<table>{cells}</table>{_curve(update, test_loss)}"


def _curve(update: NDArray[np.int64], loss: Array) -> str:
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
