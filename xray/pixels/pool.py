"""Several pixel caches as one: training on many datasets reads each picture from where it lies."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from xray.errors import ImageError


class Pixels(Protocol):
    """Pictures by position: an array, a memory map, or a `Pool`."""

    def __len__(self) -> int:
        """The number of pictures."""
        ...

    def __getitem__(self, positions: NDArray[np.int64], /) -> NDArray[np.uint8]:
        """Pictures (n, size, size) uint8 at positions (n,)."""
        ...


class Pool:
    """Caches of one size laid end to end, without copying: position p of cache k is `offsets[k] + p`."""

    def __init__(self, caches: Sequence[NDArray[np.uint8]]) -> None:
        sizes = {cache.shape[1:] for cache in caches}
        if len(sizes) > 1:
            raise ImageError(f"pixel caches of different sizes can't be pooled: {sorted(sizes)}")
        self._caches = list(caches)
        self.offsets: NDArray[np.int64] = np.cumsum([0, *(len(cache) for cache in caches)], dtype=np.int64)

    def __len__(self) -> int:
        return int(self.offsets[-1])

    def __getitem__(self, positions: NDArray[np.int64], /) -> NDArray[np.uint8]:
        """Pictures (n, size, size) uint8 at pooled positions (n,)."""
        owner = np.searchsorted(self.offsets, positions, side="right") - 1
        pictures = np.empty((len(positions), *self._caches[0].shape[1:]), dtype=np.uint8)
        for k in np.unique(owner):
            mine = owner == k
            pictures[mine] = self._caches[k][positions[mine] - self.offsets[k]]
        return pictures
