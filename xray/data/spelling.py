"""Findings as the database spells them: "tuberculosis" is the Tuberculosis that another dataset declared."""

from collections.abc import Sequence

from sqlalchemy import Connection

from db.findings import all_findings
from xray.findings import match


def spelled(connection: Connection, findings: Sequence[str]) -> list[str]:
    """These findings, each as it was declared first; one that is new here as it is given."""
    stored = all_findings(connection)
    return [match(finding, stored) or finding for finding in findings]
