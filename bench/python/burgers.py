"""Burgers' equation u_t + u·u_x = ν·u_xx on [-1, 1] with ν = 0.01/π from -sin(πx), u = 0 at the walls: the solution
that trained networks are held against, and the tables of pages that tell how near they came."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("RAYON_NUM_THREADS", "1")

import numpy as np

VISCOSITY = 0.01 / np.pi


def exact(x, t):
    """u(x, t): Cole and Hopf's integral by Gauss-Hermite quadrature."""
    nodes, weights = np.polynomial.hermite.hermgauss(100)
    y = x[:, None] - nodes * np.sqrt(4 * VISCOSITY * t[:, None])
    # exp(-cos(πy)/(2πν)) over its largest value: the quotient does not change.
    power = -np.cos(np.pi * y) / (2 * np.pi * VISCOSITY)
    heat = weights * np.exp(power - power.max(axis=1, keepdims=True))
    return -(heat * np.sin(np.pi * y)).sum(1) / heat.sum(1)


def points():
    """A grid of 256 × 100 points (x, t), with the solution there."""
    x, t = np.meshgrid(np.linspace(-1, 1, 256), np.linspace(0, 0.99, 100))
    x, t = x.ravel(), t.ravel()
    return np.stack([x, t], axis=1), exact(x, t)


def error(answer, truth):
    """Relative L² error."""
    return float(np.linalg.norm(answer.ravel() - truth) / np.linalg.norm(truth))


def table(heads, rows):
    """As Markdown."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def put(page, name, text):
    """Into a page that has a place of that name for it."""
    start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    before, rest = page.read_text().split(start)
    page.write_text(f"{before}{start}\n{text}\n{end}{rest.split(end)[1]}")
