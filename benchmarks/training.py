"""T1: a training step and inference, torchxrayvision's training script against `train` and `score`, on one thread of a CPU.

Both train DenseNet-121 on the same made-up radiographs with the paper's augmentation, task weights and optimiser: once
from 8-bit PNG files of 1024 × 1024 pixels, as NIH publishes them, and once from files already of the network's size. The
peer is `train_epoch` and `valid_test_epoch` of its scripts/train_utils.py over the transforms of its train_model.py,
which its package does not bring: name the file of a checkout by --script. It decodes and resizes in every epoch; ours
reads the pixel cache, whose building (once for all models and epochs) is told beside. Ours is a whole call of `train`,
network and last validation included. Each side has a process of its own. Equal means: the same weights give the same
logits, to 1e-3, and the same loss, to 1e-4.

Then a table over networks, ours alone.
"""

import contextlib
import importlib.util
import io
import json
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import numpy as np
import torch
from numpy.typing import NDArray
from torchvision.transforms import Compose, RandomAffine, ToTensor

from benchmarks._pixels import _rate, peer, show
from benchmarks.loader import make_dataset, make_pictures
from xray.learning.infer import score
from xray.learning.network import FULL_SCALE, Network
from xray.learning.objective import masked_bce, task_weights
from xray.learning.recipe import Recipe
from xray.learning.train import Part, train
from xray.pixels.augment import Augmentation
from xray.pixels.cache import build
from xray.pixels.grey import Grey
from xray.tasks import TASKS

NETWORKS = ("densenet121", "resnet18", "resnet50", "mobilenetv3_small_050", "small_convnet")
PUBLISHED = 1024
"""Pixels along a side of a picture of NIH."""
AUGMENTATION = Augmentation(rotation=45, translation=0.15, scale=0.10)


def train_utils(script: Path) -> Any:
    """The peer's module; it reads no arguments when imported."""
    spec = importlib.util.spec_from_file_location("train_utils", script)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def labels_of(n: int) -> NDArray[np.float32]:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, (n, len(TASKS))).astype(np.float32)
    labels[rng.random(labels.shape) < 0.3] = np.nan
    return labels


def same_results(script: Path, pixels: Grey, labels: NDArray[np.float32]) -> bool:
    """Whether our network with the peer's weights gives its logits, and our objective its loss."""
    module, model, size = train_utils(script), their_network(), pixels.shape[-1]
    product = Network("densenet121", size)
    product.body.load_state_dict(model.state_dict())
    model.eval()
    logits = score(product, pixels, np.arange(8))
    images = torch.from_numpy(pixels[:8].astype(np.float32) / 255 * 2 - 1)[:, None] * FULL_SCALE
    with torch.no_grad():
        peer = model(images / FULL_SCALE).numpy()
    targets = torch.from_numpy(labels[:8])
    weights = task_weights((torch.from_numpy(labels) == 1).sum(dim=0))
    own_loss = masked_bce(torch.from_numpy(peer), targets, weights).item()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        loader = torch.utils.data.DataLoader(Listed(images / FULL_SCALE, targets, labels), batch_size=8)
        still = torch.optim.SGD(model.parameters(), lr=0.0)
        model.train = lambda mode=True: model  # its statistics stay: the loss is that of the logits above
        loss = module.train_epoch(config(), 0, model, "cpu", loader, still, torch.nn.BCEWithLogitsLoss())
    return bool(np.allclose(logits, peer, atol=1e-3) and abs(own_loss - float(loss)) < 1e-4 * abs(own_loss))


class Listed(torch.utils.data.Dataset[Any]):
    """Images and labels as the peer's loop takes them; `labels` (all of them) for its task weights."""

    def __init__(self, images: torch.Tensor, marks: torch.Tensor, labels: NDArray[np.float32]) -> None:
        self.images, self.marks, self.labels = images, marks, labels

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return {"img": self.images[index], "lab": self.marks[index]}


def config() -> SimpleNamespace:
    return SimpleNamespace(taskweights=True, label_concat_reg=False, featurereg=False, weightreg=False)


def their_network() -> Any:
    models = peer().models
    return models.DenseNet(num_classes=len(TASKS), in_channels=1, **models.get_densenet_params("densenet121"))


class Peer:
    """The peer's training and validation epochs over its own dataset."""

    def __init__(
        self, script: Path, folder: Path, size: int, labels: NDArray[np.float32], batch: int
    ) -> None:
        xrv, self.batch = peer(), batch
        turn = Compose([xrv.datasets.ToPILImage(), RandomAffine(45, (0.15, 0.15), (0.9, 1.1)), ToTensor()])
        paths = pictures(folder)
        self.augmented, self.plain = (
            make_dataset(xrv, folder, paths, transform) for transform in (turn, None)
        )
        fit = Compose([xrv.datasets.XRayCenterCrop(), xrv.datasets.XRayResizer(size)])
        self.augmented.transform = self.plain.transform = fit
        self.augmented.labels = self.plain.labels = labels
        self.module, self.model = train_utils(script), their_network()
        self.criterion = torch.nn.BCEWithLogitsLoss()
        self.optimiser = torch.optim.Adam(self.model.parameters(), lr=1e-3, weight_decay=1e-5, amsgrad=True)

    def train(self) -> int:
        loader = torch.utils.data.DataLoader(self.augmented, batch_size=self.batch, shuffle=True)
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            model = self.model.train()
            self.module.train_epoch(config(), 0, model, "cpu", loader, self.optimiser, self.criterion)
        return len(self.plain)

    def score(self) -> int:
        loader = torch.utils.data.DataLoader(self.plain, batch_size=self.batch)
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            self.module.valid_test_epoch("Valid", 0, self.model.eval(), "cpu", loader, self.criterion)
        return len(self.plain)


class Product:
    """`train` and `score` on a cache of pictures."""

    def __init__(
        self, network: str, folder: Path, size: int, labels: NDArray[np.float32], batch: int
    ) -> None:
        pixels = cached(folder, size)
        self.recipe = Recipe(network, size, epochs=1, batch_size=batch, augmentation=AUGMENTATION)
        self.training = Part(pixels, np.arange(len(pixels)), labels)
        self.validation = Part(pixels, np.arange(2), labels[:2])
        self.network = Network(network, size).to(memory_format=torch.channels_last)

    def train(self) -> int:
        train(self.training, self.validation, self.recipe, 0)
        return len(self.training.positions)

    def score(self) -> int:
        return len(score(self.network, self.training.pixels, self.training.positions))


def pictures(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.png"))


def cached(folder: Path, size: int) -> Grey:
    return build(pictures(folder), folder / "cache", size=size, workers=1).pixels


class Side:
    """One of the two in a process of its own, on one thread: how the other treats memory does not matter to it."""

    def __init__(self, kind: type, *arguments: Any) -> None:
        self.process = ProcessPoolExecutor(
            1, mp_context=get_context("spawn"), initializer=_begin, initargs=(kind, *arguments)
        )

    def rate(self, work: str) -> float:
        """Images per CPU second of one turn of `train` or `score`."""
        return self.process.submit(_turn, work).result()

    def value(self, name: str) -> Any:
        """What it knows of itself by this name."""
        return self.process.submit(_value, name).result()


_side: Any = None


def _begin(kind: type, *arguments: Any) -> None:
    global _side  # what this process is for
    torch.set_num_threads(1)
    _side = kind(*arguments)


def _value(name: str) -> Any:
    return getattr(_side, name)


def _turn(work: str) -> float:
    return _rate(getattr(_side, work))


@click.command()
@click.option("--quick", is_flag=True, help="Smaller pictures and batches.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
@click.option(
    "--script", type=click.Path(path_type=Path), help="scripts/train_utils.py of a torchxrayvision checkout."
)
@click.option("--size", type=int, help="Pixels along a side; default 224, or 64 with --quick.")
@click.option("--rounds", default=3, show_default=True, help="Interleaved rounds, after one that warms up.")
def main(quick: bool, as_json: bool, script: Path | None, size: int | None, rounds: int) -> None:
    """Measure T1 of the performance table, and images per CPU second over networks."""
    torch.set_num_threads(1)
    size, batch = size or (64 if quick else 224), 16 if quick else 32
    n = (4 if quick else 2) * batch
    if script is None or not script.exists():
        click.echo(
            "T1 not measured: name scripts/train_utils.py of a torchxrayvision checkout by --script", err=True
        )
        script = None
    labels = labels_of(n)
    for stored in (PUBLISHED, size):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            make_pictures(folder, n, stored)
            began = time.process_time()
            pixels = cached(folder, size)
            building = (time.process_time() - began) / n
            if script is not None:
                product = Side(Product, "densenet121", folder, size, labels, batch)
                peer = Side(Peer, script, folder, size, labels, batch)
                equal = same_results(script, pixels, labels)
                for kind, says in (("train", "training"), ("score", "inference")):
                    rates = np.array([[peer.rate(kind), product.rate(kind)] for _ in range(rounds + 1)])[1:]
                    medians = (*np.median(rates, axis=0), np.median(rates[:, 1] / rates[:, 0]))
                    work = f"{says}, densenet121 at {size} px, batch {batch}, from files of {stored} px"
                    show(as_json, id="T1", work=work, rates=medians, target=1.3, equal=equal)
                if not as_json:
                    click.echo(f"   building the pixel cache, once: {1000 * building:.1f} CPU-ms an image")
            if stored == size:
                _table(folder, size, labels, batch, 1 if quick else rounds, as_json)


def _table(
    folder: Path, size: int, labels: NDArray[np.float32], batch: int, rounds: int, as_json: bool
) -> None:
    if not as_json:
        click.echo(f"\nimages per CPU second, {size} px, batch {batch}\n{'network':24}training  inference")
    for network in NETWORKS:
        product = Product(network, folder, size, labels, batch)
        rates = np.array([[_rate(product.train), _rate(product.score)] for _ in range(rounds + 1)])[1:]
        training, inference = np.median(rates, axis=0)
        if as_json:
            row = {"id": "T1", "work": f"network {network}", "training": training, "inference": inference}
            click.echo(json.dumps(row | {"unit": "images/CPU-s"}))
        else:
            click.echo(f"{network:24}{training:8.1f}  {inference:9.1f}")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
