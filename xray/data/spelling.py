"""Findings as the database spells them: "tuberculosis" becomes the Tuberculosis of another dataset."""

from collections.abc import Sequence

from sqlalchemy import Connection

from db.findings import all_findings
from xray.findings import match


def spelled(connection: Connection, findings: Sequence[str]) -> list[str]:
    """These findings, each as it was declared first; one that is new here as it is given."""
    known_findings = all_findings(connection)
    return [match(finding, known_findings) or finding for finding in findings]
