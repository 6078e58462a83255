"""Weights to start from: taken where they fit, one clear error where they do not, and never unpickled."""

import pickle

import pytest
import timm
import torch
from safetensors.torch import save_file

from xray.errors import LearningError
from xray.learning.initial import start_from
from xray.learning.network import Network, save


def equal(network: Network, weights: dict, name: str) -> bool:
    return torch.equal(network.body.state_dict()[name], weights[name])


def test_timm_weights_for_three_channels_are_adapted_to_one(tmp_path):
    weights = timm.create_model("resnet10t", num_classes=1000).state_dict()
    save_file(weights, tmp_path / "timm.safetensors")
    network = Network("resnet10t", 32)
    before = {name: tensor.clone() for name, tensor in network.body.state_dict().items()}
    start_from(network, tmp_path / "timm.safetensors")
    assert equal(network, weights, "layer1.0.conv1.weight")
    first = network.body.state_dict()["conv1.0.weight"]
    assert torch.allclose(first, weights["conv1.0.weight"].sum(dim=1, keepdim=True), atol=1e-6)
    assert equal(network, before, "fc.weight")  # another output layer: ours starts afresh


def test_our_own_weights_are_loaded_with_their_last_layer(tmp_path):
    torch.manual_seed(0)
    own = Network("small_convnet", 16)
    save(own, tmp_path / "model.safetensors")
    other = Network("small_convnet", 32)
    start_from(other, tmp_path / "model.safetensors")
    assert all(equal(other, own.body.state_dict(), name) for name in own.body.state_dict())
    heads = Network("small_convnet", 16, ["a", "b"])
    start_from(heads, tmp_path / "model.safetensors")
    assert equal(heads, own.body.state_dict(), "features.0.weight")


def test_weights_of_another_network_are_refused_in_one_error(tmp_path):
    save(Network("small_convnet", 16), tmp_path / "model.safetensors")
    with pytest.raises(
        LearningError, match=r"not weights of resnet10t: .* is missing; .* and \d+ more"
    ) as caught:
        start_from(Network("resnet10t", 16), tmp_path / "model.safetensors")
    assert "\n" not in str(caught.value)
    weights = Network("small_convnet", 16).state_dict()
    weights["body.features.3.weight"] = torch.zeros(1, 2, 3, 3)
    save_file(weights, tmp_path / "model.safetensors")
    with pytest.raises(
        LearningError, match=r"features\.3\.weight is \(1, 2, 3, 3\), the network has \(24, 16, 3, 3\)$"
    ):
        start_from(Network("small_convnet", 16), tmp_path / "model.safetensors")


def test_a_pickle_is_refused(tmp_path):
    (tmp_path / "model.pt").write_bytes(pickle.dumps({"weight": 1}))
    with pytest.raises(LearningError, match=r"not a safetensors file: .* Pickled weights .* can run code"):
        start_from(Network("small_convnet", 16), tmp_path / "model.pt")
