"""Packages that only some users have."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any


def jax_double() -> AbstractContextManager[Any]:
    """JAX in double precision, whatever its configuration, within a ``with`` block."""
    import jax

    if hasattr(jax, "enable_x64"):
        return jax.enable_x64(True)
    from jax.experimental import enable_x64

    return enable_x64(True)
