"""The platform as scripts and notebooks see it: scores and results as frames, an evaluation in one call, figures.

Frames are read as the role that can't change anything; `evaluate` registers, takes in and computes as the commands do.
"""

import contextlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, TypeAlias

import pandas as pd
import psycopg2
from sqlalchemy import Connection, create_engine, text

from db.connection import databases
from db.queries import query
from db.question import ask
from db.urls import libpq
from xray import settings
from xray.analyses.analysis import stored_rows
from xray.analyses.cuts import DAY, Selection, cut, cut_frame
from xray.analyses.kept import Cache
from xray.analyses.run import by_name
from xray.analyses.stored import study_meant
from xray.data.image_names import image_names
from xray.data.score_tables import Scale
from xray.durable import write_whole
from xray.errors import AnalysisError, StudyError
from xray.evaluate import FOLDER, NAME, PROTOCOL, Reading, Site, evaluate
from xray.home import settle
from xray.names import check_name, unknown

FORMATS: Final = ("png", "svg", "csv")
Table: TypeAlias = str | Path | pd.DataFrame
"""A file (CSV, TSV, xlsx, Parquet), or the same as a frame."""


class Platform:
    """One installation, open until `close`. home: its folder."""

    def __init__(self, home: str | Path | None = None) -> None:
        with contextlib.ExitStack() as stack:
            if home is not None:
                stack.enter_context(
                    settings.environment({"XRAY_HOME": str(Path(home).expanduser().absolute())})
                )
            self.home: Final = settings.home()
            own = not os.environ.get("XRAY_DATABASE_URL")
            store = stack.enter_context(databases(self.home))
            self._writer: Final = store.engine()
            self._reader: Final = store.reader or store.xray
            settle(self._writer, store.mlflow, self.home, own=own)
            self._questions: Final = create_engine(self._reader, pool_pre_ping=True)
            stack.callback(self._questions.dispose)
            self._stack: Final = stack.pop_all()
            self._cache: Final = Cache()

    def __enter__(self) -> "Platform":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the database back; it stops where nobody else uses it."""
        self._stack.close()

    def studies(self) -> list[str]:
        """The names of the studies, oldest first."""
        with self._reading() as connection:
            return list(connection.scalars(text("select name from study order by id")))

    def predictions(
        self,
        *,
        model: str | None = None,
        dataset: str | None = None,
        task: str | None = None,
        part: str | None = None,
    ) -> pd.DataFrame:
        """Every score of every image: a row per (model, dataset, image, task), the columns of `predictions` in docs/sql.md.

        Each argument narrows it to one name. model: with its version as stored, or without it for all of them. A name that
        nothing is stored under raises `AnalysisError`; all of a large installation takes minutes and gigabytes.
        """
        names = {"model": model, "dataset": dataset, "task": task, "part": part}
        with self._reading() as connection:
            frame = pd.read_sql(text(query("predictions_of")), connection, params=names)
            if frame.empty:
                _check_names(connection, names)
        return frame

    def results(self, analysis: str = "performance", study: str | None = None) -> pd.DataFrame:
        """The stored rows of an analysis (`xray analyse` lists them), as docs/sql.md describes its view.

        study: may be left out where there is one only. Raises `AnalysisError` where there is no such analysis or study.
        """
        with self._reading() as connection:
            return stored_rows(connection, study_meant(connection, study), by_name(analysis))

    def cut(
        self,
        analysis: str = "performance",
        *,
        where: str | None = None,
        since: str | None = None,
        until: str | None = None,
        day: str = DAY,
        images: str | Path | Sequence[str] | None = None,
        model: str | Sequence[str] = (),
        dataset: str | Sequence[str] = (),
        task: str | Sequence[str] = (),
        study: str | None = None,
    ) -> pd.DataFrame:
        """The rows that an analysis has on some of the test images, computed at once from the stored scores; none is stored.

        where: as "age >= 70 and sex = 'F'". since, until: days, both included, in the column `day` of the label files.
        images: a file of names (a column `image`, or a name a line), or the names. model (as in the column trained_on),
        dataset, task: of these only. Thresholds are those of the whole test cohorts. What was read is kept, so that the next
        question is answered faster. Raises `AnalysisError` where no image fits, or a name is not there.
        """
        names = image_names(Path(images)) if isinstance(images, str | Path) else images
        selection = Selection(*(_several(choice) for choice in (model, dataset, task)))
        with self._reading() as connection:
            study_name = study_meant(connection, study)
            of_images = cut(where, since, until, day, names)
            return cut_frame(connection, study_name, by_name(analysis), of_images, selection, self._cache)

    def sql(self, question: str, **values: Any) -> pd.DataFrame:
        """The rows of one statement that returns rows, asked as `xray sql` does; values stand for its %(name)s.

        Raises `DatabaseError` with PostgreSQL's message.
        """
        if values:
            with contextlib.closing(psycopg2.connect(libpq(self._reader))) as connection:
                question = connection.cursor().mogrify(question, values).decode()
        with ask(self._reader, question) as answer:
            rows = [row for batch in answer.batches for row in batch]
        return pd.DataFrame.from_records(rows, columns=list(answer.columns), coerce_float=True)

    def figure(self, name: str, study: str | None = None, format: str = "png") -> Path:
        """The file of a figure of a study's page: png, svg, or csv for its numbers.

        Raises `StudyError` where there is none.
        """
        if format not in FORMATS:
            raise StudyError(f"format: {format!r} is none of {', '.join(FORMATS)}")
        with self._reading() as connection:
            study_name = study_meant(connection, study)
        figures = {
            path.stem: path for path in sorted((self.home / "reports" / study_name).glob(f"**/*.{format}"))
        }
        if name not in figures:
            raise StudyError(unknown(f"figure of {study_name}", name, list(figures)))
        return figures[name]

    def evaluate(
        self,
        scores: Mapping[str, Table],
        labels: Table | None = None,
        *,
        site: str | None = None,
        dataset: str | None = None,
        mapping: str | Path | None = None,
        kind: Scale = "probability",
        thresholds: Mapping[str, Mapping[str, float]] | None = None,
        study: str = NAME,
        protocol: str = PROTOCOL,
    ) -> pd.DataFrame:
        """Judge models by their scores on a hospital's images; the rows of `results("performance")` of the study after it.

        scores: model → a table with a row per image and a column per finding. labels: of the same images, at `site`; left
        out where `dataset` is registered. kind: what the scores are. thresholds: model → finding → its maker's operating
        point. A further call adds models and hospitals to the study. Raises `XrayError` where a table can't be used.
        """
        if labels is None and dataset is None:
            raise StudyError("give labels and a site, or the name of a registered dataset")
        if labels is not None and site is None:
            raise StudyError("give site: the hospital that the labels come from")
        name = check_name("dataset", str(dataset or site), StudyError)
        files = tuple(
            (check_name("model", model, StudyError), self._file(table, f"{name}-{model}"))
            for model, table in scores.items()
        )
        truth = None if labels is None else self._file(labels, f"{name}-labels")
        evaluate(
            self._writer,
            self.home,
            [Site(name, site, truth, files)],
            study=study,
            protocol=protocol,
            reading=Reading(kind=kind),
            mapping=None if mapping is None else Path(mapping),
            thresholds=thresholds or {},
        )
        return self.results("performance", study)

    def _reading(self) -> contextlib.AbstractContextManager[Connection]:
        return self._questions.connect()

    def _file(self, table: Table, name: str) -> Path:
        """The file of a table; a frame is written to one, which stays, as what was registered is known by its file."""
        if not isinstance(table, pd.DataFrame):
            return Path(table).expanduser()
        folder = self.home / FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        return write_whole(folder / f"{name}.csv", table.to_csv(index=False).encode())


def _several(names: str | Sequence[str]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)


def _check_names(connection: Connection, filters: Mapping[str, str | None]) -> None:
    """Raise `AnalysisError` for the first name that no score is stored under."""
    for kind, name in filters.items():
        names = connection.scalars(text(query("predictions_names")), {"kind": kind}).all()
        if name is not None and name not in (*names, *(entry.rpartition("/")[0] for entry in names)):
            raise AnalysisError(unknown(kind, name, names))
