"""Networks by their architecture, to be put into a :class:`hig.Problem`.

Activations: ``tanh``, ``relu``, ``sine``, ``gelu``, ``identity``; initializers: ``glorot``, ``he``,
``lecun``, ``uniform``, ``wide``; boundaries: ``zero``, ``periodic``.
"""

from __future__ import annotations

from collections.abc import Sequence

from ._hig import Network

__all__ = ["Network", "mlp", "resnet", "unet"]


def mlp(widths: Sequence[int], activation: str = "tanh", initializer: str = "glorot") -> Network:
    """A multilayer perceptron: dense layers of the given widths, input first, output last."""
    return Network.mlp(list(widths), activation, initializer)


def resnet(
    shape: tuple[int, int, int],
    channels: Sequence[int],
    outputs: int = 1,
    boundary: str = "zero",
    activation: str = "tanh",
    initializer: str = "glorot",
) -> Network:
    """A residual network on a grid of ``shape`` (channels, height, width), a block for each entry of
    ``channels``; it returns ``outputs`` channels on the same grid."""
    return Network.resnet(shape, list(channels), outputs, boundary, activation, initializer)


def unet(
    shape: tuple[int, int, int],
    channels: Sequence[int],
    outputs: int = 1,
    boundary: str = "zero",
    activation: str = "tanh",
    initializer: str = "glorot",
) -> Network:
    """A U-Net on a grid of ``shape`` (channels, height, width), a level for each entry of
    ``channels``; it returns ``outputs`` channels on the same grid."""
    return Network.unet(shape, list(channels), outputs, boundary, activation, initializer)
