"""Cuts that nobody stored, in the full grid: rows R1. python -m benchmarks.cuts [--quick] [--json]

The study of `benchmarks.analyses` (60 models, 117,000 test images, 18 findings, 108 M scores; with --quick a fiftieth of the
images), nothing of which is analysed. A cell is one configuration's ensemble of four seeds on one test dataset of 31,000
images, two a patient, for one finding. It is asked for on cuts by conditions, by days and by a list of images, each time
another one, so that nothing but reads is kept; the median of the clock, after one question of another cell. CPU seconds are
of this process. The peer of a row is its limit, and the exit code is 1 where one is missed (but not with --quick), or where
a number is not that of scikit-learn on rows that PostgreSQL unnests: that way of asking is the first row.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
import pandas as pd
from sklearn.metrics import brier_score_loss, cohen_kappa_score, confusion_matrix, roc_auc_score
from sqlalchemy import Engine, create_engine, text

from benchmarks.analyses import build
from benchmarks.homes import scratch_home
from benchmarks.report import Row, arguments, holds, is_equal, judged
from db.embedded import acquire
from db.migrate import upgrade
from xray.analyses.cuts import Cut, Cutting, Selection, cut, cut_frame
from xray.analyses.kept import MOST, Cache
from xray.analyses.run import by_name

LIMIT: Final = 0.3
DATASET, MODEL, TASK = "padchest", "all", "Effusion"
FOUR: Final = ("performance", "operating_points", "calibration", "agreement")
DAYS: Final = (
    "insert into native_column (dataset_id, name, position, terms, codes)"
    " select dataset.id, 'StudyDate', 1,"
    " (select array_agg(to_char(date '2020-01-01' + n, 'YYYY-MM-DD') order by n) from generate_series(0, 1399) as n),"
    " (select array_agg(1 + (n * 7919) % 1400 order by n) from generate_series(1, image_list.length) as n)"
    " from dataset join image_list on image_list.id = dataset.image_list_id"
)
ROWS: Final = (
    "select image, trained_on, label, avg(logit::float8) as logit from predictions"
    " where test_dataset = :dataset and part = 'test' and task = :task and trained_on in (:model, :dataset) {}"
    " group by image, trained_on, label order by image"
)


@dataclass(frozen=True)
class Times:
    """Medians by the clock and of CPU, in seconds."""

    clock: float
    cpu: float


def timed(questions: list[Callable[[], object]]) -> Times:
    """Each question once."""
    clock, cpu = [], []
    for question in questions:
        before = time.perf_counter(), time.process_time()
        question()
        clock.append(time.perf_counter() - before[0])
        cpu.append(time.process_time() - before[1])
    return Times(statistics.median(clock), statistics.median(cpu))


class World:
    """The grid in a database, and questions to it."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.cache = engine, Cache()
        with engine.connect() as connection:
            names = "select name from image where name like :like order by id"
            self.names = list(connection.scalars(text(names), {"like": f"{DATASET}-%"}))

    def ask(self, analysis: str, images: Cut, model: str = MODEL, task: str | None = TASK) -> pd.DataFrame:
        """The rows of an analysis of a cell on a cut, as `Platform.cut` asks for them."""
        selection = Selection((model,), (DATASET,), () if task is None else (task,))
        with self.engine.connect() as connection:
            return cut_frame(connection, "grid", by_name(analysis), images, selection, self.cache)

    def four(self, images: Cut, model: str = MODEL, task: str = TASK) -> dict[str, pd.DataFrame]:
        """All four that a cell has, asked together, as the explorer does."""
        with self.engine.connect() as connection:
            cutting = Cutting(
                connection, "grid", images, Selection((model,), (DATASET,), (task,)), self.cache
            )
            return {name: pd.DataFrame(cutting.rows(by_name(name))) for name in FOUR}

    def rows(self, condition: str) -> pd.DataFrame:
        """The common way: a row per image and model."""
        arguments = {"dataset": DATASET, "task": TASK, "model": MODEL}
        with self.engine.connect() as connection:
            return pd.read_sql(text(ROWS.format(condition)), connection, params=arguments)

    def common(self, condition: str) -> dict[str, float]:
        """AUC, shares, Brier's score and kappa by pandas and scikit-learn; thresholds of the whole cohort."""
        frame = (
            self.rows("").pivot(index=["image", "label"], columns="trained_on", values="logit").reset_index()
        )
        thresholds = {name: best(frame["label"], frame[name]) for name in (MODEL, DATASET)}
        part = self.rows(condition).pivot(index=["image", "label"], columns="trained_on", values="logit")
        part = part.reset_index()
        y, calls = part["label"] == 1, {name: part[name] >= thresholds[name] for name in thresholds}
        (tn, fp), (fn, tp) = confusion_matrix(y, calls[MODEL])
        return {
            "auc": float(roc_auc_score(y, part[MODEL])),
            "sensitivity": tp / (tp + fn), "specificity": tn / (tn + fp), "ppv": tp / (tp + fp), "npv": tn / (tn + fn),
            "brier": float(brier_score_loss(y, 1 / (1 + np.exp(-part[MODEL])))),
            "kappa": float(cohen_kappa_score(calls[MODEL], calls[DATASET])),
        }  # fmt: skip


def best(labels: Any, scores: Any) -> float:
    """The highest threshold of largest sensitivity and specificity, by trying all."""
    order = np.argsort(-scores.to_numpy(), kind="stable")
    falling, positive = scores.to_numpy()[order], labels.to_numpy()[order] == 1
    gain = np.cumsum(positive) / positive.sum() - np.cumsum(~positive) / (~positive).sum()
    return float(falling[int(np.argmax(gain))])


def agree(frames: dict[str, pd.DataFrame], common: dict[str, float]) -> bool:
    """Whether a cell is what the common way gives."""
    points = frames["operating_points"].query("rule == 'target'").set_index("measure")["value"]
    product = {
        "auc": frames["performance"].query("seed.isna()")["auc"].item(),
        "brier": frames["calibration"]["brier"].item(),
        "kappa": frames["agreement"].query("rule == 'target'")["kappa"].item(),
        **{name: points[name] for name in ("sensitivity", "specificity", "ppv", "npv")},
    }
    return all(abs(product[name] - value) < 1e-9 for name, value in common.items())


def rows(quick: bool) -> Iterator[Row]:
    """Every kind of cut, as soon as it is measured."""
    with scratch_home() as folder, acquire(folder) as server:
        server.create_database("cuts")
        engine = create_engine(server.url("cuts"))
        upgrade(engine)
        n_scores = build(engine, 0.02 if quick else 1.0)
        with engine.begin() as connection:
            connection.execute(text(DAYS))
        yield from measured(World(engine), f"{n_scores / 1e6:.3g} M scores")


def measured(world: World, about: str) -> Iterator[Row]:
    """Rows R1. The first question after a start is told in words."""
    first = timed([lambda: world.four(cut("age >= 50"), task="Mass")])
    common = timed([lambda: world.common("and age >= 40")] * 3)
    equal = agree(world.four(cut("age >= 40")), world.common("and age >= 40"))
    title = "AUC, threshold measures, calibration and agreement of a cell"
    warm = timed(questions(world.four, [cut(f"age >= {age} and sex = 'F'") for age in range(30, 50, 2)]))
    start = f"(the first question {first.clock:.2f} s)"
    peer = "peer: rows of two models, pandas and scikit-learn, no interval"
    yield row(f"{title}, {about} {start}; {peer}", common.clock, warm, equal)
    yield row(f"{title}, by conditions, {about}; peer: the limit", LIMIT, warm, equal)
    days = [f"202{year}-{month:02d}-01" for year in (1, 2) for month in range(1, 6)]
    dated = timed(questions(world.four, [cut(since=day, until="2023-06-30") for day in days]))
    yield row(f"{title}, by days, {about}; peer: the limit", LIMIT, dated, equal)
    lists = [world.names[k :: k + 2] for k in range(10)]
    listed = timed(questions(world.four, [cut(images=names) for names in lists]))
    work = f"{title}, by lists of {len(lists[-1]):,} to {len(lists[0]):,} images, {about}; peer: the limit"
    yield row(work, LIMIT, listed, same_as_by_condition(world))
    others = ["nih", "chexpert", "mimic_ch", "openi", "google", "all-but-nih", "all-but-mimic"]
    fresh = timed(questions(partial(world.four, cut("age >= 60")), others))
    yield row(f"{title} that was not read before, {about}; peer: the limit", LIMIT, fresh, equal)
    ages = [cut(f"age >= {age}") for age in range(21, 41, 2)]
    for name in FOUR:
        one = timed(questions(partial(world.ask, name), ages))
        yield row(f"{name} alone of a cell, {about}; peer: the limit", LIMIT, one, equal)
    whole = timed(questions(partial(world.ask, "performance", task=None), ages[::4]))
    yield row(f"AUC of all 18 findings, {about}; peer: the limit of 18 cells", 18 * LIMIT, whole, equal)
    megabytes = world.cache.nbytes / 2**20
    yield Row(
        "R1",
        f"kept in memory, {about}; peer: the most",
        MOST / 2**20,
        megabytes,
        MOST / 2**20 / megabytes,
        "MiB",
        equal,
    )


def questions(question: Callable[[Any], object], parameters: Sequence[Any]) -> list[Callable[[], object]]:
    """A question for each thing that it asks for."""
    return [partial(question, one) for one in parameters]


def same_as_by_condition(world: World) -> bool:
    """Whether a list of all who are 70 or older gives what the condition gives, to the last bit."""
    with world.engine.connect() as connection:
        old = "select name from image where age >= 70 and name like :like"
        names = list(connection.scalars(text(old), {"like": f"{DATASET}-%"}))
    both = world.four(cut(images=names)), world.four(cut("age >= 70"))
    return all(both[0][name].equals(both[1][name]) for name in FOUR)


def row(work: str, peer: float, product: Times, equal: bool) -> Row:
    work = f"{work}; {product.cpu:.2f} CPU s"
    return Row("R1", work, peer, product.clock, peer / product.clock, "s by the clock", equal)


def main() -> int:
    """Print every row; exit code 1 where a limit is missed or a number differs."""
    options = arguments(__doc__)
    return judged(rows(options.quick), options.json, is_equal if options.quick else holds)


if __name__ == "__main__":
    raise SystemExit(main())
