"""Scoring on a CPU: by onnxruntime or by torch, the logits are the same."""

import logging
import sys

import numpy as np
import pytest
import torch
import torchvision
from torch import nn

from xray.errors import LearningError, XrayError
from xray.learning import infer, scorer
from xray.learning.foreign_card import card_of
from xray.learning.foreign_network import ForeignNetwork
from xray.learning.network import Network
from xray.learning.scorer import Scorer
from xray.learning.transitions import pool_first

SIZE = 64
CARD = {
    "name": "theirs",
    "size": SIZE,
    "range": [0, 1],
    "output": "logit",
    "tasks": ["Mass", "Effusion"],
    "channels": 3,
}


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(0).integers(0, 256, (21, SIZE, SIZE), dtype=np.uint8)


def positions(n=21):
    return np.random.default_rng(1).permutation(21)[:n].astype(np.int64)


def exercised(network: nn.Module) -> nn.Module:
    """With statistics of normalisation that are not those of a new network, in the layout of a loaded one."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.2, 0.2)
            nn.init.uniform_(module.running_var, 0.5, 2)
    return network.to(memory_format=torch.channels_last).eval()


@pytest.fixture(scope="module")
def densenet():
    torch.manual_seed(0)
    return exercised(Network("densenet121", SIZE, heads=("a", "b"), findings=("Mass", "Effusion", "Edema")))


@pytest.fixture
def onnxruntime(monkeypatch):
    monkeypatch.setenv("XRAY_CPU_RUNTIME", "onnxruntime")


def test_onnxruntime_gives_the_logits_of_torch_for_the_same_heads(densenet, pixels, onnxruntime):
    own_scorer = Scorer(densenet)
    for own in ((), ("b",)):
        expected = infer.score(densenet, pixels, positions(), own)
        np.testing.assert_allclose(own_scorer.score(pixels, positions(), own), expected, atol=1e-4)
    assert own_scorer.runtime.startswith("onnxruntime ")
    assert np.ptp(expected) > 0.05


def test_scores_do_not_depend_on_the_number_of_cores(pixels, onnxruntime, monkeypatch):
    monkeypatch.setattr(infer, "FEW", 4 * SIZE**2)  # batches of four pictures
    network = exercised(Network("resnet10t", SIZE))
    one, three = (Scorer(network, threads).score(pixels, positions()) for threads in (1, 3))
    np.testing.assert_array_equal(one, three)


def test_a_foreign_model_of_weights_is_scored_by_onnxruntime(pixels, onnxruntime):
    torch.manual_seed(0)
    original = exercised(torchvision.models.resnet18(num_classes=2))
    network = ForeignNetwork(original, card_of(CARD, "card.toml")).eval()
    own_scorer = Scorer(network)
    np.testing.assert_allclose(
        own_scorer.score(pixels, positions()), infer.score(network, pixels, positions()), atol=1e-4
    )
    assert own_scorer.runtime.startswith("onnxruntime ")


@pytest.mark.parametrize(
    ("setting", "enough", "runtime"), [("", 21, "onnxruntime"), ("", 22, "torch"), ("torch", 1, "torch")]
)
def test_onnxruntime_is_used_by_default_for_enough_pictures(setting, enough, runtime, pixels, monkeypatch):
    monkeypatch.setenv("XRAY_CPU_RUNTIME", setting)
    monkeypatch.setattr(scorer, "WORTH", enough * SIZE**2)
    own_scorer = Scorer(exercised(Network("small_convnet", SIZE)))
    own_scorer.score(pixels, positions())
    assert own_scorer.runtime.split()[0] == runtime


def test_features_are_computed_by_torch(pixels, onnxruntime):
    own_scorer = Scorer(exercised(Network("small_convnet", SIZE)))
    own_scorer.score(pixels, positions())
    assert infer.features(own_scorer.network, pixels, positions(2)).shape == (2, 96)


def test_logits_that_differ_from_torchs_are_not_used(pixels, onnxruntime, monkeypatch, caplog):
    class Wrong(scorer.Program):
        def forward(self, pictures):
            return super().forward(pictures) + 2e-4

    monkeypatch.setattr(scorer, "Program", Wrong)
    network = exercised(Network("small_convnet", SIZE))
    with caplog.at_level(logging.WARNING):
        own_scorer = Scorer(network)
        logits = own_scorer.score(pixels, positions())
    np.testing.assert_array_equal(logits, infer.score(network, pixels, positions()))
    assert own_scorer.runtime == "torch"
    assert "scored by torch: onnxruntime's logits differ by up to 0.0002" in caplog.text


def test_a_network_that_cannot_be_exported_is_scored_by_torch(pixels, onnxruntime, caplog):
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(1))

        def forward(self, pictures):
            return torch.stack([torch.linalg.svdvals(one[0])[:2] for one in pictures[:, :1]]) * self.weight

    network = ForeignNetwork(Odd(), card_of(CARD, "card.toml")).eval()
    with caplog.at_level(logging.WARNING):
        own_scorer = Scorer(network)
        own_scorer.score(pixels, positions(3))
    assert own_scorer.runtime == "torch"
    assert "scored by torch: no program of onnxruntime could be made" in caplog.text


def test_without_the_extra_torch_scores_unless_the_setting_names_onnxruntime(pixels, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.setattr(scorer, "WORTH", 1)
    network = exercised(Network("small_convnet", SIZE))
    own_scorer = Scorer(network)
    own_scorer.score(pixels, positions())
    assert own_scorer.runtime == "torch"
    monkeypatch.setenv("XRAY_CPU_RUNTIME", "onnxruntime")
    with pytest.raises(LearningError, match="pip install 'xray\\[onnx\\]'"):
        Scorer(network).score(pixels, positions())


def test_an_unknown_runtime_is_refused(pixels, monkeypatch):
    monkeypatch.setenv("XRAY_CPU_RUNTIME", "tensorflow")
    with pytest.raises(
        XrayError, match="XRAY_CPU_RUNTIME: expected torch or onnxruntime, found 'tensorflow'"
    ):
        Scorer(exercised(Network("small_convnet", SIZE))).score(pixels, positions())


def test_moving_the_pooling_first_changes_neither_function_nor_weight_names():
    torch.manual_seed(0)
    plain = exercised(torchvision.models.densenet121(num_classes=2))
    pictures, names = torch.randn(2, 3, SIZE, SIZE), list(plain.state_dict())
    with torch.inference_mode():
        before = plain(pictures)
        changed = pool_first(plain)
        after = changed(pictures)
    transition = changed.features.transition1
    assert list(transition._modules) == ["norm", "relu", "pool", "conv"]
    assert sorted(changed.state_dict()) == sorted(names)
    torch.testing.assert_close(after, before, atol=1e-5, rtol=1e-5)
    assert list(Network("densenet121", SIZE).body.features.transition2._modules)[-2:] == ["pool", "conv"]


def test_only_mean_pooling_after_pointwise_convolutions_is_moved_first():
    layers = nn.Sequential(nn.Conv2d(1, 1, 3), nn.AvgPool2d(2), nn.Conv2d(1, 1, 1, stride=2), nn.AvgPool2d(2))
    layers.append(nn.Conv2d(1, 1, 1)).append(nn.MaxPool2d(2)).append(nn.Conv2d(1, 1, 1)).append(
        nn.AvgPool2d(2, padding=1)
    )
    before = list(layers)
    assert list(pool_first(layers)) == before
