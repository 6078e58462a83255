"""Batches: every index once an epoch, repeatable, resumed exactly, memory never handed out twice."""

import threading

import numpy as np
import pytest
from numpy.typing import NDArray

from xray.pixels.augment import Augmentation
from xray.pixels.batches import Batches
from xray.pixels.scale import to_network_range

PIXELS = np.random.default_rng(0).integers(0, 256, (30, 16, 16), dtype=np.uint8)
INDICES = [5, 3, 29, 0, 11, 5, 8, 20, 21, 22]


def all_of(batches: Batches) -> list[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    return [(batch.positions.copy(), batch.images.copy()) for batch in batches]


def assert_same(
    some: list[tuple[NDArray[np.int64], NDArray[np.float32]]],
    others: list[tuple[NDArray[np.int64], NDArray[np.float32]]],
) -> None:
    assert len(some) == len(others)
    for (positions, images), (other_positions, other_images) in zip(some, others, strict=True):
        np.testing.assert_array_equal(positions, other_positions)
        np.testing.assert_array_equal(images, other_images)


@pytest.mark.parametrize("prefetch", [0, 1, 3])
def test_each_position_comes_once_with_its_own_picture(prefetch: int) -> None:
    batches = Batches(PIXELS, INDICES, 4, seed=1, prefetch=prefetch)
    assert len(batches) == 3
    for _ in range(3):
        delivered = all_of(batches)
        assert [len(positions) for positions, _ in delivered] == [4, 4, 2]
        positions = np.concatenate([positions for positions, _ in delivered])
        assert sorted(positions) == list(range(10))
        images = np.concatenate([images for _, images in delivered])
        np.testing.assert_array_equal(images[:, 0], to_network_range(PIXELS)[np.array(INDICES)[positions]])


def test_order_differs_by_epoch_and_seed_and_is_repeatable() -> None:
    first = [all_of(Batches(PIXELS, INDICES, 4, seed, Augmentation())) for seed in (0, 1)]
    again = Batches(PIXELS, INDICES, 4, 0, Augmentation(), prefetch=0)
    assert_same(first[0], all_of(again))
    second_epoch = all_of(again)
    orders = [tuple(np.concatenate([p for p, _ in run])) for run in (*first, second_epoch)]
    assert len(set(orders)) == 3


def test_augmentation_is_new_in_each_epoch() -> None:
    batches = Batches(PIXELS, [4], 1, 0, Augmentation())
    one, two = all_of(batches), all_of(batches)
    assert (one[0][1] != two[0][1]).any()


@pytest.mark.parametrize("prefetch", [0, 2])
@pytest.mark.parametrize("stop", [0, 1, 2, 3, 4])
def test_a_resumed_run_delivers_the_remaining_batches(prefetch: int, stop: int) -> None:
    straight = Batches(PIXELS, INDICES, 4, 7, Augmentation(intensity=0.2), prefetch=prefetch)
    expected = all_of(straight) + all_of(straight)
    broken = Batches(PIXELS, INDICES, 4, 7, Augmentation(intensity=0.2), prefetch=prefetch)
    positions = []
    state = broken.state
    while len(positions) < stop:
        for batch in broken:
            positions.append((batch.positions.copy(), batch.images.copy()))
            state = broken.state
            if len(positions) == stop:
                break
    resumed = Batches(PIXELS, INDICES, 4, 7, Augmentation(intensity=0.2), prefetch=prefetch)
    resumed.resume(tuple(state))
    rest = all_of(resumed)
    if state.epoch == 0:
        rest += all_of(resumed)
    assert_same(positions + rest, expected)


def test_state_counts_what_was_delivered_not_what_was_made_ahead() -> None:
    batches = Batches(PIXELS, INDICES, 4, 0, prefetch=3)
    states = [tuple(batches.state) for _ in batches]
    assert states == [(0, 1), (0, 2), (0, 3)]
    assert tuple(batches.state) == (1, 0)
    for wrong in ((-1, 0), (0, 4), (0, -1)):
        with pytest.raises(ValueError, match="no state"):
            batches.resume(wrong)


def test_batches_may_be_unshuffled_and_drop_the_last() -> None:
    batches = Batches(PIXELS, INDICES, 4, 0, shuffle=False, drop_last=True)
    assert [list(batch.positions) for batch in batches] == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert len(batches) == 2


def test_no_indices_give_no_batches() -> None:
    batches = Batches(PIXELS, [], 4, 0)
    assert (len(batches), list(batches)) == (0, [])


@pytest.mark.parametrize("prefetch", [0, 2])
def test_batches_that_are_kept_keep_their_values(prefetch: int) -> None:
    expected = all_of(Batches(PIXELS, list(range(30)), 2, 0, Augmentation(), prefetch=0))
    views = [
        batch.images[:, 0]
        for batch in Batches(PIXELS, list(range(30)), 2, 0, Augmentation(), prefetch=prefetch)
    ]
    for view, (_, images) in zip(views, expected, strict=True):
        np.testing.assert_array_equal(view, images[:, 0])


def test_memory_is_used_again_where_nothing_is_kept() -> None:
    places = {batch.images.ctypes.data for batch in Batches(PIXELS, list(range(30)), 2, 0)}
    assert len(places) <= 5


def test_tensors_keep_their_memory_too() -> None:
    torch = pytest.importorskip("torch")
    expected = all_of(Batches(PIXELS, list(range(30)), 2, 0, prefetch=0))
    tensors = [torch.from_numpy(batch.images) for batch in Batches(PIXELS, list(range(30)), 2, 0)]
    for tensor, (_, images) in zip(tensors, expected, strict=True):
        np.testing.assert_array_equal(tensor.numpy(), images)


def test_a_broken_off_pass_leaves_no_thread() -> None:
    for _ in Batches(PIXELS, list(range(30)), 2, 0):
        break
    names = [thread.name for thread in threading.enumerate()]
    assert not [name for name in names if name.startswith("batches")]


def test_wrong_arguments_are_refused() -> None:
    for indices in ([30], [-1]):
        with pytest.raises(IndexError):
            Batches(PIXELS, indices, 4, 0)
    with pytest.raises(ValueError, match="batch_size"):
        Batches(PIXELS, [0], 0, 0)
    with pytest.raises(ValueError, match="list"):
        Batches(PIXELS, np.zeros((2, 2), int), 1, 0)
