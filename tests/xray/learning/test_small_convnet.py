import pytest
import torch
from torch import nn

from xray.learning.network import Network
from xray.learning.small_convnet import SmallConvNet


def create(**options: int | float) -> SmallConvNet:
    torch.manual_seed(0)
    return SmallConvNet(**options)


def test_the_small_convnet_is_created_by_its_name():
    network = Network("small_convnet", 64).body
    assert isinstance(network, SmallConvNet)
    assert network(torch.zeros(2, 1, 64, 64)).shape == (2, 18)
    assert sum(weights.numel() for weights in network.parameters()) == pytest.approx(100_000, rel=0.05)
    assert len([layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]) == 5


@pytest.mark.parametrize(("height", "width"), [(32, 32), (48, 48), (224, 224), (40, 64)])
def test_features_and_classifier_compose_to_the_network(height, width):
    network = create(in_chans=1, num_classes=18).eval()
    pictures = torch.randn(3, 1, height, width)
    maps = network.forward_features(pictures)
    assert maps.shape == (3, network.num_features, height // 8, width // 8)
    features = network.forward_head(maps, pre_logits=True)
    assert features.shape == (3, network.num_features)
    assert torch.equal(network.get_classifier()(features), network(pictures))
    assert torch.allclose(features, maps.flatten(2).max(2).values + maps.flatten(2).mean(2))


def test_the_classifier_can_be_replaced():
    network = create(in_chans=1, num_classes=18)
    pictures = torch.zeros(2, 1, 32, 32)
    network.reset_classifier(5)
    assert network.num_classes == 5
    assert network(pictures).shape == (2, 5)
    network.reset_classifier(0)
    assert isinstance(network.get_classifier(), nn.Identity)
    assert network(pictures).shape == (2, network.num_features)


def test_memory_format_does_not_change_the_answer():
    network = create(in_chans=1, num_classes=18).eval()
    pictures = torch.randn(4, 1, 48, 48)
    expected = network(pictures)
    other = network.to(memory_format=torch.channels_last)(pictures.to(memory_format=torch.channels_last))
    assert torch.allclose(expected, other, atol=1e-5)


def test_the_small_convnet_learns_a_bright_spot():
    torch.manual_seed(0)
    pictures, labels = 0.3 * torch.randn(64, 1, 32, 32), torch.arange(64) % 2
    pictures[labels == 1, :, 10:14, 18:22] += 1
    network = create(in_chans=1, num_classes=1)
    optimiser = torch.optim.Adam(network.parameters(), 3e-3)
    for _ in range(40):
        loss = nn.functional.binary_cross_entropy_with_logits(network(pictures)[:, 0], labels.float())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    network.eval()
    assert ((network(pictures)[:, 0] > 0).long() == labels).float().mean() > 0.95


def test_dropout_acts_in_training_only():
    network = create(in_chans=1, num_classes=2, drop_rate=0.5)
    maps = torch.ones(4, network.num_features, 4, 4)
    assert (network.forward_head(maps, pre_logits=True) == 0).any()
    assert (network.eval().forward_head(maps, pre_logits=True) == 2).all()
