"""What a packed DICOM frame says of its own size, read before any decoder believes it.

JPEG (ITU-T T.81, B.2.2), JPEG-LS (T.87) and JPEG 2000 (T.800, A.5.1) have it in a header; run lengths (PS3.5, G.3) have to
be added up.
"""

import itertools
import struct
from dataclasses import dataclass
from typing import Final

from xray import limits
from xray.errors import ImageError

_JPEG: Final = b"\xff\xd8"
_JPEG_2000: Final = b"\xff\x4f\xff\x51"
_SIZES: Final = {*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0), 0xF7}
"""Markers of the segment in which a JPEG says its size."""
_LOSSLESS: Final = 0xC3


@dataclass(frozen=True)
class Packed:
    """What the header of a packed picture says: its size, channels, and bits of a value. lossless: JPEG's process 14."""

    width: int
    height: int
    channels: int
    bits: int
    lossless: bool = False


def check_frame(frame: bytes, width: int, height: int, channels: int, cell_bytes: int) -> Packed:
    """What a packed frame says of itself. Raises `ImageError` where it would become another picture than `width` × `height`
    pixels of so many channels, in values of at most `cell_bytes` bytes, or is of no kind that is decoded.
    """
    if frame.startswith(_JPEG):
        packed = _jpeg_header(frame)
    elif frame.startswith(_JPEG_2000):
        packed = _jpeg_2000_header(frame)
    else:
        raise ImageError(
            f"the compressed picture is neither JPEG nor JPEG 2000 (it begins with {frame[:4]!r})"
        )
    if (packed.width, packed.height) != (width, height):
        raise ImageError(
            f"the compressed picture is {packed.width} × {packed.height}, the header says {width} × {height}"
        )
    if packed.channels != channels:
        raise ImageError(
            f"the compressed picture has {packed.channels} channel(s), the header says {channels}"
        )
    if not 1 <= packed.bits <= 8 * cell_bytes:
        raise ImageError(
            f"the compressed picture has {packed.bits} bits, the header says {8 * cell_bytes} at most"
        )
    check_scans(frame)
    return packed


def check_runs(frame: bytes, expected: int) -> list[bytes]:
    """The segments of a frame of run lengths. Raises `ImageError` where they are of more than `expected` bytes."""
    n_segments, *starts = struct.unpack_from("<16L", frame.ljust(64, b"\0"))
    if not 1 <= n_segments <= 15:
        raise ImageError(f"damaged: {n_segments} segments of run lengths; 1 to 15 are possible")
    bounds = list(itertools.pairwise([*starts[:n_segments], len(frame)]))
    size, allowed = 0, expected + 64  # a segment may be padded to an even length
    for start, end in bounds:
        at = start
        while at < end:
            head = frame[at]
            if head < 128:
                at, size = at + 2 + head, size + 1 + head
            else:
                at, size = at + (1 if head == 128 else 2), size + (0 if head == 128 else 257 - head)
            if size > allowed:
                raise ImageError(
                    f"damaged: its run lengths are of more than the {expected} bytes of its pixels"
                )
    return [frame[start:end] for start, end in bounds]


def check_scans(jpeg: bytes) -> None:
    """Raise `ImageError` for a JPEG of more passes than `limits.SCANS`: each may take as long as a whole picture."""
    scans = jpeg.count(b"\xff\xda")
    if scans > limits.SCANS:
        raise ImageError(f"has {scans} scans; at most {limits.SCANS} are accepted")


def _jpeg_header(frame: bytes) -> Packed:
    """The header of the only frame of a JPEG or JPEG-LS; a second one is refused."""
    headers = []
    at = 2
    while at + 9 < len(frame):
        if frame[at] != 0xFF or frame[at + 1] in (0xFF, 0x00, *range(0xD0, 0xD9)):
            at = frame.find(b"\xff", at + 1)  # within packed pixels, or filling
            if at < 0:
                break
            continue
        kind, length = frame[at + 1], int.from_bytes(frame[at + 2 : at + 4], "big")
        if kind in _SIZES:
            bits, height, width, channels = struct.unpack_from(">BHHB", frame.ljust(at + 10, b"\0"), at + 4)
            headers.append(Packed(width, height, channels, bits, kind == _LOSSLESS))
        at += 2 + length
    if len(headers) != 1:
        raise ImageError(f"the compressed picture is a JPEG with {len(headers)} sizes; one is expected")
    return headers[0]


def _jpeg_2000_header(frame: bytes) -> Packed:
    """The header of a JPEG 2000 code stream. Raises `ImageError` for one of more tiles than `limits.TILES`."""
    right, lower, left, upper, tile_width, tile_height = struct.unpack_from(">6I", frame.ljust(44, b"\0"), 8)
    width, height = right - left, lower - upper
    if not tile_width or not tile_height:
        raise ImageError("damaged: the compressed picture has tiles without a size")
    tiles = -(-width // tile_width) * -(-height // tile_height)
    if tiles > limits.TILES:
        raise ImageError(f"has {tiles} tiles; at most {limits.TILES} are accepted")
    channels, bits = struct.unpack_from(">HB", frame.ljust(44, b"\0"), 40)
    return Packed(width, height, channels, (bits & 0x7F) + 1)
