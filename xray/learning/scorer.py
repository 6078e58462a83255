"""What scores a network's pictures: torch, or on a CPU onnxruntime where it is installed and worth it (decision 52)."""

import copy
import logging
from collections.abc import Sequence
from importlib import metadata
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from torch import nn

from xray.errors import LearningError
from xray.learning.infer import score
from xray.learning.network import Network, image_size_of
from xray.learning.onnx_program import Program
from xray.pixels.changes import Indexed
from xray.settings import CPU_RUNTIME, ONNXRUNTIME, cpu_runtime

_log = logging.getLogger(__name__)
WORTH: Final = 2**24
"""Pixels of the pictures to be scored (334 of 224 × 224), from which on a network is made a program of onnxruntime."""
TOLERANCE: Final = 1e-4
"""How far a logit of a program may be from torch's."""
_SHOWN: Final = 4


class Scorer:
    """A network, ours or a foreign one, and the program that may stand for it.

    threads: how many cores a program may use. runtime: by what the last pictures were scored.
    """

    def __init__(self, network: nn.Module, threads: int = 1) -> None:
        self.network, self.threads = network, threads
        self.runtime = "torch"
        self._program: nn.Module | None = None
        self._tried = False

    def score(
        self, pixels: Indexed, positions: NDArray[np.int64], own: Sequence[str] = ()
    ) -> NDArray[np.float32]:
        """As `xray.learning.infer.score`, by a program where there is one: the same logits to `TOLERANCE`.

        Whether there is one depends on the setting, the installation and the pictures alone, never on how quick it was.
        Raises `LearningError` where the setting asks for onnxruntime and it is not installed.
        """
        return score(self.for_pictures(pixels, positions), pixels, positions, own, self.threads)

    def for_pictures(self, pixels: Indexed, positions: NDArray[np.int64]) -> nn.Module:
        """The network, or the program, that `score` asks."""
        runtime = cpu_runtime()
        worth = len(positions) * image_size_of(self.network) ** 2 >= WORTH
        use = runtime == ONNXRUNTIME or (runtime is None and worth)
        program = self._try(pixels, positions[:_SHOWN], runtime) if use and len(positions) else None
        foreign_program = getattr(self.network, "concurrent", False)
        self.runtime = (
            f"onnxruntime {metadata.version(ONNXRUNTIME)}"
            if program is not None or foreign_program
            else "torch"
        )
        return self.network if program is None else program

    def _try(self, pixels: Indexed, positions: NDArray[np.int64], runtime: str | None) -> nn.Module | None:
        if not self._tried:
            self._tried = True
            self._program = self._build(pixels, positions, runtime)
        return self._program

    def _build(self, pixels: Indexed, positions: NDArray[np.int64], runtime: str | None) -> nn.Module | None:
        """The program, where the network's weights are on the CPU and it gives the same logits of these pictures."""
        part = "body" if isinstance(self.network, Network) else "run"
        body = getattr(self.network, part)
        weights = next(self.network.parameters(), None)
        if weights is None or weights.device.type != "cpu" or not isinstance(body, nn.Module):
            return None
        card: Any = getattr(self.network, "card", None)
        channels, size = 1 if card is None else card.channels, image_size_of(self.network)
        try:
            program = Program(body, (channels, size, size))
        except ImportError:
            if runtime is None:
                return None
            raise LearningError(
                f"{CPU_RUNTIME}={ONNXRUNTIME} needs its extra: pip install 'xray[onnx]'"
            ) from None
        except Exception as error:  # whatever torch's exporter can't express
            _log.warning("scored by torch: no program of onnxruntime could be made: %s", str(error)[:200])
            return None
        other: Any = copy.copy(self.network)
        other._modules = {**self.network._modules, part: program}
        other.concurrent = True
        difference = np.abs(score(self.network, pixels, positions) - score(other, pixels, positions)).max()
        if not difference <= TOLERANCE:
            _log.warning("scored by torch: onnxruntime's logits differ by up to %.2g", difference)
            return None
        module: nn.Module = other
        return module
