"""Weights that a network starts from: a safetensors file of timm's format, or of ours. Nothing is unpickled."""

import json
from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import Tensor

from xray.errors import LearningError
from xray.learning.network import Network
from xray.limits import check_header


def start_from(network: Network, path: Path) -> None:
    """Fill a network with the weights of a file. The last layer is taken only from a file of ours with the same outputs.

    A first layer for three colours is summed over them. Raises `LearningError` where the file is not safetensors, or its
    tensors are not those of this network.
    """
    try:
        check_header(path, LearningError)
        with safe_open(path, framework="pt") as file:
            about = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a mapping)
    except (OSError, SafetensorError) as error:
        raise LearningError(
            f"{path}: not a safetensors file: {error}. Pickled weights (.pt, .pth) are not read: they can run code"
        ) from None
    tensors = {name.removeprefix("body."): tensor for name, tensor in tensors.items()}
    own: dict[str, Tensor] = network.body.state_dict()
    last = {id(tensor) for tensor in network.body.get_classifier().state_dict(keep_vars=True).values()}
    head = {name for name, tensor in network.body.state_dict(keep_vars=True).items() if id(tensor) in last}
    same = [json.loads(about.get(key, "[]")) for key in ("tasks", "heads")]
    if same != [list(network.findings), list(network.heads)]:
        tensors = {name: tensor for name, tensor in tensors.items() if name not in head} | {
            name: own[name] for name in head
        }
    for name, tensor in tensors.items():
        if name in own and tensor.ndim == 4 and tensor.shape[1] == 3 and own[name].shape[1] == 1:
            tensors[name] = tensor.float().sum(dim=1, keepdim=True).to(tensor.dtype)
    wrong = [
        *(f"{name} is missing" for name in own if name not in tensors),
        *(f"{name} is not in the network" for name in tensors if name not in own),
        *(
            f"{name} is {tuple(tensors[name].shape)}, the network has {tuple(own[name].shape)}"
            for name in own
            if name in tensors and tensors[name].shape != own[name].shape
        ),
    ]
    if wrong:
        raise LearningError(
            f"{path}: not weights of {network.name}: {'; '.join(wrong[:3])}"
            + (f" and {len(wrong) - 3} more" if len(wrong) > 3 else "")
        )
    network.body.load_state_dict(tensors)
