"""The objective against sums done by hand and against a plain loop."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from xray.learning.objective import masked_bce, task_weights

NAN = math.nan
ONES = torch.ones(2)


def softplus(x: float) -> float:
    return math.log1p(math.exp(x))


def test_the_mean_is_over_labelled_images_and_the_sum_over_tasks():
    logits = torch.tensor([[2.0, -1.0], [0.0, 3.0], [-1.0, 5.0]])
    labels = torch.tensor([[1.0, NAN], [0.0, 1.0], [NAN, NAN]])
    first = (softplus(-2.0) + softplus(0.0)) / 2
    second = softplus(-3.0) / 1
    assert masked_bce(logits, labels, ONES).item() == pytest.approx(first + second, rel=1e-6)
    weighted = masked_bce(logits, labels, torch.tensor([0.25, 0.5])).item()
    assert weighted == pytest.approx(0.25 * first + 0.5 * second, rel=1e-6)


def test_a_task_without_a_label_adds_nothing_and_gets_no_gradient():
    logits = torch.tensor([[1.0, 100.0], [2.0, -100.0]], requires_grad=True)
    labels = torch.tensor([[1.0, NAN], [1.0, NAN]])
    loss = masked_bce(logits, labels, ONES)
    loss.backward()
    assert loss.item() == pytest.approx((softplus(-1) + softplus(-2)) / 2, rel=1e-6)
    assert logits.grad is not None
    assert (logits.grad[:, 1] == 0).all()
    assert (logits.grad[:, 0] != 0).all()


def test_a_batch_without_any_label_gives_zero_with_zero_gradient():
    logits = torch.randn(3, 2, requires_grad=True)
    loss = masked_bce(logits, torch.full((3, 2), NAN), ONES)
    loss.backward()
    assert loss.item() == 0
    assert logits.grad is not None
    assert (logits.grad == 0).all()


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_a_task_with_one_class_has_an_unweighted_loss(label):
    logits = torch.tensor([[1.0, 0.0], [-3.0, 0.0]])
    sign = -1 if label else 1
    expected = (softplus(sign * 1.0) + softplus(sign * -3.0)) / 2 + softplus(0.0)
    assert masked_bce(logits, torch.full((2, 2), label), ONES).item() == pytest.approx(expected, rel=1e-6)


def test_the_loss_of_extreme_logits_is_finite():
    logits = torch.tensor([[1e4, -1e4]])
    assert masked_bce(logits, torch.tensor([[1.0, 0.0]]), ONES).item() == 0
    assert masked_bce(logits, torch.tensor([[0.0, 1.0]]), ONES).item() == pytest.approx(2e4)


def one_by_one(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """The loss as the released code has it: task by task, with a mask."""
    total = torch.zeros(())
    for task in range(labels.shape[1]):
        mask = ~torch.isnan(labels[:, task])
        if mask.any():
            mean = binary_cross_entropy_with_logits(logits[mask, task], labels[mask, task])
            total = total + weights[task] * mean
    return total


def test_loss_and_gradient_are_those_of_a_loop_over_tasks():
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(64, 18, generator=generator)
    labels = torch.randint(-1, 2, (64, 18), generator=generator).float()
    labels[labels < 0] = NAN
    labels[:, 5] = NAN
    weights = torch.rand(18, generator=generator)
    own, looped = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    loss, expected = masked_bce(own, labels, weights), one_by_one(looped, labels, weights)
    loss.backward()
    expected.backward()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    assert torch.allclose(own.grad, looped.grad, atol=1e-7)


def test_task_weights_equal_a_hand_computation():
    # max 10, mean 5: alpha = (10 − 10 + 5, 10 − 5 + 5, 10 − 0 + 5) = (5, 10, 15)
    assert task_weights(torch.tensor([10, 5, 0])).tolist() == pytest.approx([1 / 3, 2 / 3, 1])


def test_the_rarest_task_weighs_one_and_equal_tasks_weigh_the_same():
    assert task_weights(torch.tensor([7, 7, 7])).tolist() == [1, 1, 1]
    weights = task_weights(torch.tensor([100, 3, 50, 3]))
    assert weights.max() == weights[1] == weights[3] == 1
    assert weights[0] < weights[2] < 1


def test_without_any_positive_all_tasks_weigh_one():
    weights = task_weights(torch.zeros(4, dtype=torch.int64))
    assert weights.tolist() == [1, 1, 1, 1]
    assert weights.dtype == torch.float32


def test_large_counts_lose_no_precision():
    counts = torch.tensor([2**31, 2**31 - 1, 0])
    alpha = [2**31 - c + (2**32 - 1) / 3 for c in counts.tolist()]
    assert task_weights(counts).tolist() == pytest.approx([a / alpha[2] for a in alpha], rel=1e-7)
