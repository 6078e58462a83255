"""Pictures gathered and warped: torchvision's RandomAffine of Pillow pictures, for whole batches.

Pillow walks its source in 16.16 fixed point, nearest neighbour. The same numbers are walked here, so that the
same parameters give the same pixels, none differing. Stored integers become network values by a table on the
way.
"""

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from xray.compiled import compiled_with
from xray.pixels.augment import Parameters
from xray.pixels.grey import Grey
from xray.pixels.scale import network_table

MAX_SIZE: Final = 4096
"""Above this size Pillow leaves fixed point for some parameters."""


def gather(
    pixels: Grey, rows: NDArray[np.integer[Any]], parameters: Parameters | None, out: NDArray[np.float32]
) -> None:
    """Write the images `pixels[rows]`, warped by `parameters` (None: unchanged), to `out` (n, 1, size, size).

    pixels: uint8 or uint16 (n_stored, size, size), for example `PixelCache.pixels`; read in place, never
    changed.
    """
    stored, out_images = _checked(pixels, rows, parameters, out)
    table = network_table(stored.dtype)
    positions = np.ascontiguousarray(rows, dtype=np.int64)
    if parameters is None:
        _look_up(stored, positions, table, out_images)
        return
    size = stored.shape[1]
    tables, table_of = _tables(table, parameters)
    steps = np.empty((len(positions), 6), np.int64)
    straight: list[int] = []
    for i in range(len(positions)):
        matrix = inverse_matrix(parameters, i, size)
        steps[i] = fixed_point(matrix)
        if matrix[1] == 0 and matrix[3] == 0:
            straight.append(i)
    _warp(stored, positions, steps, tables, table_of, out_images)
    for i in straight:
        columns, lines = _straight_positions(inverse_matrix(parameters, i, size), size)
        _warp_straight(stored, positions[i], columns, lines, tables[table_of[i]], out_images[i])


def _checked(
    pixels: Grey, rows: NDArray[np.integer[Any]], parameters: Parameters | None, out: NDArray[np.float32]
) -> tuple[Grey, NDArray[np.float32]]:
    """`pixels` as a read-only view and `out` without its channel; `ValueError` where shapes disagree."""
    n, size = len(rows), pixels.shape[-1]
    if pixels.ndim != 3 or pixels.shape[1] != size or not 1 <= size <= MAX_SIZE:
        raise ValueError(f"expected squares (n, size, size) of at most {MAX_SIZE}, got {pixels.shape}")
    if out.shape != (n, 1, size, size) or out.dtype != np.float32 or not out.flags.c_contiguous:
        raise ValueError(f"out must be contiguous float32 {(n, 1, size, size)}, got {out.dtype} {out.shape}")
    if parameters is not None and len(parameters) != n:
        raise ValueError(f"{len(parameters)} parameters for {n} images")
    if n and (np.min(rows) < 0 or np.max(rows) >= len(pixels)):
        raise IndexError(f"rows {np.min(rows)} to {np.max(rows)} of {len(pixels)} images")
    stored = np.ascontiguousarray(np.asarray(pixels)).view()
    stored.flags.writeable = False
    return stored, out[:, 0]


def inverse_matrix(
    parameters: Parameters, i: int, size: int
) -> tuple[float, float, float, float, float, float]:
    """Output pixel → source pixel of image i: (a, b, c, d, e, f) of x' = a·x + b·y + c, y' = d·x + e·y + f.

    Rotation and zoom about the centre, then the translation in whole pixels: torchvision's
    `_get_inverse_affine_matrix` without shear, in its order of operations, so equal to the bit.
    """
    turn, zoom = math.radians(float(parameters.angle[i])), float(parameters.zoom[i])
    centre = size * 0.5
    right, down = (round(float(share) * size) for share in parameters.shift[i])
    cosine, sine = math.cos(turn), math.sin(turn)
    a, b, d, e = cosine / zoom, sine / zoom, -sine / zoom, cosine / zoom
    c = a * (-centre - right) + b * (-centre - down) + centre
    f = d * (-centre - right) + e * (-centre - down) + centre
    return a, b, c, d, e, f


def fixed_point(
    matrix: tuple[float, float, float, float, float, float],
) -> tuple[int, int, int, int, int, int]:
    """The matrix in 16.16 fixed point, pixel centre added, rounded as Pillow's `affine_fixed` rounds."""
    a, b, c, d, e, f = matrix
    at_centre = (a, b, c + a * 0.5 + b * 0.5, d, e, f + d * 0.5 + e * 0.5)
    a, b, c, d, e, f = (math.floor(value * 65536.0 + 0.5) for value in at_centre)
    return a, b, c, d, e, f


def _straight_positions(
    matrix: tuple[float, float, float, float, float, float], size: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Source column of each output column and source row of each output row, −1 outside.

    Without rotation Pillow adds up steps in double precision instead (`ImagingScaleAffine`).
    """
    a, _, c, _, e, f = matrix
    axes = []
    for step, start in ((a, c), (e, f)):
        positions = np.cumsum(np.concatenate([[start + step * 0.5], np.full(size - 1, step)]))
        inside = (positions >= 0) & (positions.astype(np.int64) < size)
        axes.append(np.where(inside, positions, -1).astype(np.int64))
    return axes[0], axes[1]


def _tables(
    table: NDArray[np.float32], parameters: Parameters
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Tables (n_tables, levels) and which one each image uses: one for all unless intensity changes."""
    n = len(parameters)
    if np.all(parameters.gain == 1) and np.all(parameters.offset == 0):
        return table[None], np.zeros(n, np.int64)
    changed = table * parameters.gain[:, None] + parameters.offset[:, None] * 1024
    return np.clip(changed, -1024, 1024).astype(np.float32), np.arange(n)


@compiled_with()
def _inside(start: int, step: int, size: int) -> tuple[int, int]:
    """The x in [0, size) with 0 ≤ start + step · x < size in 16.16, as (first, end)."""
    limit = size << 16
    if step == 0:
        return (0, size) if 0 <= start < limit else (0, 0)
    if step > 0:
        first, end = -(start // step), -((start - limit) // step)
    else:
        first, end = (start - limit) // -step + 1, start // -step + 1
    first = min(max(first, 0), size)
    return first, min(max(end, first), size)


@compiled_with()
def _warp(
    pixels: Grey,
    rows: NDArray[np.int64],
    steps: NDArray[np.int64],
    tables: NDArray[np.float32],
    table_of: NDArray[np.int64],
    out: NDArray[np.float32],
) -> None:
    """Walk every output row through its source; unsigned flat indices spare the test for negative ones."""
    size = pixels.shape[1]
    sources = np.empty(size, np.int32)
    for i in range(rows.shape[0]):
        source = pixels[rows[i]].reshape(-1)
        target = out[i].reshape(-1)
        table = tables[table_of[i]]
        sources[0] = _touch(source)
        a, b, c, d, e, f = steps[i]
        for y in range(size):
            u, v = c + b * y, f + e * y
            first, end = _inside(u, a, size)
            first_v, end_v = _inside(v, d, size)
            first = max(first, first_v)
            end = max(min(end, end_v), first)
            _source_positions(np.int32(u), np.int32(v), np.int32(a), np.int32(d), sources)
            line = np.uint64(y * size)
            for x in range(np.uint64(0), np.uint64(first)):
                target[line + x] = 0.0
            for x in range(np.uint64(first), np.uint64(end)):
                target[line + x] = table[source[np.uint32(sources[x])]]
            for x in range(np.uint64(end), np.uint64(size)):
                target[line + x] = 0.0


@compiled_with()
def _touch(source: NDArray[np.integer[Any]]) -> int:
    """Read one value of every cache line, so that memory delivers them together and not one by one later."""
    bits = 0
    for at in range(0, source.shape[0], 64 // source.itemsize):
        bits |= source[at]
    return bits


@compiled_with()
def _source_positions(
    u: np.int32, v: np.int32, step_u: np.int32, step_v: np.int32, positions: NDArray[np.int32]
) -> None:
    """Flat source position of each pixel of a row; meaningless where it lies outside."""
    size = np.int32(positions.shape[0])
    for x in range(positions.shape[0]):
        column = (u + step_u * np.int32(x)) >> np.int32(16)
        positions[x] = ((v + step_v * np.int32(x)) >> np.int32(16)) * size + column


@compiled_with()
def _warp_straight(
    pixels: Grey,
    row: int,
    columns: NDArray[np.int64],
    lines: NDArray[np.int64],
    table: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:
    for y in range(lines.shape[0]):
        for x in range(columns.shape[0]):
            if lines[y] >= 0 and columns[x] >= 0:
                out[y, x] = table[pixels[row, lines[y], columns[x]]]
            else:
                out[y, x] = 0.0


@compiled_with()
def _look_up(
    pixels: Grey, rows: NDArray[np.int64], table: NDArray[np.float32], out: NDArray[np.float32]
) -> None:
    for i in range(rows.shape[0]):
        source = pixels[rows[i]].reshape(-1)
        target = out[i].reshape(-1)
        for at in range(np.uint64(source.shape[0])):
            target[at] = table[source[at]]
