"""How patients and images are called on the pages: by pseudonyms, unless whoever started the pages wants their names."""

import hashlib
import hmac
from dataclasses import dataclass


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
