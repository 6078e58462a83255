"""Stored scores written to a file: CSV or Parquet, a row per model and image, a column per finding."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit
from sqlalchemy import Connection, text

from db.findings import finding_ids, read_list
from db.queries import query
from db.store import read_logits
from xray import csv_cells
from xray.data.named_cohorts import Cohort
from xray.data.prediction_files import Kind
from xray.errors import DataError
from xray.findings import standard

_CHUNK: Final = 16_384


def scored_models(connection: Connection, cohort: Cohort, models: Sequence[str]) -> dict[str, int]:
    """Model → evaluation of a cohort: these models, or all that scored it. Raises `DataError` where one did not."""
    parameters = {"image_list_id": cohort.image_list_id}
    evaluations = {
        row.model: row.evaluation_id for row in connection.execute(text(query("scored_models")), parameters)
    }
    absent = [name for name in models if name not in evaluations]
    if absent or not evaluations:
        raise DataError(
            f"{', '.join(absent) or 'no model'} has no scores of {cohort}; scored by: {', '.join(evaluations) or 'none'}"
        )
    return {name: evaluations[name] for name in models} if models else evaluations


def exported(
    connection: Connection, cohort: Cohort, models: Sequence[str], kind: Kind
) -> Iterator[pd.DataFrame]:
    """Frames of scores, at most 16,384 images of one model each: model, dataset, protocol, part, image, and findings.

    Findings are those of the default list, then the others of these models; an output that was never trained is empty.
    Logits are float32 as stored, probabilities float64.
    """
    evaluations = scored_models(connection, cohort, models)
    statement = text("select id from model where name = any(:models)")
    numbers = connection.scalars(statement, {"models": list(evaluations)}).all()
    findings = standard(
        dict.fromkeys(name for number in numbers for name in read_list(connection, "model", number))
    )
    ids = finding_ids(connection, findings)
    for model, evaluation_id in evaluations.items():
        scores: NDArray[Any] = read_logits(connection, evaluation_id, ids)
        for start in range(0, scores.shape[1], _CHUNK):
            chunk = scores[:, start : start + _CHUNK].T
            if kind == "probability":
                chunk = expit(chunk.astype(np.float64))
            frame = pd.DataFrame(chunk, columns=list(findings))
            frame.insert(0, "image", cohort.images[start : start + _CHUNK])
            for name in ("part", "protocol", "dataset"):
                frame.insert(0, name, getattr(cohort, name))
            frame.insert(0, "model", model)
            yield frame


def write_csv(frames: Iterable[pd.DataFrame], file: Any) -> int:
    """Write frames as one CSV to an open text file; how many rows. Nine digits give every float32 back."""
    rows = 0
    for frame in frames:
        digits = "%.9g" if frame.dtypes.iloc[-1] == np.float32 else "%.17g"
        csv_cells.cells(frame).to_csv(
            file, index=False, header=rows == 0, float_format=digits, lineterminator="\n"
        )
        rows += len(frame)
    return rows


def write_parquet(frames: Iterable[pd.DataFrame], path: Path) -> int:
    """Write frames as one Parquet file, a row group each; how many rows."""
    import pyarrow
    from pyarrow.parquet import ParquetWriter

    rows, writer = 0, None
    try:
        for frame in frames:
            table = pyarrow.Table.from_pandas(frame, preserve_index=False)
            if writer is None:
                writer = ParquetWriter(path, table.schema)
            writer.write_table(table)
            rows += len(frame)
    finally:
        if writer is not None:
            writer.close()
    return rows
