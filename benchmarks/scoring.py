"""T2: scoring DenseNet-121 on one core of a CPU, torchxrayvision's script against a model's scorer here.

The peer is `valid_test_epoch` of its scripts/train_utils.py (name the file of a checkout by --script), over its dataset of
files that are already of the network's size: nothing to decode but a small PNG. Ours scores the pixel cache by `Scorer`: by
onnxruntime, by torch, and by torch as it was before transitions pooled first. All are interleaved, each in a process of its
own, and told as images per CPU second, user and system; making the program of onnxruntime, once a model, is told beside.
Equal means: logits of the same weights differ by no more than 1e-4.

Then an ONNX model from elsewhere on one core and on all of them: images per second of wall time, and whether bits are equal.
"""

import os
import tempfile
import time
from pathlib import Path
from typing import Any

import click
import numpy as np
import timm
import torch

from benchmarks._pixels import show
from benchmarks.loader import make_pictures
from benchmarks.training import Peer, Side, cached, labels_of
from xray.cores import cores
from xray.learning import infer
from xray.learning.foreign_card import card_of
from xray.learning.foreign_network import load_foreign
from xray.learning.foreign_safety import ONNX
from xray.learning.network import Network
from xray.learning.onnx_program import exported
from xray.learning.scorer import Scorer
from xray.pixels.grey import Grey
from xray.settings import CPU_RUNTIME
from xray.tasks import TASKS

NETWORK = "densenet121"
WAYS = ("onnxruntime", "torch", "torch before")
TARGETS = {"onnxruntime": 2.0, "torch": 1.3, "torch before": 1.26}


def network_of(way: str, size: int) -> Network:
    torch.manual_seed(0)
    network = Network(NETWORK, size)
    if way == "torch before":
        body = timm.create_model(NETWORK, in_chans=1, num_classes=len(TASKS))
        body.load_state_dict(network.body.state_dict())
        network.body = body
    return network.to(memory_format=torch.channels_last).eval()


class Product:
    """A scorer on a cache of pictures; `program_seconds` is the CPU time of making its program."""

    def __init__(self, way: str, folder: Path, size: int) -> None:
        os.environ[CPU_RUNTIME] = way.split()[0]
        self.pixels = cached(folder, size)
        self.positions = np.arange(len(self.pixels))
        began = time.process_time()
        self.scorer = Scorer(network_of(way, size))
        self.scorer.for_pictures(self.pixels, self.positions)
        self.program_seconds = time.process_time() - began

    def score(self) -> int:
        return len(self.scorer.score(self.pixels, self.positions))


def same_logits(pixels: Grey, size: int) -> bool:
    """Whether all ways give the logits of the plain network."""
    positions, logits = np.arange(16), []
    for way in WAYS:
        os.environ[CPU_RUNTIME] = way.split()[0]
        logits.append(Scorer(network_of(way, size)).score(pixels, positions))
    return all(bool(np.abs(one - logits[-1]).max() <= 1e-4) for one in logits)


def elsewhere(folder: Path, pixels: Grey, size: int, rounds: int) -> None:
    """An ONNX model on one core and on all."""
    network = network_of("torch before", size)
    path = folder / "theirs.onnx"
    path.write_bytes(exported(network, (1, size, size)))
    plain: dict[str, Any] = {"name": "theirs", "size": size, "range": [-1024, 1024], "output": "logit"}
    model = load_foreign(path, ONNX, card_of({**plain, "tasks": list(TASKS)}, "card"), False)
    positions = np.arange(len(pixels))
    rates: dict[int, list[float]] = {1: [], cores(): []}
    logits: dict[int, Any] = {}
    for _ in range(rounds + 1):
        for threads, rates_seen in rates.items():
            began = time.perf_counter()
            logits[threads] = infer.score(model, pixels, positions, threads=threads)
            rates_seen.append(len(positions) / (time.perf_counter() - began))
    one, many = (float(np.median(series[1:])) for series in rates.values())
    equal = "bits equal" if np.array_equal(logits[1], logits[cores()]) else "BITS DIFFER"
    click.echo(
        f"ONNX model, images/s: one core {one:.1f}, {cores()} cores {many:.1f}, ×{many / one:.2f}, {equal}"
    )


@click.command()
@click.option("--quick", is_flag=True, help="Fewer pictures and rounds.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
@click.option(
    "--script", type=click.Path(path_type=Path), help="scripts/train_utils.py of a torchxrayvision checkout."
)
@click.option("--rounds", default=3, show_default=True, help="Interleaved rounds, after one that warms up.")
def main(quick: bool, as_json: bool, script: Path | None, rounds: int) -> None:
    """Measure scoring on a CPU."""
    torch.set_num_threads(1)
    size, n = 224, 32 if quick else 64
    rounds = 2 if quick else rounds
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_pictures(folder, n, size)
        pixels = cached(folder, size)
        equal = same_logits(pixels, size)
        sides = {way: Side(Product, way, folder, size) for way in WAYS}
        if script is not None and script.exists():
            peer = Side(Peer, script, folder, size, labels_of(n), 32)
            turns = [
                [peer.rate("score"), *(side.rate("score") for side in sides.values())]
                for _ in range(rounds + 1)
            ]
            rates = np.array(turns)[1:]
            for column, way in enumerate(WAYS, start=1):
                medians = (
                    *np.median(rates[:, [0, column]], axis=0),
                    np.median(rates[:, column] / rates[:, 0]),
                )
                work = f"inference, {NETWORK} at {size} px, by {way}"
                show(as_json, id="T2", work=work, rates=medians, target=TARGETS[way], equal=equal)
        else:
            click.echo(
                "T2 not measured: name scripts/train_utils.py of a torchxrayvision checkout by --script",
                err=True,
            )
        if not as_json:
            click.echo(
                f"making the program, once a model: {sides['onnxruntime'].value('program_seconds'):.1f} CPU-s"
            )
            elsewhere(folder, pixels, size, rounds)


if __name__ == "__main__":
    main()
