"""A head per dataset: whose logits are whose, the penalty by hand, and what training does to them."""

import dataclasses

import numpy as np
import pytest
import torch

from xray.learning.infer import outputs, score
from xray.learning.network import Network, load, save
from xray.learning.objective import alignment_penalty
from xray.learning.recipe import Recipe
from xray.learning.train import Part, train
from xray.pixels.augment import Augmentation
from xray.tasks import TASKS

SIZE = 16
RECIPE = Recipe(
    "small_convnet",
    SIZE,
    epochs=8,
    batch_size=16,
    learning_rate=3e-3,
    heads="per dataset",
    augmentation=Augmentation(0, 0, 0, 0),
)
SAME, INVERTED, ONLY_B = (TASKS.index(task) for task in ("Effusion", "Mass", "Edema"))


def part(n: int, seed: int) -> Part:
    """Half of the pictures are of dataset 0, half of 1. A bright spot means both tasks; at 1 one of them is inverted."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(60, 130, (n, SIZE, SIZE)).astype(np.uint8)
    spot, owner = rng.random(n) < 0.5, np.arange(n) % 2
    pixels[spot, 4:9, 4:9] += 90
    labels = np.full((n, len(TASKS)), np.nan, np.float32)
    labels[:, SAME] = spot
    labels[:, INVERTED] = spot ^ (owner == 1)
    labels[owner == 1, ONLY_B] = spot[owner == 1]
    return Part(pixels, np.arange(n), labels, owner)


TRAINING, VALIDATION = part(128, 0), part(64, 1)


@pytest.fixture(scope="module")
def trained():
    return train(TRAINING, VALIDATION, RECIPE, 0, heads=("a", "b"))


def distance(network: Network, task: int) -> float:
    rows = network.classifier()[0].unflatten(0, (2, len(TASKS)))
    return float(torch.linalg.vector_norm(rows[0, task] - rows[1, task]))


def test_each_dataset_learns_its_own_labels(trained):
    assert trained.network.trained[:, [SAME, INVERTED, ONLY_B]].tolist() == [[True, True, False], [True] * 3]
    assert np.flatnonzero(trained.outputs).tolist() == sorted([SAME, INVERTED, ONLY_B])
    assert trained.best.mean_auc > 0.95  # one head could do no better than 0.5 for the inverted task


def test_logits_come_from_the_own_head_or_the_mean_of_the_trained_ones(trained):
    network = trained.network
    pixels, positions = VALIDATION.pixels, VALIDATION.positions
    every = outputs(network, pixels, positions)
    assert every.shape == (64, 2, len(TASKS))
    of_a, of_b, of_none = (score(network, pixels, positions, own) for own in (["a"], ["b"], ["elsewhere"]))
    np.testing.assert_allclose(of_a[:, [SAME, INVERTED]], every[:, 0, [SAME, INVERTED]], rtol=1e-5)
    np.testing.assert_allclose(of_b[:, [SAME, INVERTED]], every[:, 1, [SAME, INVERTED]], rtol=1e-5)
    np.testing.assert_allclose(of_none[:, SAME], every[:, :, SAME].mean(axis=1), rtol=1e-5, atol=1e-6)
    for logits in (of_a, of_b, of_none):  # a has no head for it
        np.testing.assert_allclose(logits[:, ONLY_B], every[:, 1, ONLY_B], rtol=1e-5)
    both = score(network, pixels, positions, ["a", "b"])
    np.testing.assert_allclose(both, of_none)


def test_heads_are_read_back_from_the_file(trained, tmp_path):
    save(trained.network, tmp_path / "model.safetensors")
    back = load(tmp_path / "model.safetensors")
    assert back.heads == ("a", "b")
    assert np.array_equal(back.trained, trained.network.trained)
    own, expected = (
        score(network, VALIDATION.pixels, VALIDATION.positions, ["b"]) for network in (trained.network, back)
    )
    np.testing.assert_array_equal(own, expected)


def test_the_penalty_brings_the_heads_together(trained):
    aligned = train(TRAINING, VALIDATION, dataclasses.replace(RECIPE, penalty=3.0), 0, heads=("a", "b"))
    assert distance(aligned.network, SAME) < 0.5 * distance(trained.network, SAME)


def test_the_penalty_equals_a_hand_computation():
    weights = torch.zeros(3, 2, 2)
    weights[0, 0], weights[1, 0], weights[2, 0] = map(torch.tensor, ([0.0, 0.0], [3.0, 4.0], [0.0, 4.0]))
    # task 0: pairs 5, 4, 3 → mean 4; task 1: equal rows → 0
    assert alignment_penalty(weights).item() == pytest.approx(4.0)
    assert alignment_penalty(weights[:1]).item() == 0.0
    weights.requires_grad_()
    alignment_penalty(weights).backward()
    assert weights.grad is not None
    assert weights.grad.isfinite().all()  # also where two rows are equal


def test_the_penalty_equals_the_released_code():
    weights = torch.randn(4, 18, 32, generator=torch.Generator().manual_seed(0))
    expected = sum(torch.pdist(weights[:, task], p=2).mean() for task in range(18))
    assert alignment_penalty(weights).item() == pytest.approx(float(expected), rel=1e-5)
