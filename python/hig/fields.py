"""Fields that obey equations of your own.

A network u(x; θ) is trained so that an equation is met at many points, and what is given on the boundary as
well (physics-informed networks). An equation is a function of a point and the field there, written as usual:

>>> import hig, numpy as np
>>> from hig import fields
>>> def heat(x, u):
...     return u.d(0) - 0.25 * u.d(1, 1)
>>> def start(x, u):
...     return u - np.sin(np.pi * x[1])
>>> slab = fields.Box((0, 1), (0, 1))
>>> problem = fields.Problem(
...     hig.networks.mlp([2, 16, 1], initializer="wide"),
...     {
...         "interior": fields.Block(heat, slab.inside(), 400),
...         "sides": fields.Block(lambda x, u: u, slab.boundary(1), 40),
...         "initial": fields.Block(start, slab.face(0), 40),
...     },
... )
>>> result = hig.train(problem, "lm", updates=60)

It is called once, with numbers that write down what is done with them; what they wrote is then
evaluated and differentiated by the compiled half, without Python.
"""

from __future__ import annotations

import numbers
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from . import _hig, methods
from ._arrays import Array, by_rows, double
from ._problem import Problem as _Problem
from ._settings import count as whole
from ._settings import field_name
from ._settings import number as real
from .methods import Method
from .networks import Network
from .training import Training

__all__ = ["Block", "Box", "Expression", "Field", "Points", "Problem", "Unknown", "rows"]

_Told = tuple[list[tuple[str, list[int], float]], list[int]]


class _Tape:
    """Operations in their order, each once."""

    def __init__(self) -> None:
        self.operations: list[tuple[str, list[int], float]] = []
        self._places: dict[tuple[str, tuple[int, ...], float], int] = {}

    def add(self, name: str, operands: Sequence[int] = (), number: float = 0.0) -> int:
        key = name, tuple(operands), number
        if key not in self._places:
            self._places[key] = len(self.operations)
            self.operations.append((name, list(operands), number))
        return self._places[key]


_BOTH = {"add", "subtract", "multiply", "divide", "hypot", "arctan2", "maximum", "minimum"}
_ONE = {"negative", "sin", "cos", "tanh", "exp", "log", "sqrt", "sign"}
_SAME = {"true_divide": "divide", "absolute": "abs", "fabs": "abs"}


class Expression:
    """A number that writes down what is done with it: arithmetic, powers with a number, and NumPy's ``sin``,
    ``cos``, ``tanh``, ``exp``, ``log``, ``sqrt``, ``abs``, ``sign``, ``square``, ``hypot``, ``arctan2``,
    ``maximum`` and ``minimum``."""

    __slots__ = ("_at", "_tape")

    def __init__(self, tape: _Tape, at: int) -> None:
        self._tape, self._at = tape, at

    def _place(self) -> int:
        return self._at

    def _of(self, other: object) -> int | None:
        if isinstance(other, Expression):
            if other._tape is not self._tape:
                raise ValueError("an expression of another equation cannot be part of this one")
            return other._place()
        if isinstance(other, numbers.Real) or (
            isinstance(other, np.ndarray) and other.ndim == 0 and other.dtype.kind in "iuf"
        ):
            return self._tape.add("constant", number=float(other))
        return None

    def _made(self, name: str, *operands: object) -> Any:
        places = [self._of(operand) for operand in operands]
        if None in places:
            return NotImplemented
        return Expression(self._tape, self._tape.add(name, places))  # type: ignore[arg-type]

    def __add__(self, other: object) -> Any:
        return self._made("add", self, other)

    def __radd__(self, other: object) -> Any:
        return self._made("add", other, self)

    def __sub__(self, other: object) -> Any:
        return self._made("subtract", self, other)

    def __rsub__(self, other: object) -> Any:
        return self._made("subtract", other, self)

    def __mul__(self, other: object) -> Any:
        return self._made("multiply", self, other)

    def __rmul__(self, other: object) -> Any:
        return self._made("multiply", other, self)

    def __truediv__(self, other: object) -> Any:
        return self._made("divide", self, other)

    def __rtruediv__(self, other: object) -> Any:
        return self._made("divide", other, self)

    def __neg__(self) -> Expression:
        return Expression(self._tape, self._tape.add("negative", [self._place()]))

    def __pos__(self) -> Expression:
        return self

    def __abs__(self) -> Expression:
        return Expression(self._tape, self._tape.add("abs", [self._place()]))

    def __pow__(self, exponent: object) -> Any:
        if isinstance(exponent, Expression):
            return np.exp(exponent * np.log(self))
        if not isinstance(exponent, numbers.Real):
            return NotImplemented
        return Expression(self._tape, self._tape.add("power", [self._place()], float(exponent)))

    def __rpow__(self, base: object) -> Any:
        if not isinstance(base, numbers.Real):
            return NotImplemented
        return np.exp(self * float(np.log(float(base))))

    def __bool__(self) -> bool:
        raise TypeError(
            "an equation is written down once, for all points: it cannot decide by a value; "
            "np.maximum, np.minimum, np.abs and np.sign can be part of it"
        )

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> Any:
        bool(self)

    __lt__ = __le__ = __gt__ = __ge__ = __ne__ = __eq__

    def __float__(self) -> float:
        raise TypeError(
            "an expression has no value: functions of NumPy take it, those of math do not"
        )

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        name = _SAME.get(ufunc.__name__, ufunc.__name__)
        if method != "__call__" or options:
            return NotImplemented
        if name == "square":
            return self._made("multiply", inputs[0], inputs[0])
        if name in ("power", "float_power"):
            base, exponent = inputs
            if isinstance(base, Expression):
                return base.__pow__(exponent)
            return exponent.__rpow__(float(base))
        if name in _BOTH | _ONE | {"abs"}:
            return self._made(name, *inputs)
        known = ", ".join(sorted(_BOTH | _ONE | {"abs", "square", "power"}))
        raise TypeError(f"np.{ufunc.__name__} cannot be part of an equation; these can: {known}")


class Field(Expression):
    """A field at a point: as a number its value, with its derivatives. Of several fields it is the first,
    and ``u[k]`` number ``k``."""

    __slots__ = ("_coordinates", "_fields", "_number")

    def __init__(self, tape: _Tape, coordinates: int, fields: int, number: int) -> None:
        super().__init__(tape, -1)
        self._coordinates, self._fields, self._number = coordinates, fields, number

    def _place(self) -> int:
        return self._tape.add("field", [self._number])

    def d(self, i: int, j: int | None = None) -> Expression:
        """∂u/∂xᵢ, or ∂²u/∂xᵢ∂xⱼ."""
        along = [i] if j is None else [i, j]
        for coordinate in along:
            _within("coordinate", coordinate, self._coordinates)
        name = "first" if j is None else "second"
        return Expression(self._tape, self._tape.add(name, [self._number, *along]))

    def laplacian(self, first: int = 0, last: int | None = None) -> Expression:
        """Σ ∂²u/∂xᵢ² over the coordinates from ``first`` up to, and without, ``last``; all without."""
        last = self._coordinates if last is None else last
        _within("first coordinate", first, self._coordinates)
        if not first < last <= self._coordinates:
            raise ValueError(
                f"last = {last} is not possible: expected {first + 1} to {self._coordinates}"
            )
        return Expression(self._tape, self._tape.add("laplacian", [self._number, first, last]))

    def __getitem__(self, number: int) -> Field:
        _within("field", number, self._fields)
        return Field(self._tape, self._coordinates, self._fields, number)

    def __len__(self) -> int:
        return self._fields


def _within(what: str, number: object, count: int) -> None:
    whole_number = isinstance(number, (int, np.integer)) and not isinstance(number, bool)
    if not whole_number or not 0 <= int(number) < count:  # type: ignore[call-overload]
        raise IndexError(f"{what} {number!r} is not possible: expected 0 to {count - 1}")


@dataclass(frozen=True)
class Points:
    """Where the points of a block are drawn; made by a :class:`Box`."""

    box: Box
    part: str
    which: tuple[int, ...] = ()

    def _told(self) -> Any:
        sides = [(float(a), float(b)) for a, b in self.box.sides]
        return self.part, sides, self.box.spread, list(self.which)


@dataclass(frozen=True)
class _Rows:
    points: Array
    values: Array

    def _told(self) -> Any:
        return self.points, self.values


def rows(points: ArrayLike, values: ArrayLike) -> Any:
    """Points (N, coordinates) that are given, with what the equation should be there (N,) or (N, residuals), such as
    measurements of the field with the equation ``lambda x, u: u``."""
    placed = by_rows("points", points)
    given = np.asarray(values, dtype=float)
    given = given[:, None] if given.ndim == 1 else given
    if given.ndim != 2 or len(given) != len(placed):
        raise ValueError(
            f"values have shape {np.shape(values)}, expected ({len(placed)},) or ({len(placed)}, residuals)"
        )
    return _Rows(placed, by_rows("values", given))


class Box:
    """The product of an interval for each coordinate, such as ``Box((0, 1), (-1, 1))`` for t and x.

    ``spread`` says how points are drawn: ``even``, without gaps, or ``uniform``, each by itself.
    """

    def __init__(self, *sides: tuple[float, float], spread: str = "even") -> None:
        self.sides = tuple((float(a), float(b)) for a, b in sides)
        self.spread = spread

    def __repr__(self) -> str:
        return f"Box({', '.join(map(repr, self.sides))}, spread={self.spread!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Box) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash((self.sides, self.spread))

    def inside(self) -> Points:
        """Points inside."""
        return Points(self, "inside")

    def boundary(self, first: int = 0, last: int | None = None) -> Points:
        """Points where one of the coordinates from ``first`` up to, and without, ``last`` begins or ends;
        all coordinates without. The sides of a time slab are ``boundary(1)``."""
        return Points(self, "boundary", (first, len(self.sides) if last is None else last))

    def face(self, coordinate: int, upper: bool = False) -> Points:
        """Points where a coordinate begins, or with ``upper`` where it ends. The start of a time slab is
        ``face(0)``."""
        return Points(self, "face", (coordinate, int(upper)))

    def grid(self, along: int) -> Array:
        """The points (along**coordinates, coordinates) of a grid, the last coordinate fastest."""
        axes = [np.linspace(a, b, along) for a, b in self.sides]
        return np.stack([axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")], axis=1)


Residual = Callable[..., Any]


@dataclass(frozen=True, eq=False)
class Block:
    """An equation, ``residual(x, u)`` or with unknowns ``residual(x, u, c)``, and where it holds.

    Parameters
    ----------
    residual : what should be 0, an expression or a tuple of them
    points : from a :class:`Box`, or :func:`rows`
    count : how many; those of :func:`rows` are all there are
    weight : w of w/(2·count)·Σ r², what the block counts in the loss
    """

    residual: Residual
    points: Any
    count: int | None = None
    weight: float = 1.0


@dataclass(frozen=True)
class Unknown:
    """A number of an equation that nobody knows, trained beside the field.

    ``bounds`` is ``"positive"``, ``"free"`` or a pair between which it lies.
    """

    initial: float
    bounds: str | tuple[float, float] = "positive"

    def _told(self, name: str) -> tuple[str, float, str, float, float]:
        if isinstance(self.bounds, str):
            if self.bounds not in ("positive", "free"):
                raise ValueError(
                    f"bounds = {self.bounds!r} is not possible: expected positive, free or a pair of numbers"
                )
            return name, float(self.initial), self.bounds, 0.0, 0.0
        least, most = self.bounds
        return name, float(self.initial), "between", float(least), float(most)


class Unknowns:
    """The unknowns of an equation by name, as attributes."""

    def __init__(self, values: dict[str, Expression]) -> None:
        self._values = values

    def __getattr__(self, name: str) -> Expression:
        if name.startswith("_") or name not in self._values:
            known = ", ".join(self._values) if not name.startswith("_") else ""
            raise AttributeError(f"no unknown is called {name}; there are {known}")
        return self._values[name]

    def __getitem__(self, name: str) -> Expression:
        return self._values[name]


def _traced(
    name: str, function: Residual, coordinates: int, fields: int, unknowns: Sequence[str]
) -> _Told:
    """What a function writes down."""
    tape = _Tape()
    x = [Expression(tape, tape.add("coordinate", [i])) for i in range(coordinates)]
    every = fields + len(unknowns)
    arguments: list[Any] = [x]
    if fields > 0:
        u = Field(tape, coordinates, fields, 0)
        arguments.append(u)
    if unknowns:
        values = [Field(tape, coordinates, every, fields + i) for i in range(len(unknowns))]
        arguments.append(Unknowns(dict(zip(unknowns, values))))
    found = function(*arguments)
    parts = list(found) if isinstance(found, (tuple, list)) else [found]
    if not parts:
        raise ValueError(f"{name} returns nothing, expected one expression or more")
    places = []
    for part in parts:
        place = x[0]._of(part)
        if place is None:
            kind = type(part).__name__
            raise TypeError(
                f"{name} returns a {kind}, expected an expression of x and u or a tuple of them"
            )
        places.append(place)
    return tape.operations, places


class Problem(_Problem):
    """A network that should obey equations at the points of blocks.

    Parameters
    ----------
    network : from the coordinates to the fields, :func:`hig.networks.mlp` with a smooth activation; the initializer
        ``wide`` spreads a tanh network over a domain of size 1
    blocks : the equations by name
    exact : the fields as a function of the point, where they are known: then ``test_loss`` is
        ½·mean (u - u*)² over points of ``judged``, and :meth:`relative_l2` tells the error; without, other points of
        the blocks are the test samples
    judged : where the field is judged, with ``exact``; the points of the first block without
    test_points : how many of them
    unknowns : numbers of the equations to be found, by name
    candidates : where new points are drawn (``order="fresh"``), how many there are to choose each from,
        those with large residuals more likely (arXiv 2207.10289); 1 chooses none
    weights : ``"equal"`` leaves the weights of the blocks as they are; ``"balanced"`` multiplies those of all but the
        first so that the traces of all blocks' parts of JᵀCJ are equal at the first parameters of the seed (arXiv
        2007.14527, section 6); :meth:`block_weights` tells them
    seed : of the points

    By itself :func:`hig.train` takes a batch of all points, in a fixed order.
    """

    def __init__(
        self,
        network: Network,
        blocks: Mapping[str, Block],
        *,
        exact: Callable[..., Any] | None = None,
        judged: Points | None = None,
        test_points: int = 5000,
        unknowns: Mapping[str, Unknown] | None = None,
        candidates: int = 1,
        weights: Literal["equal", "balanced"] = "equal",
        seed: int = 0,
    ) -> None:
        self._adapter = None  # type: ignore[assignment]
        self._given = (
            network,
            dict(blocks),
            exact,
            judged,
            test_points,
            unknowns,
            candidates,
            weights,
            seed,
        )
        self._parts = ("field",)
        self._exact = exact
        unknowns = {} if unknowns is None else dict(unknowns)
        shapes = network.inputs, network.outputs
        told = []
        self._count = 0
        for name, block in blocks.items():
            if not isinstance(block, Block):
                raise TypeError(
                    f"block {name} is a {type(block).__name__}, expected a hig.fields.Block"
                )
            if isinstance(block.points, _Rows):
                if block.count not in (None, len(block.points.points)):
                    raise ValueError(f"count of block {name} is that of its rows, leave it out")
                points = len(block.points.points)
            elif isinstance(block.points, Points):
                if block.count is None:
                    raise ValueError(f"block {name} has no count: say how many points are drawn")
                points = whole(f"count of block {name}", block.count)
            else:
                kind = type(block.points).__name__
                raise TypeError(
                    f"points of block {name} are a {kind}, expected those of a hig.fields.Box, such as "
                    "box.inside(), or hig.fields.rows(points, values)"
                )
            equation = _traced(f"block {name}", block.residual, *shapes, list(unknowns))
            if isinstance(block.points, _Rows):
                expected = len(block.points.points), len(equation[1])
                if block.points.values.shape != expected:
                    raise ValueError(
                        f"values of block {name} have shape {block.points.values.shape}, expected {expected}"
                    )
            weight = real(f"weight of block {name}", block.weight)
            told.append((name, equation, weight, points, block.points._told()))
            self._count += points
        judge = None
        if exact is not None:
            if judged is None:
                drawn = [b.points for b in blocks.values() if isinstance(b.points, Points)]
                if not drawn:
                    raise ValueError(
                        "judged is missing: say where the field is judged, box.inside()"
                    )
                judged = drawn[0]
            solution = _traced("exact", exact, network.inputs, 0, [])
            judge = solution, judged._told(), whole("test_points", test_points)
        parts = [unknown._told(name) for name, unknown in unknowns.items()]
        seed = whole("seed", seed)
        chosen = whole("candidates", candidates)
        if not isinstance(weights, str):
            kind = type(weights).__name__
            raise TypeError(f"weights is a {kind}, expected 'equal' or 'balanced'")
        self._compiled = _hig.Problem.field(network, told, parts, judge, chosen, weights, seed)

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, self._given

    @property
    def name(self) -> str:
        """``field``."""
        return "field"

    def __len__(self) -> int:
        """Number of points in all blocks."""
        return self._count

    def method(self, name: str, **settings: Any) -> Method:
        """A method with the settings that are recommended for fields, and these over them."""
        if name not in methods.ALL:
            return methods.by_name(name)
        recommended, _ = _hig.recommended("poisson-pinn", [], name)
        fields = {field_name(key): value for key, value in recommended.items()}
        return methods.ALL[name](**{**fields, **settings})

    def training(self, name: str, **settings: Any) -> Training:
        """How to train with a method: with all points, in a fixed order, and these settings over it."""
        return Training(**{"batch": len(self), "order": "fixed", **settings})

    def derivative(self, weights: ArrayLike, points: ArrayLike, *along: int) -> Array:
        """A derivative of the fields (N, fields) at points (N, coordinates): ∂²u/∂x₀∂x₁ along 0, 1; the
        fields themselves along none."""
        return self._compiled.derivative(
            double("weights", weights, 1), by_rows("points", points), list(along)
        )

    def blocks(self, weights: ArrayLike) -> dict[str, float]:
        """The loss of every block, w/(2·count)·Σ r² of the training points."""
        return dict(self._compiled.blocks(double("weights", weights, 1)))

    def block_weights(self) -> dict[str, float]:
        """The weight w of every block, also those that ``weights="balanced"`` found."""
        return dict(self._compiled.block_weights())

    def unknowns(self, weights: ArrayLike) -> dict[str, tuple[float, float]]:
        """Value and standard error of every unknown. The latter holds where the loss is a negative log-likelihood
        up to a factor that is known: with N points in all, N_k of them in a block whose residuals have the
        standard deviation σ_k, that is so with the weights N_k/(N·σ_k²)."""
        found = self._compiled.estimates(double("weights", weights, 1))
        return {name: (value, error) for name, value, error in found}

    def relative_l2(self, weights: ArrayLike) -> float:
        """√(Σ (u - u*)² / Σ u*²) over the test points."""
        if self._exact is None:
            raise ValueError("the exact solution is not known: give the problem exact=")
        test = self.test
        found = self.predict(weights, test.input)
        known = _known(self._exact, test.input)
        error = found[:, : known.shape[1]] - known
        return float(np.linalg.norm(error) / np.linalg.norm(known))


def _known(exact: Callable[..., Any], points: Array) -> Array:
    found = exact(list(points.T))
    parts = list(found) if isinstance(found, (tuple, list)) else [found]
    return np.stack([np.broadcast_to(part, len(points)) for part in parts], axis=1)


def _again(*given: Any) -> Problem:
    network, blocks, exact, judged, test_points, unknowns, candidates, weights, seed = given
    return Problem(
        network,
        blocks,
        exact=exact,
        judged=judged,
        test_points=test_points,
        unknowns=unknowns,
        candidates=candidates,
        weights=weights,
        seed=seed,
    )
