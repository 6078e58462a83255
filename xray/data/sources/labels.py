"""Labels without pictures: a table of image names, a column per finding, and any other columns.

The layout of a manifest, of which only the image names are required: image_id (or image), then perhaps patient_id (or
patient), view, age, sex. A mapping file takes any other (`xray.data.mapping`).
"""

from collections.abc import Sequence
from pathlib import Path

from xray.data.mapping.model import Mapping
from xray.data.mapping.read import FINDING, read_mapped
from xray.data.sources.base import SourceTable, source
from xray.errors import ManifestError


@source("labels")
def read_labels(
    labels: Path,
    images: Path | None,
    findings: Sequence[str] = (),
    mapping: Mapping | None = None,
    origin: str = "",
    /,
) -> SourceTable:
    """The rows of a label file that names images and no pictures. mapping: what its columns and words are, from `origin`.

    Raises `ManifestError` where the file can't be read, no column or several name the images, or none is a finding. Bad
    rows are set aside, as in a manifest.
    """
    if images is not None:
        raise ManifestError(f"{labels.name}: labels without pictures have no image folder; use a manifest")
    return read_mapped(labels, None, mapping or Mapping(), origin, ("image", FINDING), findings)
