"""Cohorts: the parts of a dataset under a protocol, frozen: an image list with 1/0/missing labels."""

import hashlib
import json
from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, select, text
from sqlalchemy.dialects.postgresql import insert

from db.copy import array, copy_in, scalar
from db.findings import put_findings
from db.schema import Cohort
from db.schema import Protocol as StoredProtocol
from db.store import list_hash, put_image_list
from xray.data import leakage
from xray.data.protocol import Protocol
from xray.data.registered import RegisteredDataset
from xray.data.selection import select as select_rows
from xray.data.split import parts
from xray.errors import DataError
from xray.findings import column_bytes


def store_protocol(connection: Connection, protocol: Protocol) -> int:
    """The id of this version of a protocol, stored where it is not yet.

    Raises `DataError` where the version is stored with another definition.
    """
    values = {"name": protocol.name, "version": protocol.version, "definition": protocol.as_dict()}
    connection.execute(insert(StoredProtocol).values(values).on_conflict_do_nothing())
    row = connection.execute(
        select(StoredProtocol.id, StoredProtocol.definition).where(
            StoredProtocol.name == protocol.name, StoredProtocol.version == protocol.version
        )
    ).one()
    if row.definition != json.loads(json.dumps(protocol.as_dict())):
        raise DataError(
            f"protocol {protocol.name} version {protocol.version} is stored with other rules: give it a new version"
        )
    return int(row.id)


def freeze(
    connection: Connection,
    dataset: RegisteredDataset,
    protocol: Protocol,
    required: Collection[str] = ("train", "test"),
) -> dict[str, int]:
    """Part → cohort id of this dataset under this protocol, frozen now where they are not yet.

    A protocol without a validation part (each run cuts its own) gives none, one that trains nothing gives test images only.
    Their overlaps with the cohorts of all datasets are recorded with them (`xray.data.leakage`). Raises `DataError` where a
    part that is needed has no image.
    """
    protocol_id = store_protocol(connection, protocol)
    frozen_ids = frozen(connection, dataset.id, protocol_id)
    if frozen_ids:
        leakage.record(connection, protocol_id)
        return frozen_ids
    selection = select_rows(dataset.table, dataset.labeller, protocol)
    split = parts(selection, dataset.table, dataset.site, protocol)
    for part in required if protocol.trains else ("test",):
        if len(split[part]) == 0:
            raise DataError(f"{dataset.name}: protocol {protocol.name} leaves no image for the {part} part")
    rows = {
        part: (selection.index[rows_of_part], selection.labels[rows_of_part])
        for part, rows_of_part in split.items()
        if len(rows_of_part)
    }
    return put_cohorts(connection, dataset, protocol_id, rows, selection.findings)


def frozen(connection: Connection, dataset_id: int, protocol_id: int) -> dict[str, int]:
    """Part → cohort id of what is frozen of a dataset; no other transaction freezes until this one ends."""
    connection.execute(text("select pg_advisory_xact_lock(hashtext('xray cohorts'))"))
    result = connection.execute(
        select(Cohort.part, Cohort.id).where(
            Cohort.dataset_id == dataset_id, Cohort.protocol_id == protocol_id
        )
    )
    return {row.part: row.id for row in result}


def put_cohorts(
    connection: Connection,
    dataset: RegisteredDataset,
    protocol_id: int,
    rows: dict[str, tuple[NDArray[np.int64], NDArray[np.float32]]],
    findings: Sequence[str],
) -> dict[str, int]:
    """Part → id of new cohorts. rows: part → positions (n_images,) in the dataset, labels (n_images, n_findings)."""
    ids = {
        part: _freeze(connection, dataset, protocol_id, part, index, labels, findings)
        for part, (index, labels) in rows.items()
    }
    leakage.record(connection, protocol_id)
    return ids


def part_hashes(
    dataset: RegisteredDataset,
    index: NDArray[np.int64],
    labels: NDArray[np.float32],
    findings: Sequence[str],
) -> tuple[str, str]:
    """Content hashes of a cohort's image list and of the cohort: the same wherever they are rebuilt."""
    names = [f"{dataset.site}/{image}" for image in dataset.table.rows["image"].iloc[index]]
    hash_of_list = list_hash(names)
    return hash_of_list, _cohort_hash(hash_of_list, labels, findings)


def _freeze(
    connection: Connection,
    dataset: RegisteredDataset,
    protocol_id: int,
    part: str,
    rows: NDArray[np.int64],
    labels: NDArray[np.float32],
    findings: Sequence[str],
) -> int:
    """One cohort: rows (n_images,) of the dataset in order, labels (n_images, n_findings) 1, 0 or NaN."""
    hash_of_list, content_hash = part_hashes(dataset, rows, labels, findings)
    cohort_id = connection.scalar(
        insert(Cohort)
        .values(
            dataset_id=dataset.id,
            protocol_id=protocol_id,
            part=part,
            image_list_id=put_image_list(connection, hash_of_list, dataset.image_ids[rows]),
            content_hash=content_hash,
        )
        .returning(Cohort.id)
    )
    assert cohort_id is not None
    vectors, ids = [], put_findings(connection, findings)
    for task in np.flatnonzero(~np.isnan(labels).all(axis=0)):
        missing = np.isnan(labels[:, task])
        values = np.where(missing, 0, labels[:, task]).astype(np.int16)
        n_pos, n_neg = int((labels[:, task] == 1).sum()), int((labels[:, task] == 0).sum())
        vectors.append(
            (
                scalar(cohort_id, "int4"),
                scalar(ids[task], "int2"),
                array(values, "int2", missing),
                scalar(n_pos, "int4"),
                scalar(n_neg, "int4"),
            )
        )
    copy_in(connection, "cohort_label", ("cohort_id", "task_id", "labels", "n_pos", "n_neg"), vectors)
    return cohort_id


def _cohort_hash(hash_of_list: str, labels: NDArray[np.float32], findings: Sequence[str]) -> str:
    codes = np.where(np.isnan(labels), -1, labels).astype(np.int8)
    return hashlib.sha256(hash_of_list.encode() + column_bytes(codes, findings, -1)).hexdigest()
