"""Registers a tree of DICOM files, labels joined by accession number, and prints the seconds: 2,000 files within 60 s.

    python -m benchmarks.dicom_tree [--files 2000] [--side 1024]

Half of the files are JPEG Lossless, half are not packed; 12 bits of smooth structure and noise, two pictures of a study.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks._stack import Home

BAR = 60.0
LOSSLESS = "1.2.840.10008.1.2.4.70"
UNPACKED = "1.2.840.10008.1.2.1"


def write_tree(folder: Path, n_files: int, side: int) -> Path:
    """The files, by patient, and the sheet of labels beside them."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:side, :side] / side
    base = 1800 + 1200 * np.sin(5 * y) * np.cos(4 * x) + rng.normal(0, 20, (side, side))
    values = np.clip(base, 0, 4095).astype(np.uint16)
    for number in range(n_files):
        _write(folder / f"p{number // 2}" / f"IM{number}", number, np.roll(values, 7 * number))
    rows = [f"A{study},{study % 2},{study % 3 % 2}" for study in range((n_files + 1) // 2)]
    sheet = folder.parent / "sheet.csv"
    sheet.write_text("\n".join(["accession_number,Mass,Effusion", *rows]))
    return sheet


def _write(path: Path, number: int, values: np.ndarray[tuple[int, int], np.dtype[np.uint16]]) -> None:
    import imagecodecs
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.encaps import encapsulate
    from pydicom.uid import UID, DigitalXRayImageStorageForPresentation

    header = Dataset()
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = UID(LOSSLESS if number % 2 else UNPACKED)
    header.file_meta.MediaStorageSOPClassUID = header.SOPClassUID = DigitalXRayImageStorageForPresentation
    header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID = UID(f"1.2.3.{number + 1}")
    header.PatientID, header.AccessionNumber = f"p{number // 2}", f"A{number // 2}"
    header.StudyInstanceUID, header.Modality = f"1.2.4.{number // 2 + 1}", "DX"
    header.ViewPosition, header.PatientAge, header.PatientSex = "PA", "050Y", "F"
    header.Rows, header.Columns = values.shape
    header.BitsAllocated, header.BitsStored, header.HighBit, header.PixelRepresentation = 16, 12, 11, 0
    header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME2"
    if number % 2:
        header.PixelData = encapsulate(
            [bytes(imagecodecs.jpeg8_encode(values, lossless=True, bitspersample=12))]
        )
        header["PixelData"].is_undefined_length = True
    else:
        header.PixelData = values.tobytes()
    header["PixelData"].VR = "OB" if number % 2 else "OW"
    path.parent.mkdir(parents=True, exist_ok=True)
    header.save_as(path, enforce_file_format=True)


def main() -> None:
    """Write, register, print the seconds of the whole command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--side", type=int, default=1024)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        sheet = write_tree(tree, options.files, options.side)
        home = Home(Path(folder) / "home")
        home.run("db", "check", check=False)  # makes the home, which is no part of the figure
        start = time.perf_counter()
        output = home.run(
            "dataset",
            "add",
            "tree",
            "--site",
            "tree",
            "--source",
            "dicom",
            "--images",
            str(tree),
            "--labels",
            str(sheet),
        )
        seconds = time.perf_counter() - start
        home.run("db", "stop", check=False)
    assert f"registered {options.files} images" in output, output
    print(
        f"{options.files} DICOM files of {options.side} x {options.side}: {seconds:.1f} s (bar {BAR:.0f} s for 2,000)"
    )


if __name__ == "__main__":
    main()
