"""A model of ours as one file for other programs, with the card that says what it takes and gives."""

import warnings
from pathlib import Path

import torch
from sqlalchemy import Engine, select, text

from db.findings import read_list
from db.schema import Model
from xray.durable import replaced
from xray.errors import LearningError
from xray.findings import match
from xray.learning.foreign_card import Card, write_card
from xray.learning.network import FULL_SCALE, Network, load
from xray.learning.tracking import Tracker
from xray.learning.weights import weights_of


def export_model(engine: Engine, tracker: Tracker, name: str, kind: str, path: Path) -> Path:
    """Write the model `name` to `path` as "onnx" or "torchscript", and its card beside it; the card's path.

    The file takes pixels (n, 1, size, size) in [-1024, 1024] and gives logits (n, n_findings). Raises `LearningError` where
    there is no such model, its file came from elsewhere, or is not the one that was stored.
    """
    with engine.begin() as connection:
        row = connection.execute(
            select(Model)
            .with_only_columns(
                Model.id,
                Model.kind,
                Model.trained_on,
                Model.protocol_id,
            )
            .where(Model.name == name)
        ).one_or_none()
        if row is None:
            raise LearningError(f"there is no model {name!r}: xray model list")
        if row.kind == "foreign":
            raise LearningError(f"{name} was imported: its original file is in MLflow")
        trained = read_list(connection, "model", row.id)
        crop, protocol = connection.execute(
            text("select definition -> 'preprocessing' ->> 'crop', name from protocol where id = :id"),
            {"id": row.protocol_id},
        ).one()
        datasets = connection.scalars(
            text(
                "select distinct dataset.name from training_cohort join cohort on cohort.id = cohort_id"
                " join dataset on dataset.id = dataset_id where model_id = :id order by 1"
            ),
            {"id": row.id},
        ).all()
    network = load(weights_of(engine, tracker, row.id)).to(memory_format=torch.contiguous_format)
    write = _onnx if kind == "onnx" else _torchscript
    with replaced(path) as new:
        write(network, new)
    card = Card(
        name=_plain(path.stem),
        size=network.image_size,
        range=(-FULL_SCALE, FULL_SCALE),
        output="logit",
        tasks=tuple(match(finding, trained) for finding in network.findings),
        crop=crop,
        trained_on=tuple(datasets),
        citation=f"xray model {name}, protocol {protocol}",
    )
    write_card(card, path.with_suffix(".toml"))
    return path.with_suffix(".toml")


def _plain(stem: str) -> str:
    word = "".join(c if c.isalnum() and c.isascii() else "-" for c in stem.lower()).strip("-")
    return word[:60] or "model"


def _example(network: Network) -> torch.Tensor:
    return torch.zeros((2, 1, network.image_size, network.image_size))


def _torchscript(network: Network, path: Path) -> None:
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # torch calls TorchScript deprecated; others still read it
        torch.jit.trace(network, _example(network), check_trace=False).save(str(path))


def _onnx(network: Network, path: Path) -> None:
    try:
        import onnxscript  # noqa: F401  (torch's exporter needs it)
    except ImportError:
        raise LearningError("ONNX needs its extra: pip install 'xray[onnx]'") from None
    batch = ({0: torch.export.Dim("n", min=1)},)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (_example(network),),
            str(path),
            dynamo=True,
            dynamic_shapes=batch,
            external_data=False,
            input_names=["pixels"],
            output_names=["logits"],
            verbose=False,
        )
