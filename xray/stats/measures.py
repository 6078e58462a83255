"""What was measured of a finding, by reads and by A's pictures through B's pipeline, put into what was inferred of it."""

from dataclasses import dataclass
from typing import Any, Final

from scipy.special import ndtr

from xray.stats import pipeline_update, reread_update
from xray.stats.estimates import FloatArray
from xray.stats.evidence import Evidence
from xray.stats.pipeline_update import Through
from xray.stats.pipelines import Piped
from xray.stats.posterior import CAUSES
from xray.stats.reread_update import known_before
from xray.stats.rereads import Measured

COUNTS_FROM: Final = 0.03
"""Share of AUC from which on a cause counts, as in the worlds (benchmarks/_truth.py)."""

IMAGE, LABEL = CAUSES[0], CAUSES[3]


@dataclass(frozen=True)
class Again:
    """What reads of a planned sample of B's images, by A's rules, measured, and by how many readers."""

    measured: Measured
    readers: int


def put(
    evidence: Evidence,
    position: int,
    alike: bool,
    read: dict[str, Any],
    parts: tuple[FloatArray, FloatArray, FloatArray, FloatArray],
) -> None:
    """Put probabilities after reads, and after A's pictures through B's pipeline, in place of those before; and what was
    measured in place of the shares of label and image.

    Where the case is unlike the simulated ones, the probabilities of these two are of the measures alone.
    """
    again: Again | None = read.get("again")
    through: Through | None = read.get("through")
    probability, share, lower, upper = parts
    before = known_before(evidence, position, probability)
    if alike and through:
        probability[:] = pipeline_update.updated(before, through, again.measured if again else None)
    elif alike and again:
        probability[:] = reread_update.updated(before, again.measured)
    measures: list[tuple[str, Measured | Piped, float]] = []
    measures += [(LABEL, again.measured, again.measured.difference)] if again else []
    measures += [(IMAGE, through.piped, through.piped.cost)] if through else []
    for cause, of, value in measures:
        at = CAUSES.index(cause)
        if not alike:
            probability[at] = ndtr((value - COUNTS_FROM) / of.se)
        share[at], lower[at], upper[at] = value, of.lower, of.upper


def words(read: dict[str, Any]) -> dict[str, str]:
    """In words what was measured, by cause."""
    sentences = {}
    if "through" in read:
        m = read["through"].piped
        sentences[IMAGE] = (
            f"{m.cost:.2f} of AUC ({m.lower:.2f} to {m.upper:.2f}) by {m.images:,} pictures of the reference site through "
            "the pipeline of this site"
        )
    if "again" in read:
        m, number = read["again"].measured, read["again"].readers
        people = "1 reader" if number == 1 else f"{number} readers"
        sentences[LABEL] = (
            f"{m.difference:.2f} of AUC ({m.lower:.2f} to {m.upper:.2f}) by {m.reads} images read again ({people})"
        )
    return sentences
