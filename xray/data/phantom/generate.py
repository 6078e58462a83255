"""Phantom sites as arrays and as folders of pictures with a manifest and the planted truth."""

import csv
import json
import os
import shutil
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from xray.data.phantom.detector import expose, exposure_style, is_antero_posterior
from xray.data.phantom.draw import draw_radiographs
from xray.data.phantom.patients import Cases, sample_cases
from xray.data.phantom.reading import read_labels
from xray.data.phantom.sites import FINDINGS, PHANTOM_TASKS, PhantomSite
from xray.data.phantom.streams import FloatArray
from xray.durable import settle_files
from xray.errors import DataError
from xray.progress import bar

FORMAT_VERSION: Final = 1
"""Raise it whenever the same specification would draw other pictures or write other files."""

_PIXELS_AT_ONCE: Final = 2**17
_PATIENTS_AT_ONCE: Final = 64
_LEAST_SIZE: Final = 16


@dataclass(frozen=True)
class DrawnSite:
    """Images of a phantom site, one row each, in the order (patient, image).

    site: where they come from. cases: who and what is in them. antero_posterior: (n,), the others are
    postero-anterior. labels: (n, n_phantom_tasks) in the order of `PHANTOM_TASKS`, 1, 0 or NaN. pixels: (n,
    size, size) 8-bit grey.
    """

    site: PhantomSite
    cases: Cases
    antero_posterior: NDArray[np.bool_]
    labels: FloatArray
    pixels: NDArray[np.uint8]

    @property
    def patient_ids(self) -> list[str]:
        """Names of the patients, row by row."""
        return [f"{self.site.name}-{patient:05d}" for patient in self.cases.patient]

    @property
    def image_ids(self) -> list[str]:
        """Names of the images, unique over all sites."""
        return [f"{name}-{image}" for name, image in zip(self.patient_ids, self.cases.image, strict=True)]


def draw_site(site: PhantomSite, *, patients: int | range, size: int, seed: int) -> DrawnSite:
    """The images of the first `patients` patients of a site, or of a range of them.

    size: pixels along a side. Each image depends only on the site, the size, the seed, its patient and its
    number, so other patients change nothing. One of the site's three parts changes only what it says: the
    pictures, who has what, or the labels. Raises DataError where a number is out of its range.
    """
    numbers = patients if isinstance(patients, range) else range(patients)
    _check(numbers, size, seed)
    cases = sample_cases(site, numbers, seed)
    style = exposure_style(site, cases, seed)
    antero_posterior = is_antero_posterior(site.images, style)
    magnification = np.where(antero_posterior, site.images.heart_magnification, 1.0)
    pixels = np.empty((len(style), size, size), dtype=np.uint8)
    step = max(1, _PIXELS_AT_ONCE // size**2)
    for start in range(0, len(pixels), step):
        rows = slice(start, start + step)
        batch = cases.take(rows)
        brightness = draw_radiographs(batch, size, heart_magnification=magnification[rows])
        pixels[rows] = expose(site, batch, style[rows], brightness, seed)
    return DrawnSite(site, cases, antero_posterior, read_labels(site, cases, seed), pixels)


def write_site(
    site: PhantomSite, folder: Path, *, patients: int, size: int, seed: int, progress: bool = False
) -> Path:
    """Draw a site into a folder and return its manifest; what is already there under the same specification
    stays.

    The folder gets images/*.png (8-bit grey), labels.csv (the manifest, paths relative to the folder, without
    the columns of tasks that the site doesn't label), truth.csv (one row per image and finding) and
    phantom.json (the specification). It appears whole or not at all. Raises DataError where the folder holds
    anything else.
    """
    specification = _specification(site, patients, size, seed)
    if _is_written(folder, specification):
        return folder / "labels.csv"
    _check(range(patients), size, seed)
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = folder.with_name(f".{folder.name}.{uuid4().hex}")
    try:
        _write(unfinished, site, patients, size, seed, progress)
        (unfinished / "phantom.json").write_text(json.dumps(specification, indent=2) + "\n", encoding="utf-8")
        settle_files(unfinished)
        try:
            os.rename(unfinished, folder)
        except OSError:  # somebody else was faster; theirs must be the same
            if not _is_written(folder, specification):
                raise
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return folder / "labels.csv"


def _check(patients: range, size: int, seed: int) -> None:
    if len(patients) == 0 or min(patients) < 0:
        raise DataError(f"a phantom site needs at least one patient, numbered from 0; got {patients}")
    if size < _LEAST_SIZE:
        raise DataError(f"a phantom picture needs a size of at least {_LEAST_SIZE} pixels, not {size}")
    if seed < 0:
        raise DataError(f"the seed of a phantom site must be 0 or more, not {seed}")


def _specification(site: PhantomSite, patients: int, size: int, seed: int) -> dict[str, object]:
    specification = {
        "format": FORMAT_VERSION,
        "site": asdict(site),
        "patients": patients,
        "size": size,
        "seed": seed,
    }
    as_stored: dict[str, object] = json.loads(json.dumps(specification))
    return as_stored


def _is_written(folder: Path, specification: dict[str, object]) -> bool:
    """Whether the folder holds this site. Raises DataError where it holds something else."""
    if not folder.exists():
        return False
    file = folder / "phantom.json"
    if not file.is_file():
        if folder.is_dir() and not any(folder.iterdir()):
            return False
        raise DataError(f"{folder}: is not empty and holds no phantom site; choose another folder")
    try:
        about = json.loads(file.read_text(encoding="utf-8"))
        other = [name for name in specification if about[name] != specification[name]]
    except (ValueError, LookupError, TypeError) as error:
        raise DataError(f"{file}: isn't the specification of a phantom site ({error!r})") from error
    if other:
        raise DataError(
            f"{folder}: holds a phantom site with another {', '.join(other)}; choose another folder"
        )
    return True


def _write(folder: Path, site: PhantomSite, patients: int, size: int, seed: int, progress: bool) -> None:
    (folder / "images").mkdir(parents=True)
    tasks = [task for task in PHANTOM_TASKS if task not in site.labelling.unlabelled]
    with (
        (folder / "labels.csv").open("w", newline="", encoding="utf-8") as label_file,
        (folder / "truth.csv").open("w", newline="", encoding="utf-8") as truth_file,
        bar(f"drawing patients of {site.name}", patients, visible=progress) as advance,
    ):
        labels = csv.writer(label_file, lineterminator="\n")
        truth = csv.writer(truth_file, lineterminator="\n")
        labels.writerow(["image_id", "patient_id", "path", "view", "age", "sex", *tasks])
        truth.writerow(["image_id", "task", "present", "size"])
        for start in range(0, patients, _PATIENTS_AT_ONCE):
            batch = range(start, min(start + _PATIENTS_AT_ONCE, patients))
            batch_site = draw_site(site, patients=batch, size=size, seed=seed)
            for image_id, pixels in zip(batch_site.image_ids, batch_site.pixels, strict=True):
                Image.fromarray(pixels).save(folder / "images" / f"{image_id}.png", compress_level=1)
            labels.writerows(_manifest_rows(batch_site, tasks))
            truth.writerows(_truth_rows(batch_site))
            advance(len(batch))


def _manifest_rows(drawn_site: DrawnSite, tasks: list[str]) -> Iterable[list[object]]:
    columns = [PHANTOM_TASKS.index(task) for task in tasks]
    for row, (image_id, patient_id) in enumerate(
        zip(drawn_site.image_ids, drawn_site.patient_ids, strict=True)
    ):
        view = "AP" if drawn_site.antero_posterior[row] else "PA"
        sex = "F" if drawn_site.cases.female[row] else "M"
        labels = drawn_site.labels[row, columns].astype(int)
        yield [image_id, patient_id, f"images/{image_id}.png", view, drawn_site.cases.age[row], sex, *labels]


def _truth_rows(drawn_site: DrawnSite) -> Iterable[list[object]]:
    for image_id, present, size in zip(
        drawn_site.image_ids, drawn_site.cases.present, drawn_site.cases.size, strict=True
    ):
        for finding, is_present, extent in zip(FINDINGS, present, size, strict=True):
            yield [image_id, finding, int(is_present), f"{extent:.4f}"]
