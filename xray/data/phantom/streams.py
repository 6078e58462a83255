"""Random numbers that depend on what they are for, and on nothing else.

Each patient and each image has its own stream, so that adding patients, drawing in batches or changing one
property of a site leaves every other number as it was.
"""

from hashlib import blake2b
from typing import Literal

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

Purpose = Literal["patient", "truth", "image", "noise", "label"]
_PURPOSES: dict[Purpose, int] = {"patient": 0, "truth": 1, "image": 2, "noise": 3, "label": 4}


def stream(purpose: Purpose, seed: int, site: str, patient: int, image: int = 0) -> np.random.Generator:
    """The random numbers of one patient or image of a site, for one purpose.

    seed, patient and image: integers from 0. The numbers are the same on every machine for one version of
    numpy.
    """
    site_number = int.from_bytes(blake2b(site.encode(), digest_size=4).digest(), "little")
    return np.random.Generator(np.random.PCG64([seed, site_number, patient, image, _PURPOSES[purpose]]))


def uniforms(
    purpose: Purpose, seed: int, site: str, patients: IntArray, images: IntArray, count: int
) -> FloatArray:
    """(n, count) numbers in [0, 1), row i from the stream of patient i and image i."""
    rows = [
        stream(purpose, seed, site, int(patient), int(image)).random(count)
        for patient, image in zip(patients, images, strict=True)
    ]
    return np.array(rows).reshape(len(rows), count)
