"""A training that was killed goes on to the same weights, bit for bit."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from xray.learning.network import Network
from xray.learning.progress import Progress
from xray.pixels.batches import Batches

SCRIPT = """
import sys, time
from pathlib import Path
import numpy as np, torch
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
slow = lambda epoch: time.sleep(float(sys.argv[2]))
done = train(part(np.arange(65)), part(np.arange(65, 90)), recipe, 3, slow, Path(sys.argv[1]), every=0)
save(done.network, Path(sys.argv[3]))
print(done.best.number, done.best.mean_auc)
"""


def _run(checkpoint: Path, weights: Path, pause: float) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", SCRIPT, str(checkpoint), str(pause), str(weights)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


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
def test_a_resumed_training_is_identical_bit_for_bit(tmp_path: Path, kills: tuple[int, ...]) -> None:
    undisturbed = tmp_path / "undisturbed.safetensors"
    first = _run(tmp_path / "other.safetensors", undisturbed, 0)
    output = first.communicate(timeout=120)[0]
    assert first.returncode == 0

    checkpoint, weights = tmp_path / "checkpoint.safetensors", tmp_path / "weights.safetensors"
    for step in kills:
        process = _run(checkpoint, weights, 0.3)
        deadline = time.monotonic() + 120
        while _delivered(checkpoint) < step and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.002)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        assert not weights.exists()
        assert step <= _delivered(checkpoint) < 36
    last = _run(checkpoint, weights, 0)
    assert last.communicate(timeout=120)[0] == output
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
