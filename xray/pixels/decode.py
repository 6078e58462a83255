"""A picture file → its grey values, or an error that says why not."""

import hashlib
import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

from xray import limits
from xray.errors import ImageError
from xray.pixels.frames import check_frame, check_scans
from xray.pixels.grey import Grey, check_size
from xray.pixels.png import SIGNATURE, read_png

_JPEG: Final = b"\xff\xd8\xff"
_DICOM_OFFSET: Final = 128
_DICOM: Final = b"DICM"
_JPEG_BASELINE: Final = "1.2.840.10008.1.2.4.50"
_RLE: Final = "1.2.840.10008.1.2.5"
_DICOM_FIELDS: Final = [
    "BitsAllocated",
    "BitsStored",
    "Columns",
    "HighBit",
    "NumberOfFrames",
    "PhotometricInterpretation",
    "PixelData",
    "PixelRepresentation",
    "PlanarConfiguration",
    "Rows",
    "SamplesPerPixel",
]


@dataclass(frozen=True)
class Decoded:
    """Grey values (height, width) of one picture and the largest value that its format can hold."""

    pixels: Grey
    maximum: int


def read_grey(path: Path) -> Decoded:
    """The grey values of a PNG, JPEG or DICOM file, told apart by their first bytes.

    Colour pictures give their first channel (protocol §7); palettes are resolved first and alpha is dropped.
    8-bit sources give uint8 with maximum 255, 16-bit PNG uint16 with maximum 65535 (interlaced colour of 16
    bits only its high byte, as uint8). PNG of 1, 2 or 4 bits is spread over 0–255. DICOM gives its stored
    values with maximum 2^bits_stored − 1, MONOCHROME1 inverted, no window applied. EXIF orientation is not
    applied.

    Raises `ImageError` naming the file where it is missing, truncated, damaged, empty, too large, of another
    format, or DICOM without pydicom. A JPEG whose lost part was closed by an end marker can't be told.
    """
    path = Path(path)
    try:
        data = _read_bytes(path)
        if data.startswith(SIGNATURE):
            return _png(data)
        if data.startswith(_JPEG):
            return _pillow(data, "JPEG")
        return _dicom(data)
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from error
    except OSError as error:
        raise ImageError(f"{path}: {error.strerror or error}") from error


def content_hash(pixels: Grey) -> str:
    """SHA-256 (hex) over type, shape and pixel values: the identity of an image, whatever file holds it."""
    little = np.ascontiguousarray(pixels, dtype=pixels.dtype.newbyteorder("<"))
    digest = hashlib.sha256(f"{little.dtype.name} {little.shape}\n".encode())
    digest.update(little.data)
    return digest.hexdigest()


def _read_bytes(path: Path) -> bytes:
    """The whole file, once its first bytes promise a format that is read here."""
    with limits.open_file(path) as file:
        limits.check_bytes(os.fstat(file.fileno()).st_size, limits.PICTURE_FILE, "the file", ImageError)
        head = file.read(_DICOM_OFFSET + len(_DICOM))
        if not head:
            raise ImageError("the file is empty")
        if not head.startswith((SIGNATURE, _JPEG)) and head[_DICOM_OFFSET:] != _DICOM:
            raise ImageError(f"not a PNG, JPEG or DICOM file (it begins with {head[:4]!r})")
        return head + file.read()


def _png(data: bytes) -> Decoded:
    pixels = read_png(data)
    return _pillow(data, "PNG") if pixels is None else Decoded(pixels, int(np.iinfo(pixels.dtype).max))


def _pillow(data: bytes, kind: str) -> Decoded:
    if ImageFile.LOAD_TRUNCATED_IMAGES:
        raise ImageError("PIL.ImageFile.LOAD_TRUNCATED_IMAGES is set, so damage would go unnoticed; unset it")
    try:
        with Image.open(io.BytesIO(data), formats=(kind,)) as image:
            channels = 3 if image.mode in ("P", "PA") else len(image.getbands())  # palettes become colour
            check_size(*image.size, channels * (2 if image.mode.startswith("I") else 1), len(data))
            if kind == "JPEG":
                check_scans(data)
            image.load()
            return _first_channel(image)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(f"larger than {limits.PIXELS} pixels: {error}") from error
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise ImageError(f"can't be decoded as {kind}: {error}") from error


def _first_channel(image: Image.Image) -> Decoded:
    if image.mode.startswith("I"):
        return Decoded(_as_uint16(np.asarray(image)), 65535)
    if image.mode == "1":
        image = image.convert("L")
    elif image.mode in ("P", "PA", "CMYK"):
        image = image.convert("RGB")
    if image.mode not in ("L", "LA", "RGB", "RGBA"):
        raise ImageError(f"has pixels of an unknown kind ({image.mode})")
    return Decoded(np.array(image if image.mode == "L" else image.getchannel(0)), 255)


def _as_uint16(values: NDArray[Any]) -> NDArray[np.uint16]:
    if values.dtype.itemsize > 2 and (values.min() < 0 or values.max() > 65535):
        raise ImageError(f"has values {values.min()} to {values.max()}, outside 0 to 65535")
    return values.astype(np.uint16)


def _dicom(data: bytes) -> Decoded:
    try:
        import pydicom
    except ImportError as error:
        raise ImageError("is DICOM, which needs pydicom 3: pip install pydicom") from error
    try:
        header = pydicom.dcmread(_DicomFile(data), specific_tags=_DICOM_FIELDS)
        return _dicom_grey(header)
    except ImageError:
        raise
    except Exception as error:  # pydicom and its decoders raise whatever they met
        raise ImageError(f"can't be decoded as DICOM: {type(error).__name__}: {error}") from error


class _DicomFile(io.BytesIO):
    """A DICOM file as pydicom reads it: in pieces of known size, but for a deflated rest, which it inflates whole.

    That is counted before. It is counted here, and not by the transfer syntax, so that what is counted is what pydicom
    inflates.
    """

    def read(self, size: int | None = -1, /) -> bytes:
        """At most `size` bytes; all that is left, inflated by way of trial, where none is said."""
        if size is None or size < 0:
            limits.check_inflated(self.getbuffer()[self.tell() :], limits.DICOM, "deflated", ImageError)
        return super().read(size)


def _dicom_grey(header: Any) -> Decoded:
    """One grey frame from a parsed DICOM file."""
    interpretation = header.PhotometricInterpretation
    if interpretation not in ("MONOCHROME1", "MONOCHROME2"):
        raise ImageError(f"photometric interpretation {interpretation} is not MONOCHROME1 or MONOCHROME2")
    if int(header.get("NumberOfFrames") or 1) != 1:
        raise ImageError(f"has {header.NumberOfFrames} frames; one is expected")
    if header.PixelRepresentation != 0:
        raise ImageError("has signed pixels; unsigned ones are expected")
    if not 1 <= header.BitsStored <= 16:
        raise ImageError(f"stores {header.BitsStored} bits a pixel; 1 to 16 are expected")
    if int(header.get("SamplesPerPixel") or 1) != 1:
        raise ImageError(f"has {header.SamplesPerPixel} samples a pixel; one is expected")
    check_size(
        header.Columns, header.Rows, -(-int(header.BitsAllocated) // 8), len(header.get("PixelData") or b"")
    )
    maximum = 2 ** int(header.BitsStored) - 1
    values = _dicom_values(header)
    if values.shape != (header.Rows, header.Columns):
        raise ImageError(f"pixels are {values.shape}, the header says {(header.Rows, header.Columns)}")
    if values.max() > maximum:
        raise ImageError(f"has value {values.max()}, above {maximum} for {header.BitsStored} bits stored")
    if interpretation == "MONOCHROME1":
        values = (maximum - values.astype(np.int32)).astype(values.dtype)
    return Decoded(values, maximum)


def _dicom_values(header: Any) -> Grey:
    """Stored values; 8-bit baseline JPEG is decoded here, which is the common case, the rest by pydicom.

    What is packed says its own size, which the decoders believe: it must be that of the header.
    """
    syntax = header.file_meta.TransferSyntaxUID
    if syntax.is_encapsulated:
        from pydicom.encaps import get_frame

        frame = get_frame(header.PixelData, 0, number_of_frames=1)
        check_frame(frame, header.Columns, header.Rows, -(-int(header.BitsAllocated) // 8), syntax == _RLE)
        if syntax == _JPEG_BASELINE and header.BitsStored == 8:
            return _pillow(frame, "JPEG").pixels
    from pydicom.pixels.utils import (
        pixel_array,
    )  # as stored: bits above BitsStored are refused, not cut off unseen

    values = pixel_array(header, correct_unused_bits=False)
    return values.astype(np.uint8) if header.BitsAllocated <= 8 else values.astype(np.uint16)
