"""What a packed DICOM frame says of its own size, read before any decoder believes it.

JPEG (ITU-T T.81, B.2.2), JPEG-LS (T.87) and JPEG 2000 (T.800, A.5.1) have it in a header; run lengths (PS3.5, G.3) have to
be added up.
"""

import itertools
import struct
from typing import Final

from xray import limits
from xray.errors import ImageError

_JPEG: Final = b"\xff\xd8"
_JPEG_2000: Final = b"\xff\x4f\xff\x51"
_SIZES: Final = {*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0), 0xF7}
"""Markers of the segment in which a JPEG says its size."""


def check_frame(frame: bytes, width: int, height: int, pixel_bytes: int, run_lengths: bool) -> None:
    """Raise `ImageError` where a packed frame would become another picture than `width` × `height` pixels of one channel."""
    if run_lengths:
        _check_runs(frame, width * height * pixel_bytes)
        return
    if frame.startswith(_JPEG):
        said = _jpeg_size(frame)
    elif frame.startswith(_JPEG_2000):
        said = _jpeg_2000_size(frame)
    else:
        return  # of no kind that a decoder takes, which then says so
    if said != (width, height):
        raise ImageError(f"the packed picture is {said[0]} × {said[1]}, the header says {width} × {height}")
    check_scans(frame)


def check_scans(jpeg: bytes) -> None:
    """Raise `ImageError` for a JPEG of more passes than `limits.SCANS`: each may take as long as a whole picture."""
    scans = jpeg.count(b"\xff\xda")
    if scans > limits.SCANS:
        raise ImageError(f"has {scans} scans; at most {limits.SCANS} are taken")


def _jpeg_size(frame: bytes) -> tuple[int, int]:
    """Width and height of the first frame of a JPEG; a second one is refused."""
    sizes = []
    at = 2
    while at + 9 < len(frame):
        if frame[at] != 0xFF or frame[at + 1] in (0xFF, 0x00, *range(0xD0, 0xD9)):
            at = frame.find(b"\xff", at + 1)  # within packed pixels, or filling
            if at < 0:
                break
            continue
        kind, length = frame[at + 1], int.from_bytes(frame[at + 2 : at + 4], "big")
        if kind in _SIZES:
            height, width = struct.unpack_from(">HH", frame, at + 5)
            sizes.append((width, height))
        at += 2 + length
    if len(sizes) != 1:
        raise ImageError(f"the packed picture is a JPEG that says {len(sizes)} sizes; one is expected")
    return sizes[0]


def _jpeg_2000_size(frame: bytes) -> tuple[int, int]:
    """Width and height of a JPEG 2000 code stream. Raises `ImageError` for one of more tiles than `limits.TILES`."""
    right, lower, left, upper, tile_width, tile_height = struct.unpack_from(">6I", frame.ljust(32, b"\0"), 8)
    width, height = right - left, lower - upper
    if not tile_width or not tile_height:
        raise ImageError("damaged: the packed picture has tiles without a size")
    tiles = -(-width // tile_width) * -(-height // tile_height)
    if tiles > limits.TILES:
        raise ImageError(f"has {tiles} tiles; at most {limits.TILES} are taken")
    return width, height


def _check_runs(frame: bytes, expected: int) -> None:
    """Raise `ImageError` where the runs of a frame's segments are of more than `expected` bytes, and padding."""
    n_segments, *starts = struct.unpack_from("<16L", frame.ljust(64, b"\0"))
    starts = [*starts[:n_segments], len(frame)]
    size, allowed = 0, expected + 64  # a segment may be padded to an even length
    for at, end in itertools.pairwise(starts):
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
