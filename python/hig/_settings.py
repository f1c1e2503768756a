"""Classes for the systems, methods and training settings that the library lists.

Nothing here knows a setting: names, defaults, rules and meanings come from the compiled half, and so
do the errors. A new method of the library is a new class here.
"""

from __future__ import annotations

import dataclasses
import keyword
import numbers
import operator
import textwrap
from collections.abc import Iterable
from typing import Any, ClassVar

import numpy as np

from . import _hig

# Name, default, rule, meaning, and the words that it may be.
Told = tuple[str, Any, str, str, list[str]]

# Registered names are short; in a program the whole words read better.
WORDS = {
    "gd": "GradientDescent",
    "gn": "GaussNewton",
    "hig": "HalfInverse",
    "lm": "LevenbergMarquardt",
    "sip": "ScaleInvariant",
}


def class_name(name: str) -> str:
    """``nonlinear-oscillators`` → ``NonlinearOscillators``, ``hig`` → ``HalfInverse``."""
    return "".join(WORDS.get(part, part.capitalize()) for part in name.split("-"))


def text(value: object) -> str:
    """A value as the compiled half reads it."""
    if isinstance(value, (bool, np.bool_)):
        return str(bool(value)).lower()
    if isinstance(value, numbers.Integral):
        return str(int(value))
    if isinstance(value, numbers.Real):
        return repr(float(value))
    if isinstance(value, str):
        return value
    if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
        # A scalar of NumPy, JAX or PyTorch.
        return text(value.item())
    if isinstance(value, Iterable):
        return ",".join(text(part) for part in value)
    return str(value)


def count(name: str, value: object) -> int:
    """A whole number of at least 0 that is given beside the settings, such as a seed."""
    whole: int | None = None
    if not isinstance(value, (bool, np.bool_)):
        try:
            whole = operator.index(value)  # type: ignore[arg-type]
        except TypeError:
            pass
    if whole is None or not 0 <= whole < 2**64:
        expected = "a whole number of at least 0 and below 2**64"
        raise ValueError(f"{name} = {value} is not possible: it must be {expected}")
    return whole


def number(name: str, value: object) -> float:
    """A number that is given beside the settings; its range is checked where it is used."""
    try:
        if isinstance(value, (str, bool, np.bool_)):
            raise TypeError
        return float(value)  # type: ignore[arg-type]
    except TypeError:
        raise ValueError(f"{name} = {value} is not possible: it must be a number") from None


class Settings:
    """Typed settings, checked when made; change them with :func:`dataclasses.replace`."""

    _kind: ClassVar[str]
    name: ClassVar[str]

    def __post_init__(self) -> None:
        canonical = _hig.canonical(self._kind, self.name, self._assignments())
        for name, value in canonical.items():
            object.__setattr__(self, field_name(name), value)

    def _assignments(self) -> list[tuple[str, str]]:
        fields = dataclasses.fields(self)  # type: ignore[arg-type]
        return [(f.name.removesuffix("_"), text(getattr(self, f.name))) for f in fields]


def field_name(setting: str) -> str:
    """``lambda`` → ``lambda_``, as the style guide of Python has it; others as they are."""
    return setting + "_" if keyword.iskeyword(setting) else setting


def annotation(value: object, allowed: str, words: list[str]) -> str:
    """The type of a setting with this default, of what is allowed, which may be one of these words."""
    if isinstance(value, tuple):
        return "tuple[int, ...]"
    numbers = {"a whole number": "int", "a finite number": "float"}
    of_numbers = (kind for start, kind in numbers.items() if allowed.startswith(start))
    kind = next(of_numbers, type(value).__name__) if words else type(value).__name__
    return f"{kind} | str" if words and kind != "str" else kind


def make(base: type[Settings], module: str, name: str, about: str, told: list[Told]) -> type:
    """A class with a field for each setting."""
    fields = [
        (
            field_name(setting),
            annotation(default, allowed, words),
            dataclasses.field(default=default),
        )
        for setting, default, allowed, _, words in told
    ]
    made = dataclasses.make_dataclass(
        class_name(name) if name else "Training",
        fields,
        bases=(base,),
        namespace={"name": name, "__doc__": document(about, told), "__module__": module},
        frozen=True,
        kw_only=True,
    )
    made.__module__ = module
    return made


def document(about: str, told: list[Told]) -> str:
    """What the class is, and each setting."""
    lines = [about[:1].upper() + about[1:] + ".", "", "Settings", "--------"]
    for name, default, allowed, meaning, words in told:
        lines.append(
            f"{field_name(name)} : {annotation(default, allowed, words)}, default {default!r}"
        )
        lines += textwrap.wrap(
            f"{meaning} It is {allowed}.", 90, initial_indent="    ", subsequent_indent="    "
        )
    return "\n".join(lines)
