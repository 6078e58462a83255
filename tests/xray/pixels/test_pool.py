"""Several caches as one: the pictures of one long array, wherever they lie."""

import numpy as np
import pytest

from xray.errors import ImageError
from xray.pixels.augment import Augmentation
from xray.pixels.batches import Batches
from xray.pixels.pool import Pool


def caches(*lengths: int, size: int = 8, dtype: type = np.uint8) -> list[np.ndarray]:
    rng = np.random.default_rng(sum(lengths))
    return [rng.integers(0, 250, (n, size, size)).astype(dtype) for n in lengths]


@pytest.mark.parametrize("lengths", [(5,), (3, 4), (1, 1, 1), (4, 0, 3), (0, 2)])
def test_a_pool_reads_like_its_concatenated_caches(lengths):
    parts = caches(*lengths)
    pool, whole = Pool(parts), np.concatenate(parts)
    assert len(pool) == len(whole)
    assert pool.shape == whole.shape
    assert pool.offsets.tolist() == np.cumsum([0, *lengths]).tolist()
    rng = np.random.default_rng(0)
    for positions in (np.arange(len(whole)), rng.integers(0, len(whole), 40), np.array([], dtype=np.int64)):
        rows = pool[positions]
        assert rows.dtype == whole.dtype
        np.testing.assert_array_equal(rows, whole[positions])


def test_rows_read_from_a_pool_are_copies():
    (cache,) = parts = caches(3)
    before = cache.copy()
    Pool(parts)[np.array([0, 1])][:] = 0
    np.testing.assert_array_equal(cache, before)


def test_positions_outside_the_pool_are_refused():
    pool = Pool(caches(3, 2))
    with pytest.raises(IndexError):
        pool[np.array([5])]
    with pytest.raises(IndexError):
        pool[np.array([-1])]


@pytest.mark.parametrize("unlike", [caches(2, size=9), caches(2, dtype=np.uint16)], ids=["size", "dtype"])
def test_caches_of_different_kinds_cannot_be_pooled(unlike):
    with pytest.raises(ImageError, match="only caches of one size and dtype can be pooled"):
        Pool([*caches(3), *unlike])


@pytest.mark.parametrize("augmentation", [None, Augmentation(10, 0.1, 0.1, 0.2)], ids=["plain", "augmented"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_batches_of_a_pool_are_those_of_one_array(augmentation, dtype):
    parts = caches(7, 5, 9, dtype=dtype)
    indices = np.random.default_rng(1).permutation(21)[:18]
    batches = [
        list(Batches(pixels, indices, 4, 3, augmentation, limit=14, prefetch=prefetch))
        for pixels, prefetch in ((Pool(parts), 2), (Pool(parts), 0), (np.concatenate(parts), 0))
    ]
    assert [len(batch.positions) for batch in batches[0]] == [4, 4, 4, 2]
    for ahead, at_once, whole in zip(*batches, strict=True):
        np.testing.assert_array_equal(ahead.positions, whole.positions)
        np.testing.assert_array_equal(ahead.images, whole.images)
        np.testing.assert_array_equal(at_once.images, whole.images)


def test_limited_epochs_show_other_pictures_each_time_and_all_in_the_end():
    (pixels,) = caches(30)
    batches = Batches(pixels, np.arange(30), 4, 0, limit=10)
    assert len(batches) == 3
    epochs = [np.concatenate([b.positions for b in batches]).tolist() for _ in range(20)]
    assert all(len(epoch) == len(set(epoch)) == 10 for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 20
    assert set().union(*epochs) == set(range(30))


@pytest.mark.parametrize("limit", [None, 30, 31, 10**9])
def test_a_limit_above_the_number_of_pictures_shows_all_once(limit):
    (pixels,) = caches(30)
    batches = Batches(pixels, np.arange(30), 8, 0, limit=limit)
    assert sorted(np.concatenate([b.positions for b in batches]).tolist()) == list(range(30))


def test_an_interrupted_limited_epoch_continues_where_it_stopped():
    (pixels,) = caches(30)
    whole = [b.positions.tolist() for b in Batches(pixels, np.arange(30), 4, 0, limit=10)]
    resumed = Batches(pixels, np.arange(30), 4, 0, limit=10)
    resumed.resume((0, 1))
    assert [b.positions.tolist() for b in resumed] == whole[1:]
