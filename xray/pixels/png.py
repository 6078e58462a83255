"""PNG of grey or colour in 8 or 16 bits, faster than Pillow and with every checksum looked at.

The stream is inflated whole, then each row's filter is undone (PNG specification, §9). Palettes, fewer than 8
bits, interlaced files and streams longer than the picture are left to Pillow.
"""

import struct
import zlib
from importlib import import_module
from types import ModuleType
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xray.compiled import compiled_with
from xray.errors import ImageError
from xray.pixels import choices
from xray.pixels.grey import Grey, check_size


def _inflater() -> ModuleType:
    """The library that inflates: isal where it is installed, more than twice as fast, or Python's zlib."""
    try:
        return import_module("isal.isal_zlib")
    except ImportError:
        return zlib


_INFLATER: Final = _inflater()

SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
"""The first eight bytes of every PNG file."""

_CHANNELS: Final = {0: 1, 2: 3, 4: 2, 6: 4}


class Png(NamedTuple):
    """The first channel (height, width) of a PNG file, what was lost with the others, and its EXIF data."""

    pixels: Grey
    choices: tuple[str, ...]
    exif: bytes | None


class _Chunks(NamedTuple):
    """A PNG file taken apart: its header fields and the compressed stream."""

    width: int
    height: int
    bits: int
    colour: int
    interlaced: bool
    stream: bytes
    exif: bytes | None


def read_png(data: bytes) -> Png | None:
    """The first channel (height, width) of a PNG file's bytes, or None where the file is left to Pillow.

    Raises `ImageError` where a chunk is cut short or fails its checksum, a chunk is missing, the stream is
    damaged or too short, or the picture is too large.
    """
    chunks = _take_apart(data)
    channels = _CHANNELS.get(chunks.colour)
    check_size(chunks.width, chunks.height, (channels or 1) * max(1, chunks.bits // 8), len(chunks.stream))
    if channels is None or chunks.bits not in (8, 16) or chunks.interlaced:
        return None
    step = channels * chunks.bits // 8
    row_bytes = chunks.width * step
    filtered = _inflate(chunks.stream, chunks.height * (1 + row_bytes))
    if filtered is None:
        return None
    filtered = filtered.reshape(chunks.height, 1 + row_bytes)
    if filtered[:, 0].max() > 4:
        raise ImageError(f"damaged: a row of the PNG has filter {filtered[:, 0].max()}; 0 to 4 are valid")
    rows = np.empty((chunks.height + 1, step + row_bytes), np.uint8)
    rows[0], rows[:, :step] = 0, 0
    if step == 1:
        _unfilter_bytes(filtered, rows)
    else:
        _unfilter_pixels(filtered, step, rows)
    samples = rows[1:, step:]
    wide = samples if chunks.bits == 8 else samples.view(">u2")
    first = wide[:, ::channels]
    pixels: Grey = first.astype(np.uint8) if chunks.bits == 8 else first.astype(np.uint16)
    return Png(pixels, _lost(wide, channels, chunks.bits), chunks.exif)


def _lost(samples: NDArray[Any], channels: int, bits: int) -> tuple[str, ...]:
    """What the first of the channels leaves out."""
    lost = []
    if channels >= 3 and any((samples[:, ::channels] != samples[:, k::channels]).any() for k in (1, 2)):
        lost.append(choices.CHANNELS_DIFFER)
    if channels in (2, 4) and (samples[:, channels - 1 :: channels] != 2**bits - 1).any():
        lost.append(choices.TRANSPARENT)
    return tuple(lost)


def _take_apart(data: bytes) -> _Chunks:
    """Walk the chunks, checking each one's checksum."""
    view = memoryview(data)
    header: tuple[int, ...] | None = None
    stream: list[memoryview] = []
    exif: bytes | None = None
    at = len(SIGNATURE)
    while at + 12 <= len(data):
        end = at + 8 + int.from_bytes(view[at : at + 4], "big")
        kind = bytes(view[at + 4 : at + 8])
        if end + 4 > len(data):
            break
        if _INFLATER.crc32(view[at + 4 : end]) != int.from_bytes(view[end : end + 4], "big"):
            raise ImageError(f"damaged: checksum of PNG chunk {kind!r} at byte {at} is wrong")
        if kind == b"IHDR" and end - at - 8 == 13:
            header = struct.unpack(">IIBBBBB", view[at + 8 : end])
        elif kind == b"IDAT":
            stream.append(view[at + 8 : end])
        elif kind == b"eXIf":
            exif = bytes(view[at + 8 : end])
        elif kind == b"IEND":
            if header is None or not stream:
                raise ImageError("damaged: the PNG has no header or no image data")
            width, height, bits, colour, _, _, interlace = header
            return _Chunks(width, height, bits, colour, interlace != 0, b"".join(stream), exif)
        at = end + 4
    raise ImageError(f"truncated: the PNG has no end chunk in its {len(data)} bytes")


def _inflate(stream: bytes, length: int) -> NDArray[np.uint8] | None:
    """The `length` bytes that a zlib stream holds; None where it holds more."""
    inflater = _INFLATER.decompressobj()
    try:
        data = inflater.decompress(stream, length)
        more = b"" if inflater.eof else inflater.decompress(inflater.unconsumed_tail, 1)
    except (zlib.error, _INFLATER.error) as error:
        raise ImageError(f"damaged: the PNG's image data can't be inflated: {error}") from error
    if len(data) < length or not (more or inflater.eof):
        raise ImageError(f"truncated: the PNG's image data ends after {len(data)} of {length} bytes")
    return None if more else np.frombuffer(data, np.uint8)


@compiled_with()
def _unfilter_bytes(filtered: NDArray[np.uint8], rows: NDArray[np.uint8]) -> None:
    """Undo the filter of every row where a pixel is one byte.

    filtered: (height, 1 + width), each row's filter first. rows: (1 + height, 1 + width), its first row and
    column 0, as the filters want it. The byte just made stays in a register; the loops are as slow as that
    dependency.
    """
    for y in range(filtered.shape[0]):
        kind, source, above, row = filtered[y, 0], filtered[y], rows[y], rows[y + 1]
        left, corner = np.int32(0), np.int32(0)
        if kind == 0:
            for x in range(1, row.shape[0]):
                row[x] = source[x]
        elif kind == 1:
            for x in range(1, row.shape[0]):
                left = (left + np.int32(source[x])) & 255
                row[x] = left
        elif kind == 2:
            for x in range(1, row.shape[0]):
                row[x] = source[x] + above[x]
        elif kind == 3:
            for x in range(1, row.shape[0]):
                left = (((left + np.int32(above[x])) >> 1) + np.int32(source[x])) & 255
                row[x] = left
        else:
            for x in range(1, row.shape[0]):
                up = np.int32(above[x])
                left = (_nearest(left, up, corner) + np.int32(source[x])) & 255
                row[x] = left
                corner = up


@compiled_with()
def _unfilter_pixels(filtered: NDArray[np.uint8], step: int, rows: NDArray[np.uint8]) -> None:
    """As `_unfilter_bytes` for pixels of `step` bytes: the first `step` columns of `rows` are 0.

    Neighbouring bytes do not wait for each other here, so the byte to the left is read back from memory.
    """
    back = np.uint64(step)
    for y in range(filtered.shape[0]):
        kind, source, above, row = filtered[y, 0], filtered[y, 1:], rows[y], rows[y + 1]
        every = range(np.uint64(step), np.uint64(row.shape[0]))
        if kind == 0:
            for x in every:
                row[x] = source[x - back]
        elif kind == 1:
            for x in every:
                row[x] = source[x - back] + row[x - back]
        elif kind == 2:
            for x in every:
                row[x] = source[x - back] + above[x]
        elif kind == 3:
            for x in every:
                row[x] = source[x - back] + ((np.int32(row[x - back]) + np.int32(above[x])) >> 1)
        else:
            for x in every:
                left, up, corner = np.int32(row[x - back]), np.int32(above[x]), np.int32(above[x - back])
                row[x] = source[x - back] + _nearest(left, up, corner)


@compiled_with()
def _nearest(left: np.int32, up: np.int32, corner: np.int32) -> np.int32:
    """Paeth's predictor: whichever of the three is nearest to left + up − corner, the first if equal."""
    from_left, from_up = abs(up - corner), abs(left - corner)
    from_corner = abs(left + up - corner - corner)
    other = corner if from_corner < from_up else up
    return other if min(from_up, from_corner) < from_left else left
