"""The methods of the library, one class each, with their settings as fields.

>>> hig.methods.HalfInverse(learning_rate=1.0, cutoff=1e-6)

``ALL`` has every class by its registered name (``"hig"``, ``"adam"``, …).
"""

from __future__ import annotations

from . import _hig
from ._settings import Settings, make


class Method(Settings):
    """A method with its settings."""

    _kind = "method"


ALL: dict[str, type[Method]] = {
    name: make(Method, __name__, name, about, told) for name, about, told in _hig.methods()
}
globals().update({made.__name__: made for made in ALL.values()})
__all__ = ["ALL", "Method", *(made.__name__ for made in ALL.values()), "by_name"]


def by_name(name: str) -> Method:
    """A method by its registered name, with default settings."""
    if name not in ALL:
        # The compiled half raises, with the nearest name.
        _hig.canonical("method", name, [])
    return ALL[name]()
