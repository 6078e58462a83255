"""Where imported scores come from: the file, what its numbers were, and by which of its words each finding was known.

Kept with the evaluation that the scores became (`evaluation.provenance`), so that one score can be followed to its file.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from xray.data.score_tables import Scale
from xray.names import readable
from xray.settings import bringing

KEY: Final = "scores"
"""Of an evaluation's provenance: what `origin_of` says."""
CONVERSIONS: Final[dict[Scale, str]] = {
    "logit": "kept as it stands",
    "probability": "logit = ln(p / (1 - p))",
    "percent": "p = value / 100; logit = ln(p / (1 - p))",
    "ordinal": "kept as it stands; it ranks images and is no logit",
    "call": "yes is p = 1, no is p = 0; their logits are the ends of the scale",
}
"""How a number of the file became the stored logit."""


def origin_of(
    path: Path,
    kind: Scale,
    columns: Mapping[str, str],
    mapped: Mapping[str, str],
    from_model: str | None,
) -> dict[str, Any]:
    """What an evaluation says of the file that its scores are of, for its provenance.

    columns: finding → the file's column, as it was read. mapped: finding → the file's own word, where a mapping file said
    what it means. from_model: whose rows of the file they are.
    """
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    about = {
        "file": readable(path.name),
        "sha256": digest,
        "kind": kind,
        "conversion": CONVERSIONS[kind],
        "names": {finding: _name(finding, column, mapped) for finding, column in columns.items()},
        **({"from_model": from_model} if from_model else {}),
    }
    return {**bringing(), KEY: about}


def _name(finding: str, column: str, mapped: Mapping[str, str]) -> dict[str, str]:
    """The file's word for a finding, and what said that it is this one."""
    if finding in mapped:
        return {"name": mapped[finding], "by": "mapping file"}
    return {"name": column, "by": "the same name" if column == finding else "synonym"}
