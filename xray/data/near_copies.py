"""Near copies: pictures that differ in size, compression or brightness but show the same, by perceptual hash.

A near copy is a suspicion for a person to look at, so it is listed and not counted as leakage; equal pixels are (see
`xray.data.leakage`). Among 3,969 real radiographs of three sites, pairs of different pictures are 40 bits or more apart
(of 256, median 120), and the near copies that there are at most 22.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, text

from db.queries import query
from xray.compiled import compiled

DISTANCE = 24
"""Bits of 256 by which near copies differ at most."""
_WORDS = 4


def near_pairs(hashes: Sequence[str], distance: int = DISTANCE) -> list[tuple[int, int, int]]:
    """(i, j, bits) with i < j of every two hashes (64 hexadecimal digits each) at most `distance` bits apart, nearest first.

    Every pair is compared: exact, and about 20 s for 200,000 pictures on one core.
    """
    words = np.array(
        [[int(digits[k : k + 16], 16) for k in range(0, 16 * _WORDS, 16)] for digits in hashes],
        dtype=np.uint64,
    ).reshape(-1, _WORDS)
    pairs = _near(words, distance, int(_count(words, distance)))
    return sorted(((int(i), int(j), int(bits)) for i, j, bits in pairs), key=lambda pair: (pair[2], *pair))


def near_copies(connection: Connection, distance: int = DISTANCE) -> list[dict[str, Any]]:
    """Pairs of images of all sites whose pictures are near copies, nearest first, without those known to be one picture.

    Each a dict: bits, site, image, patient, other_site, other_image, other_patient, across: protocols (with the datasets)
    under which one is trained or selected on and the other tested on.
    """
    images = connection.execute(text(query("perceptual_hashes"))).all()
    pairs = [
        (i, j, bits)
        for i, j, bits in near_pairs([row.perceptual_hash for row in images], distance)
        if images[i].canonical_id != images[j].canonical_id
    ]
    ids = sorted({images[k].image_id for i, j, _ in pairs for k in (i, j)})
    parts: dict[int, list[Any]] = {}
    for row in connection.execute(text(query("image_parts")), {"image_ids": ids}):
        parts.setdefault(row.image_id, []).append(row)
    return [
        {
            "bits": bits,
            "site": images[i].site,
            "image": images[i].name,
            "patient": images[i].patient,
            "other_site": images[j].site,
            "other_image": images[j].name,
            "other_patient": images[j].patient,
            "across": _across(parts.get(images[i].image_id, []), parts.get(images[j].image_id, [])),
        }
        for i, j, bits in pairs
    ]


def _across(one: Sequence[Any], other: Sequence[Any]) -> list[str]:
    """ "corrected: a train, b test" for each protocol and pair of cohorts of which one is a test."""
    overlaps = {
        f"{a.protocol}: {train.dataset} {train.part}, {test.dataset} test"
        for a in one
        for b in other
        if a.protocol == b.protocol
        for train, test in ((a, b), (b, a))
        if test.part == "test" != train.part
    }
    return sorted(overlaps)


@compiled
def _bits(a: NDArray[np.uint64], b: NDArray[np.uint64]) -> int:
    total = 0
    for k in range(len(a)):
        x = a[k] ^ b[k]
        x = x - ((x >> np.uint64(1)) & np.uint64(0x5555555555555555))
        x = (x & np.uint64(0x3333333333333333)) + ((x >> np.uint64(2)) & np.uint64(0x3333333333333333))
        x = (x + (x >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
        total += (x * np.uint64(0x0101010101010101)) >> np.uint64(56)
    return int(total)


@compiled
def _count(words: NDArray[np.uint64], distance: int) -> int:
    count = 0
    for i in range(len(words)):
        for j in range(i + 1, len(words)):
            count += _bits(words[i], words[j]) <= distance
    return count


@compiled
def _near(words: NDArray[np.uint64], distance: int, n: int) -> NDArray[np.int64]:
    pairs = np.empty((n, 3), dtype=np.int64)
    k = 0
    for i in range(len(words)):
        for j in range(i + 1, len(words)):
            bits = _bits(words[i], words[j])
            if bits <= distance:
                pairs[k, 0], pairs[k, 1], pairs[k, 2] = i, j, bits
                k += 1
    return pairs
