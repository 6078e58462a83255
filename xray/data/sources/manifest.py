"""A site's own table in the platform's native layout.

Columns: image_id, patient_id, path (relative to the image folder), view, age (years), sex, and one column
per finding with 1 (positive), 0 (negative), u (uncertain) or nothing (not mentioned), each by its name or a synonym
(`xray.data.mapping.recognise`). Findings are those of the default list, and those that are declared. Further columns are
kept. Other words and layouts need a mapping file.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from xray.data.mapping.model import Mapping
from xray.data.mapping.read import read_mapped
from xray.data.sources.base import SourceTable, source

REQUIRED: Final = ("image", "patient", "path")
OPTIONAL: Final = ("view", "age", "sex")


@source("manifest")
def read_manifest(
    labels: Path,
    images: Path | None,
    findings: Sequence[str] = (),
    mapping: Mapping | None = None,
    origin: str = "",
    /,
) -> SourceTable:
    """The rows of a manifest. findings: those that are declared beside the default list.

    mapping: what the columns and words of another table are, from the file `origin`; only images need a column then.
    Raises `ManifestError` where the file can't be read, a required column is missing, or a column's name is
    nearly a finding's or a field's. A bad row (unknown label value, repeated image_id, path out of the image folder, no
    such picture) is set aside.
    """
    required = REQUIRED if mapping is None else ("image",)
    return read_mapped(labels, images, mapping or Mapping(), origin, required, findings)
