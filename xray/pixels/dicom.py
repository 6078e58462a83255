"""One grey frame of a DICOM file, with the polarity that a viewer shows (PS3.3 C.11.1, C.11.2, C.11.6; PS3.5 §8)."""

import io
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from xray import limits
from xray.errors import ImageError
from xray.pixels import choices
from xray.pixels.frames import check_frame
from xray.pixels.grey import Decoded, Grey, check_size
from xray.pixels.packed import Cells, unpack
from xray.pixels.reading import Reading
from xray.pixels.window import lut_values, window

OFFSET: Final = 128
"""Bytes of the preamble."""
PREFIX: Final = b"DICM"
_BASELINE: Final = "1.2.840.10008.1.2.4.50"
_BIG_ENDIAN: Final = "1.2.840.10008.1.2.2"
_DEFLATED_FRAME: Final = "1.2.840.10008.1.2.8.1"
_NEEDED: Final = (
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "PixelRepresentation",
    "PhotometricInterpretation",
)
_FIELDS: Final = [
    *_NEEDED,
    "DoubleFloatPixelData",
    "FloatPixelData",
    "HighBit",
    "ModalityLUTSequence",
    "NumberOfFrames",
    "PixelData",
    "PixelPaddingRangeLimit",
    "PixelPaddingValue",
    "PlanarConfiguration",
    "PresentationLUTShape",
    "RescaleIntercept",
    "RescaleSlope",
    "SamplesPerPixel",
    "VOILUTFunction",
    "VOILUTSequence",
    "WindowCenter",
    "WindowWidth",
]
_GREY: Final = ("MONOCHROME1", "MONOCHROME2")
_RGB: Final = ("RGB", "YBR_RCT", "YBR_ICT")
_YBR: Final = ("YBR_FULL", "YBR_FULL_422")
_LIKE: Final = 2
"""Levels by which equal channels may differ once packed with loss."""
_FIRST_GROUPS: Final = (b"\2\0", b"\x08\0")


class DicomFile(io.BytesIO):
    """A DICOM file as pydicom reads it: in pieces of known size, but for a deflated rest, which it inflates whole.

    That is counted before. It is counted here, and not by the transfer syntax, so that what is counted is what pydicom
    inflates.
    """

    def read(self, size: int | None = -1, /) -> bytes:
        """At most `size` bytes; all that is left, inflated by way of trial, where none is said."""
        if size is None or size < 0:
            limits.check_inflated(self.getbuffer()[self.tell() :], limits.DICOM, "deflated", ImageError)
        return super().read(size)


def is_dicom(head: bytes) -> bool:
    """Whether the first bytes of a file (132 or more) are those of DICOM, with its preamble or without."""
    if head[OFFSET : OFFSET + 4] == PREFIX or head.startswith(PREFIX):
        return True
    return (
        head[:2] in _FIRST_GROUPS and head[2:4] < b"\x20\0" and (head[4:6].isalpha() or head[6:8] == b"\0\0")
    )


def with_preamble(data: bytes) -> tuple[bytes, bool]:
    """The file as the standard wants it, and whether it was so."""
    if data[OFFSET : OFFSET + 4] == PREFIX:
        return data, True
    rest = data[len(PREFIX) :] if data.startswith(PREFIX) else data
    return bytes(OFFSET) + PREFIX + rest, False


def read_dicom(data: bytes, reading: Reading, jpeg: Callable[[bytes], Grey]) -> Decoded:
    """The grey values of a DICOM file's bytes. jpeg: decodes 8-bit grey JPEG, which is the common packing.

    Raises `ImageError` where it holds no picture, or one that can't be read rightly.
    """
    try:
        import pydicom
    except ImportError as error:
        raise ImageError("is DICOM, which needs pydicom 3: pip install pydicom") from error
    data, whole = with_preamble(data)
    try:
        header = pydicom.dcmread(DicomFile(data), specific_tags=[*_FIELDS])
        unusual: list[str] = [] if whole else [choices.NO_PREAMBLE]
        return _grey(header, reading, jpeg, unusual)
    except ImageError:
        raise
    except Exception as error:  # pydicom and its decoders raise whatever they met
        raise ImageError(f"can't be decoded as DICOM: {type(error).__name__}: {error}") from error


def _grey(header: Any, reading: Reading, jpeg: Callable[[bytes], Grey], unusual: list[str]) -> Decoded:
    channels = _check_header(header)
    cells = _cells(header, channels, jpeg)
    if cells.lossy:
        unusual.append(choices.LOSSY)
    bits = int(header.BitsStored)
    channel = _one_channel(header, cells, unusual)
    padded = _padded(channel, header)
    if padded.any():
        unusual.append(choices.LOSSY_PADDING if cells.lossy else choices.PADDING)
        padded &= not cells.lossy
        channel = np.where(padded, channel.dtype.type(0), channel)
    values = _stored(channel, cells, header, unusual)
    flipped = _inverted(header, unusual)
    if reading.window:
        grey = np.where(padded, np.uint16(0), window(values, header, flipped))
        return Decoded(grey, 65535, (*unusual, choices.WINDOW))
    if "ModalityLUTSequence" in header:
        values, maximum = lut_values(values, header)
        unusual.append(choices.MODALITY_LUT)
    else:
        maximum = 2**bits - 1
        flipped ^= _falls(header, unusual)
    flipped ^= _voi_falls(header, unusual)
    if flipped:
        values = np.subtract(maximum, values, dtype=values.dtype)
    return Decoded(np.where(padded, values.dtype.type(0), values), maximum, tuple(unusual))


def _check_header(header: Any) -> int:
    """Channels of the picture. Raises `ImageError` where the header is not of one picture in whole numbers."""
    if "PixelData" not in header:
        if "FloatPixelData" in header or "DoubleFloatPixelData" in header:
            raise ImageError("has pixels in floating point; whole numbers are expected")
        raise ImageError("holds no picture (a report or presentation state?)")
    missing = [name for name in _NEEDED if header.get(name) is None]
    if missing:
        raise ImageError(f"the header lacks {', '.join(missing)}, so its pixels can't be read")
    channels = int(header.get("SamplesPerPixel") or 1)
    interpretation = header.PhotometricInterpretation
    if channels != (1 if interpretation in _GREY else 3 if interpretation in (*_RGB, *_YBR) else None):
        raise ImageError(
            f"photometric interpretation {interpretation} with {channels} sample(s) a pixel; expected MONOCHROME1 or "
            "MONOCHROME2 with one, or RGB or YBR with three that are equal"
        )
    if int(header.get("NumberOfFrames") or 1) != 1:
        raise ImageError(f"has {header.NumberOfFrames} frames; one is expected")
    allocated, bits = int(header.BitsAllocated), int(header.BitsStored)
    size = len(header.PixelData or b"")
    check_size(int(header.Columns), int(header.Rows), -(-channels * allocated // 8), size)
    if allocated not in (8, 16, 32):
        raise ImageError(f"allocates {allocated} bits a pixel; 8, 16 or 32 are expected")
    if not 1 <= bits <= min(16, allocated):
        raise ImageError(f"stores {bits} bits a pixel; 1 to {min(16, allocated)} are expected")
    if not bits - 1 <= _high_bit(header) < allocated:
        raise ImageError(
            f"has high bit {_high_bit(header)}; with {bits} bits stored of {allocated} it is {bits - 1} to {allocated - 1}"
        )
    return channels


def _high_bit(header: Any) -> int:
    high = header.get("HighBit")
    return int(header.BitsStored) - 1 if high is None else int(high)


def _cells(header: Any, channels: int, jpeg: Callable[[bytes], Grey]) -> Cells:
    """Cells of the frame, (height, width, channels) unsigned, as they lie in the file."""
    width, height, cell_bytes = int(header.Columns), int(header.Rows), int(header.BitsAllocated) // 8
    syntax = header.file_meta.get("TransferSyntaxUID")
    if syntax is None and len(header.file_meta):
        raise ImageError("names no transfer syntax (0002,0010), so its pixels can't be read")
    packed = header["PixelData"].is_undefined_length if syntax is None else syntax.is_encapsulated
    if not packed:
        return Cells(_native(header, channels, width, height, cell_bytes, syntax), cell_bytes)
    if syntax is None or syntax == _DEFLATED_FRAME:
        raise ImageError(f"is compressed by a method that can't be decoded here (transfer syntax {syntax})")
    from pydicom.encaps import get_frame

    frame = get_frame(header.PixelData, 0, number_of_frames=1)
    rgb = header.PhotometricInterpretation == "RGB"
    if syntax == _BASELINE and header.BitsStored == 8 and channels == 1:
        check_frame(frame, width, height, channels, cell_bytes)
        return Cells(jpeg(frame)[:, :, None], 1, 8, True)
    return unpack(frame, str(syntax), width, height, channels, cell_bytes, rgb)


def _native(
    header: Any, channels: int, width: int, height: int, cell_bytes: int, syntax: str | None
) -> NDArray[Any]:
    data, count = header.PixelData, width * height * channels
    if header.PhotometricInterpretation == "YBR_FULL_422":
        raise ImageError(
            "has colour of half the width (YBR_FULL_422) that is not compressed; it can't be read here"
        )
    if len(data) < count * cell_bytes:
        raise ImageError(f"truncated DICOM: {len(data)} bytes of pixels; {count * cell_bytes} are expected")
    order = ">" if syntax == _BIG_ENDIAN else "<"
    if order == ">" and cell_bytes == 1 and header["PixelData"].VR == "OW":
        data = np.frombuffer(data[: len(data) // 2 * 2], ">u2").astype("<u2").tobytes()
    cells = np.frombuffer(data, f"{order}u{cell_bytes}", count).astype(f"u{cell_bytes}")
    if channels > 1 and header.get("PlanarConfiguration") == 1:
        return np.moveaxis(cells.reshape(channels, height, width), 0, 2)
    return cells.reshape(height, width, channels)


def _one_channel(header: Any, cells: Cells, unusual: list[str]) -> NDArray[Any]:
    """The channel that is the picture, (height, width). Raises `ImageError` for a picture in colour."""
    values = cells.values
    if values.shape[2] == 1:
        return values[:, :, 0]
    wide = values.astype(np.int64)
    grey = 2 ** (int(header.BitsStored) - 1) if header.PhotometricInterpretation in _YBR else wide[:, :, :1]
    if np.abs(wide[:, :, 1:] - grey).max() > (_LIKE if cells.lossy else 0):
        raise ImageError("is in colour (its channels differ); a grey picture is expected")
    unusual.append(choices.EQUAL_CHANNELS)
    return values[:, :, 0]


def _stored(values: NDArray[Any], cells: Cells, header: Any, unusual: list[str]) -> Grey:
    """The bits that are stored, as whole numbers from 0; half the range is added to signed ones."""
    bits = int(header.BitsStored)
    top = 2**bits - 1
    shift = _high_bit(header) + 1 - bits
    if shift and (cells.bits is None or cells.bits > bits):  # packed ones were shifted before
        values = values >> np.array(shift, values.dtype)
        unusual.append(choices.SHIFTED)
    if cells.lossy and not header.PixelRepresentation:
        values = np.minimum(values, np.array(top, values.dtype))
    elif bits < 8 * values.dtype.itemsize:
        masked = values & np.array(top, values.dtype)
        if not header.PixelRepresentation and np.any(masked != values):
            unusual.append(choices.HIGH_BITS)
        values = masked
    if header.PixelRepresentation:
        values = values ^ np.array(1 << (bits - 1), values.dtype)
        unusual.append(choices.SIGNED)
    return values.astype(np.uint8) if cells.bytes_of_value == 1 else values.astype(np.uint16)


def _padded(cells: NDArray[Any], header: Any) -> NDArray[np.bool_]:
    """Where a cell holds a value that stands for no pixel (PS3.3 C.7.5.1.1.2), bool (height, width).

    It is compared as the cell has it, and where the bits stored can hold it by those alone: others may lie above them.
    """
    first = header.get("PixelPaddingValue")
    last = header.get("PixelPaddingRangeLimit")
    if not isinstance(first, int):
        return np.zeros(cells.shape, dtype=bool)
    low, high = sorted((first, last if isinstance(last, int) else first))
    bits, signed = int(header.BitsStored), bool(header.PixelRepresentation)
    width = 8 * cells.dtype.itemsize
    least, most = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, 2**bits - 1)
    whole = _as_numbers(cells, width, signed)
    padded: NDArray[np.bool_] = (whole >= low) & (whole <= high)
    if least <= low and high <= most:
        lower = _as_numbers(cells >> np.array(_high_bit(header) + 1 - bits, cells.dtype), bits, signed)
        padded |= (lower >= low) & (lower <= high)
    return padded


def _as_numbers(cells: NDArray[Any], bits: int, signed: bool) -> NDArray[np.int64]:
    """The lower bits of cells as the numbers that they stand for."""
    values = cells.astype(np.int64) & (2**bits - 1)
    return np.where(values >> (bits - 1) == 1, values - 2**bits, values) if signed else values


def _inverted(header: Any, unusual: list[str]) -> bool:
    """Whether white is the smallest value after the modality's values were taken."""
    if header.PhotometricInterpretation == "MONOCHROME1":
        unusual.append(choices.MONOCHROME1)
        return True
    if str(header.get("PresentationLUTShape") or "").strip().upper() == "INVERSE":
        unusual.append(choices.PRESENTATION_INVERSE)
        return True
    return False


def _falls(header: Any, unusual: list[str]) -> bool:
    """Whether larger stored values stand for smaller ones of the modality."""
    slope = header.get("RescaleSlope")
    if slope is None or slope == "":
        return False
    if not np.isfinite(float(slope)) or float(slope) == 0:
        raise ImageError(f"has a rescale slope of {slope}, which makes all pixels equal")
    if float(slope) < 0:
        unusual.append(choices.NEGATIVE_SLOPE)
    return float(slope) < 0


def _voi_falls(header: Any, unusual: list[str]) -> bool:
    """Whether the only way that the file names of showing it is a table that turns the grey values over."""
    if "VOILUTSequence" not in header or header.get("WindowCenter") is not None:
        return False
    data = header.VOILUTSequence[0].LUTData
    table = np.frombuffer(data, "<u2") if isinstance(data, bytes) else np.atleast_1d(np.asarray(data))
    if not len(table) or table[-1] >= table[0]:
        return False
    unusual.append(choices.VOI_INVERSE)
    return True
