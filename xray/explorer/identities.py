"""How patients and images are called on the pages: by pseudonyms, unless whoever started the pages wants their names."""

import hashlib
import hmac
import re
from dataclasses import dataclass
from typing import Final

_WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_NAMING: Final = frozenset(
    ("id", "ids", "uid", "index", "name", "names", "filename", "path", "file", "dicom", "accession", "number", "mrn",
     "subject", "birth", "birthdate", "dob")
)  # fmt: skip
"""Words of a column that says who somebody is, or which file shows it."""


@dataclass(frozen=True)
class Identities:
    """key: secret of this installation, that makes pseudonyms which nobody else can make from names. open: show names."""

    key: bytes
    open: bool = False

    def patient(self, site: str, name: str | None) -> str | None:
        """What a patient is called; None where nothing is known of one."""
        if name is None or self.open:
            return name
        digest = hmac.new(self.key, f"{site}\0{name}".encode(), hashlib.sha256).hexdigest()
        return f"P-{digest[:10]}"

    def image(self, number: int, name: str) -> str:
        """What an image is called: names often begin with their patient's number."""
        return name if self.open else f"image {number}"

    def shows(self, column: str, value: str, image: str, patient: str | None) -> bool:
        """Whether a cell of a label file may be shown: not one that names the image or its patient."""
        if self.open:
            return True
        words = {word.lower() for word in _WORD.findall(column)}
        match = value == patient or image in value or (len(value) > 3 and value in image)
        return not (
            words & _NAMING or column.lower() in ("image", "patient", "patientid", "imageid") or match
        )
