"""The store against a long table: rows S1, S2, A1, G1. python -m benchmarks.store [--quick] [--json]

The server is the embedded one, in a temporary folder. Times are CPU seconds of this process and of all of the server's
processes, so that no work is hidden in the other (by the clock where the kernel does not tell). The peer is the common way:
one row per score, loaded by pandas.to_sql and analysed by read_sql, groupby and scikit-learn. It gets fewer scores, as it
takes longer; both are counted per score.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy: one core for both sides
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import contextlib
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from sqlalchemy import Connection, Engine, create_engine, insert, text
from sqlalchemy.pool import NullPool

from benchmarks.homes import scratch_home
from benchmarks.report import Row, Timing, arguments, is_equal, judged
from db.copy import array, copy_in, scalar
from db.embedded import acquire, status
from db.migrate import upgrade
from db.results import Analysis, Auc
from db.schema import Cohort, Dataset, Image, Model, ModelTask, Protocol, Site, Study
from db.store import put_image_list, read_cohort, read_logits, write_evaluation
from xray.stats.delong import auc_interval

N_TASKS = 18
N_IMAGES = 20_000
TASKS = range(N_TASKS)
LONG = "evaluation_id integer, image_id integer, task_id smallint, label smallint, logit real"

Scores = NDArray[np.float32]


@dataclass(frozen=True)
class Grid:
    """A test cohort of `n_images` in the database, models to score it with, and one random draw of logits."""

    engine: Engine
    cohort_id: int
    image_list_id: int
    analysis_id: int
    model_ids: list[int]
    images: NDArray[np.int32]
    labels: NDArray[np.int16]
    noise: Scores

    def logits(self, model: int) -> Scores:
        """Logits (n_images, 18) of one model: the same noise from another place, better at some tasks; half rounded."""
        rolled = np.roll(self.noise, 7919 * model, axis=0) + np.float32(0.5 + model % 3) * self.labels
        rolled[:, ::2] = np.round(rolled[:, ::2], 2)
        return rolled

    def size(self, n_models: int) -> int:
        """Scores of so many models."""
        return n_models * len(self.images) * N_TASKS


def build(engine: Engine, n_images: int, n_models: int) -> Grid:
    """The rows around the predictions; every image is labelled for every task, 1 to 20 % positive."""
    rng = np.random.default_rng(0)
    labels = (rng.random((n_images, N_TASKS)) < rng.uniform(0.01, 0.2, N_TASKS)).astype(np.int16)
    with engine.begin() as connection:

        def add(table: Any, **values: Any) -> int:
            return connection.execute(insert(table).values(**values).returning(table.id)).scalar_one()

        site = add(Site, name="site")
        names = [{"site_id": site, "name": f"{i:08d}.png", "patient": f"{i // 2}"} for i in range(n_images)]
        ids = connection.execute(insert(Image).returning(Image.id, sort_by_parameter_order=True), names)
        images = np.array(ids.scalars().all(), dtype=np.int32)
        listed = put_image_list(connection, "list", images)
        dataset = add(Dataset, name="nih", site_id=site, image_list_id=listed, source="nih", content_hash="d")
        protocol = add(Protocol, name="corrected", version=1, definition={})
        owner = {"dataset_id": dataset, "protocol_id": protocol, "image_list_id": listed}
        cohort = add(Cohort, part="test", content_hash="c", **owner)
        store_labels(connection, cohort, labels)
        models = [
            add(
                Model, name=f"{i}", key=f"{i}", trained_on="nih", seed=i, network="n", image_size=224, protocol_id=protocol,
                recipe={}, mlflow_run_id=f"{i}", mlflow_model="m", mlflow_version=1, best_epoch=0, provenance={},
            )
            for i in range(n_models)
        ]  # fmt: skip
        connection.execute(
            insert(ModelTask),
            [{"model_id": m, "task_id": t, "position": t} for m in models for t in range(N_TASKS)],
        )
        study = add(Study, name="study", definition={})
        analysis = add(Analysis, study_id=study, name="performance", fingerprint="")
    noise = rng.normal(-2, 1, (n_images, N_TASKS)).astype(np.float32)
    return Grid(engine, cohort, listed, analysis, models, images, labels, noise)


def store_labels(connection: Connection, cohort_id: int, labels: NDArray[np.int16]) -> None:
    """The label vectors of the cohort."""
    vectors = []
    for task, vector in enumerate(labels.T):
        n_pos = int(vector.sum())
        counts = (scalar(n_pos, "int4"), scalar(len(vector) - n_pos, "int4"))
        vectors.append((scalar(cohort_id, "int4"), scalar(task, "int2"), array(vector, "int2"), *counts))
    copy_in(connection, "cohort_label", ("cohort_id", "task_id", "labels", "n_pos", "n_neg"), vectors)


def write(grid: Grid, scores: list[Scores]) -> list[int]:
    """Our load: the evaluations of so many models, each in a transaction, as the platform does it; their ids."""
    ids = []
    for model_id, logits in zip(grid.model_ids, scores, strict=False):
        with grid.engine.begin() as connection:
            evaluation = write_evaluation(connection, model_id, grid.image_list_id, logits, TASKS)
        assert evaluation is not None
        ids.append(evaluation)
    return ids


def clear(grid: Grid) -> None:
    """No evaluation, and no dead row."""
    with grid.engine.begin() as connection:
        connection.execute(text("delete from evaluation"))
    vacuum(grid.engine, "full prediction")


def vacuum(engine: Engine, table: str) -> None:
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(f"vacuum {table}"))
        connection.execute(text("checkpoint"))


def long_frame(grid: Grid, evaluation_id: int, logits: Scores) -> pd.DataFrame:
    """The scores of one evaluation, a row each, in the narrowest types."""
    n = len(grid.images)
    return pd.DataFrame(
        {
            "evaluation_id": np.full(n * N_TASKS, evaluation_id, dtype=np.int32),
            "image_id": np.repeat(grid.images, N_TASKS),
            "task_id": np.tile(np.arange(N_TASKS, dtype=np.int16), n),
            "label": grid.labels.ravel(),
            "logit": logits.ravel(),
        }
    )


def new_long_table(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("drop table if exists long"))
        connection.execute(
            text(f"create table long ({LONG}, primary key (evaluation_id, image_id, task_id))")
        )


def bytes_of(engine: Engine, table: str) -> int:
    """On disk, with indexes and TOAST."""
    vacuum(engine, table)
    with engine.connect() as connection:
        return int(connection.execute(text(f"select pg_total_relation_size('{table}')")).scalar_one())


def server_seconds(postmaster: int) -> float:
    """CPU seconds that a server and its processes have used, those that ended included."""
    total = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            if int(stat.parent.name) == postmaster:
                total += sum(int(field) for field in fields[11:15])
            elif int(fields[1]) == postmaster:
                total += sum(int(field) for field in fields[11:13])
    return total / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Meter:
    """Measures work that is done here and in the server."""

    postmaster: int

    def now(self) -> float:
        """CPU seconds of both until now."""
        if not Path(f"/proc/{self.postmaster}/stat").exists():
            return time.perf_counter()
        return time.process_time() + server_seconds(self.postmaster)

    def seconds(self, work: Callable[[], object]) -> float:
        """What a piece of work takes."""
        start = self.now()
        work()
        return self.now() - start

    def compare(
        self,
        peer: Callable[[], object],
        product: Callable[[], object],
        rounds: int,
        before: Callable[[], object],
    ) -> Timing:
        """Both sides, one after the other in every round; what is done `before` each is not counted."""
        peers, own = [], []
        for _ in range(rounds):
            before()
            peers.append(self.seconds(peer))
            own.append(self.seconds(product))
        ratios = [peer_seconds / seconds for peer_seconds, seconds in zip(peers, own, strict=True)]
        return Timing(statistics.median(peers), statistics.median(own), statistics.median(ratios))


def load(engine: Engine, meter: Meter, quick: bool) -> Iterator[Row]:
    """S1 and S2: ours loads the scores of all models, the peer those of the first one on a quarter of the images."""
    n_models = 15 if quick else 55
    grid = build(engine, N_IMAGES, n_models)
    scores = [grid.logits(model) for model in range(n_models)]
    frame = long_frame(grid, 1, scores[0])[: grid.size(1) // 4]

    def before() -> None:
        clear(grid)
        new_long_table(engine)
        vacuum(engine, "long")

    def peer() -> None:
        with engine.begin() as connection:
            frame.to_sql("long", connection, if_exists="append", index=False)

    clock: list[float] = []

    def product() -> None:
        start = time.perf_counter()
        write(grid, scores)
        clock.append(time.perf_counter() - start)

    timing = meter.compare(peer, product, 3, before)
    with engine.connect() as connection:
        stored = pd.read_sql(text("select logit from long order by image_id, task_id"), connection)
        first = connection.scalar(text("select min(id) from evaluation"))
        loaded = stored["logit"].to_numpy(np.float32)
        equal = np.array_equal(loaded, scores[0].ravel()[: len(frame)]) and np.array_equal(
            read_logits(connection, int(first or 0), TASKS), scores[0].T
        )
    n_peer, n_ours = len(frame), grid.size(n_models)
    ratio = timing.ratio * n_ours / n_peer
    rates = (n_peer / timing.peer / 1e6, n_ours / timing.ours / 1e6)
    by_clock = f"{n_ours / statistics.median(clock) / 1e6:.1f} M/s by the clock"
    work = f"load {n_ours / 1e6:g} M predictions by COPY BINARY ({by_clock}); peer: pandas.to_sql of {n_peer / 1e6:g} M rows"
    yield Row("S1", work, *rates, ratio, "M scores/CPU-s", equal)
    sizes = (bytes_of(engine, "long") / n_peer, bytes_of(engine, "prediction") / n_ours)
    index = bytes_of(engine, "listed_image") / N_IMAGES
    work = (
        f"bytes per score with indexes and TOAST, {N_IMAGES:,} images (and {index:.0f} bytes per image of a list, once for "
        "all models and tasks); peer: long table with primary key"
    )
    yield Row("S2", work, *sizes, sizes[0] / sizes[1], "bytes/score", equal)


def result_rows(grid: Grid, evaluation_ids: list[int]) -> NDArray[np.float64]:
    """A1, ours: AUC and DeLong's interval of every evaluation and task, into table `auc`. (n_evaluations, 18) AUCs."""
    values = []
    with grid.engine.begin() as connection:
        cohort = read_cohort(connection, grid.cohort_id, TASKS)
        rows = []
        for position, evaluation_id in enumerate(evaluation_ids):
            estimate = auc_interval(cohort.labels, read_logits(connection, evaluation_id, TASKS).T)
            values.append(estimate.value)
            rows += [
                {
                    "analysis_id": grid.analysis_id, "trained_on": "nih", "cohort_id": cohort.id, "task_id": task,
                    "seed": position, "n": int(estimate.n[task]), "n_pos": int(estimate.n_pos[task]),
                    "auc": float(estimate.value[task]), "lower": float(estimate.lower[task]),
                    "upper": float(estimate.upper[task]), "method": "DeLong", "evaluation_ids": [evaluation_id],
                }
                for task in range(N_TASKS)
            ]  # fmt: skip
        connection.execute(text("delete from auc"))
        connection.execute(insert(Auc), rows)
    return np.array(values)


def common_way(engine: Engine) -> NDArray[np.float64]:
    """A1, peer: the AUC of every evaluation and task, without interval. (n_evaluations, 18)."""
    with engine.connect() as connection:
        frame = pd.read_sql(text("select evaluation_id, task_id, label, logit from long"), connection)
    groups = frame.groupby(["evaluation_id", "task_id"])
    aucs = [roc_auc_score(group["label"], group["logit"]) for _, group in groups]
    return np.array(aucs).reshape(-1, N_TASKS)


def fill_long_table(grid: Grid, evaluation_ids: list[int]) -> None:
    """The stored scores once more, a row each; made in the server, as to_sql would take minutes."""
    new_long_table(grid.engine)
    with grid.engine.begin() as connection:
        connection.execute(
            text(
                "insert into long select evaluation_id, image_id, task_id, labels[place], logits[place]"
                " from prediction join listed_image using (piece) join cohort_label_piece using (task_id, piece)"
                " where listed_image.image_list_id = :listed and evaluation_id = any(:ids)"
            ),
            {"listed": grid.image_list_id, "ids": evaluation_ids},
        )
    vacuum(grid.engine, "analyze long")


def analyse(engine: Engine, meter: Meter, quick: bool) -> Iterator[Row]:
    """A1, and G1: load and analysis of ten times as many scores (five times if quick)."""
    few, many, peers = (10, 50, 1) if quick else (55, 550, 5)
    grid = build(engine, N_IMAGES, many)
    # the same few vectors of scores again and again: what is measured is not their drawing
    scores = [grid.logits(model) for model in range(few)]
    small = meter.seconds(lambda: write(grid, scores))
    with engine.connect() as connection:
        ids = list(connection.execute(text("select id from evaluation order by id")).scalars())
    fill_long_table(grid, ids[:peers])
    equal = bool(np.abs(common_way(engine) - result_rows(grid, ids)[:peers]).max() <= 1e-12)
    timing = meter.compare(lambda: common_way(engine), lambda: result_rows(grid, ids), 3, lambda: None)
    n_peer, n_ours = grid.size(peers) / 1e6, grid.size(few) / 1e6
    costs = (timing.peer / n_peer, timing.ours / n_ours)
    work = (
        f"every AUC with DeLong interval of {n_ours:.3g} M scores, from PostgreSQL to result rows; "
        f"peer: read_sql, groupby, roc_auc_score of {n_peer:.3g} M, no interval"
    )
    yield Row("A1", work, *costs, timing.ratio * n_ours / n_peer, "CPU-s/M scores", equal)
    yield from grow(grid, meter, scores, ids, small, many)


def grow(
    grid: Grid, meter: Meter, scores: list[Scores], ids: list[int], small: float, many: int
) -> Iterator[Row]:
    """G1: CPU seconds per million scores of `many` models against those of the few that are there."""
    few = len(scores)
    n_few, n_many = grid.size(few) / 1e6, grid.size(many) / 1e6
    vacuum(grid.engine, "prediction")  # the first reader of new rows would pay for marking them as committed
    values = result_rows(grid, ids)
    small_analysis = statistics.median(meter.seconds(lambda: result_rows(grid, ids)) for _ in range(3))
    clear(grid)
    repeated = [scores[model % few] for model in range(many)]
    large = meter.seconds(lambda: write(grid, repeated))
    vacuum(grid.engine, "prediction")
    with grid.engine.connect() as connection:
        all_ids = list(connection.execute(text("select id from evaluation order by id")).scalars())
    aucs: list[NDArray[np.float64]] = []
    large_analysis = meter.seconds(lambda: aucs.append(result_rows(grid, all_ids)))
    equal = np.array_equal(aucs[0], np.tile(values, (many // few, 1)))
    for name, before, after in (("load", small, large), ("every AUC", small_analysis, large_analysis)):
        per_million = (before / n_few, after / n_many)
        work = f"growth, {name}: {n_few:.3g} M to {n_many:.3g} M scores (1 is linear, below 0.85 too slow)"
        yield Row("G1", work, *per_million, per_million[0] / per_million[1], "CPU-s/M scores", equal)


def rows(quick: bool) -> Iterator[Row]:
    """All claims, each as soon as it is measured; a database each, so that none finds the other's rows."""
    with scratch_home() as folder, acquire(folder) as server:
        running = status(folder)
        assert running is not None
        for name, measure in (("load", load), ("analyse", analyse)):
            server.create_database(name)
            engine = create_engine(server.url(name), poolclass=NullPool)
            upgrade(engine)
            yield from measure(engine, Meter(running.pid), quick)


def main() -> int:
    """Print every row; exit code 1 where a result differs from the peer's."""
    options = arguments(__doc__)
    return judged(rows(options.quick), options.json, is_equal)


if __name__ == "__main__":
    raise SystemExit(main())
