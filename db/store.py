"""The store of image lists, cohorts and predictions: numpy vectors in, numpy vectors out, nothing half-written."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, select, text
from sqlalchemy.dialects.postgresql import insert

from db.copy import array, blank_rows, copy_in, copy_out, copy_packed, read_array, read_scalar, scalar
from db.errors import StoreError
from db.queries import query
from db.schema import PIECE, Evaluation, ImageList


@dataclass(frozen=True)
class Identities:
    """Who and what the images of a list show, aligned with it: (n_images,) each.

    pictures: int64, ids of canonical images. patients: int64, ids. Both are the same in every list. unnamed: where nobody
    tells who the patient is. ranks: int64, of the patients by site and name, from 1: the order in which they are drawn, the
    same in every home.
    """

    pictures: NDArray[np.int64]
    patients: NDArray[np.int64]
    unnamed: NDArray[np.bool_]
    ranks: NDArray[np.int64]

    def of(self, rows: NDArray[Any]) -> "Identities":
        """Those of some images: a mask (n_images,) or positions."""
        return Identities(self.pictures[rows], self.patients[rows], self.unnamed[rows], self.ranks[rows])


@dataclass(frozen=True)
class StoredCohort:
    """A cohort as the analyses need it.

    images: int32 (n_images,), image ids in the order of the image list.
    identities: who and what they show.
    labels: float32 (n_images, n_tasks), 1, 0 or NaN; its columns are the findings that were asked for, in their order.
    """

    id: int
    image_list_id: int
    images: NDArray[np.int32]
    identities: Identities
    labels: NDArray[np.float32]

    @property
    def patients(self) -> NDArray[np.int64]:
        """A code (n_images,) per patient, from 1 by site and name: the same in every home, and of this cohort only.

        By ids, which follow the order of registration, sums over patients would differ in their last bits.
        """
        return self.identities.ranks


def list_hash(names: Sequence[str]) -> str:
    """Content hash of an ordered list of images, each named `site/image`: the same wherever it is rebuilt."""
    digest = hashlib.sha256()
    for name in names:
        digest.update(name.encode())
        digest.update(b"\0")
    return digest.hexdigest()


def put_image_list(connection: Connection, content_hash: str, image_ids: NDArray[np.int32]) -> int:
    """The id of the image list with this content, made where it is missing."""
    values = {"content_hash": content_hash, "length": len(image_ids), "image_ids": image_ids.tolist()}
    new = connection.scalar(
        insert(ImageList)
        .values(values)
        .on_conflict_do_nothing(index_elements=["content_hash"])
        .returning(ImageList.id)
    )
    if new is not None:
        return new
    return connection.execute(select(ImageList.id).where(ImageList.content_hash == content_hash)).scalar_one()


def image_ids(connection: Connection, image_list_id: int) -> NDArray[np.int32]:
    """Image ids (n_images,) of a list in its order. Raises `StoreError` where there is no such list."""
    for row in copy_out(connection, query("image_ids"), image_list_id=image_list_id):
        assert row[0] is not None
        return read_array(row[0], "int4")
    raise StoreError(f"there is no image list {image_list_id}")


def identities(connection: Connection, image_list_id: int) -> Identities:
    """Who and what the images of a list show. Raises `StoreError` where there is no such list."""
    ((pictures, patients, unnamed, ranks),) = copy_out(
        connection, query("list_identities"), image_list_id=image_list_id
    )
    if pictures is None or patients is None or unnamed is None or ranks is None:
        raise StoreError(f"there is no image list {image_list_id}")
    whole = [read_array(vector, "int4").astype(np.int64) for vector in (pictures, patients, ranks)]
    return Identities(whole[0], whole[1], read_array(unnamed, "int4") == 1, whole[2])


def read_cohort(connection: Connection, cohort_id: int, tasks: Sequence[int]) -> StoredCohort:
    """A cohort's images, patients and labels of these tasks (ids), aligned. Raises `StoreError` where there is no such
    cohort.
    """
    image_list_id = connection.scalar(
        text("select image_list_id from cohort where id = :id"), {"id": cohort_id}
    )
    if image_list_id is None:
        raise StoreError(f"there is no cohort {cohort_id}")
    images = image_ids(connection, image_list_id)
    labels = np.full((len(images), len(tasks)), np.nan, dtype=np.float32)
    columns = {task: column for column, task in enumerate(tasks)}
    for task, vector in copy_out(connection, query("cohort_labels"), cohort_id=cohort_id):
        assert task is not None
        assert vector is not None
        column = columns.get(read_scalar(task))
        if column is None:
            continue
        values = read_array(vector, "int2").astype(np.float32)
        values[values < 0] = np.nan
        labels[:, column] = values
    return StoredCohort(cohort_id, image_list_id, images, identities(connection, image_list_id), labels)


def write_evaluation(
    connection: Connection,
    model_id: int,
    image_list_id: int,
    logits: NDArray[np.float32],
    tasks: Sequence[int | None],
    seconds: float | None = None,
    provenance: dict[str, Any] | None = None,
) -> int | None:
    """Store the logits (n_images, n_outputs) of one model on one image list; the caller's transaction makes it whole.

    tasks: the task (id) of each output, None for one that is not stored: never trained, or no finding. Where the evaluation
    exists already nothing is written and None returned; where another transaction is writing it, this one waits for its end
    first.
    """
    new = connection.scalar(
        insert(Evaluation)
        .values(model_id=model_id, image_list_id=image_list_id, seconds=seconds, provenance=provenance)
        .on_conflict_do_nothing(index_elements=["model_id", "image_list_id"])
        .returning(Evaluation.id)
    )
    if new is None:
        return None
    copy_packed(
        connection,
        "prediction",
        ("evaluation_id", "task_id", "piece", "logits"),
        _pieces(new, logits, tasks),
    )
    return new


def _pieces(
    evaluation_id: int, logits: NDArray[np.float32], outputs: Sequence[int | None]
) -> Iterator[NDArray[Any]]:
    """The rows of an evaluation, piece by piece; the whole ones in the same memory."""
    trained = np.array([task is not None for task in outputs], dtype=bool)
    tasks = np.array([task for task in outputs if task is not None], dtype=np.int16)
    rows: NDArray[Any] | None = None
    for start in range(0, len(logits), PIECE) if len(tasks) else ():
        part = logits[start : start + PIECE, trained].T
        if rows is None or part.shape[1] < PIECE:
            rows = blank_rows(len(tasks), ("int4", "int2", "int2"), part.shape[1], "float4")
            rows["0"], rows["1"] = evaluation_id, tasks
        rows["2"] = start // PIECE
        rows["elements"]["value"] = part
        yield rows


def write_features(connection: Connection, evaluation_id: int, features: NDArray[np.float32]) -> bool:
    """Store the pooled features (n_images, n_features) of an evaluation, in the order of its image list.

    The caller's transaction makes them whole. Where they are stored already nothing is written and False returned.
    """
    parameters = {"id": evaluation_id}
    connection.execute(text("select id from evaluation where id = :id for update"), parameters)
    if connection.scalar(text("select exists (select from feature where evaluation_id = :id)"), parameters):
        return False
    rows = (
        (scalar(evaluation_id, "int4"), scalar(position, "int4"), array(vector, "float4"))
        for position, vector in enumerate(features, 1)
    )
    copy_in(connection, "feature", ("evaluation_id", "position", "features"), rows)
    return True


def read_features(connection: Connection, evaluation_id: int) -> NDArray[np.float32]:
    """Pooled features (n_images, n_features) of one evaluation. Raises `StoreError` where none are stored."""
    rows = [
        read_array(row[0], "float4")
        for row in copy_out(connection, query("features"), evaluation_id=evaluation_id)
        if row[0] is not None
    ]
    if not rows:
        raise StoreError(
            f"evaluation {evaluation_id} has no features: name its dataset in the study's `features`"
        )
    return np.stack(rows)


def write_classifier(
    connection: Connection,
    model_id: int,
    outputs: Sequence[tuple[int | None, int]],
    weights: NDArray[np.float32],
    bias: NDArray[np.float32],
) -> None:
    """Store a model's last layer. outputs: (dataset id or None, task id) of each of the rows of weights
    (n_outputs, n_features) and bias (n_outputs,).
    """
    rows = (
        (
            scalar(model_id, "int4"),
            scalar(dataset, "int4"),
            scalar(task, "int2"),
            array(row, "float4"),
            scalar(float(b), "float4"),
        )
        for (dataset, task), row, b in zip(outputs, weights, bias, strict=True)
    )
    copy_in(connection, "classifier", ("model_id", "dataset_id", "task_id", "weights", "bias"), rows)


def read_logits(connection: Connection, evaluation_id: int, tasks: Sequence[int]) -> NDArray[np.float32]:
    """Logits (n_tasks, n_images) of one evaluation, of these tasks (ids); NaN for outputs never trained and for images not
    scored.

    Raises `StoreError` where the evaluation does not exist.
    """
    pieces: dict[int, list[NDArray[np.float32]]] = {}
    for task, _piece, part in copy_out(connection, query("logits"), evaluation_id=evaluation_id):
        assert task is not None
        assert part is not None
        pieces.setdefault(read_scalar(task), []).append(read_array(part, "float4"))
    if not pieces:
        raise StoreError(f"there is no evaluation {evaluation_id}")
    n_images = sum(map(len, next(iter(pieces.values()))))
    logits = np.full((len(tasks), n_images), np.nan, dtype=np.float32)
    for row, number in enumerate(tasks):
        if number in pieces:
            np.concatenate(pieces[number], out=logits[row])
    return logits


def read_vectors(
    connection: Connection, evaluation_ids: Sequence[int], task_ids: Sequence[int]
) -> dict[tuple[int, int], NDArray[np.float32]]:
    """(evaluation, task) → its logits (n_images,), of some evaluations and findings; none for outputs never trained."""
    pieces: dict[tuple[int, int], list[NDArray[np.float32]]] = {}
    if not evaluation_ids or not task_ids:
        return {}
    parameters = {"evaluation_ids": list(evaluation_ids), "task_ids": list(task_ids)}
    for evaluation, task, part in copy_out(connection, query("vectors"), **parameters):
        assert evaluation is not None
        assert task is not None
        assert part is not None
        key = read_scalar(evaluation), read_scalar(task)
        pieces.setdefault(key, []).append(read_array(part, "float4"))
    return {key: np.concatenate(parts) for key, parts in pieces.items()}
