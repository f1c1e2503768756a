"""Packages that only some users have."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any


@contextmanager
def needing(what: str, packages: str) -> Iterator[None]:
    """Says what to install where one of these packages is missing within a ``with`` block."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] not in packages.split():
            raise
        told = f"{what} needs {error.name}: python -m pip install {packages}"
        raise ModuleNotFoundError(told, name=error.name, path=error.path) from None


def jax_double() -> AbstractContextManager[Any]:
    """JAX in double precision, whatever its configuration, within a ``with`` block."""
    import jax
    import jax.experimental

    # Where it is in older versions.
    older: Any = jax.experimental
    switch: Any = jax.enable_x64 if hasattr(jax, "enable_x64") else older.enable_x64
    context: AbstractContextManager[Any] = switch(True)
    return context
