"""Packages that only some users have."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any


def jax_double() -> AbstractContextManager[Any]:
    """JAX in double precision, whatever its configuration, within a ``with`` block."""
    import jax
    import jax.experimental

    # Where it is in older versions.
    older: Any = jax.experimental
    switch: Any = jax.enable_x64 if hasattr(jax, "enable_x64") else older.enable_x64
    context: AbstractContextManager[Any] = switch(True)
    return context
