"""Where a training stands: all that must be kept so that it goes on, after kill −9 at any step, with bit-identical weights.

One safetensors file, written whole or not at all: weights, optimiser moments, the best epoch's weights, torch's random
state; in its header what epochs came to and how far the current one is. Nothing is unpickled.
"""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from xray.durable import replaced
from xray.learning.network import Network
from xray.learning.selection import RULES
from xray.pixels.batches import Batches
from xray.pixels.cache_files import checksum

Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class Epoch:
    """What an epoch came to. validation_auc: (n_tasks,), NaN where undefined; waiting: share of time without input."""

    number: int
    loss: float
    validation_auc: NDArray[np.float64]
    seconds: float
    waiting: float

    @property
    def mean_auc(self) -> float:
        """Mean validation AUC over the tasks that have both classes; NaN where no task has."""
        defined = self.validation_auc[~np.isnan(self.validation_auc)]
        return float(defined.mean()) if len(defined) else float("nan")


@dataclass
class Progress:
    """A training under way: epochs that are done, the best of them with its weights, losses of the current one."""

    network: Network
    optimiser: torch.optim.Optimizer
    batches: Batches
    selection: str = "best mean validation AUC"
    epochs: list[Epoch] = field(default_factory=list)
    best: int = -1
    best_weights: Tensors = field(default_factory=dict)
    losses: list[float] = field(default_factory=list)
    seconds: float = 0.0

    def end_epoch(self, epoch: Epoch) -> None:
        """Note a finished epoch; its weights are kept where the selection rule prefers it to the one kept so far."""
        self.epochs.append(epoch)
        self.losses, self.seconds, self.batches.waited = [], 0.0, 0.0
        if self.best < 0 or RULES[self.selection](epoch.mean_auc, self.epochs[self.best].mean_auc):
            self.best = len(self.epochs) - 1
            self.best_weights = {k: v.detach().clone() for k, v in self.network.state_dict().items()}

    def save(self, path: Path) -> None:
        """Write everything to `path`, replacing what is there at once; not where a weight is no longer finite."""
        if not all(bool(weight.isfinite().all()) for weight in self.network.parameters()):
            return
        tensors = {f"network/{k}": v for k, v in self.network.state_dict().items()}
        tensors |= {f"best/{k}": v for k, v in self.best_weights.items()}
        for index, state in self.optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser/{index}/{k}": v for k, v in state.items()}
        tensors["random"] = torch.get_rng_state()
        if torch.cuda.is_available():
            tensors["random/cuda"] = torch.cuda.get_rng_state()
        about = {
            "epochs": [asdict(e) | {"validation_auc": e.validation_auc.tolist()} for e in self.epochs],
            "best": self.best,
            "losses": self.losses,
            "seconds": self.seconds,
            "waited": self.batches.waited,
            "state": list(self.batches.state),
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        contiguous = {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}
        text = json.dumps(about)
        checksum = str(_checksum(text, contiguous))
        with replaced(path) as new:
            save_file(contiguous, new, metadata={"progress": text, "checksum": checksum})

    def restore(self, path: Path) -> bool:
        """Go on from the file at `path`; False, and nothing changed, where there is none that is as it was written."""
        try:
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
                about = json.loads(metadata["progress"])
                tensors = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118  (not a mapping)
            present = str(_checksum(metadata["progress"], tensors))
            if metadata.get("checksum", present) != present:  # one of an earlier version has none
                return False
        except (OSError, SafetensorError, KeyError, ValueError):
            return False
        self.network.load_state_dict(_below("network/", tensors))
        self.best_weights = _below("best/", tensors)
        moments: dict[int, Tensors] = {}
        for name, tensor in _below("optimiser/", tensors).items():
            index, key = name.split("/")
            moments.setdefault(int(index), {})[key] = tensor
        self.optimiser.load_state_dict({**self.optimiser.state_dict(), "state": moments})
        torch.set_rng_state(tensors["random"])
        if "random/cuda" in tensors and torch.cuda.is_available():
            torch.cuda.set_rng_state(tensors["random/cuda"])
        self.epochs = [
            Epoch(**{**e, "validation_auc": np.array(e["validation_auc"], dtype=np.float64)})
            for e in about["epochs"]
        ]
        self.best, self.losses, self.seconds = about["best"], about["losses"], about["seconds"]
        self.batches.resume((about["state"][0], about["state"][1]))
        self.batches.waited = about["waited"]
        return True


def _checksum(about: str, tensors: Tensors) -> int:
    """CRC-32 over what is told and over the tensors, by name."""
    value = checksum(about.encode())
    for name in sorted(tensors):
        value = checksum(tensors[name].reshape(-1).view(torch.uint8).numpy(), checksum(name.encode(), value))
    return value


def _below(prefix: str, tensors: Tensors) -> Tensors:
    return {name[len(prefix) :]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}
