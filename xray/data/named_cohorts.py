"""Frozen cohorts by the names that people give: those of a dataset, a protocol and a part."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, text

from db.queries import query
from xray.data.protocol import load_protocol
from xray.errors import DataError


@dataclass(frozen=True)
class Cohort:
    """A frozen cohort by its names, and the names of its images in order."""

    id: int
    image_list_id: int
    dataset: str
    site: str
    protocol: str
    part: str
    images: Sequence[str]

    def __str__(self) -> str:
        return f"{self.dataset}/{self.protocol}/{self.part}"


def find_cohort(connection: Connection, dataset: str, protocol: str, part: str) -> Cohort:
    """The cohort of a dataset under a protocol (a name or a TOML file). Raises `DataError` where none is frozen."""
    rules = load_protocol(protocol)
    parameters = {"dataset": dataset, "protocol": rules.name, "version": rules.version, "part": part}
    row = connection.execute(text(query("cohort_found")), parameters).one_or_none()
    if row is None:
        rows = connection.execute(text(query("cohorts"))).all()
        names = ", ".join(f"{cohort.dataset}/{cohort.protocol}/{cohort.part}" for cohort in rows)
        raise DataError(f"there is no cohort {dataset}/{rules.name}/{part}; frozen: {names or 'none'}")
    names = connection.execute(text(query("cohort_names")), {"cohort_id": row.cohort_id}).one().names
    return Cohort(row.cohort_id, row.image_list_id, row.dataset, row.site, row.protocol, row.part, names)


def other_cohorts(connection: Connection, cohort: Cohort) -> list[Cohort]:
    """The other cohorts of the dataset with another list of images, under any protocol."""
    rows = connection.execute(text(query("cohorts_beside")), {"cohort_id": cohort.id}).all()
    names = text(query("cohort_names"))
    return [
        Cohort(
            row.cohort_id,
            row.image_list_id,
            cohort.dataset,
            cohort.site,
            row.protocol,
            row.part,
            connection.execute(names, {"cohort_id": row.cohort_id}).one().names,
        )
        for row in rows
    ]
