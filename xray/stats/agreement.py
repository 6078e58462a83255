"""Do two readers, models or labellers call the same images positive? All coefficients follow from the 2 × 2
table.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import bdtr, chdtrc

from xray.compiled import compiled
from xray.stats.estimates import (
    CONSTANT_CALLS,
    DEFINED,
    NO_DATA,
    REASON_TYPE,
    Estimates,
    FloatArray,
    IntArray,
    Numbers,
    as_rows,
    check_level,
    codes_of,
    undefined,
)
from xray.stats.intervals import proportion
from xray.stats.kappa_bounds import kappa_bounds


@dataclass(frozen=True)
class CrossTable:
    """Two raters' 0/1 calls of the same images, counted. All arrays have one shape.

    both: called positive by both. first_only, second_only: by one. neither: negative by both.
    """

    both: IntArray
    first_only: IntArray
    second_only: IntArray
    neither: IntArray

    @property
    def cells(self) -> tuple[IntArray, IntArray, IntArray, IntArray]:
        """(both, first_only, second_only, neither)."""
        return self.both, self.first_only, self.second_only, self.neither

    @property
    def n(self) -> IntArray:
        """Images that both raters called."""
        return self.both + self.first_only + self.second_only + self.neither


@dataclass(frozen=True)
class McNemar:
    """Do two raters call equally many positive? All arrays have one shape.

    statistic: (b − c)² / (b + c); p: from chi-squared with 1 df; p_exact: binomial, two-sided. b, c: the
    discordant.
    """

    statistic: FloatArray
    p: FloatArray
    p_exact: FloatArray
    n_discordant: IntArray


def cross_table(first: Numbers, second: Numbers) -> CrossTable:
    """Count two raters' calls, column by column.

    first, second: (n_images,) or (n_images, n_columns) of 1, 0 or NaN; an image that either left uncalled is
    left out.
    """
    (one, called_one), (two, called_two) = _calls(first), _calls(second)
    if one.shape != two.shape:
        raise ValueError(f"the first rater's calls are {one.shape}, the second's {two.shape}")
    no_one, no_two = called_one & ~one, called_two & ~two
    cells = (one & two, one & no_two, no_one & two, no_one & no_two)
    return CrossTable(*(np.asarray(cell.sum(axis=0, dtype=np.int64)) for cell in cells))


def cross_tables(calls: Numbers) -> CrossTable:
    """Count all pairs of k raters at once: arrays (k, k), entry (a, b) with a as first rater.

    calls: (k, n_images) of 1, 0 or NaN; each pair uses the images that both called. Calls are packed 64 to a
    word and counted by population count.
    """
    flags, called_flags = _calls(calls)
    if flags.ndim != 2:
        raise ValueError(f"calls are {flags.shape}; expected (n_raters, n_images)")
    positive = _pack(flags)
    both = _count_overlaps(positive, positive)
    if called_flags.all():
        first = np.broadcast_to(both.diagonal()[:, None], both.shape)
        n = np.full_like(both, flags.shape[1])
    else:
        call_bits = _pack(called_flags)
        first, n = _count_overlaps(positive, call_bits), _count_overlaps(call_bits, call_bits)
    return CrossTable(both, first - both, first.T - both, n - first - first.T + both)


def kappa(table: CrossTable, level: float = 0.95, inflation: ArrayLike = 1.0) -> Estimates:
    """Cohen's κ = (p_o − p_e) / (1 − p_e) with the bounds of its profile likelihood (`xray.stats.kappa_bounds`).

    se is the large-sample one of Fleiss, Cohen and Everitt 1969. inflation: of the variance, where patients have several
    images (`kappa_inflation`); counts behind the bounds are divided by it, se stays. κ falls with
    prevalence at fixed skill: read it beside `pabak`, `positive_agreement` and `negative_agreement`.
    `n_pos` of the result counts the images that at least one rater calls positive.
    NaN with reason where both raters give every image the same one call (p_e = 1). At κ = ±1, and where one rater calls all
    images alike, se is 0, and the interval is there.
    """
    check_level(level)
    n, total = table.n, np.maximum(table.n, 1)
    yes, only_first, only_second, no = (cell / total for cell in table.cells)
    row, column = yes + only_first, yes + only_second
    disagreement = _chance_disagreement(table)
    excess = 2 * (table.both * table.neither - table.first_only * table.second_only)
    value = np.divide(excess, disagreement, out=undefined(n.shape), where=disagreement > 0)
    disagreement_ratio, by_chance = 1 - value, 1 - disagreement / total**2
    agreeing = (
        yes * (1 - (row + column) * disagreement_ratio) ** 2
        + no * (1 - (2 - row - column) * disagreement_ratio) ** 2
    )
    crossing = disagreement_ratio**2 * (
        only_first * (1 - row + column) ** 2 + only_second * (1 - column + row) ** 2
    )
    spread = np.maximum(agreeing + crossing - (value - by_chance * disagreement_ratio) ** 2, 0)
    se = np.divide(np.sqrt(spread / total), 1 - by_chance, out=undefined(n.shape), where=disagreement > 0)
    fixed = (disagreement > 0) & ((np.abs(value) == 1) | _one_is_constant(table))
    se = np.where(fixed, 0, se)
    reason = np.where(disagreement > 0, DEFINED, CONSTANT_CALLS)
    reason = np.where(n == 0, NO_DATA, reason).astype(REASON_TYPE)
    counts = np.stack([np.ravel(cell) for cell in table.cells], axis=1) / np.reshape(
        np.broadcast_to(inflation, n.shape), (-1, 1)
    )
    lower, upper = (bound.reshape(n.shape) for bound in kappa_bounds(counts, level))
    lower, upper = np.minimum(lower, value), np.maximum(upper, value)
    return Estimates(value, lower, upper, se, n, n - table.neither, reason)


def kappa_inflation(first: Numbers, second: Numbers, patients: NDArray[np.generic]) -> FloatArray:
    """How many times the variance of κ is that of independent images, patients as units: at least 1. (n_columns,) or ().

    first, second: as in `cross_table`; patients: (n_images,). By `inflation_of`, of an image's influence on κ.
    """
    of_first, of_second = np.array([1, 1, 0, 0]), np.array([1, 0, 1, 0])
    inflation = []
    for cells in cells_of_patients(first, second, patients):
        totals = _totals(cells)
        a, b, c, _ = totals / max(int(totals.sum()), 1)
        p, q = a + b, a + c
        chance = p + q - 2 * p * q
        disagreement_ratio = (b + c) / chance if chance > 0 else 1.0
        influence = disagreement_ratio * (of_first * (1 - 2 * q) + of_second * (1 - 2 * p))
        inflation.append(inflation_of(cells, influence - (of_first != of_second)))
    return np.array(inflation).reshape(np.shape(first)[1:])


def inflation_of(cells: IntArray, influence: FloatArray) -> float:
    """Variance of patients' summed influence over that of images', about their mean, at least 1.

    cells: as of `cells_of_patients`. influence: (4,), of an image in each. Where no image has any, and where all are one
    patient's, Kish's Σ n_p² / Σ n_p.
    """
    totals, (units, images) = _totals(cells), _square_of_sums(cells, np.ones(4))
    n = max(int(totals.sum()), 1)
    if images <= n:  # one each
        return 1.0
    apart = influence - totals @ influence / n
    squares = float(totals @ apart**2)
    if units < 2 or squares <= 1e-12 * n:
        return images / n
    return max(_square_of_sums(cells, apart)[1] / squares * units / (units - 1) * (n - 1) / n, 1.0)


def cells_of_patients(first: Numbers, second: Numbers, patients: NDArray[np.generic]) -> Iterator[IntArray]:
    """Of each column, how many of a patient's images both raters call positive, the first only, the second only, neither.

    (n_patients, 4) by codes of patients, of images that both called. first, second: as in `cross_table`; patients:
    (n_images,).
    """
    code = codes_of(patients)
    one, two = (np.asarray(calls, dtype=np.float64) for calls in (first, second))
    if one.shape != two.shape or one.shape[:1] != code.shape:
        raise ValueError(f"calls are {one.shape} and {two.shape}, patients {code.shape}; expected one shape")
    for of_first, of_second in zip(as_rows(one), as_rows(two), strict=True):
        cells = _cells(of_first, of_second, code, int(code.max(initial=-1)) + 1)
        if len(cells) and cells[0, 0] < 0:
            raise ValueError("calls must be 1, 0 or NaN")
        yield cells


@compiled
def _cells(first: FloatArray, second: FloatArray, code: IntArray, n: int) -> IntArray:
    """(n, 4), see `cells_of_patients`; the first is −1 where a call is none."""
    cells = np.zeros((n, 4), dtype=np.int64)
    for i in range(code.size):
        one, two = first[i], second[i]
        if one == one and two == two:
            if (one != 0 and one != 1) or (two != 0 and two != 1):
                cells[0, 0] = -1
                return cells
            cells[code[i], int(3 - 2 * one - two)] += 1
    return cells


@compiled
def _totals(cells: IntArray) -> IntArray:
    """Sums over patients, (4,): of rows this short numpy takes five times as long."""
    totals = np.zeros(4, dtype=np.int64)
    for unit in range(len(cells)):
        for k in range(4):
            totals[k] += cells[unit, k]
    return totals


@compiled
def _square_of_sums(cells: IntArray, values: FloatArray) -> tuple[int, float]:
    """How many patients have an image, and the sum of squares over these of their images' summed values. values: (4,)."""
    units, total = 0, 0.0
    for unit in range(len(cells)):
        images, of_unit = 0, 0.0
        for k in range(4):
            images += cells[unit, k]
            of_unit += cells[unit, k] * values[k]
        units += images > 0
        total += of_unit * of_unit
    return units, total


def kappa_matrix(calls: Numbers, level: float = 0.95) -> Estimates:
    """Cohen's κ of all pairs of k raters, arrays (k, k), symmetric. calls: (k, n_images) of 1, 0 or NaN; see
    `kappa`.
    """
    table = cross_tables(calls)
    upper = np.triu_indices(len(table.both))
    pairs = kappa(CrossTable(*(cell[upper] for cell in table.cells)), level)
    matrix = {}
    for part in fields(pairs):
        values = getattr(pairs, part.name)
        matrix[part.name] = np.empty(table.both.shape, dtype=values.dtype)
        matrix[part.name][upper] = matrix[part.name].T[upper] = values
    return Estimates(**matrix)


def cohen_kappa(first: Numbers, second: Numbers, level: float = 0.95) -> Estimates:
    """Cohen's κ of two raters, column by column; see `cross_table` for shapes and `kappa` for the rest."""
    return kappa(cross_table(first, second), level)


def pabak(table: CrossTable, level: float = 0.95) -> Estimates:
    """Prevalence-adjusted bias-adjusted κ = 2 p_o − 1 (Byrt, Bishop and Carlin 1993), interval from Wilson's
    of p_o.

    `n_pos` of the result counts the images on which both agree.
    """
    observed = proportion(table.both + table.neither, table.n, level)
    return Estimates(
        2 * observed.value - 1,
        2 * observed.lower - 1,
        2 * observed.upper - 1,
        2 * observed.se,
        observed.n,
        observed.n_pos,
        observed.reason,
    )


def positive_agreement(table: CrossTable, level: float = 0.95) -> Estimates:
    """Of the positive calls of both raters, the share on which they agree: 2a / (2a + b + c) (Cicchetti and
    Feinstein 1990).

    It is 2q / (1 + q) of q = a / (a + b + c), a proportion of the images that either calls positive: the
    interval is Wilson's of q, carried over; se is that of Graham and Bull 1998. n is a + b + c, n_pos is a.
    """
    return _specific_agreement(table.both, table, level)


def negative_agreement(table: CrossTable, level: float = 0.95) -> Estimates:
    """As `positive_agreement`, of the negative calls: 2d / (2d + b + c)."""
    return _specific_agreement(table.neither, table, level)


def mcnemar(table: CrossTable) -> McNemar:
    """McNemar's test that both raters call equally many images positive, without continuity correction.

    Without any discordant image the exact p is 1, and the asymptotic test is undefined (NaN).
    """
    b, c = table.first_only, table.second_only
    discordant = b + c
    statistic = np.divide(
        (b - c).astype(np.float64) ** 2, discordant, out=undefined(b.shape), where=discordant > 0
    )
    exact = np.minimum(1, 2 * bdtr(np.minimum(b, c).astype(np.float64), discordant, 0.5))
    return McNemar(statistic, chdtrc(1, statistic), exact, discordant)


def mcnemar_by_patient(
    first: Numbers, second: Numbers, patients: NDArray[np.generic]
) -> tuple[FloatArray, IntArray]:
    """Exact p of `mcnemar` with patients as units, and how many patients differ; (n_columns,) or () each.

    A patient says that the first rater calls more of the images positive, or fewer, by all images that both called; if
    raters are exchangeable either is as likely (a sign test). first, second: as in `cross_table`; patients: (n_images,).
    """
    nets = [cells[:, 1] - cells[:, 2] for cells in cells_of_patients(first, second, patients)]
    more, fewer = (np.array([np.count_nonzero(sign * net > 0) for net in nets]) for sign in (1, -1))
    differ = more + fewer
    p = np.minimum(1, 2 * bdtr(np.minimum(more, fewer).astype(np.float64), differ, 0.5))
    shape = np.shape(first)[1:]
    return p.reshape(shape), differ.reshape(shape)


def _specific_agreement(agreements: IntArray, table: CrossTable, level: float) -> Estimates:
    share = proportion(agreements, agreements + table.first_only + table.second_only, level)
    value, lower, upper = (2 * q / (1 + q) for q in (share.value, share.lower, share.upper))
    se = share.se * 2 / (1 + share.value) ** 2
    return Estimates(value, lower, upper, se, share.n, share.n_pos, share.reason)


def _chance_disagreement(table: CrossTable) -> IntArray:
    """n² (1 − p_e), a whole number."""
    first, second = table.both + table.first_only, table.both + table.second_only
    product: IntArray = first * (table.n - second) + second * (table.n - first)
    return product


def _one_is_constant(table: CrossTable) -> NDArray[np.bool_]:
    first, second = table.both + table.first_only, table.both + table.second_only
    constant: NDArray[np.bool_] = (first == 0) | (first == table.n) | (second == 0) | (second == table.n)
    return constant


def _calls(calls: Numbers) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """(positive, called) flags of calls 1, 0 or NaN."""
    values = np.asarray(calls)
    positive = values == 1
    defined = positive | (values == 0)
    if not defined.all():
        missing = values[~defined]
        if not (missing != missing).all():
            raise ValueError("calls must be 1, 0 or NaN")
    return positive, defined


def _pack(flags: NDArray[np.bool_]) -> NDArray[np.uint64]:
    """(k, n) flags → (k, ⌈n / 64⌉) words, the rest of the last one zero."""
    bits = np.packbits(flags, axis=1)
    words = np.zeros((len(bits), -(-bits.shape[1] // 8) * 8), dtype=np.uint8)
    words[:, : bits.shape[1]] = bits
    return words.view(np.uint64)


def _count_overlaps(first: NDArray[np.uint64], second: NDArray[np.uint64]) -> IntArray:
    overlaps = np.zeros((len(first), len(second)), dtype=np.int64)
    _overlaps(first, second, overlaps)
    return overlaps


@compiled
def _overlaps(first: NDArray[np.uint64], second: NDArray[np.uint64], overlaps: IntArray) -> None:
    """overlaps[a, b] = number of bits set in both first[a] and second[b]."""
    for a in range(len(first)):
        for b in range(len(second)):
            ones = np.uint64(0)
            for word in range(first.shape[1]):
                bits = first[a, word] & second[b, word]
                bits -= (bits >> np.uint64(1)) & np.uint64(0x5555555555555555)
                bits = (bits & np.uint64(0x3333333333333333)) + (
                    (bits >> np.uint64(2)) & np.uint64(0x3333333333333333)
                )
                bits = (bits + (bits >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
                ones += (bits * np.uint64(0x0101010101010101)) >> np.uint64(56)
            overlaps[a, b] = ones
