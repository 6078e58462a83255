"""Batches on their way to the device: to a GPU from pinned memory, on a stream of their own, while it computes."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class Feed:
    """Puts batches (n, 1, size, size) where they are computed on, channels last.

    To a GPU they are copied by whoever calls, a thread that is ahead of the computation: when a batch is asked for, it is
    there. On a CPU nothing is copied that need not be.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._stream: Any = torch.cuda.Stream(device) if device.type == "cuda" else None

    def __call__(self, images: NDArray[np.float32]) -> Tensor:
        """The batch on the device."""
        batch = torch.from_numpy(images)
        if self._stream is None:
            return batch.to(self.device, memory_format=torch.channels_last)
        with torch.cuda.stream(self._stream):
            moved = batch.pin_memory().to(self.device, non_blocking=True, memory_format=torch.channels_last)
            self._stream.synchronize()
        # its memory is not given to the next batch before what computes on it is done
        moved.record_stream(torch.cuda.default_stream(self.device))
        return moved
