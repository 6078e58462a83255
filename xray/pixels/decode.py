"""A picture file → its grey values, or an error that says why not."""

import hashlib
import io
import os
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

from xray import limits
from xray.errors import ImageError
from xray.pixels import choices
from xray.pixels.dicom import OFFSET, PREFIX, is_dicom, read_dicom
from xray.pixels.frames import check_scans
from xray.pixels.grey import Decoded, Grey, check_size
from xray.pixels.orientation import orientation, upright
from xray.pixels.png import SIGNATURE, read_png
from xray.pixels.reading import AS_STORED, Reading

_JPEG: Final = b"\xff\xd8\xff"
_LIKE: Final = 2
"""Levels by which the channels of a grey picture may differ once packed as colour JPEG."""


def read_grey(path: Path, reading: Reading = AS_STORED) -> Decoded:
    """The grey values of a PNG, JPEG or DICOM file, told apart by their first bytes.

    Colour pictures give their first channel (protocol §7); palettes are resolved first and alpha is dropped.
    8-bit sources give uint8 with maximum 255, 16-bit PNG uint16 with maximum 65535 (interlaced colour of 16
    bits only its high byte, as uint8). PNG of 1, 2 or 4 bits is spread over 0–255. DICOM gives its stored
    values with maximum 2^bits_stored − 1 and the polarity that a viewer shows; half the range is added to
    signed ones, and no window is applied unless `reading` asks for it. PNG and JPEG are turned as their EXIF
    orientation says.

    Raises `ImageError` naming the file where it is missing, truncated, damaged, empty, too large, of another
    format, or DICOM without pydicom. A JPEG whose lost part was closed by an end marker can't be told.
    """
    path = Path(path)
    try:
        return _within(_decode(_read_bytes(path), reading), reading)
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from error
    except OSError as error:
        raise ImageError(f"{path}: {error.strerror or error}") from error


def _decode(data: bytes, reading: Reading) -> Decoded:
    if data.startswith((SIGNATURE, _JPEG)):
        if reading.window:
            raise ImageError(
                "is no DICOM file, so it has no DICOM window, though the dataset is read by DICOM windows"
            )
        return _png(data) if data.startswith(SIGNATURE) else _pillow(data, "JPEG")
    return read_dicom(data, reading, lambda frame: _pillow(frame, "JPEG", turn=False).pixels)


def _within(decoded: Decoded, reading: Reading) -> Decoded:
    """The picture up to the maximum that was given. Raises `ImageError` where it has more, or can't have so much."""
    if reading.maximum is None or reading.maximum == decoded.maximum:
        return decoded
    if reading.maximum > decoded.maximum:
        raise ImageError(
            f"can have values up to {decoded.maximum} only; the maximum given is {reading.maximum}"
        )
    highest = int(decoded.pixels.max())
    if highest > reading.maximum:
        raise ImageError(f"has value {highest}, above the maximum given, {reading.maximum}")
    return Decoded(decoded.pixels, reading.maximum, decoded.choices, own_maximum=True)


def identity(decoded: Decoded) -> str:
    """What an image is known by: its content hash, and the maximum that it was given, if it was given one."""
    plain = content_hash(decoded.pixels)
    if not decoded.own_maximum:
        return plain
    return hashlib.sha256(f"{plain} of {decoded.maximum}\n".encode()).hexdigest()


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
        head = file.read(OFFSET + len(PREFIX))
        if not head:
            raise ImageError("the file is empty")
        if not head.startswith((SIGNATURE, _JPEG)) and not is_dicom(head):
            raise ImageError(f"not a PNG, JPEG or DICOM file (it begins with {head[:4]!r})")
        return head + file.read()


def _png(data: bytes) -> Decoded:
    picture = read_png(data)
    if picture is None:
        return _pillow(data, "PNG")
    decoded = Decoded(picture.pixels, int(np.iinfo(picture.pixels.dtype).max), picture.choices)
    return _upright(decoded, picture.exif)


def _pillow(data: bytes, kind: str, turn: bool = True) -> Decoded:
    if ImageFile.LOAD_TRUNCATED_IMAGES:
        raise ImageError("PIL.ImageFile.LOAD_TRUNCATED_IMAGES is set, so damage would go unnoticed; unset it")
    try:
        with Image.open(io.BytesIO(data), formats=(kind,)) as image:
            channels = 3 if image.mode in ("P", "PA") else len(image.getbands())  # palettes become colour
            check_size(*image.size, channels * (2 if image.mode.startswith("I") else 1), len(data))
            if kind == "JPEG":
                check_scans(data)
            image.load()
            decoded = _first_channel(image, 0 if kind == "PNG" else _LIKE)
            if kind == "PNG" and data[24] == 16 and data[25] in (2, 6):
                decoded = Decoded(decoded.pixels, 255, (*decoded.choices, choices.UPPER_BYTE))
            return _upright(decoded, image.info.get("exif")) if turn else decoded
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(f"larger than {limits.PIXELS} pixels: {error}") from error
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise ImageError(f"can't be decoded as {kind}: {error}") from error


def _upright(decoded: Decoded, exif: bytes | None) -> Decoded:
    turn = orientation(exif)
    if turn == 1:
        return decoded
    return Decoded(upright(decoded.pixels, turn), decoded.maximum, (*decoded.choices, choices.ORIENTATION))


def _first_channel(image: Image.Image, like: int) -> Decoded:
    """The first channel. like: levels by which the channels of a grey picture may differ."""
    if image.mode.startswith("I"):
        return Decoded(_as_uint16(np.asarray(image)), 65535)
    if image.mode == "1":
        image = image.convert("L")
    elif image.mode in ("P", "PA", "CMYK"):
        image = image.convert("RGB")
    if image.mode not in ("L", "LA", "RGB", "RGBA"):
        raise ImageError(f"has pixels of an unknown kind ({image.mode})")
    unusual = [choices.TRANSPARENT] if image.mode.endswith("A") and _shows_through(image) else []
    first = np.array(image if image.mode == "L" else image.getchannel(0))
    if image.mode.startswith("RGB"):
        others = (np.asarray(image.getchannel(channel)).astype(np.int16) for channel in (1, 2))
        if any(np.abs(other - first).max() > like for other in others):
            unusual.append(choices.CHANNELS_DIFFER)
    return Decoded(first, 255, tuple(unusual))


def _shows_through(image: Image.Image) -> bool:
    return bool(np.asarray(image.getchannel("A")).min() < 255)


def _as_uint16(values: NDArray[Any]) -> NDArray[np.uint16]:
    if values.dtype.itemsize > 2 and (values.min() < 0 or values.max() > 65535):
        raise ImageError(f"has values {values.min()} to {values.max()}, outside 0 to 65535")
    return values.astype(np.uint16)
