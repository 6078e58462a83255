"""What would settle it: which images of A to score through B's pipeline, and with what chance it will do."""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from sqlalchemy import Connection, text

from db.queries import query
from xray.analyses.asked import questions_of
from xray.analyses.causes import Pair, judged, pairs
from xray.analyses.reread_plan import columns, in_doubt
from xray.analyses.stored import OF_IMAGES, StoredStudy, load_study, load_tests
from xray.csv_cells import row as safe
from xray.errors import AnalysisError
from xray.names import unknown
from xray.stats import pipelines, reread_design
from xray.stats.causes import FEWEST
from xray.stats.estimates import FloatArray, IntArray
from xray.stats.pipeline_update import chances
from xray.stats.posterior import CAUSES
from xray.stats.reread_update import known_before
from xray.stats.rereads import expected_se

READS: Final = 200
"""Reads of B's images that pipeline scores are compared with."""
HEADER: Final = ("image", "path")


@dataclass(frozen=True)
class Piping:
    """A finding of a model, and which images of A (places in its test set) are put through B's pipeline for it. image: the
    chance that image is named or ruled out by it; whole, reads, both: that all causes are, by it, by reads, by both.
    """

    pair: Pair
    task: str
    probability: FloatArray
    images: IntArray
    image: float
    whole: float
    reads: float
    both: float


def plan(
    connection: Connection,
    study: str,
    budget: int | None,
    seed: int,
    model: str | None = None,
    task: str | None = None,
) -> list[Piping]:
    """Findings in doubt of the pair of sites and the model that are settled likeliest, the first the one that is drawn for;
    nothing is stored. budget: images, None for all that have a label.

    model, task: only of these, whether in doubt or not. Raises `AnalysisError` where nothing can be planned.
    """
    loaded = load_study(connection, study)
    for kind, name, names in (("model", model, loaded.foreign), ("finding", task, loaded.findings)):
        if name is not None and name not in names:
            raise AnalysisError(unknown(kind, name, list(names), "none of this study is from elsewhere"))
    tests, ask = load_tests(connection, loaded, OF_IMAGES), questions_of(connection, loaded)
    offers = [
        offer
        for of in pairs(loaded, tests, ask)
        if model in (None, of[1])
        for pair in judged(*of)
        for offer in _offers(loaded, pair, ask.loss_ratio, budget, seed, task)
    ]
    if not offers:
        of = " and ".join(name for name in (model, task) if name)
        raise AnalysisError(
            f"study {study!r}: pictures through a pipeline would settle nothing{f' of {of}' if of else ''}: they help "
            f"where a model from elsewhere was scored at two sites that label a finding, {FEWEST} patients of each class at "
            f"both, and a cause is in doubt; xray analyse causes --study {study} says what is"
        )
    first = max(offers, key=lambda offer: (offer.whole, offer.image))
    return sorted(
        (offer for offer in offers if offer.pair is first.pair),
        key=lambda offer: (-offer.whole, -offer.image),
    )


def _offers(
    study: StoredStudy, pair: Pair, loss_ratio: float, budget: int | None, seed: int, task: str | None
) -> Iterator[Piping]:
    for position, number in enumerate(pair.evidence.tasks.tolist()):
        verdict, name = pair.verdicts[number], study.findings[number]
        open_ = any(in_doubt(verdict, cause, loss_ratio) for cause in range(len(CAUSES)))
        included = name == task if task else open_ and verdict.through is None
        if not included or pair.evidence.fewest[position] < FEWEST:
            continue
        scores, labels = columns(pair.b, pair.model, number)
        design = reread_design.plan(scores, labels, min(READS, int(np.isfinite(scores * labels).sum())))
        if design is None:
            continue
        of_a = np.where(
            np.isfinite(columns(pair.a, pair.model, number)[0]), pair.a.cohort.labels[:, number], np.nan
        )
        images = pipelines.draw(of_a, budget or of_a.size, np.random.default_rng([seed, 4, number]))
        before = known_before(pair.evidence, position, verdict.probability)
        foretold = chances(
            before, verdict.alike, expected_se(scores, labels, design), int(images.size), loss_ratio
        )
        yield Piping(
            pair,
            name,
            verdict.probability,
            images,
            foretold["image"],
            foretold["whole"],
            foretold["whole by reads"],
            foretold["whole by both"],
        )


def image_list(connection: Connection, piping: Piping) -> str:
    """CSV of the images that are put through the pipeline: image and path, in the order of the test set."""
    ids = piping.pair.a.cohort.images[piping.images].tolist()
    rows = {row.id: row for row in connection.execute(text(query("named_images")), {"image_ids": ids})}
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(HEADER)
    for number in ids:
        writer.writerow(safe([rows[number].image, rows[number].path]))
    return buffer.getvalue()
