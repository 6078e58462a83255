"""Evaluations: fill what the view of missing evaluations shows."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Engine, select, text
from torch import nn

from db.findings import all_findings, read_list
from db.queries import query
from db.schema import Evaluation, Model
from db.store import image_ids, write_evaluation, write_features
from xray.data.pictures import pixel_cache
from xray.data.registered import RegisteredDataset, read_dataset
from xray.findings import match
from xray.learning.device import device
from xray.learning.infer import features
from xray.learning.network import Network, findings_of, load
from xray.learning.scored_before import scored_before
from xray.learning.scorer import Scorer
from xray.learning.tracking import Tracker
from xray.learning.weights import weights_of
from xray.pixels.cache import PixelCache
from xray.settings import provenance


def evaluate(
    engine: Engine, tracker: Tracker, home: Path, model_id: int, image_list_ids: list[int], threads: int = 1
) -> int:
    """Score these image lists with one model and store the logits, each list in one transaction; how many were written.

    threads: how many cores a model that onnxruntime runs may use (`score`); nothing stored depends on it.
    Where a study asks for it the pooled features of the images are stored with them. A list that somebody else has scored
    meanwhile is left as it is. Raises `LearningError` where the model's file is missing or not the one that was stored.
    """
    model = open_model(engine, tracker, model_id)
    with device(home) as processor:
        scorer = Scorer(model.network.to(processor), threads)
        return sum(_evaluate(engine, home, model, scorer, image_list_id) for image_list_id in image_list_ids)


@dataclass(frozen=True)
class OpenModel:
    """A model that scores: its network, and the task (id) of each output, None for one that is not stored.

    card: of a foreign model, None of one of ours.
    """

    id: int
    network: nn.Module
    image_size: int
    card: dict[str, Any] | None
    outputs: Sequence[int | None]


def open_model(engine: Engine, tracker: Tracker, model_id: int) -> OpenModel:
    """A model whose file is here. Raises `LearningError` where it is missing or not the one that was stored."""
    with engine.begin() as connection:
        model = connection.execute(
            select(Model.name, Model.image_size, Model.card, Model.kind).where(Model.id == model_id)
        ).one()
        listed = read_list(connection, "model", model_id)
        ids = all_findings(connection)
    assert model.image_size is not None
    file = weights_of(engine, tracker, model_id)
    network: nn.Module
    if model.kind == "foreign":
        from xray.learning.foreign_import import open_foreign

        assert model.card is not None
        network = open_foreign(file, model.card, model.name)
    else:
        network = load(file)
    columns = {match(name, listed): column for column, name in enumerate(findings_of(network))}
    outputs: list[int | None] = [None] * len(findings_of(network))
    for name in listed:
        outputs[columns[name]] = ids[name]
    return OpenModel(model_id, network, model.image_size, model.card, outputs)


@dataclass(frozen=True)
class ListedPictures:
    """The pictures of an image list as a model wants them: a cache of their dataset, and their rows in it (n_images,)."""

    dataset: RegisteredDataset
    cache: PixelCache
    rows: NDArray[np.int64]


def listed_pictures(engine: Engine, home: Path, model: OpenModel, image_list_id: int) -> ListedPictures:
    """Raises `DataError` where the dataset was registered without pictures, or they are gone."""
    ids = {"model_id": model.id, "image_list_id": image_list_id}
    with engine.begin() as connection:
        dataset_id, crop = connection.execute(text(query("image_list_dataset")), ids).one()
        dataset = read_dataset(connection, dataset_id)
        rows = dataset.places(image_ids(connection, image_list_id))
    if model.card is not None:  # a foreign model has no protocol: its card says how it wants pictures
        crop = model.card["crop"]
    return ListedPictures(dataset, pixel_cache(dataset, home, model.image_size, crop), rows)


def own_datasets(connection: Connection, model_id: int, image_list_id: int) -> Sequence[str]:
    """The datasets whose images a list has and that a model was trained on, for a network with a head per dataset."""
    ids = {"model_id": model_id, "image_list_id": image_list_id}
    return connection.scalars(text(query("own_datasets")), ids).all()


def _evaluate(engine: Engine, home: Path, model: OpenModel, scorer: Scorer, image_list_id: int) -> bool:
    """Score one image list; whether it was written, and not by somebody else meanwhile.

    Pictures that the model has scored in another list of the dataset are not scored again.
    """
    began = time.perf_counter()
    network, outputs = model.network, model.outputs
    ids = {"model_id": model.id, "image_list_id": image_list_id}
    of = listed_pictures(engine, home, model, image_list_id)
    with engine.begin() as connection:
        feature_request = connection.scalar(text(query("features_wanted")), ids)
        own = own_datasets(connection, model.id, image_list_id)
        before = scored_before(connection, model.id, of.dataset.id, image_list_id, outputs)
    if feature_request is not None or (isinstance(network, Network) and network.heads):
        before[:] = np.nan  # features are asked of every image; a head is chosen by the list
    new = np.isnan(before).all(axis=1)
    logits = before
    logits[new] = scorer.score(of.cache, of.rows[new], own)
    pooled = None
    if feature_request is not None and isinstance(network, Network):
        pooled = features(network, of.cache, of.rows)
    with engine.begin() as connection:
        seconds = time.perf_counter() - began
        origin = {**provenance(), "runtime": scorer.runtime}
        evaluation = write_evaluation(connection, model.id, image_list_id, logits, outputs, seconds, origin)
        if pooled is not None:
            write_features(connection, evaluation or _evaluation(connection, model.id, image_list_id), pooled)
    return evaluation is not None


def _evaluation(connection: Connection, model_id: int, image_list_id: int) -> int:
    statement = select(Evaluation.id).where(
        Evaluation.model_id == model_id, Evaluation.image_list_id == image_list_id
    )
    return connection.execute(statement).scalar_one()
