"""From 20 M to 200 M and to 1,000 M scores: rows G2. python -m benchmarks.growth [--quick] [--json] [--whole]

6, 60 and, with --whole, 300 models have scored 185,185 images of six datasets for 18 findings (with --quick a fortieth of
the images), in one database that grows. Measured at each size: CPU seconds, of this process and of the server, per million
scores of what was added, by the load and by every AUC with its interval; bytes per score; views by cell and image, three of
the explorer's pages, and a cut of a cell, by the clock, the median of five; the largest memory of this process, and of the
server's process for it with the buffers that it shares. The peer of a row is the smaller size, and 1 is linear: costs per
million scores, and pages and views of a cell, should stay as they are, and what shows all models grows with them. The exit
code is 1 where a ratio is below 0.5, or an answer is not that of the arrays.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy

import argparse
import resource
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sklearn.metrics import roc_auc_score
from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.pool import NullPool

from benchmarks.ask import EFFUSION, SIZES, World, add_models, build
from benchmarks.explore import analysed, seconds, served
from benchmarks.homes import scratch_home
from benchmarks.report import Row, judged
from benchmarks.store import TASKS, Meter, vacuum
from db.connection import embedded
from db.embedded import acquire, status
from db.store import read_cohort, read_logits
from xray.analyses.cuts import Selection, cut, cut_frame
from xray.analyses.kept import Cache
from xray.analyses.run import by_name
from xray.stats.delong import auc_interval

STEPS: Final = (6, 60, 300)
"""Models."""
IMAGES: Final = {**SIZES, "nih": 59_185}
SLOWEST: Final = 0.5
CELL: Final = "model=configuration-0/0&dataset=nih&task=Effusion"
PAGES: Final = {
    "first page": "/?model=configuration-0/0",
    "page of a cell": f"/cell?{CELL}&sex=F",
    "page of an image": "/image/1234",
}
BY_CELL: Final = "select * from predictions where model = 'configuration-0/0' and test_dataset = 'nih' and task = 'Effusion'"
CLEARED: Final = ("delete from analysis", "delete from study")


@dataclass(frozen=True)
class Step:
    """What was measured of one size: name → amount."""

    scores: float
    costs: dict[str, float]
    times: dict[str, float]
    megabytes: dict[str, float]
    equal: bool


def every_auc(engine: Engine, world: World, models: range) -> tuple[bool, int]:
    """AUC with interval of every finding of some models on every cohort; whether sampled ones are scikit-learn's. And the
    largest memory of the server's process for it, in kB."""
    equal = True
    with engine.connect() as connection:
        cohorts = connection.execute(
            text("select cohort.id, dataset.name from cohort join dataset on dataset.id = dataset_id")
        ).all()
        for cohort_id, name in cohorts:
            cohort = read_cohort(connection, cohort_id, TASKS)
            for number in models:
                evaluation = connection.scalar(
                    text(
                        "select evaluation.id from evaluation join model on model.id = model_id"
                        " where model.key = :key and image_list_id = :listed"
                    ),
                    {"key": f"{number}", "listed": cohort.image_list_id},
                )
                estimates = auc_interval(
                    cohort.labels, read_logits(connection, int(evaluation or 0), TASKS).T
                )
                if number == models[0]:
                    truth = world.labels[name][:, EFFUSION]
                    expected = roc_auc_score(truth, world.logits(name, number)[:, EFFUSION])
                    equal &= bool(abs(estimates.value[EFFUSION] - expected) < 1e-12)
        return equal, _largest(connection)


def _largest(connection: Connection) -> int:
    pid = connection.scalar(text("select pg_backend_pid()"))
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def median(question: Callable[[], object]) -> float:
    """Seconds by the clock, once warm."""
    question()
    durations = []
    for _ in range(5):
        began = time.perf_counter()
        question()
        durations.append(time.perf_counter() - began)
    return statistics.median(durations)


def question_times(engine: Engine, world: World, logins: tuple[str, str], home: Path) -> dict[str, float]:
    """Views, a cut, and pages over HTTP."""
    with engine.begin() as connection:
        for statement in CLEARED:
            connection.exec_driver_sql(statement)
    analysed(engine)
    cache, of_cell = Cache(), Selection(("configuration-0",), ("nih",), ("Effusion",))
    with engine.connect() as connection:
        parameters = {"image": world.image}
        by_image = text("select * from image_predictions(:image)")
        times = {
            "predictions of a cell": median(lambda: connection.execute(text(BY_CELL)).all()),
            "predictions of an image": median(lambda: connection.execute(by_image, parameters).all()),
            "cut of a cell": median(
                lambda: cut_frame(connection, "all", by_name("performance"), cut("sex = 'F'"), of_cell, cache)
            ),
        }
    with served(*logins, home) as base:
        return times | {name: median(lambda path=path: seconds(base, path)) for name, path in PAGES.items()}  # type: ignore[misc]


def steps(quick: bool, whole: bool) -> Iterator[Step]:
    """Every size, as soon as it is measured."""
    sizes = {name: n // 40 for name, n in IMAGES.items()} if quick else IMAGES
    with (
        scratch_home() as folder,
        embedded(folder) as logins,
        acquire(folder) as server,
    ):
        running = status(folder)
        assert running is not None
        meter, engine = Meter(running.pid), create_engine(server.url("xray"), poolclass=NullPool)
        world, before = build(engine, sizes, 0), 0
        per_model = len(TASKS) * sum(sizes.values()) / 1e6
        for n in STEPS if whole else STEPS[:-1]:
            added = range(before, n)
            began = meter.now()
            add_models(engine, world, added)
            loading = meter.now() - began
            vacuum(engine, "analyze")
            began = meter.now()
            equal, largest = every_auc(engine, world, added)
            analysing = meter.now() - began
            with engine.connect() as connection:
                stored = connection.scalar(text("select pg_total_relation_size('prediction')")) or 0
            costs = {
                "load, CPU-s/M scores": loading / (len(added) * per_model),
                "every AUC, CPU-s/M scores": analysing / (len(added) * per_model),
                "store, bytes/score": stored / (n * per_model * 1e6),
            }
            users = str(logins["writer"].reader), logins["writer"].xray
            times = question_times(engine, world, users, folder)
            own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            yield Step(n * per_model, costs, times, {"memory": own / 1e3, "server": largest / 1e3}, equal)
            before = n


def rows(quick: bool, whole: bool) -> Iterator[Row]:
    """Each size against the one before it."""
    former: Step | None = None
    for step in steps(quick, whole):
        if former is not None:
            about = f"{former.scores:.0f} M to {step.scores:.0f} M scores"
            for kind, unit in (("costs", ""), ("times", "s by the clock"), ("megabytes", "MB")):
                for name, now in getattr(step, kind).items():
                    then = getattr(former, kind)[name]
                    work, _, of = name.partition(", ")
                    yield Row("G2", f"{work}, {about}", then, now, then / now, unit or of, step.equal)
        former = step


def main() -> int:
    """Print every row; exit code 1 where something grows faster than the scores, or an AUC is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a fortieth of the images")
    parser.add_argument("--json", action="store_true", help="print one JSON object per line")
    parser.add_argument("--whole", action="store_true", help="to 1,000 M scores")
    options = parser.parse_args()
    linear = rows(options.quick, options.whole)
    of_all = ("first page", "page of an image", "predictions of an image")  # shows all models
    return judged(
        linear, options.json, lambda row: row.equal and (row.ratio >= SLOWEST or row.work.startswith(of_all))
    )


if __name__ == "__main__":
    raise SystemExit(main())
