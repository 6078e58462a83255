"""Stored pixels and an order → augmented batches, the same again for the same seed and epoch."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xray.pixels.augment import Augmentation
from xray.pixels.cache import PixelCache, Stored
from xray.pixels.pool import Pool
from xray.pixels.warp import gather


class Batch(NamedTuple):
    """positions: int64 (n,), positions in `indices`. images: float32 (n, 1, size, size) in [−1024, 1024], or what `deliver`
    makes of them.
    """

    positions: NDArray[np.int64]
    images: Any


class State(NamedTuple):
    """Where an iteration stands: the epoch, and how many of its batches were delivered."""

    epoch: int
    delivered: int


class Batches:
    """Batches over `pixels[indices]`; each pass over it is one epoch, in an order of its own.

    pixels: uint8 or uint16 (n_stored, size, size), a `PixelCache`, or a `Pool` of several caches. indices:
    rows of it to go over, in any order, repeats allowed. augmentation: None shows the images unchanged.
    shuffle: False keeps the order of `indices`. limit: an epoch shows at most so many of them, others each
    time. drop_last: leave out a last batch that is not full. prefetch: how many batches a background thread
    makes ahead; 0 makes each when asked for. share: (k, n), only the k-th of n shares of each batch, where n
    processes work through it together: the shares put together are the batch. deliver: what is made of the images of
    a batch, in the thread that made it, such as their copy on a GPU.

    Order and augmentation depend on (seed, epoch, batch) alone, never on what was drawn before. So `state`,
    saved at any batch and given to `resume`, goes on with exactly the batches that would have come. A pass
    that was broken off is continued by the next one. `waited` adds up the seconds that the consumer waited
    for input.

    Labels of the same order as `indices` are `labels[batch.positions]`.
    """

    def __init__(
        self,
        pixels: Stored | Pool,
        indices: Sequence[int] | NDArray[np.integer[Any]],
        batch_size: int,
        seed: int,
        augmentation: Augmentation | None = None,
        *,
        shuffle: bool = True,
        limit: int | None = None,
        drop_last: bool = False,
        prefetch: int = 2,
        share: tuple[int, int] = (0, 1),
        deliver: Callable[[NDArray[np.float32]], Any] | None = None,
    ) -> None:
        self.indices = np.asarray(indices, dtype=np.int64)
        if self.indices.ndim != 1:
            raise ValueError(f"indices must be a list, got shape {self.indices.shape}")
        if len(self.indices) and not 0 <= self.indices.min() <= self.indices.max() < len(pixels):
            raise IndexError(f"indices reach outside the {len(pixels)} images")
        if batch_size < 1 or seed < 0 or prefetch < 0:
            raise ValueError("batch_size must be at least 1, seed and prefetch at least 0")
        self.pixels = pixels
        self.batch_size = batch_size
        self.seed = seed
        self.augmentation = augmentation
        self.shuffle = shuffle
        self.limit = len(self.indices) if limit is None else min(limit, len(self.indices))
        self.drop_last = drop_last
        self.prefetch = prefetch
        self.share = share
        self.deliver = deliver
        self.state = State(0, 0)
        self.waited = 0.0

    def __len__(self) -> int:
        """Batches in one epoch."""
        return self.limit // self.batch_size if self.drop_last else -(-self.limit // self.batch_size)

    def resume(self, state: State | tuple[int, int]) -> None:
        """Go on from a saved `state`: the next pass begins with the batch after the last delivered one."""
        epoch, delivered = state
        if epoch < 0 or not 0 <= delivered <= len(self):
            raise ValueError(
                f"no state of these batches: epoch {epoch}, {delivered} of {len(self)} delivered"
            )
        self.state = State(epoch, delivered)

    def order(self, epoch: int) -> NDArray[np.int64]:
        """The positions of one epoch in the order they come."""
        if not self.shuffle:
            return np.arange(self.limit)
        return np.random.default_rng([self.seed, epoch, 0]).permutation(len(self.indices))[: self.limit]

    def __iter__(self) -> Iterator[Batch]:
        """The rest of the current epoch; then the next epoch is current."""
        epoch, first = self.state
        batches = self._ahead(epoch, first) if self.prefetch else self._at_once(epoch, first)
        for number in range(first, len(self)):
            begin = time.perf_counter()
            batch = next(batches)
            self.waited += time.perf_counter() - begin
            self.state = State(epoch, number + 1)
            yield batch
            del batch  # the pool may take its memory back
        self.state = State(epoch + 1, 0)

    def _at_once(self, epoch: int, first: int) -> Iterator[Batch]:
        order, buffers = self.order(epoch), self._buffers()
        return (self._make(buffers, order, epoch, number) for number in range(first, len(self)))

    def _ahead(self, epoch: int, first: int) -> Iterator[Batch]:
        """As `_at_once`, made by one thread, at most `prefetch` batches ahead."""
        order, buffers = self.order(epoch), self._buffers()
        waiting: list[Future[Batch]] = []
        with ThreadPoolExecutor(1, thread_name_prefix="batches") as thread:
            try:
                for number in range(first, len(self)):
                    while len(waiting) <= self.prefetch and number + len(waiting) < len(self):
                        waiting.append(
                            thread.submit(self._make, buffers, order, epoch, number + len(waiting))
                        )
                    yield waiting.pop(0).result()
            finally:
                thread.shutdown(cancel_futures=True)

    def _buffers(self) -> "_Buffers":
        return _Buffers((self.batch_size, 1, *self.pixels.shape[1:]))

    def _make(self, buffers: "_Buffers", order: NDArray[np.int64], epoch: int, number: int) -> Batch:
        positions = order[number * self.batch_size : (number + 1) * self.batch_size]
        parameters = None
        if self.augmentation is not None:
            rng = np.random.default_rng([self.seed, epoch, 1, number])
            parameters = self.augmentation.draw(rng, len(positions))
        process, n_processes = self.share
        first, end = (len(positions) * (process + i) // n_processes for i in (0, 1))
        positions, parameters = positions[first:end], parameters.part(first, end) if parameters else None
        images = buffers.take()[: len(positions)]
        rows = self.indices[positions]
        if isinstance(self.pixels, Pool):
            gather(self.pixels[rows], np.arange(len(rows)), parameters, images)
        elif isinstance(self.pixels, PixelCache):
            self.pixels.check(rows)
            gather(self.pixels.pixels, rows, parameters, images)
        else:
            gather(self.pixels, rows, parameters, images)
        return Batch(positions, images if self.deliver is None else self.deliver(images))


class _Buffers:
    """Arrays of one shape, used again once nobody outside holds them or a view of them.

    Fresh memory for every batch would cost as much as filling it.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._shape = shape
        self._arrays: list[NDArray[np.float32]] = []
        self._unused: int | None = None

    def take(self) -> NDArray[np.float32]:
        """An array (uninitialised) that nobody else holds."""
        for i in range(len(self._arrays)):
            if self._holders(i) == self._unused:
                return self._arrays[i]
        self._arrays.append(np.empty(self._shape, np.float32))
        if self._unused is None:
            self._unused = self._holders(0)
        return self._arrays[-1]

    def _holders(self, i: int) -> int:
        return sys.getrefcount(self._arrays[i])
