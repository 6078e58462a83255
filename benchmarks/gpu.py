"""What a GPU makes of DenseNet-121 at 224 px: images per second, share of time that it waits, equality with the CPU.

Trains by `train` and scores by `score`, as the platform does, on made-up radiographs in a pixel cache: in float32, in
bfloat16, and in bfloat16 compiled, as `[training] precision` and `compile` of a study file say. The input is that of the
paper's augmentation. Equality: logits of the same weights on the GPU and on the CPU, the largest difference; cuDNN computes
convolutions in TF32 unless --exact is given. Without a GPU it says so and ends.

python -m benchmarks.gpu [--quick] [--json]
"""

import dataclasses
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch

from benchmarks.loader import make_pictures
from benchmarks.training import AUGMENTATION, cached, labels_of
from xray.learning.infer import score
from xray.learning.network import Network
from xray.learning.progress import Epoch
from xray.learning.recipe import Recipe
from xray.learning.train import Part, train
from xray.pixels.grey import Grey

NETWORK = "densenet121"
WAYS: dict[str, dict[str, Any]] = {
    "float32": {},
    "bfloat16": {"precision": "bfloat16"},
    "bfloat16, compiled": {"precision": "bfloat16", "compile": True},
}


def trained(pixels: Grey, recipe: Recipe) -> Epoch:
    """The last epoch of a training; the first warms up and compiles."""
    labels = labels_of(len(pixels))
    epochs: list[Epoch] = []
    validation = Part(pixels, np.arange(2), labels[:2])
    train(Part(pixels, np.arange(len(pixels)), labels), validation, recipe, 0, epochs.append)
    return epochs[-1]


def scored(network: Network, pixels: Grey) -> tuple[float, Any]:
    """Images per second, and the logits."""
    positions = np.arange(len(pixels))
    score(network, pixels, positions[:256])
    began = time.perf_counter()
    logits = score(network, pixels, positions)
    return len(positions) / (time.perf_counter() - began), logits


def tell(as_json: bool, work: str, figures: dict[str, float]) -> None:
    if as_json:
        click.echo(json.dumps({"id": "GPU", "work": work, **figures}))
        return
    click.echo(f"GPU {work}: " + ", ".join(f"{name} {value:.4g}" for name, value in figures.items()))


@click.command()
@click.option("--quick", is_flag=True, help="Fewer pictures.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
@click.option("--exact", is_flag=True, help="Convolutions in float32, not TF32.")
@click.option("--batch", default=64, show_default=True, help="Pictures per step of training.")
def main(quick: bool, as_json: bool, exact: bool, batch: int) -> None:
    """Measure training and scoring on this machine's first GPU."""
    if not torch.cuda.is_available():
        click.echo("not measured: there is no GPU that torch can use", err=True)
        return
    torch.backends.cudnn.allow_tf32 = not exact
    if not as_json:
        click.echo(f"{torch.cuda.get_device_name()}, torch {torch.__version__}")
    size, n = 224, batch * (20 if quick else 100)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_pictures(folder, n, size)
        pixels = cached(folder, size)
        recipe = Recipe(NETWORK, size, epochs=2 if quick else 3, batch_size=batch, augmentation=AUGMENTATION)
        for way, changes in WAYS.items():
            last = trained(pixels, dataclasses.replace(recipe, **changes))
            figures = {"images/s": n / last.seconds, "share of time waiting for input": last.waiting}
            tell(as_json, f"training, {NETWORK} at {size} px, batch {batch}, {way}", figures)
        torch.manual_seed(0)
        network = Network(NETWORK, size).to(memory_format=torch.channels_last).eval()
        few = np.arange(32)
        on_cpu = score(network, pixels, few)
        rate, logits = scored(network.cuda(), pixels)
        difference = float(np.abs(logits[:32] - on_cpu).max())
        tell(
            as_json,
            f"scoring, {NETWORK} at {size} px",
            {"images/s": rate, "largest difference of a logit from the CPU's": difference},
        )


if __name__ == "__main__":
    main()
