"""The warning about numbers of less than double precision."""

from __future__ import annotations


class PrecisionWarning(UserWarning):
    """Numbers of less than double precision were given where small singular values matter."""


PrecisionWarning.__module__ = "hig.errors"
