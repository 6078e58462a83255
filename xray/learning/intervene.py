"""Interventions: a model scores a site's test images again, changed on purpose to look like another site's."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Engine, select

from db.schema import Evaluation
from db.store import read_logits
from xray.data.interventions import Intervention, of_both, pictures_of, put_intervention
from xray.learning.device import device
from xray.learning.evaluate import ListedPictures, OpenModel, listed_pictures, open_model, own_datasets
from xray.learning.scorer import Scorer
from xray.learning.tracking import Tracker
from xray.pixels.changes import Change, Changed, change, keys_of
from xray.pixels.grey import Grey
from xray.settings import provenance

SAMPLE: Final = 400
"""Pictures of each site from which it is measured how they look."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class InterventionRequest:
    """What is to be scored again: the images of an evaluation, to look like those of another list, in these ways.

    images: how many of them, drawn by the seed; None for all.
    """

    evaluation_id: int
    target_list_id: int
    kinds: Sequence[str]
    images: int | None
    seed: int


def intervene(engine: Engine, tracker: Tracker, home: Path, request: InterventionRequest) -> int:
    """Score changed pictures and store the logits, each kind in one transaction; how many were written.

    Pictures are read and shown as those of the evaluation were, but for the change. Where there is nothing to change its
    scores are taken. Raises `LearningError` where the model's file is missing, `DataError` where pictures are.
    """
    with engine.begin() as connection:
        evaluated = select(Evaluation.model_id, Evaluation.image_list_id)
        model_id, image_list_id = connection.execute(
            evaluated.where(Evaluation.id == request.evaluation_id)
        ).one()
        own = own_datasets(connection, model_id, image_list_id)
        pictures = pictures_of(connection, [image_list_id, request.target_list_id])
    hashed = of_both(pictures[image_list_id], pictures[request.target_list_id])
    model = open_model(engine, tracker, model_id)
    source = listed_pictures(engine, home, model, image_list_id)
    target = listed_pictures(engine, home, model, request.target_list_id)
    samples = _sample(source, request.seed), _sample(target, request.seed)
    with device(home) as processor:
        scorer = Scorer(model.network.to(processor))
        for kind in request.kinds:
            alteration = change(kind, *samples)
            logits = _scores(engine, model, scorer, source, alteration, request, own)
            about = Intervention(
                request.evaluation_id,
                request.target_list_id,
                kind,
                alteration.about(),
                request.images,
                request.seed,
                hashed,
            )
            with engine.begin() as connection:
                put_intervention(connection, about, logits, _tasks(model), provenance())
            _log.debug("%s: %s", kind, alteration.about())
    return len(request.kinds)


def _sample(pictures: ListedPictures, seed: int) -> Grey:
    """Some pictures of a list, (n, size, size)."""
    rows = np.unique(pictures.rows)
    if len(rows) > SAMPLE:
        rows = np.sort(np.random.default_rng(seed).choice(rows, SAMPLE, replace=False))
    return pictures.cache[rows]


def _scores(
    engine: Engine,
    model: OpenModel,
    scorer: Scorer,
    source: ListedPictures,
    alteration: Change,
    request: InterventionRequest,
    own: Sequence[str],
) -> NDArray[np.float32]:
    """Logits (n_images, n_tasks) of the changed pictures; NaN of those that were not drawn."""
    places = _sampled(len(source.rows), request)
    logits = np.full((len(source.rows), len(_tasks(model))), np.nan, np.float32)
    if not alteration.steps:
        with engine.begin() as connection:
            before = read_logits(connection, request.evaluation_id, _tasks(model))
        logits[places] = before.T[places]
        return logits
    keys = keys_of([digest or "0" for digest in source.dataset.content])
    pixels = Changed(source.cache, keys, alteration, request.seed)
    stored = [task is not None for task in model.outputs]
    logits[places] = scorer.score(pixels, source.rows[places], own)[:, stored]
    return logits


def _sampled(n: int, request: InterventionRequest) -> NDArray[np.int64]:
    """Places in the list of the images that are scored again."""
    if request.images is None or request.images >= n:
        return np.arange(n)
    return np.sort(np.random.default_rng(request.seed).choice(n, request.images, replace=False))


def _tasks(model: OpenModel) -> list[int]:
    return [task for task in model.outputs if task is not None]
