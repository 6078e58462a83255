"""L1: training input, torchxrayvision with torchvision's RandomAffine against `Batches` over a cache.

Both read the same pictures, 8-bit PNG already of the network's size, one thread, batch 64, in random order.
The peer runs in a DataLoader without workers, so that its CPU time is all counted. Equal means: for the same
parameters no pixel of any picture differs.
"""

import tempfile
from pathlib import Path
from typing import Any

import click
import numpy as np
import pandas as pd
import torch
from PIL import Image
from torchvision.transforms import Compose, RandomAffine, ToTensor
from torchvision.transforms.functional import affine

from benchmarks._pixels import interleaved, peer, radiograph, show
from xray.pixels.augment import Augmentation
from xray.pixels.batches import Batches
from xray.pixels.cache import build

SIZE = 224
BATCH = 64
AUGMENTATION = Augmentation(rotation=45, translation=0.15, scale=0.10)


def make_pictures(folder: Path, n: int, size: int = SIZE) -> list[Path]:
    rng = np.random.default_rng(0)
    paths = [folder / f"{i:05d}.png" for i in range(n)]
    for path in paths:
        Image.fromarray(np.uint8(radiograph(rng, size) * 255)).save(path)
    return paths


def make_dataset(xrv: Any, folder: Path, paths: list[Path], augmentation: Any) -> Any:
    rows = {
        "Image Index": [path.name for path in paths],
        "Finding Labels": "No Finding",
        "Follow-up #": 0,
        "Patient ID": range(len(paths)),
        "Patient Age": 50,
        "Patient Gender": "F",
        "View Position": "PA",
    }
    labels = folder / "labels.csv"
    pd.DataFrame(rows).to_csv(labels, index=False)
    return xrv.datasets.NIH_Dataset(str(folder), str(labels), data_aug=augmentation)


def same_pixels(xrv: Any, plain: Any, pixels: Any, n: int) -> bool:
    """Whether the peer's picture, warped by Pillow with our parameters, is ours."""
    parameters = AUGMENTATION.draw(np.random.default_rng(1), n)
    product = AUGMENTATION.apply(pixels[:n], parameters)
    to_pillow = xrv.datasets.ToPILImage()
    for i in range(n):
        shift = [round(float(share) * SIZE) for share in parameters.shift[i]]
        angle, zoom = float(parameters.angle[i]), float(parameters.zoom[i])
        peer = affine(to_pillow(plain[i]["img"]), angle, shift, zoom, [0.0, 0.0], fill=0)
        if not np.array_equal(np.asarray(peer), product[i, 0]):
            return False
    return True


@click.command()
@click.option("--quick", is_flag=True, help="Fewer pictures and rounds.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
def main(quick: bool, as_json: bool) -> None:
    """Measure L1 of the performance table."""
    xrv = peer()
    torch.set_num_threads(1)
    n, rounds = (512, 5) if quick else (2048, 9)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = make_pictures(folder, n)
        cache = build(paths, folder / "cache", size=SIZE, workers=1)
        turn = RandomAffine(45, translate=(0.15, 0.15), scale=(0.9, 1.1))
        augmented = make_dataset(xrv, folder, paths, Compose([xrv.datasets.ToPILImage(), turn, ToTensor()]))
        loader = torch.utils.data.DataLoader(augmented, batch_size=BATCH, shuffle=True)
        batches = Batches(cache, range(n), BATCH, 0, AUGMENTATION)

        def load_by_peer() -> int:
            return sum(len(batch["img"]) for batch in loader)

        def load_by_product() -> int:
            return sum(len(torch.from_numpy(batch.images)) for _ in range(4) for batch in batches)

        equal = same_pixels(xrv, make_dataset(xrv, folder, paths, None), cache.pixels, min(n, 256))
        rates = interleaved(load_by_peer, load_by_product, rounds)
    show(as_json, id="L1", work="training input at 224 px, batch 64", rates=rates, target=30, equal=equal)


if __name__ == "__main__":
    main()
