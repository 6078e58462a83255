"""Questions to a full database: rows Q1 and Q2. python -m benchmarks.ask [--quick] [--json]

60 models score 176,000 test images of six datasets for 18 findings (190 million scores; with --quick a fortieth of the
images). Each question is asked of the embedded server by the clock, the fastest of five times. The peer is its limit in
seconds, and the exit code is 1 where one is broken. An answer is checked against the arrays that were stored.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from sqlalchemy import Engine, create_engine, insert, text
from sqlalchemy.pool import NullPool

from benchmarks.homes import scratch_home
from benchmarks.report import Row, arguments, judged
from benchmarks.store import N_TASKS, TASKS, store_labels, vacuum
from db.embedded import acquire
from db.migrate import upgrade
from db.schema import Cohort, Dataset, Model, ModelTask, Protocol, Site
from db.store import put_image_list, write_evaluation

N_MODELS, N_SEEDS = 60, 3
SIZES = {
    "nih": 50_000,
    "padchest": 40_000,
    "mimic": 60_000,
    "chexpert": 20_000,
    "openi": 4_000,
    "google": 2_000,
}
EFFUSION = 7

Answer = list[Any]


@dataclass(frozen=True)
class World:
    """What is stored: per dataset image names in the order of the list, labels (n, 18), and noise (n, 18) of the logits."""

    names: dict[str, list[str]]
    labels: dict[str, NDArray[np.int16]]
    noise: dict[str, NDArray[np.float32]]

    def logits(self, dataset: str, model: int) -> NDArray[np.float32]:
        """Logits (n, 18) of one model."""
        rolled: NDArray[np.float32] = np.roll(self.noise[dataset], 7919 * model, axis=0)
        return rolled + np.float32(0.5 + model % 3) * self.labels[dataset]

    @property
    def image(self) -> str:
        """One of nih's images."""
        return self.names["nih"][1234 % len(self.names["nih"])]

    @property
    def n(self) -> int:
        """Scores of all models."""
        return N_MODELS * N_TASKS * sum(map(len, self.names.values()))


def build(engine: Engine, sizes: dict[str, int], n_models: int = N_MODELS) -> World:
    """Images, cohorts, labels, models and their scores."""
    rng = np.random.default_rng(0)
    world = World({}, {}, {})
    lists: dict[str, int] = {}
    with engine.begin() as connection:

        def add(table: Any, **values: Any) -> int:
            return connection.execute(insert(table).values(**values).returning(table.id)).scalar_one()

        protocol = add(Protocol, name="corrected", version=1, definition={})
        patients = text(  # as registration says who and what is shown, and not by the guard, row by row
            "insert into patient (site_id, name, key)"
            " select :site, n::text, 'patient ' || n from generate_series(0, :n / 2) as n"
        )
        images = text(
            "insert into image (id, canonical_id, site_id, name, patient, patient_id, sex)"
            " select one.id, one.id, :site, :name || '-' || one.n, patient.name, patient.id,"
            " case when one.n % 2 = 0 then 'F' else 'M' end"
            " from (select nextval('image_id_seq') as id, n from generate_series(1, :n) as n) as one"
            " join patient on patient.site_id = :site and patient.name = (one.n / 2)::text returning id, name"
        )
        for name, n in sizes.items():
            site = add(Site, name=name)
            connection.execute(patients, {"site": site, "n": n})
            rows = connection.execute(images, {"site": site, "name": name, "n": n}).all()
            order = rng.permutation(n)
            world.names[name] = [rows[k].name for k in order]
            world.labels[name] = (rng.random((n, N_TASKS)) < rng.uniform(0.02, 0.2, N_TASKS)).astype(np.int16)
            world.noise[name] = rng.normal(-2, 1, (n, N_TASKS)).astype(np.float32)
            lists[name] = put_image_list(
                connection, name, np.array([rows[k].id for k in order], dtype=np.int32)
            )
            owner = {"image_list_id": lists[name], "content_hash": name}
            dataset = add(Dataset, name=name, site_id=site, source="csv", **owner)
            cohort = add(Cohort, dataset_id=dataset, protocol_id=protocol, part="test", **owner)
            store_labels(connection, cohort, world.labels[name])
    add_models(engine, world, range(n_models))
    vacuum(engine, "analyze")
    return world


def add_models(engine: Engine, world: World, numbers: range) -> None:
    """More models of the world, and their scores."""
    with engine.connect() as connection:
        protocol = connection.scalar(text("select id from protocol"))
        datasets = connection.execute(text("select name, image_list_id from dataset order by id"))
        lists = {row.name: row.image_list_id for row in datasets}
    for number in numbers:
        with engine.begin() as connection:
            trained_on = f"configuration-{number // N_SEEDS}"
            model = connection.execute(
                insert(Model).returning(Model.id).values(
                    name=f"{trained_on}/{number % N_SEEDS}", key=f"{number}", trained_on=trained_on, seed=number % N_SEEDS,
                    network="n", image_size=224, protocol_id=protocol, recipe={}, mlflow_run_id=f"{number}",
                    mlflow_model="m", mlflow_version=1, best_epoch=0, provenance={},
                )
            ).scalar_one()  # fmt: skip
            connection.execute(
                insert(ModelTask), [{"model_id": model, "task_id": t, "position": t} for t in range(N_TASKS)]
            )
            for name, listed in lists.items():
                write_evaluation(connection, model, listed, world.logits(name, number), TASKS)


@dataclass(frozen=True)
class Question:
    """id, in words, in SQL, how many seconds it may take, and whether an answer is right."""

    id: str
    work: str
    sql: str
    limit: float
    right: Callable[[Answer], bool]


def questions(world: World) -> Iterator[Question]:
    """What people ask, with the limits of docs/decisions/0024."""
    position = world.names["nih"].index(world.image)
    n_cell = len(world.names["nih"])
    by_cell = "select * from predictions where model = 'configuration-3/1' and test_dataset = 'nih' and task = 'Effusion'"
    by_image, by_function = (
        "select * from predictions where image = :image",
        "select * from image_predictions(:image)",
    )
    scores = np.sort(np.concatenate([world.logits("nih", m)[position] for m in range(N_MODELS)]))
    mean = float(world.logits("nih", 10)[:, EFFUSION].astype(float).mean())

    def logits_right(rows: Answer) -> bool:
        return np.array_equal(np.sort([np.float32(row.logit) for row in rows]), scores)

    def ensembles_right(rows: Answer) -> bool:
        vectors = [world.logits("openi", m)[:, EFFUSION].astype(float) for m in range(N_SEEDS)]
        ensemble = np.mean(vectors, axis=0).astype(np.float32)
        (auc,) = (r.auc for r in rows if (r.trained_on, r.test_dataset) == ("configuration-0", "openi"))
        return bool(abs(auc - roc_auc_score(world.labels["openi"][:, EFFUSION], ensemble)) < 1e-12)

    yield Question("Q1", "predictions by model, dataset and finding", by_cell, 1,
                   lambda rows: len(rows) == n_cell and abs(np.mean([r.logit for r in rows]) - mean) < 1e-4)  # fmt: skip
    yield Question("Q1", "predictions by image", by_image, 1, logits_right)
    yield Question("Q1", "image_predictions(image)", by_function, 0.02, logits_right)
    yield Question(
        "Q1", "predictions limit 10", "select * from predictions limit 10", 0.1, lambda rows: len(rows) == 10
    )
    yield Question("Q2", "how many scores", "select sum(n) as n from prediction_vectors", 5,
                   lambda rows: rows[0].n == world.n)  # fmt: skip
    yield Question("Q2", "count(*) from predictions", "select count(*) as n from predictions", 5,
                   lambda rows: rows[0].n == world.n)  # fmt: skip
    yield Question("Q2", "names of the models", "select distinct model from prediction_vectors", 5,
                   lambda rows: len(rows) == N_MODELS)  # fmt: skip
    yield Question("Q2", "AUC of every ensemble at every dataset, one finding",
                   "select trained_on, test_dataset, auc(mean_logits(array_agg(logits)), min(labels)) as auc"
                   " from prediction_vectors where task = 'Effusion' group by trained_on, test_dataset", 10,
                   ensembles_right)  # fmt: skip


def rows(quick: bool) -> Iterator[Row]:
    """Every question, as soon as it is answered."""
    sizes = {name: n // 40 for name, n in SIZES.items()} if quick else SIZES
    with scratch_home() as folder, acquire(folder) as server:
        server.create_database("ask")
        yield from measurements(create_engine(server.url("ask"), poolclass=NullPool), sizes)


def measurements(engine: Engine, sizes: dict[str, int]) -> Iterator[Row]:
    """Every question to a new database of these sizes."""
    upgrade(engine)
    world = build(engine, sizes)
    with engine.connect() as connection:
        for question in questions(world):
            seconds = []
            for _ in range(5):
                start = time.perf_counter()
                answer = list(connection.execute(text(question.sql), {"image": world.image}))
                seconds.append(time.perf_counter() - start)
            fastest = min(seconds)
            work = f"{question.work}, {world.n / 1e6:.3g} M scores; peer: the limit"
            yield Row(
                question.id,
                work,
                question.limit,
                fastest,
                question.limit / fastest,
                "s",
                question.right(answer),
            )


def main() -> int:
    """Print every row; exit code 1 where an answer is wrong or takes longer than its limit."""
    options = arguments(__doc__)
    return judged(rows(options.quick), options.json)


if __name__ == "__main__":
    raise SystemExit(main())
