"""Several pixel caches as one: training on many datasets reads each picture from where it lies, checked by its cache."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xray.errors import ImageError
from xray.pixels.cache import Stored
from xray.pixels.grey import Grey


class Pool:
    """Caches of one size laid end to end, without copying: picture p of cache k is at `offsets[k] + p`.

    shape: (n_pictures, size, size). Raises `ImageError` where sizes or dtypes differ.
    """

    def __init__(self, caches: Sequence[Stored]) -> None:
        kinds = {(cache.shape[1:], cache.dtype.name) for cache in caches}
        if len(kinds) != 1:
            raise ImageError(
                f"only caches of one size and dtype can be pooled, got {sorted(map(str, kinds))}"
            )
        self._caches = list(caches)
        self.offsets: NDArray[np.int64] = np.cumsum([0, *(len(cache) for cache in caches)], dtype=np.int64)
        self.shape: tuple[int, ...] = (int(self.offsets[-1]), *caches[0].shape[1:])

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, positions: NDArray[np.integer[Any]]) -> Grey:
        """A copy of the pictures at pooled positions (n,): (n, size, size)."""
        owner = np.searchsorted(self.offsets, positions, side="right") - 1
        pictures = np.empty((len(positions), *self.shape[1:]), dtype=self._caches[0].dtype)
        for k in np.unique(owner):
            own = owner == k
            pictures[own] = self._caches[k][positions[own] - self.offsets[k]]
        return pictures
