"""Every method of the library for networks written in PyTorch.

>>> objective = hig.torch.objective(module, predict, loss, train)
>>> result = hig.train(objective, "adaptive-hig")
>>> module.load_state_dict(result.parameters)

or, in a loop of one's own,

>>> optimizer = hig.torch.AdaptiveHIG(module.parameters())
>>> optimizer.step(lambda: module(x) - y)
"""

from __future__ import annotations

from ._optional import needing

with needing("hig.torch", "torch"):
    from ._torch_objective import objective
    from ._torch_optimizers import HIG, LM, AdaptiveHIG, Residuals

__all__ = ["HIG", "LM", "AdaptiveHIG", "Residuals", "objective"]
