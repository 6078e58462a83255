"""A packed DICOM frame → its cells: JPEG (8 and 12 bits, lossless), JPEG-LS, JPEG 2000 and run lengths.

imagecodecs decodes (BSD licence): libjpeg-turbo, CharLS, OpenJPEG. What a frame says of itself is checked before any of
them believes it.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from xray.errors import ImageError
from xray.pixels.frames import Packed, check_frame, check_runs

RLE: Final = "1.2.840.10008.1.2.5"
_JPEG: Final = {f"1.2.840.10008.1.2.4.{number}" for number in (50, 51, 53, 55, 57, 70)}
_JPEG_LS: Final = {f"1.2.840.10008.1.2.4.{number}" for number in (80, 81)}
_JPEG_2000: Final = {f"1.2.840.10008.1.2.4.{number}" for number in (90, 91, 92, 93, 201, 202, 203)}
_LOSSY: Final = {f"1.2.840.10008.1.2.4.{number}" for number in (50, 51, 53, 55, 81, 91, 93, 203)}
_END: Final = b"\xff\xd9"
"""What JPEG, JPEG-LS and JPEG 2000 end with. Their decoders fill up what is missing, and say nothing."""
_PADDING: Final = 16
_CODE_STREAM: Final = b"\xff\x4f\xff\x51"


@dataclass(frozen=True)
class Cells:
    """Cells (height, width, channels) of one frame, unsigned.

    bytes_of_value: of a value once it is read. bits: of a value as the frame was packed, None where it was not. lossy:
    whether values may differ from those that were measured.
    """

    values: NDArray[Any]
    bytes_of_value: int
    bits: int | None = None
    lossy: bool = False


def unpack(
    frame: bytes, syntax: str, width: int, height: int, channels: int, cell_bytes: int, rgb: bool
) -> Cells:
    """The cells of a frame. rgb: its channels are red, green and blue, and no JPEG is to convert them.

    Raises `ImageError` for another transfer syntax, a damaged frame, or one that is not of the size that is given.
    """
    if syntax == RLE:
        return Cells(_run_lengths(frame, width, height, channels, cell_bytes), cell_bytes)
    if syntax in _JPEG_2000:
        start = frame.find(_CODE_STREAM)  # some writers leave it in its file's boxes
        frame = frame[max(start, 0) :]
    elif syntax not in _JPEG | _JPEG_LS:
        raise ImageError(f"is compressed by a method that can't be decoded here (transfer syntax {syntax})")
    packed = check_frame(frame, width, height, channels, cell_bytes)
    if _END not in frame[-_PADDING:]:
        raise ImageError(f"truncated: the compressed picture has no end in its {len(frame)} bytes")
    values = _decoded(frame, syntax, packed, rgb)
    if values.ndim == 2:
        values = values[:, :, None]
    if values.shape != (height, width, channels):
        raise ImageError(
            f"the compressed picture was decoded to shape {values.shape}, not {(height, width, channels)}"
        )
    unsigned = values.view(f"u{values.dtype.itemsize}")
    return Cells(unsigned, cell_bytes, packed.bits, syntax in _LOSSY and not packed.lossless)


def _decoded(frame: bytes, syntax: str, packed: Packed, rgb: bool) -> NDArray[Any]:
    import imagecodecs

    try:
        if syntax in _JPEG_2000:
            return np.ascontiguousarray(imagecodecs.jpeg2k_decode(frame))
        if syntax in _JPEG_LS:
            return np.ascontiguousarray(imagecodecs.jpegls_decode(frame))
        if packed.channels == 1:
            return np.ascontiguousarray(imagecodecs.jpeg8_decode(frame))
        kind = "RGB" if rgb else "YCBCR"
        return np.ascontiguousarray(imagecodecs.jpeg8_decode(frame, colorspace=kind, outcolorspace=kind))
    except (RuntimeError, ValueError, TypeError) as error:  # the libraries' own errors are RuntimeErrors
        raise ImageError(f"damaged: the compressed picture can't be decoded: {error}") from error


def _run_lengths(frame: bytes, width: int, height: int, channels: int, cell_bytes: int) -> NDArray[Any]:
    """Run lengths (PS3.5, annex G): a segment for each byte of each channel, the most significant byte first."""
    import imagecodecs

    n_pixels = width * height
    segments = check_runs(frame, n_pixels * channels * cell_bytes)
    if len(segments) != channels * cell_bytes:
        raise ImageError(f"has {len(segments)} segments of run lengths; {channels * cell_bytes} are expected")
    planes = np.empty((len(segments), n_pixels), np.uint8)
    for plane, segment in zip(planes, segments, strict=True):
        data = np.frombuffer(imagecodecs.packbits_decode(segment), np.uint8)
        if len(data) < n_pixels:
            raise ImageError(f"damaged: {len(data)} of {n_pixels} values in a segment of run lengths")
        plane[:] = data[:n_pixels]
    values = planes.reshape(channels, cell_bytes, n_pixels).astype(f"u{cell_bytes}")
    cells = np.zeros((channels, n_pixels), f"u{cell_bytes}")
    for byte in range(cell_bytes):
        cells = cells << np.array(8, cells.dtype) | values[:, byte] if byte else values[:, byte]
    return np.moveaxis(cells.reshape(channels, height, width), 0, 2)
