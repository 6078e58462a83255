"""Pages of the explorer at 20 million scores: rows X1 to X6. python -m benchmarks.explore [--quick] [--json]

60 models of one study have scored 18,500 images of six datasets for 18 findings. Each page is asked over HTTP by one reader,
by 20 who look at each for some seconds, and by 20 who do not pause; the 95th percentile is taken. The peer is the limit for
one reader and for 20 who look at what they ask for, 0.3 s; the exit code is 1 where it is broken. With --quick: a tenth of
the images.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy

import contextlib
import random
import socket
import threading
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import uvicorn
from sqlalchemy import Engine, create_engine
from sqlalchemy.pool import NullPool

from benchmarks.ask import SIZES, build
from benchmarks.homes import scratch_home
from benchmarks.report import Row, arguments, judged
from db.connection import embedded
from db.embedded import acquire
from xray.explorer.app import create_app

READERS, EACH, ALONE = 20, 15, 20
LOOKED_AT, LOOKS = 3.0, 4
"""Seconds that a reader looks at a page, on average, and how many pages."""
LIMIT = 0.3
PART = 18_500 / sum(SIZES.values())
CELL = "model={model}&dataset={dataset}&task=Effusion"
PAGES = {
    "findings and sites": "/?model={model}",
    "a cell": f"/cell?{CELL}",
    "a cell, filtered": f"/cell?{CELL}&sex=F",
    "false positives": f"/images?{CELL}&kind=false-positives",
    "two models": f"/images?{CELL}&kind=disagreements&other={{other}}",
    "one image": "/image/{image}",
}

STUDY = (
    "insert into study (name, protocol_id, definition) select 'all', id, '{}' from protocol",
    "insert into study_dataset (study_id, dataset_id, position) select study.id, dataset.id, dataset.id from study, dataset",
    "insert into study_task (study_id, task_id, position) select study.id, task.id, task.id from study, task",
    "insert into study_model (study_id, model_id, position) select study.id, model.id, model.id from study, model",
    "insert into analysis (study_id, name, fingerprint) select id, 'auc', '' from study",
    """
    insert into auc (analysis_id, cohort_id, task_id, n, n_pos, method, evaluation_ids, trained_on, seed, auc, lower, upper)
    select analysis.id, cohort.id, task.id, 100, 10, 'by chance', array_agg(evaluation.id), model.trained_on, model.seed,
        0.8, 0.7, 0.9
    from analysis, cohort, task, model, evaluation
    where evaluation.model_id = model.id and evaluation.image_list_id = cohort.image_list_id
    group by analysis.id, cohort.id, task.id, grouping sets ((model.trained_on, model.seed), (model.trained_on))
    """,
)


@contextlib.contextmanager
def served(reader: str, writer: str, home: Path) -> Iterator[str]:
    """The explorer on a free port: its address."""
    app = create_app(reader, writer, home, b"key")
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join()


def address(page: str, chance: random.Random, n_images: int) -> str:
    """A page of a model, dataset or image by chance."""
    models = [f"configuration-{number // 3}/{number % 3}" for number in range(60)]
    model, other = chance.sample(models, 2)
    dataset, image = chance.choice(list(SIZES)), chance.randrange(1, n_images)
    return PAGES[page].format(model=model, other=other, dataset=dataset, image=image)


def analysed(engine: Engine) -> None:
    """One study of everything that is there, with a stored AUC of each model and ensemble on each cohort and finding."""
    with engine.begin() as connection:
        for statement in STUDY:
            connection.exec_driver_sql(statement)
        connection.exec_driver_sql("analyze")


def seconds(base: str, path: str) -> float:
    """How long a page takes to its last byte."""
    began = time.perf_counter()
    with urllib.request.urlopen(base + path, timeout=120) as answer:
        answer.read()
    return time.perf_counter() - began


def times(
    base: str, page: str, readers: int, n_requests: int, n_images: int, pause: float = 0
) -> list[float]:
    """Seconds of a page, asked by so many readers, so many times each. pause: mean seconds before each."""

    def read(reader: int) -> list[float]:
        chance = random.Random(f"{page} {reader}")
        durations = []
        for _ in range(n_requests):
            time.sleep(chance.uniform(0, 2 * pause))
            durations.append(seconds(base, address(page, chance, n_images)))
        return durations

    with ThreadPoolExecutor(readers) as pool:
        return [second for read_in in pool.map(read, range(readers)) for second in read_in]


def rows(quick: bool) -> Iterator[Row]:
    """A row per page: its limit, and the 95th percentile of one reader or, where it is longer, of twenty who look at it.

    All of them, with medians, and those of twenty who do not pause, stand in words.
    """
    part = PART / 10 if quick else PART
    sizes = {name: max(100, round(n * part)) for name, n in SIZES.items()}
    n_images = sum(sizes.values())
    with (
        scratch_home() as folder,
        embedded(folder) as logins,
        acquire(folder) as server,
    ):
        engine = create_engine(server.url("xray"), poolclass=NullPool)
        world = build(engine, sizes)
        analysed(engine)
        with served(str(logins["writer"].reader), logins["writer"].xray, folder) as base:
            for page in PAGES:
                times(base, page, 1, 2, n_images)  # what is read once
            for number, page in enumerate(PAGES, start=1):
                alone = times(base, page, 1, ALONE, n_images)
                looking = times(base, page, READERS, LOOKS, n_images, LOOKED_AT)
                crowd = times(base, page, READERS, EACH, n_images)
                work = (
                    f"{page}, {world.n / 1e6:.1f} M scores; median and p95 of one reader {words(alone)} s, of {READERS} who "
                    f"look at each for {LOOKED_AT:g} s {words(looking)} s, of {READERS} without a pause {words(crowd)} s"
                )
                slowest = max(float(np.quantile(some, 0.95)) for some in (alone, looking))
                yield Row(f"X{number}", work, LIMIT, slowest, LIMIT / slowest, "s", True)


def words(seconds: list[float]) -> str:
    """Median and 95th percentile."""
    return f"{np.median(seconds):.3f} and {np.quantile(seconds, 0.95):.3f}"


def main() -> int:
    """Print every row; exit code 1 where a page takes longer than its limit."""
    options = arguments(__doc__)
    return judged(rows(options.quick), options.json)


if __name__ == "__main__":
    raise SystemExit(main())
