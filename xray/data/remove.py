"""Remove a dataset, with everything in the database that depends on it."""

from dataclasses import dataclass

from sqlalchemy import Connection, text

from db.queries import query
from xray.data.registered import dataset_id
from xray.errors import DataError


@dataclass(frozen=True)
class Hanging:
    """What depends on a dataset.

    evaluations: of its images alone, by models that stay; models: trained on it; calibrations: fitted on it, of models that
    stay; worklists: with images that it alone has; interventions: to make images look like its.
    """

    studies: list[str]
    analyses: int
    models: list[str]
    evaluations: int
    calibrations: int
    worklists: list[str]
    interventions: int

    @property
    def has_results(self) -> bool:
        """Whether results would go with the dataset."""
        return any(
            (
                self.analyses,
                self.models,
                self.evaluations,
                self.calibrations,
                self.worklists,
                self.interventions,
            )
        )

    def lines(self) -> list[str]:
        """For people, a line each."""
        lines = []
        if self.studies:
            lines.append(f"studies that name it: {', '.join(self.studies)}")
        if self.analyses:
            lines.append(f"analyses of those studies, with their results: {self.analyses}")
        if self.models:
            lines.append(f"models that were trained on it, with all their scores: {', '.join(self.models)}")
        if self.evaluations:
            lines.append(f"evaluations of its images by other models: {self.evaluations}")
        if self.calibrations:
            lines.append(f"calibrations of models that were fitted on it: {self.calibrations}")
        if self.worklists:
            lines.append(
                f"worklists with its images, and what readers said of them: {', '.join(self.worklists)}"
            )
        if self.interventions:
            lines.append(f"interventions that make other images look like its: {self.interventions}")
        return lines


def hanging(connection: Connection, name: str) -> Hanging:
    """What depends on a dataset. Raises `DataError` where none has this name."""
    parameters = {"dataset_id": dataset_id(connection, name)}
    row = connection.execute(text(query("dataset_hanging")), parameters).one()
    return Hanging(
        list(row.studies),
        row.analyses,
        list(row.models),
        row.evaluations,
        row.calibrations,
        list(row.worklists),
        row.interventions,
    )


def remove(connection: Connection, name: str, *, with_results: bool = False) -> Hanging:
    """Take a dataset away, within the caller's transaction, and what went with it.

    Its labels, cohorts, image lists that nobody else has, and images that are in no other list; with `with_results` also
    the models that were trained on it, evaluations of its images, calibrations fitted on it, the analyses of studies that
    name it, and what readers said of its images in worklists. Files are left, and so is a patient whom another dataset's
    image shows.
    Raises `DataError` where results hang on it and are not to go.
    """
    connection.execute(
        text("select pg_advisory_xact_lock(hashtext('xray dataset'), hashtext(:name))"), {"name": name}
    )
    going = hanging(connection, name)
    if going.has_results and not with_results:
        raise DataError(
            "\n  ".join([f"{name}: results depend on it; --with-results removes them too:", *going.lines()])
        )
    connection.execute(text(query("remove_dataset")), {"dataset_id": dataset_id(connection, name)})
    return going
