"""How a training is run, whatever the method."""

from __future__ import annotations

from . import _hig
from ._settings import Settings, make


class _Training(Settings):
    _kind = "training"


Training = make(
    _Training, __name__, "", "how a training is run, whatever the method", _hig.training_settings()
)
__all__ = ["Training"]
