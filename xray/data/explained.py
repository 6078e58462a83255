"""Why an image of a registered dataset has its labels, under each protocol."""

from dataclasses import dataclass, replace

import numpy as np

from xray.data.labels.explain import Explanation, explain
from xray.data.protocol import DatasetRule, Protocol
from xray.data.registered import RegisteredDataset
from xray.data.selection import select
from xray.data.split import parts
from xray.errors import DataError


@dataclass(frozen=True)
class Explained:
    """One image under one protocol.

    part: the part of the split it stands in (several where its rows are split), None where the protocol leaves it out.
    why_not: why it is left out. labels: one entry per task; where the image is left out, what its own row says.
    """

    image: str
    protocol: str
    part: str | None
    why_not: str | None
    labels: list[Explanation]


def explain_image(dataset: RegisteredDataset, image: str, protocol: Protocol) -> Explained:
    """What `protocol` makes of one image of `dataset`, read with its terms. Raises `DataError` where it has none such."""
    rows = dataset.table.rows
    positions = np.flatnonzero((rows["image"] == image).to_numpy(bool))
    if not len(positions):
        raise DataError(
            f"{dataset.name} has no image {image!r}; its first is {rows['image'].iloc[0]!r} "
            "(one that was set aside is in: xray dataset quarantine)"
        )
    row = int(positions[0])
    selection = select(dataset.table, dataset.labeller, protocol)
    positions_in_selection = np.flatnonzero(selection.index == row)
    if len(positions_in_selection):
        split = parts(selection, dataset.table, dataset.site, protocol)
        part_names = [
            part
            for part, rows_of_part in split.items()
            if np.isin(positions_in_selection, rows_of_part).any()
        ]
        labels = explain(dataset.table, selection, int(positions_in_selection[0]), dataset.labeller, protocol)
        return Explained(image, protocol.name, " and ".join(part_names), None, labels)
    all_images = replace(protocol, datasets={dataset.labeller: DatasetRule(per_patient="all")})
    selection_of_all = select(dataset.table, dataset.labeller, all_images)
    labels = explain(dataset.table, selection_of_all, row, dataset.labeller, all_images)
    return Explained(image, protocol.name, None, _why_not(dataset, row, protocol), labels)


def _why_not(dataset: RegisteredDataset, row: int, protocol: Protocol) -> str:
    """Why a protocol leaves out the image of a row: its view, or an earlier image of its patient."""
    rule = protocol.rule(dataset.labeller)
    views = replace(protocol, datasets={dataset.labeller: replace(rule, per_patient="all")})
    index = select(dataset.table, dataset.labeller, views).index
    if row not in index:
        cell = dataset.table.rows[rule.view_column].iloc[row]
        reason = f"{rule.view_column} is {cell!r}" if cell else f"{rule.view_column} is unknown"
        return f"{reason}; wanted: {rule.view_match} {' or '.join(rule.views)}"
    return "another image of the same patient is used"
