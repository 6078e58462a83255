"""A DICOM file's own table or window, applied to what it stores (PS3.3 C.11.1 and C.11.2)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from xray.errors import ImageError
from xray.pixels.grey import Grey


def lut_values(values: Grey, header: Any) -> tuple[Grey, int]:
    """Stored values (height, width) through the Modality LUT, and the largest value that its entries can be.

    values: from 0, signed ones with half their range added. Values before the table give its first entry, those behind it
    its last.
    """
    item = header.ModalityLUTSequence[0]
    length, first, bits = (int(number) for number in item.LUTDescriptor)
    length = length or 65536
    if header.PixelRepresentation:
        half = 1 << (int(header.BitsStored) - 1)
        first = (first - 65536 if first > 32767 else first) + half
    if not 1 <= bits <= 16:
        raise ImageError(f"has a Modality LUT of {bits} bits; 1 to 16 are expected")
    data = item.LUTData
    entries = np.frombuffer(data, "<u2") if isinstance(data, bytes) else np.atleast_1d(np.asarray(data))
    if len(entries) < length:
        raise ImageError(f"has a Modality LUT of {len(entries)} entries; its header says {length}")
    table = entries[:length].astype(np.uint16)
    places = np.clip(values.astype(np.int64) - first, 0, length - 1)
    return table[places] & np.uint16(2**bits - 1), 2**bits - 1


def window(values: Grey, header: Any, inverted: bool) -> Grey:
    """What the file's first window shows of stored values (height, width), 0 to 65535; white is small where `inverted`.

    Raises `ImageError` where the file has no window.
    """
    centre, width = _first(header.get("WindowCenter")), _first(header.get("WindowWidth"))
    if centre is None or width is None:
        raise ImageError("has no DICOM window, though the dataset is read by DICOM windows")
    share = _share(_modality(values, header), centre, width, str(header.get("VOILUTFunction") or "LINEAR"))
    if inverted:
        share = 1 - share
    return np.rint(share * 65535).astype(np.uint16)


def _modality(values: Grey, header: Any) -> NDArray[np.float64]:
    if "ModalityLUTSequence" in header:
        return lut_values(values, header)[0].astype(np.float64)
    signed = values.astype(np.float64)
    if header.PixelRepresentation:
        signed -= 1 << (int(header.BitsStored) - 1)
    slope, intercept = _first(header.get("RescaleSlope")), _first(header.get("RescaleIntercept"))
    return signed * (1.0 if slope is None else slope) + (intercept or 0.0)


def _share(values: NDArray[np.float64], centre: float, width: float, function: str) -> NDArray[np.float64]:
    """The share of white that a window gives each value, 0 to 1 (PS3.3 C.11.2.1.2 and C.11.2.1.3)."""
    if function == "SIGMOID" and width > 0:
        return 1 / (1 + np.exp(np.clip(-4 * (values - centre) / width, -700, 700)))
    if function == "LINEAR_EXACT" and width > 0:
        return np.clip((values - centre) / width + 0.5, 0, 1)
    if function == "LINEAR" and width >= 1:
        if width == 1:
            return (values > centre - 0.5).astype(np.float64)
        return np.clip((values - (centre - 0.5)) / (width - 1) + 0.5, 0, 1)
    raise ImageError(f"has a DICOM window {function} of width {width}, which can't be applied")


def _first(value: Any) -> float | None:
    """The first of a header's numbers, None where it has none."""
    if value is None or value == "":
        return None
    if not isinstance(value, str) and hasattr(value, "__len__"):
        return float(value[0]) if len(value) else None
    return float(value)
