"""Which part of a cohort an image belongs to: training, validation or test (protocol §6)."""

import hashlib
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xray.data.protocol import Protocol, SplitRule
from xray.data.selection import Selection
from xray.data.sources.base import SourceTable

PARTS: Final = ("train", "validation", "test")


def parts(
    selection: Selection, table: SourceTable, site: str, protocol: Protocol
) -> dict[str, NDArray[np.int64]]:
    """Part → positions in the selection, int64.

    `permutation`: the first half of torch's permutation trains, the second tests, each in the permutation's
    order; `validation` is empty, since it is each run's own cut of what it trains on (`validation_cut`).
    `patient`: by a hash of (site, patient), in the selection's order; an image without a patient is its own. Who is
    one patient says the database, where the table is of it.
    """
    rule = protocol.split
    if rule.method == "permutation":
        train, test = random_split(len(selection), rule.train, rule.seed)
        return {"train": train, "validation": train[:0], "test": test}
    part = patient_parts(table.patient_keys(site)[selection.index], rule)
    return {name: np.flatnonzero(part == code) for code, name in enumerate(PARTS)}


def validation_cut(n: int, protocol: Protocol, run_seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """`permutation` only: what a run fits on and what it validates on, as positions in its n training rows.

    The released code cuts after putting the training halves of all its datasets one after the other.
    """
    return random_split(n, 1 - protocol.split.validation, run_seed)


def random_split(n: int, fraction: float, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """torch's `random_split(range(n), [int(fraction·n), rest])` after `manual_seed(seed)`, without torch."""
    order = torch_permutation(n, seed)
    first = int(fraction * n)
    return order[:first], order[first:]


def torch_permutation(n: int, seed: int) -> NDArray[np.int64]:
    """torch's `randperm(n)` after `manual_seed(seed)`, int64 (n,): MT19937, Fisher-Yates from the front."""
    generator = np.random.RandomState(seed)  # the generator torch has; bytes() is its raw output
    raw = np.frombuffer(generator.bytes(4 * max(n - 1, 0)), dtype="<u4").astype(np.int64)
    swap_with = (np.arange(n - 1) + raw % (n - np.arange(n - 1))).tolist() if n > 1 else []
    order = list(range(n))
    for i, j in enumerate(swap_with):
        order[i], order[j] = order[j], order[i]
    return np.array(order, dtype=np.int64)


def patient_parts(keys: NDArray[np.object_], rule: SplitRule) -> NDArray[np.int8]:
    """Each image's part as a position in `PARTS`, int8 (n,), by its patient's key (`SourceTable.patient_keys`).

    A patient's part depends on the seed and the key alone, so new images move none.
    """
    codes, names = pd.factorize(keys)
    limits = np.cumsum([rule.train, rule.validation])
    draws = [_draw(rule.seed, str(name)) for name in names]
    return np.searchsorted(limits, draws, side="right").astype(np.int8)[codes]


def _draw(seed: int, key: str) -> float:
    """A number in [0, 1) that the seed and the patient's key fix."""
    digest = hashlib.sha256(f"{seed}\0{key}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
