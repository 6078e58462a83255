"""Two processes that share each batch: the numbers of one process with the same batches.

On a CPU there is no batch normalisation across processes, so the network that is compared has none; with it, each process
normalises by its own share, and only the first epoch's data are the same.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from xray.pixels.augment import Augmentation
from xray.pixels.batches import Batches

SCRIPT = """
import json, sys
import numpy as np, torch
from accelerate import PartialState
from xray.learning.infer import score
from xray.learning.recipe import Recipe
from xray.learning.train import Part, train
from xray.pixels.augment import Augmentation

torch.set_num_threads(1)
rng = np.random.default_rng(0)
pixels = rng.integers(0, 256, (120, 32, 32), dtype=np.uint8)
labels = np.full((120, 18), np.nan, dtype=np.float32)
labels[:, :3] = rng.integers(0, 2, (120, 3))
labels[rng.random((120, 18)) < 0.3] = np.nan
pixels[labels[:, 0] == 1, 8:20, 8:20] = 255
part = lambda rows: Part(pixels, rows, labels[rows])
recipe = Recipe(sys.argv[1], 32, epochs=2, batch_size=16, learning_rate=1e-4, augmentation=Augmentation(20, 0.1, 0.1, 0.1))
epochs = []
done = train(part(np.arange(80)), part(np.arange(80, 120)), recipe, 3, epochs.append)
if PartialState().is_main_process:
    logits = score(done.network, pixels, np.arange(80, 120))
    said = {"loss": [e.loss for e in epochs], "auc": [e.mean_auc for e in epochs], "logits": logits.tolist(),
            "processes": PartialState().num_processes}
    print("RESULT " + json.dumps(said))
"""


def run(network: str, processes: int, port: int) -> dict:
    """What the script says, run by so many processes together, as `accelerate launch` starts them."""
    command = [sys.executable, "-c", SCRIPT, network]
    common = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    common |= {"WORLD_SIZE": str(processes), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    launched = [
        subprocess.Popen(
            command,
            env={**common, "RANK": str(rank), "LOCAL_RANK": str(rank)} if processes > 1 else {**os.environ},
            cwd=Path(__file__).resolve().parents[3],
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(processes)
    ]
    outputs = [process.communicate(timeout=400)[0] for process in launched]
    assert [process.returncode for process in launched] == [0] * processes
    (line,) = [line for out in outputs for line in out.splitlines() if line.startswith("RESULT ")]
    return json.loads(line.removeprefix("RESULT "))


@pytest.mark.slow
def test_two_processes_give_the_numbers_of_one(free_port):
    """timm's smallest network with layer normalisation."""
    one, two = (run("test_convnext", n, free_port) for n in (1, 2))
    assert (one["processes"], two["processes"]) == (1, 2)
    np.testing.assert_allclose(two["loss"], one["loss"], rtol=1e-4)
    np.testing.assert_allclose(two["logits"], one["logits"], atol=1e-4)
    np.testing.assert_allclose(two["auc"], one["auc"], atol=1e-9)


@pytest.mark.slow
def test_two_processes_train_with_batch_normalisation(free_port):
    one, two = (run("small_convnet", n, free_port) for n in (1, 2))
    assert np.isfinite(two["logits"]).all()
    assert two["loss"] != one["loss"]  # each normalises by its own half of the batch
    np.testing.assert_allclose(two["loss"], one["loss"], rtol=0.2)


@pytest.mark.parametrize("n_processes", [2, 3])
def test_the_shares_of_a_batch_concatenate_to_the_batch(n_processes):
    """Also their augmentation: what is drawn depends on the image's place in the whole batch."""
    pixels = np.random.default_rng(0).integers(0, 256, (23, 8, 8), dtype=np.uint8)
    arguments = (pixels, np.arange(23), 10, 4, Augmentation(20, 0.1, 0.1, 0.1))
    shares = [Batches(*arguments, share=(k, n_processes)) for k in range(n_processes)]
    n = 0
    for whole, *parts in zip(Batches(*arguments), *shares, strict=True):
        np.testing.assert_array_equal(np.concatenate([p.positions for p in parts]), whole.positions)
        np.testing.assert_array_equal(np.concatenate([p.images for p in parts]), whole.images)
        n += len(whole.positions)
    assert n == 23
