"""Parameters that make residuals small, within bounds."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ._arrays import Array
from ._steps import spectral_step

# Damping of the first step, as a part of the largest diagonal element of JᵀJ, and how fast it falls at most:
# Madsen, Nielsen and Tingleff (2004), equations 3.14 and 3.15, where that is 1/3.
_FIRST_DAMPING = 1e-3
_FASTEST = 0.1
_MESSAGES = {
    -1: "A Jacobian or a step has numbers that are not finite.",
    0: "The largest number of evaluations was reached.",
    1: "The gradient is below gtol.",
    2: "The cost changes by less than ftol.",
    3: "x changes by less than xtol.",
    4: "The cost changes by less than ftol, and x by less than xtol.",
}


class _Result(dict[str, Any]):
    """The fields of SciPy's result, where SciPy is not installed."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    def __dir__(self) -> list[str]:
        return list(self)

    def __repr__(self) -> str:
        return "\n".join(f"{name:>11}: {value!r}" for name, value in self.items())


def least_squares(
    fun: Callable[..., Any],
    x0: ArrayLike,
    jac: str | Callable[..., Any] = "2-point",
    bounds: tuple[ArrayLike, ArrayLike] | Any = (-np.inf, np.inf),
    *,
    ftol: float | None = 1e-8,
    xtol: float | None = 1e-8,
    gtol: float | None = 1e-8,
    x_scale: ArrayLike | str = "jac",
    diff_step: ArrayLike | None = None,
    max_nfev: int | None = None,
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
) -> Any:
    """Minimises ½ Σ fun(x)² over x within bounds, by the Levenberg-Marquardt method.

    Arguments, result and the meaning of the tolerances are those of ``scipy.optimize.least_squares``, which a
    program can change for this one; the steps are those of :func:`hig.spectral_step` with
    exponent 1, many times as fast where there are thousands of residuals or hundreds of parameters.

    Parameters
    ----------
    fun : ``fun(x, *args, **kwargs)``, the residuals (m,) or a number
    x0 : where it starts (p,) or a number; within the bounds
    jac : ``jac(x, *args, **kwargs)``, their derivatives (m, p), or by differences "2-point", "3-point" (twice
        the price, more accurate) or "cs" (a complex step, for functions that take complex numbers)
    bounds : the lowest and the highest x, each (p,) or a number, or ``scipy.optimize.Bounds``
    ftol, xtol, gtol : it ends where the cost changes by less than ``ftol`` of itself, x by less than ``xtol`` of
        itself, or no component of the projected gradient is above ``gtol``; None leaves one out
    x_scale : what a change of a parameter is measured by (p,), or "jac": the largest norm that
        its column of the Jacobian has had
    diff_step : relative steps of the differences
    max_nfev : evaluations of ``fun`` at most, those for differences not counted; 100·p without

    Returns
    -------
    ``scipy.optimize.OptimizeResult``, or where SciPy is not installed an object with the same fields: ``x``,
    ``cost`` = ½ Σ fun², ``fun``, ``jac``, ``grad`` = Jᵀ·fun, ``optimality`` (the largest component of the
    projected gradient), ``active_mask`` (-1 and 1 at a bound), ``nfev``, ``njev``, ``status``, ``message``,
    ``success``.

    The step of variables that no bound holds is J's damped Gauss-Newton step, cut at the bounds, as in Kanzow,
    Yamashita and Fukushima (2004); the damping follows the gain ratio, Madsen, Nielsen and Tingleff (2004).

    Raises
    ------
    ValueError, TypeError
        An argument that cannot be, by its name; residuals at ``x0`` that are not finite.
    """
    problem = _Problem(fun, x0, jac, bounds, x_scale, diff_step, args, dict(kwargs or {}))
    change, move, slope = (
        _tolerance("ftol", ftol),
        _tolerance("xtol", xtol),
        _tolerance("gtol", gtol),
    )
    if not (change or move or slope):
        raise ValueError("ftol, xtol and gtol are all None or 0: one of them must be above 0")
    evaluations = 100 * problem.x0.size if max_nfev is None else max_nfev
    if not isinstance(evaluations, (int, np.integer)) or evaluations < 1:
        raise ValueError(f"max_nfev = {max_nfev} is not possible: it must be at least 1")
    return _minimised(problem, change, move, slope, int(evaluations))


def _tolerance(name: str, value: Any) -> float:
    if value is None:
        return 0.0
    found = float(value)
    if not 0 <= found < np.inf:
        raise ValueError(f"{name} = {value} is not possible: it must be a number of at least 0")
    return found


def _minimised(problem: _Problem, ftol: float, xtol: float, gtol: float, evaluations: int) -> Any:
    x = problem.x0
    r = problem.residuals(x)
    problem.check_start(r)
    cost, growth = 0.5 * float(r @ r), 2.0
    jacobian = problem.jacobian(x, r)
    scale = problem.scale(jacobian, None)
    damping = _FIRST_DAMPING * (float(((jacobian / scale) ** 2).sum(axis=0).max()) or 1.0)
    status = None
    while status is None:
        gradient = jacobian.T @ r
        if not np.isfinite(gradient).all():
            status = -1
            break
        if problem.optimality(x, gradient) <= gtol:
            status = 1
            break
        free = ~problem.is_held(x, gradient)
        scaled = np.asfortranarray(jacobian[:, free] / scale[free])
        while status is None:
            if problem.nfev >= evaluations:
                status = 0
                break
            step = _step(scaled, r, damping)
            if step is None:
                status = -1
                break
            moved = x.copy()
            moved[free] -= step / scale[free]
            moved = problem.within(moved)
            change = moved - x
            image = jacobian @ change
            predicted = -float(gradient @ change) - 0.5 * float(image @ image)
            tried = problem.residuals(moved)
            tried_cost = 0.5 * float(tried @ tried)
            won = cost - tried_cost
            gain = won / predicted if predicted > 0 and np.isfinite(tried_cost) else -1.0
            size = float(np.linalg.norm(change))
            small = size < xtol * (xtol + float(np.linalg.norm(x)))
            if gain > 0:
                flat = won < ftol * cost and gain > 0.25
                status = 4 if flat and small else 2 if flat else 3 if small else None
                x, r, cost = moved, tried, tried_cost
                damping *= max(_FASTEST, 1.0 - (2.0 * gain - 1.0) ** 3)
                growth = 2.0
                jacobian = problem.jacobian(x, r)
                scale = problem.scale(jacobian, scale)
                break
            if small:
                status = 3
            damping, growth = damping * growth, 2.0 * growth
    return _result(problem, x, r, cost, jacobian, status)


def _step(scaled: Array, r: Array, damping: float) -> Array | None:
    """(JᵀJ + λ)⁻¹·Jᵀ·r."""
    if not scaled.any():
        return np.zeros(scaled.shape[1])
    try:
        return spectral_step(scaled, r, 1.0, treatment="damp", damping=damping)
    except np.linalg.LinAlgError:
        return None


def _result(
    problem: _Problem, x: Array, r: Array, cost: float, jacobian: Array, status: int | None
) -> Any:
    try:
        kind: Any = importlib.import_module("scipy.optimize").OptimizeResult
    except ModuleNotFoundError:
        kind = _Result
    code = -1 if status is None else status
    gradient = jacobian.T @ r
    return kind(
        x=x,
        cost=cost,
        fun=r,
        jac=jacobian,
        grad=gradient,
        optimality=problem.optimality(x, gradient),
        active_mask=problem.active(x),
        nfev=problem.nfev,
        njev=problem.njev,
        status=code,
        message=_MESSAGES[code],
        success=code > 0,
    )


class _Problem:
    """Residuals, their derivatives and bounds."""

    def __init__(
        self,
        fun: Any,
        x0: ArrayLike,
        jac: Any,
        bounds: Any,
        x_scale: Any,
        diff_step: Any,
        args: Sequence[Any],
        kwargs: dict[str, Any],
    ) -> None:
        if not callable(fun):
            raise TypeError(f"fun is a {type(fun).__name__}, expected a function of x")
        if not callable(jac) and jac not in ("2-point", "3-point", "cs"):
            raise ValueError(
                f"jac = {jac!r} is not possible: it must be a function, '2-point', '3-point' or 'cs'"
            )
        self._fun, self._jac, self._args, self._kwargs = fun, jac, tuple(args), kwargs
        if np.iscomplexobj(x0):
            raise TypeError("x0 is complex, expected real numbers")
        self.x0: Array = np.atleast_1d(np.asarray(x0, dtype=np.float64)).copy()
        if self.x0.ndim != 1 or self.x0.size == 0:
            raise ValueError(f"x0 has shape {self.x0.shape}, expected (p,)")
        self.low, self.high = self._read_bounds(bounds)
        self._scale = self._read_scale(x_scale)
        self._relative = None if diff_step is None else self._of_each("diff_step", diff_step)
        self.nfev = self.njev = self.size = 0

    def _of_each(self, name: str, value: Any) -> Array:
        array = np.asarray(value, dtype=np.float64)
        if array.ndim > 0 and array.shape != self.x0.shape:
            raise ValueError(
                f"{name} has shape {array.shape}, expected {self.x0.shape} as x0, or a number"
            )
        return np.broadcast_to(array, self.x0.shape).copy()

    def _read_bounds(self, bounds: Any) -> tuple[Array, Array]:
        if hasattr(bounds, "lb") and hasattr(bounds, "ub"):
            bounds = bounds.lb, bounds.ub
        if not isinstance(bounds, (tuple, list)) or len(bounds) != 2:
            raise ValueError("bounds must be a pair (lowest, highest), each (p,) or a number")
        low, high = (self._of_each("bounds", each) for each in bounds)
        for i in range(low.size):
            if not low[i] < high[i]:
                raise ValueError(
                    f"bounds of x[{i}] are {low[i]} and {high[i]}: the lowest must be below the highest"
                )
            if not low[i] <= self.x0[i] <= high[i]:
                raise ValueError(
                    f"x0[{i}] is {self.x0[i]}, expected a number from {low[i]} to {high[i]}, its bounds"
                )
        return low, high

    def _read_scale(self, x_scale: Any) -> Array | None:
        if isinstance(x_scale, str):
            if x_scale != "jac":
                raise ValueError(
                    f"x_scale = {x_scale!r} is not possible: it must be numbers or 'jac'"
                )
            return None
        scale = self._of_each("x_scale", x_scale)
        if not (np.isfinite(scale).all() and (scale > 0).all()):
            raise ValueError(f"x_scale = {x_scale} is not possible: its numbers must be above 0")
        return scale

    def check_start(self, r: Array) -> None:
        """Refuses a start that has no cost."""
        if not np.isfinite(r).all():
            i = int(np.argmin(np.isfinite(r)))
            raise ValueError(f"fun(x0) is {r[i]} at {i}: the residuals at x0 must be finite")

    def _answer(self, x: Any) -> Any:
        r = np.atleast_1d(np.asarray(self._fun(x.copy(), *self._args, **self._kwargs)))
        if r.ndim != 1 or r.size == 0:
            raise ValueError(f"fun returned shape {r.shape}, expected (m,)")
        if self.size and r.size != self.size:
            raise ValueError(f"fun returned {r.size} residuals and {self.size} before")
        self.size = r.size
        return r

    def residuals(self, x: Array) -> Array:
        """(m,)."""
        self.nfev += 1
        return self._real(self._answer(x))

    @staticmethod
    def _real(r: Any) -> Array:
        if r.dtype.kind not in "fiub":
            raise TypeError(f"fun returned dtype {r.dtype}, expected real numbers")
        return np.asarray(r, dtype=np.float64)

    def jacobian(self, x: Array, r: Array) -> Array:
        """(m, p)."""
        self.njev += 1
        if not callable(self._jac):
            return self._differences(x, r)
        told = self._jac(x.copy(), *self._args, **self._kwargs)
        if hasattr(told, "toarray"):
            told = told.toarray()
        found = np.asarray(told, dtype=np.float64)
        if found.size == r.size * x.size and found.ndim < 2:
            found = found.reshape(r.size, x.size)
        if found.shape != (r.size, x.size):
            raise ValueError(
                f"jac returned shape {found.shape}, expected {(r.size, x.size)}: a row for each residual"
            )
        return found

    def _differences(self, x: Array, r: Array) -> Array:
        epsilon = np.finfo(np.float64).eps
        power = {"2-point": 1 / 2, "3-point": 1 / 3, "cs": 1 / 2}[str(self._jac)]
        relative = epsilon**power if self._relative is None else self._relative
        steps = relative * np.where(x < 0, -1.0, 1.0) * np.maximum(1.0, np.abs(x))
        columns = np.empty((r.size, x.size), order="F")
        for k, step in enumerate(steps):
            if self._jac == "cs":
                moved = x.astype(np.complex128)
                moved[k] += 1j * step
                columns[:, k] = self._answer(moved).imag / step
                continue
            # Away from a bound that is near.
            if not self.low[k] <= x[k] + step <= self.high[k]:
                step = -step
            room = max(self.high[k] - x[k], x[k] - self.low[k])
            step = np.copysign(min(abs(step), room / 2), step)
            if not self.low[k] <= x[k] + step <= self.high[k]:
                step = -step
            there = x.copy()
            there[k] += step
            step = there[k] - x[k]
            ahead = self._real(self._answer(there))
            if self._jac == "2-point":
                columns[:, k] = (ahead - r) / step
                continue
            back = x.copy()
            back[k] -= step
            if self.low[k] <= back[k] <= self.high[k]:
                columns[:, k] = (ahead - self._real(self._answer(back))) / (there[k] - back[k])
            else:
                # One-sided, of second order.
                back[k] = x[k] + step / 2
                middle = self._real(self._answer(back))
                columns[:, k] = (4.0 * middle - 3.0 * r - ahead) / step
        return columns

    def scale(self, jacobian: Array, before: Array | None) -> Array:
        """What columns are divided by."""
        if self._scale is not None:
            return 1.0 / self._scale
        norms: Array = np.sqrt((jacobian**2).sum(axis=0))
        if before is None:
            return np.where(norms > 0, norms, 1.0)
        return np.maximum(norms, before)

    def within(self, x: Array) -> Array:
        """The nearest point within the bounds."""
        return np.clip(x, self.low, self.high)

    def is_held(self, x: Array, gradient: Array) -> Any:
        """Which variables a bound holds."""
        at_low, at_high = (x <= self.low) & (gradient > 0), (x >= self.high) & (gradient < 0)
        return at_low | at_high

    def optimality(self, x: Array, gradient: Array) -> float:
        """The largest component of x - P(x - gradient), which is 0 at a solution."""
        return float(np.abs(x - self.within(x - gradient)).max())

    def active(self, x: Array) -> Any:
        """-1 at a lowest, 1 at a highest x, otherwise 0."""
        return np.where(x <= self.low, -1, np.where(x >= self.high, 1, 0))
