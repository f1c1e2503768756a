# Written by `python -m hig._stubs FOLDER`.
from dataclasses import dataclass
from typing import TypedDict

from ._settings import Settings

__all__ = ['Training']

class _Training(Settings): ...

@dataclass(frozen=True, kw_only=True)
class Training(_Training):
    batch: int = ...
    order: str = ...
    evaluate_every: int = ...
    schedule: str = ...
    final_fraction: float = ...
    returned: str = ...
    validation: float = ...
    memory_limit: float = ...

class _TrainingSettings(TypedDict, total=False):
    batch: int
    order: str
    evaluate_every: int
    schedule: str
    final_fraction: float
    returned: str
    validation: float
    memory_limit: float
