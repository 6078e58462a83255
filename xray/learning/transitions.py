"""Transitions between the blocks of a DenseNet, computed in the cheaper order: the same function, and the same weights."""

from collections import OrderedDict
from itertools import pairwise

from torch import nn


def pool_first(body: nn.Module) -> nn.Module:
    """The network with each mean over pixels that followed a 1 × 1 convolution put before it; changed in place.

    Both are linear, one over pixels and the other over channels, so that their order does not matter but for rounding. The
    convolution then has a quarter of the pixels: of a DenseNet-121 that is one part in twelve of all multiplications.
    Weights keep their names.
    """
    for module in body.modules():
        if isinstance(module, nn.Sequential):
            names = list(module._modules)
            for first, second in pairwise(tuple(names)):
                if _is_pointwise(module._modules[first]) and _is_mean(module._modules[second]):
                    at = names.index(first)
                    names[at : at + 2] = second, first
            module._modules = OrderedDict((name, module._modules[name]) for name in names)
    return body


def _is_pointwise(module: nn.Module | None) -> bool:
    return (
        isinstance(module, nn.Conv2d)
        and module.kernel_size == (1, 1)
        and module.stride == (1, 1)
        and module.padding in ((0, 0), "valid")
    )


def _is_mean(module: nn.Module | None) -> bool:
    return isinstance(module, nn.AvgPool2d) and module.padding in (0, (0, 0))
