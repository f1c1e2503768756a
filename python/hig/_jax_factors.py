"""Rows of J as outer products, found in the jaxpr of a JAX function.

Where a function multiplies values by an array of its parameters (``dot_general``, or a convolution read as a
product with patches), the derivative of its outputs in that array is Σ_c δ_c ⊗ a_c: a sum over the passes c in
which the array is used, of what came back and what went in. K = J·Jᵀ follows from these factors (the neural
tangent kernel in factored form, arXiv 2206.08720, section 3), which are far fewer numbers than J. Parameters that
are used in any other way are differentiated as they are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Literal

from . import _hig

# Weights of one use that are told apart: the layers of a stack, the members of an ensemble.
_MOST_APART = 64
# What stands where a pass has no bias.
_NOWHERE = -1

# Calls whose function is entered where weights go in, with the name of what they call.
_CALLS = {
    "pjit": "jaxpr",
    "jit": "jaxpr",
    "closed_call": "call_jaxpr",
    "core_call": "call_jaxpr",
    "remat": "jaxpr",
    "remat2": "jaxpr",
    "checkpoint": "jaxpr",
}

_Function = Callable[[Any, Any], Any]
# Where an equation stands: its number in its jaxpr, after those of the equations around it.
_Place = tuple[int, ...]


class _Weight:
    """A value that is numbers of θ: where they stand, with an axis in front for each scan around it, of
    length 1 where the numbers are the same at every step."""

    def __init__(self, value: Any, places: Any) -> None:
        self.value, self.places = value, places


class _Use(NamedTuple):
    """A product with weights."""

    #: Where in θ: (1 or the length, for each scan around it; weights side by side, inputs, outputs)
    places: Any
    #: Of what comes out, and its axes: of the weights side by side, of passes, of outputs
    shape: tuple[int, ...]
    axes: tuple[list[int], list[int], list[int]]
    #: Lengths of the scans around it
    scans: tuple[int, ...]


class _Walk:
    """Runs through a jaxpr: once to find the products with weights, then with a change added to each."""

    def __init__(self, width: int) -> None:
        self.uses: dict[_Place, _Use] = {}
        self.biases: dict[_Place, Any] = {}
        #: Numbers of θ that are used in another way
        self.other = np.zeros(width, bool)

    def __call__(
        self, jaxpr: Any, consts: Any, given: list[Any], changes: dict[_Place, Any]
    ) -> tuple[list[Any], dict[_Place, Any]]:
        """What comes out, and what went into each product."""
        inputs: dict[_Place, Any] = {}
        answers, _ = self._run(jaxpr, consts, given, changes, inputs, (), ())
        return [self._plain(answer) for answer in answers], inputs

    def _run(
        self,
        jaxpr: Any,
        consts: Any,
        given: list[Any],
        changes: dict[_Place, Any],
        inputs: dict[_Place, Any],
        within: _Place,
        scans: tuple[int, ...],
    ) -> tuple[list[Any], list[Any]]:
        values: dict[Any, Any] = dict(
            zip([*jaxpr.constvars, *jaxpr.invars], [*consts, *given], strict=True)
        )
        # Products that a single equation reads, which may add a bias: which, and how they were moved.
        products: dict[Any, tuple[_Place, Any]] = {}
        readers = Counter(
            atom
            for eqn in (*jaxpr.eqns, jaxpr)
            for atom in (eqn.outvars if eqn is jaxpr else eqn.invars)
            if not isinstance(atom, Literal)
        )

        def read(atom: Any) -> Any:
            return atom.val if isinstance(atom, Literal) else values[atom]

        def product_of(atom: Any) -> Any:
            alone = not isinstance(atom, Literal) and readers[atom] == 1
            return products.get(atom) if alone else None

        for number, eqn in enumerate(jaxpr.eqns):
            operands: list[Any] = [read(atom) for atom in eqn.invars]
            place = (*within, number)
            is_weight = [isinstance(operand, _Weight) for operand in operands]
            name = eqn.primitive.name
            found: Any = None
            told: Any = None
            if not any(is_weight):
                answers = _bound(eqn, operands)
                product = product_of(eqn.invars[0]) if len(operands) == 1 else None
                if product is not None:
                    moved = _moved(eqn, product[1], 0)
                    if moved is not None and moved[0].size == product[1].size:
                        products[eqn.outvars[0]] = product[0], moved[0]
                values.update(zip(eqn.outvars, answers))
                continue
            if is_weight == [True]:
                weight = operands[0]
                moved = _moved(eqn, weight.places, len(scans))
                if moved is not None:
                    answers = _bound(eqn, [weight.value])
                    found = [_Weight(a, m) for a, m in zip(answers, moved, strict=True)]
            elif name in ("dot_general", "conv_general_dilated") and sum(is_weight) == 1:
                read_as = _dot if name == "dot_general" else _convolution
                told = read_as(eqn, operands, is_weight.index(True), scans)
                if told is not None:
                    self.uses[place], inputs[place] = told
                    found = _bound(eqn, [_value(operand) for operand in operands])
                    shape = found[0].shape
                    products[eqn.outvars[0]] = place, np.arange(found[0].size).reshape(shape)
                    if place in changes:
                        found = [found[0] + changes[place].astype(found[0].dtype)]
            elif name == "add" and sum(is_weight) == 1:
                which = is_weight.index(True)
                bare: Any = product_of(eqn.invars[1 - which])
                if bare is not None and self._is_bias(bare[0], bare[1], operands[which]):
                    found = _bound(eqn, [_value(operand) for operand in operands])
            if found is None and name in _CALLS and _CALLS[name] in eqn.params:
                inner, consts = _opened(eqn.params[_CALLS[name]])
                found, told = self._run(inner, consts, operands, changes, inputs, place, scans)
                products.update((v, t) for v, t in zip(eqn.outvars, told) if t is not None)
            if found is None and name == "scan":
                found = self._scan(eqn, operands, changes, inputs, place, scans)
            if found is None:
                found = _bound(eqn, [self._plain(operand) for operand in operands])
            values.update(zip(eqn.outvars, found, strict=True))
        return [read(atom) for atom in jaxpr.outvars], [product_of(a) for a in jaxpr.outvars]

    def _plain(self, value: Any) -> Any:
        """A value that is used in another way than in a product."""
        if not isinstance(value, _Weight):
            return value
        self.other[value.places.ravel()] = True
        return value.value

    def _is_bias(self, place: _Place, order: Any, weight: _Weight) -> bool:
        """Whether numbers of θ are the bias of a product, whose numbers stand in an order."""
        use = self.uses[place]
        lead = len(use.scans)
        front, own = use.places.shape[:lead], weight.places.shape[:lead]
        if any(a > b for a, b in zip(own, front)):
            return False
        try:
            spread = np.broadcast_to(weight.places, (*front, *order.shape))
        except ValueError:
            return False
        ordered = np.empty((*front, order.size), dtype=np.int64)
        ordered[..., order.ravel()] = spread.reshape(*front, -1)
        ordered = ordered.reshape(*front, *use.shape)
        axes = [*range(lead), *(lead + a for part in use.axes for a in part)]
        count, outputs = len(_weights(use)), use.places.shape[-1]
        rows = ordered.transpose(axes).reshape(count, -1, outputs)
        if (rows != rows[:, :1]).any():
            return False
        self.biases[place] = rows[:, 0]
        return True

    def _scan(
        self,
        eqn: Any,
        operands: list[Any],
        changes: dict[_Place, Any],
        inputs: dict[_Place, Any],
        place: _Place,
        scans: tuple[int, ...],
    ) -> list[Any]:
        params = eqn.params
        first, last = params["num_consts"], params["num_consts"] + params["num_carry"]
        # What is carried is another value at every step.
        fixed, over = operands[:first], operands[last:]
        carried = [self._plain(operand) for operand in operands[first:last]]
        # An axis for this scan: that of the array, or one of length 1.
        places = [
            *(
                np.expand_dims(w.places, len(scans)) if isinstance(w, _Weight) else None
                for w in fixed
            ),
            *(None for _ in carried),
            *(w.places if isinstance(w, _Weight) else None for w in over),
        ]
        body, consts = _opened(params["jaxpr"])
        mine = {at: change for at, change in changes.items() if at[: len(place)] == place}

        def inside(carry: Any, each: Any) -> Any:
            now, shifts = each
            told: dict[_Place, Any] = {}
            values = [*map(_value, fixed), *carry, *now]
            given = [v if p is None else _Weight(v, p) for v, p in zip(values, places)]
            lengths = (*scans, params["length"])
            answers, _ = self._run(body, consts, given, shifts, told, place, lengths)
            plain = [self._plain(answer) for answer in answers]
            return plain[: len(carry)], (plain[len(carry) :], told)

        after, (stacked, told) = jax.lax.scan(
            inside,
            carried,
            ([_value(w) for w in over], mine),
            length=params["length"],
            reverse=params["reverse"],
            unroll=params["unroll"],
        )
        inputs.update(told)
        return [*after, *stacked]


def _value(value: Any) -> Any:
    return value.value if isinstance(value, _Weight) else value


def _opened(jaxpr: Any) -> tuple[Any, Any]:
    closed = isinstance(jaxpr, ClosedJaxpr)
    return (jaxpr.jaxpr, jaxpr.consts) if closed else (jaxpr, [])


def _bound(eqn: Any, operands: list[Any]) -> list[Any]:
    told = eqn.primitive.get_bind_params(eqn.params)
    # Until JAX 0.9 the functions stood apart.
    functions, params = ((), told) if isinstance(told, dict) else told
    answers = eqn.primitive.bind(*functions, *operands, **params)
    return list(answers) if eqn.primitive.multiple_results else [answers]


def _moved(eqn: Any, array: Any, lead: int) -> list[Any] | None:
    """What an equation of one operand makes of numbers that it moves only; ``lead`` axes stand in front."""
    name, params = eqn.primitive.name, eqn.params
    front, shape = array.shape[:lead], array.shape[lead:]
    after = eqn.outvars[0].aval.shape
    if name == "convert_element_type":
        real = jnp.issubdtype(params["new_dtype"], jnp.floating)
        return [array] if real else None
    if name == "copy":
        return [array]
    if name in ("reshape", "squeeze", "expand_dims"):
        return (
            [array.reshape(*front, *after)]
            if params.get("dimensions") is None or name != "reshape"
            else None
        )
    if name == "transpose":
        return [array.transpose([*range(lead), *(lead + a for a in params["permutation"])])]
    if name == "broadcast_in_dim":
        spread = [1] * len(after)
        for axis, at in enumerate(params["broadcast_dimensions"]):
            spread[at] = shape[axis]
        return [np.broadcast_to(array.reshape(*front, *spread), (*front, *after))]
    if name == "slice":
        strides = params["strides"] or [1] * len(shape)
        bounds = zip(params["start_indices"], params["limit_indices"], strides)
        return [array[(..., *(slice(*bound) for bound in bounds))]] if shape else [array]
    if name == "rev":
        return [np.flip(array, tuple(lead + axis for axis in params["dimensions"]))]
    if name == "split":
        ends = np.cumsum(params["sizes"])[:-1]
        return list(np.split(array, ends, axis=lead + params["axis"]))
    return None


def _dot(eqn: Any, operands: list[Any], which: int, scans: tuple[int, ...]) -> Any:
    contracted, side_by_side = eqn.params["dimension_numbers"]
    weight, other = operands[which], operands[1 - which]
    mine, theirs = side_by_side[which], side_by_side[1 - which]
    into, read = contracted[which], contracted[1 - which]
    free = [a for a in range(weight.value.ndim) if a not in (*mine, *into)]
    passes = [a for a in range(other.ndim) if a not in (*theirs, *read)]
    lead = len(scans)
    order = [*range(lead), *(lead + axis for axis in (*mine, *into, *free))]
    sizes = [int(np.prod([weight.value.shape[a] for a in axes])) for axes in (mine, into, free)]
    places = weight.places.transpose(order).reshape(*weight.places.shape[:lead], *sizes)
    given = other.transpose([*theirs, *passes, *read]).reshape(sizes[0], -1, sizes[1])
    # Of a product the axes side by side come first, then what is free on the left and on the right.
    count = len(mine)
    left = count + (len(passes) if which == 1 else len(free))
    rank = count + len(passes) + len(free)
    side, first, second = list(range(count)), list(range(count, left)), list(range(left, rank))
    ordered = (side, first, second) if which == 1 else (side, second, first)
    return _Use(places, eqn.outvars[0].aval.shape, ordered, scans), given


def _convolution(eqn: Any, operands: list[Any], which: int, scans: tuple[int, ...]) -> Any:
    params = eqn.params
    if which != 1 or params["feature_group_count"] != 1 or params["batch_group_count"] != 1:
        return None
    other, weight = operands
    numbers, lead = params["dimension_numbers"], len(scans)
    out, into, *window = numbers.rhs_spec
    order = [*range(lead), *(lead + axis for axis in (into, *window, out))]
    front = weight.places.shape[:lead]
    places = weight.places.transpose(order).reshape(*front, 1, -1, weight.value.shape[out])
    patches = jax.lax.conv_general_dilated_patches(
        other.transpose(numbers.lhs_spec),
        filter_shape=[weight.value.shape[axis] for axis in window],
        window_strides=params["window_strides"],
        padding=params["padding"],
        lhs_dilation=params["lhs_dilation"],
        rhs_dilation=params["rhs_dilation"],
    )
    given = jnp.moveaxis(patches, 1, -1).reshape(1, -1, places.shape[-2])
    batch, feature, *space = numbers.out_spec
    return _Use(places, eqn.outvars[0].aval.shape, ([], [batch, *space], [feature]), scans), given


class Part(NamedTuple):
    """Weights that are only multiplied with."""

    #: Where they stand in θ (inputs, outputs)
    weight: Any
    #: Where their bias does (outputs,), -1 where there is none
    bias: Any
    #: Whether each pass of a sample adds the bias
    biased: tuple[bool, ...]


class Factors:
    """How the rows of ∂y/∂θ factor, of a function from parameters and a sample to y (m,)."""

    def __init__(self, function: _Function, parameters: Any, sample: Any) -> None:
        """From the form of parameters, a pytree of arrays, and of a sample."""
        leaves = jax.tree.leaves(parameters)
        sizes = [int(np.prod(leaf.shape, dtype=int)) for leaf in leaves]
        ends = np.cumsum(sizes)
        #: p
        self.width = int(ends[-1])
        self._starts = [int(end) - size for end, size in zip(ends, sizes)]
        self._shapes = [leaf.shape for leaf in leaves]
        walk = _Walk(self.width)
        told = jax.eval_shape(
            lambda q, s: self._walked(walk, function, q, s, {})[0], parameters, sample
        )
        #: m
        self.components = int(told.shape[0])
        self._uses = walk.uses
        self._settle(walk)

    def _walked(
        self, walk: _Walk, function: _Function, parameters: Any, sample: Any, changes: Any
    ) -> Any:
        """y, and what went into each product."""
        # Traced anew, since the function may close over values of the code around it.
        traced = jax.make_jaxpr(function)(parameters, sample)
        weights = [
            _Weight(leaf, start + np.arange(leaf.size).reshape(leaf.shape))
            for leaf, start in zip(jax.tree.leaves(parameters), self._starts)
        ]
        given = [*weights, *jax.tree.leaves(sample)]
        (y,), inputs = walk(traced.jaxpr, traced.consts, given, changes)
        return y, inputs

    def _settle(self, walk: _Walk) -> None:
        """Which products make the parts, and what is left."""
        other, kept = walk.other.copy(), {}
        for at, use in walk.uses.items():
            weights = _weights(use)
            inputs, outputs = use.places.shape[-2:]
            # Many passes are more numbers than the sum over them.
            factors = _passes(use) * (inputs + self.components * outputs)
            many = factors >= self.components * inputs * outputs
            if many or len(weights) > _MOST_APART or _repeated(use.places):
                other[use.places.ravel()] = True
            else:
                kept[at] = weights
        # Arrays that share numbers without being the same have no common factors.
        while True:
            owners: dict[bytes, int] = {}
            owner = np.full(self.width, _NOWHERE)
            for weights in kept.values():
                for weight in weights:
                    key = weight.tobytes() + str(weight.shape).encode()
                    number = owners.setdefault(key, len(owners))
                    theirs = owner[weight]
                    if other[weight].any() or ((theirs != _NOWHERE) & (theirs != number)).any():
                        other[weight.ravel()] = True
                        other[np.isin(owner, theirs[theirs != _NOWHERE])] = True
                    owner[weight] = number
            left = {at: w for at, w in kept.items() if not any(other[each].any() for each in w)}
            for at in kept.keys() - left.keys():
                for weight in kept[at]:
                    other[weight.ravel()] = True
            if len(left) == len(kept):
                break
            kept = left
        self._kept = {at: walk.uses[at] for at in kept}
        groups: dict[bytes, list[tuple[_Place, int]]] = {}
        for at, weights in kept.items():
            for number, weight in enumerate(weights):
                key = weight.tobytes() + str(weight.shape).encode()
                groups.setdefault(key, []).append((at, number))
        biases = self._biases(walk, kept, groups, other)
        #: Where the numbers of the parts stand, in the order of the factors
        self.parts: list[Part] = []
        self._groups = list(groups.values())
        for members, bias in zip(self._groups, biases):
            at, number = members[0]
            weight = kept[at][number]
            flags = [
                (bias is not None and at in walk.biases,) * _passes(walk.uses[at])
                for at, _ in members
            ]
            told = np.full(weight.shape[1], _NOWHERE) if bias is None else bias
            self.parts.append(Part(weight, told, sum(flags, ())))
        #: Where the numbers stand that are differentiated as they are
        self.rest = np.flatnonzero(other)
        #: Numbers of the factors of a sample
        self.numbers = self.components * len(self.rest)
        for part in self.parts:
            inputs, outputs = part.weight.shape
            self.numbers += len(part.biased) * (inputs + self.components * outputs)

    def _biases(self, walk: _Walk, kept: Any, groups: Any, other: Any) -> list[Any]:
        """The bias of each part; what two parts add, or a part beside another bias, is left."""
        told, seen = [], np.zeros(self.width, int)
        for members in groups.values():
            found = [walk.biases[at][number] for at, number in members if at in walk.biases]
            same = all((bias == found[0]).all() for bias in found)
            told.append(found[0] if found and same else None)
            for bias in {bias.tobytes(): bias for bias in found}.values():
                np.add.at(seen, bias, 1)
                other[bias] |= not same
        for at, biases in walk.biases.items():
            other[biases] |= at not in kept
        for weights in kept.values():
            for weight in weights:
                seen[weight] += 1
        for number, bias in enumerate(told):
            if bias is not None and (other[bias] | (seen[bias] != 1)).any():
                other[bias] = True
                told[number] = None
        return told

    def of_sample(
        self, function: _Function, parameters: Any, sample: Any
    ) -> tuple[Any, list[tuple[Any, Any]], Any]:
        """y (m,) of a sample, what went into and came back to each part (passes × inputs, m × passes ×
        outputs), and the rows of what is left (m × rest)."""
        leaves, form = jax.tree.flatten(parameters)
        free = [i for i in range(len(leaves)) if self._has_rest(i)]
        changes = {at: jnp.zeros((*use.scans, *use.shape)) for at, use in self._kept.items()}

        def outputs(changes: Any, some: Any) -> Any:
            whole = list(leaves)
            for i, leaf in zip(free, some):
                whole[i] = leaf
            given = jax.tree.unflatten(form, whole)
            y, inputs = self._walked(_Walk(self.width), function, given, sample, changes)
            return y, {at: inputs[at] for at in self._kept}

        y, pull, inputs = jax.vjp(outputs, changes, [leaves[i] for i in free], has_aux=True)
        back, rows = jax.vmap(pull)(jnp.eye(self.components, dtype=y.dtype))
        went = {at: _sorted_inputs(self._kept[at], a) for at, a in inputs.items()}
        came = {at: _sorted_rows(self._kept[at], d) for at, d in back.items()}
        factors = []
        for members in self._groups:
            a = jnp.concatenate([went[at][number] for at, number in members], axis=0)
            d = jnp.concatenate([came[at][:, number] for at, number in members], axis=1)
            factors.append((a, d))
        return y, factors, self._rest_of(free, rows)

    def of_batch(
        self, function: _Function, parameters: Any, batch: Any
    ) -> tuple[Any, list[tuple[Any, Any]], Any]:
        """y (samples, m), and the arrays that :class:`hig._hig.Factors` reads: what went into each part
        (inputs, passes · samples), what came back (outputs, m · passes · samples), and what is left (m · samples,
        rest)."""
        each: Any = jax.vmap(lambda sample: self.of_sample(function, parameters, sample))
        y, factors, rest = each(batch)
        arrays = []
        for a, d in factors:
            into = a.transpose(2, 1, 0).reshape(a.shape[2], -1)
            back = d.transpose(3, 1, 2, 0).reshape(d.shape[3], -1)
            arrays.append((into.astype(jnp.float64), back.astype(jnp.float64)))
        rest = rest.transpose(1, 0, 2).reshape(y.size, rest.shape[2])
        return y, arrays, rest.astype(jnp.float64)

    def compiled(self) -> Any:
        """The same for the compiled half."""
        weights = []
        for part in self.parts:
            inputs, outputs = part.weight.shape
            places = np.concatenate([part.weight.T.ravel(), part.bias]).astype(np.int64)
            weights.append((inputs, outputs, list(part.biased), places))
        return _hig.Factors(weights, self.rest.astype(np.int64), self.width)

    def _has_rest(self, leaf: int) -> bool:
        start = self._starts[leaf]
        size = int(np.prod(self._shapes[leaf], dtype=int))
        at = np.searchsorted(self.rest, [start, start + size])
        return bool(at[1] > at[0])

    def _rest_of(self, free: list[int], rows: list[Any]) -> Any:
        parts = []
        for i, row in zip(free, rows):
            start, flat = self._starts[i], row.reshape(self.components, -1)
            mine = self.rest[(self.rest >= start) & (self.rest < start + flat.shape[1])] - start
            parts.append(flat if len(mine) == flat.shape[1] else flat[:, mine])
        return jnp.concatenate([jnp.zeros((self.components, 0)), *parts], axis=1)


def _split_axes(use: _Use) -> tuple[list[int], list[int]]:
    """Scans with weights of their own at every step, and others."""
    lead = use.places.shape[: len(use.scans)]
    apart = [i for i, length in enumerate(lead) if length > 1]
    return apart, [i for i in range(len(lead)) if i not in apart]


def _weights(use: _Use) -> list[Any]:
    inputs, outputs = use.places.shape[-2:]
    return list(use.places.reshape(-1, inputs, outputs))


def _passes(use: _Use) -> int:
    _, shared = _split_axes(use)
    inside = [use.shape[a] for a in use.axes[1]]
    return int(np.prod([*inside, *(use.scans[i] for i in shared)], dtype=int))


def _repeated(places: Any) -> bool:
    return bool(len(np.unique(places)) != places.size)


def _sorted_inputs(use: _Use, given: Any) -> Any:
    """(scans, weights, passes, inputs) → (all weights, all passes, inputs)."""
    apart, shared = _split_axes(use)
    at = len(use.scans)
    ordered = given.transpose([*apart, at, *shared, at + 1, at + 2])
    return ordered.reshape(len(_weights(use)), -1, given.shape[-1])


def _sorted_rows(use: _Use, rows: Any) -> Any:
    """(m, scans, shape) → (m, all weights, all passes, outputs)."""
    apart, shared = _split_axes(use)
    at, (side, passes, outputs) = 1 + len(use.scans), use.axes
    order = [1 + i for i in apart] + [at + a for a in side]
    order += [1 + i for i in shared] + [at + a for a in passes] + [at + a for a in outputs]
    return rows.transpose([0, *order]).reshape(
        rows.shape[0], len(_weights(use)), -1, use.places.shape[-1]
    )
