"""L2: file → cropped 224-pixel square, torchxrayvision with scikit-image against `prepare(read_grey(path))`.

Equal means: before rounding, no value differs by more than 1e-3 on the network's range of 2048; the stored
uint8 by no more than its rounding, 4.02.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks._pixels import interleaved, peer, radiograph, show
from xray.pixels.decode import read_grey
from xray.pixels.preprocess import centre_crop, prepare
from xray.pixels.resize import resize
from xray.pixels.scale import to_network_range

SIZE = 224
TARGETS = {"PNG 1024": 3.5, "JPEG 1024": 5.0, "JPEG-DICOM 1024": 6.0, "16-bit PNG 1024": 3.5}
Reader = Callable[[Path], NDArray[np.float32]]


def make_files(folder: Path, n: int) -> dict[str, list[Path]]:
    rng = np.random.default_rng(0)
    files: dict[str, list[Path]] = {name: [] for name in TARGETS}
    for i in range(n):
        picture = radiograph(rng, 1024)
        grey = Image.fromarray(np.uint8(picture * 255))
        png, jpeg, dicom, deep = (folder / f"{i}{suffix}" for suffix in (".png", ".jpg", ".dcm", "-16.png"))
        grey.save(png)
        grey.save(jpeg, quality=95)
        Image.fromarray((picture * 4095).astype(np.uint16) * 16).save(deep)
        for name, path in (("PNG 1024", png), ("JPEG 1024", jpeg), ("16-bit PNG 1024", deep)):
            files[name].append(path)
        if write_dicom(dicom, jpeg.read_bytes(), 1024):
            files["JPEG-DICOM 1024"].append(dicom)
    return files


def write_dicom(path: Path, jpeg: bytes, side: int) -> bool:
    """Wrap a baseline JPEG as a DICOM file; False where pydicom is not installed."""
    try:
        import pydicom
        from pydicom.encaps import encapsulate
        from pydicom.uid import ComputedRadiographyImageStorage, JPEGBaseline8Bit, generate_uid
    except ImportError:
        return False
    header = pydicom.Dataset()
    header.file_meta = pydicom.dataset.FileMetaDataset()
    header.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    header.file_meta.MediaStorageSOPClassUID = ComputedRadiographyImageStorage
    header.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    header.Rows = header.Columns = side
    header.BitsAllocated = header.BitsStored = 8
    header.HighBit, header.PixelRepresentation, header.SamplesPerPixel = 7, 0, 1
    header.PhotometricInterpretation = "MONOCHROME2"
    header.PixelData = encapsulate([jpeg])
    header["PixelData"].is_undefined_length = True
    header.save_as(path, enforce_file_format=True)
    return True


def peer_reader(xrv: Any, kind: str) -> Reader:
    from skimage.io import imread

    crop, shrink = xrv.datasets.XRayCenterCrop(), xrv.datasets.XRayResizer(SIZE)

    def read(path: Path) -> NDArray[np.float32]:
        if "DICOM" in kind:
            image = xrv.utils.read_xray_dcm(path)[None]
        else:
            image = xrv.datasets.normalize(imread(path), 65535 if "16" in kind else 255, reshape=True)
        result: NDArray[np.float32] = shrink(crop(image))[0]
        return result

    return read


def same_pixels(read: Reader, paths: list[Path]) -> bool:
    for path in paths:
        peer, decoded = read(path), read_grey(path)
        values = resize(centre_crop(decoded.pixels), SIZE, fill=decoded.maximum / 2)
        exact = values / decoded.maximum * 2048 - 1024
        stored = to_network_range(prepare(decoded, SIZE))
        if np.abs(exact - peer).max() > 1e-3 or np.abs(stored - peer).max() > 4.02:
            return False
    return True


@click.command()
@click.option("--quick", is_flag=True, help="Fewer pictures and rounds.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
@click.option(
    "--images", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Real files instead."
)
def main(quick: bool, as_json: bool, images: Path | None) -> None:
    """Measure L2 of the performance table."""
    xrv = peer()
    n, rounds = (3, 5) if quick else (8, 11)
    with tempfile.TemporaryDirectory() as name:
        files = {"PNG 1024": sorted(images.glob("*.png"))[:n]} if images else make_files(Path(name), n)
        for kind, paths in files.items():
            if not paths:
                click.echo(f"L2 {kind}: not measured, pydicom is not installed", err=True)
                continue
            read = peer_reader(xrv, kind)

            def read_by_peer(read: Reader = read, paths: list[Path] = paths) -> int:
                return len([read(path) for path in paths])

            def read_by_product(paths: list[Path] = paths) -> int:
                return len([prepare(read_grey(path), SIZE) for path in paths])

            equal = same_pixels(read, paths)
            rates = interleaved(read_by_peer, read_by_product, rounds)
            show(as_json, id="L2", work=f"{kind} to 224 px", rates=rates, target=TARGETS[kind], equal=equal)


if __name__ == "__main__":
    main()
