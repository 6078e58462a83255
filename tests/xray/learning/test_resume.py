"""A training that was killed goes on to the same weights, bit for bit."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.processes import is_alive
from xray.learning.network import Network
from xray.learning.progress import Progress
from xray.pixels.batches import Batches

SCRIPT = """
import os, signal, sys, time
from pathlib import Path
import numpy as np, torch, torch._dynamo  # which the first step of an optimiser imports
from xray.learning.network import save
from xray.learning.recipe import Recipe
from xray.learning.train import Part, train
from xray.pixels.augment import Augmentation

torch.set_num_threads(1)
rng = np.random.default_rng(0)
pixels = rng.integers(0, 256, (90, 16, 16), dtype=np.uint8)
labels = np.full((90, 18), np.nan, dtype=np.float32)
labels[:, :3] = rng.integers(0, 2, (90, 3))
part = lambda rows: Part(pixels, rows, labels[rows])
recipe = Recipe("small_convnet", 16, epochs=4, batch_size=8, augmentation=Augmentation(10, 0.1, 0.1, 0.1))


def run(checkpoint, pause, weights):
    slow = lambda epoch: time.sleep(float(pause))
    done = train(part(np.arange(65)), part(np.arange(65, 90)), recipe, 3, slow, Path(checkpoint), every=0)
    save(done.network, Path(weights))
    print(done.best.number, done.best.mean_auc, flush=True)


for line in sys.stdin:
    child = os.fork()
    if not child:
        run(*line.rstrip().split("\\t"))
        os._exit(0)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@dataclass
class Trainings:
    """A process that has imported everything, and forks for each training."""

    process: "subprocess.Popen[str]"

    def start(self, checkpoint: Path, weights: Path, pause: float) -> int:
        """The number of the process that trains."""
        assert self.process.stdin
        self.process.stdin.write(f"{checkpoint}\t{pause}\t{weights}\n")
        self.process.stdin.flush()
        return int(self._line())

    def end(self) -> list[str]:
        """What it printed, and its exit code at last."""
        lines = [self._line()]
        while len(lines[-1].split()) != 1:
            lines.append(self._line())
        return lines

    def _line(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline().rstrip()


@pytest.fixture
def trainings() -> Iterator[Trainings]:
    command = [sys.executable, "-c", SCRIPT]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Trainings(process)
        assert process.stdin
        process.stdin.close()


def _delivered(checkpoint: Path) -> int:
    """Steps that the checkpoint has seen, 0 where there is none."""
    from safetensors import safe_open

    if not checkpoint.exists():
        return 0
    with safe_open(checkpoint, framework="pt") as file:
        about = json.loads(file.metadata()["progress"])
    return 9 * about["state"][0] + about["state"][1] if about["state"][1] < 9 else 9 * (about["state"][0] + 1)


@pytest.mark.parametrize(
    "kills", [(3, 14, 30), *(pytest.param((step,), marks=pytest.mark.slow) for step in (1, 9, 10, 27))]
)
def test_a_resumed_training_is_identical_bit_for_bit(
    tmp_path: Path, kills: tuple[int, ...], trainings: Trainings
) -> None:
    undisturbed = tmp_path / "undisturbed.safetensors"
    trainings.start(tmp_path / "other.safetensors", undisturbed, 0)
    output = trainings.end()
    assert output[-1] == "0"
    assert len(output) == 2

    checkpoint, weights = tmp_path / "checkpoint.safetensors", tmp_path / "weights.safetensors"
    for step in kills:
        process = trainings.start(checkpoint, weights, 0.3)
        deadline = time.monotonic() + 120
        while _delivered(checkpoint) < step and time.monotonic() < deadline and is_alive(process):
            time.sleep(0.002)
        os.kill(process, signal.SIGKILL)
        assert trainings.end() == [str(-signal.SIGKILL)]
        assert not weights.exists()
        assert step <= _delivered(checkpoint) < 36
    trainings.start(checkpoint, weights, 0)
    assert trainings.end() == output
    weights_found, expected = load_file(weights), load_file(undisturbed)
    assert all(torch.equal(weights_found[name], expected[name]) for name in expected)


def test_a_damaged_checkpoint_is_ignored(tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint.safetensors"
    network = Network("small_convnet", 16)
    batches = Batches(np.zeros((4, 16, 16), np.uint8), range(4), 2, 0)
    progress = Progress(network, torch.optim.Adam(network.parameters()), batches)
    progress.losses = [1.0]
    progress.save(checkpoint)
    whole = checkpoint.read_bytes()
    flipped = bytearray(whole)
    flipped[-5] ^= 1
    altered = whole.replace(b'\\"losses\\": [1.0]', b'\\"losses\\": [1.5]')
    assert altered != whole
    for damaged in (b"", b"\0" * 100, whole[:-1], whole[: len(whole) // 2], bytes(flipped), altered):
        checkpoint.write_bytes(damaged)
        again = Progress(network, torch.optim.Adam(network.parameters()), batches)
        assert not again.restore(checkpoint)
        assert again.losses == []
    checkpoint.write_bytes(whole)
    assert progress.restore(checkpoint)
