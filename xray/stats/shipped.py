"""The coefficients that come along, as files: read and hashed without any statistics."""

import hashlib
from importlib.resources import files
from typing import Final

VARIANTS: Final = {
    (False, False): "scores",
    (False, True): "scores_covariates",
    (True, False): "witness",
    (True, True): "witness_covariates",
}
"""(has a witness, has covariates) → the file of coefficients."""


def shipped(variant: str) -> bytes:
    """The file of a variant's coefficients."""
    return (files("xray.stats") / f"posterior_{variant}.csv").read_bytes()


def fingerprint(variant: str) -> str:
    """Content hash of those shipped."""
    return hashlib.sha256(shipped(variant)).hexdigest()


def reads_fingerprint() -> str:
    """Content hash of the coefficients of what reads mean."""
    return _hash("reread_updates")


def pipelines_fingerprint() -> str:
    """Content hash of the coefficients of what A's pictures through B's pipeline mean."""
    return _hash("pipeline_alone", "pipeline_reads")


def _hash(*names: str) -> str:
    content = b"".join((files("xray.stats") / f"{name}.csv").read_bytes() for name in names)
    return hashlib.sha256(content).hexdigest()
