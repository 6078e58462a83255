"""Pages of the explorer at 20 million scores: rows X1 to X6. python -m benchmarks.explore [--quick] [--json]

60 models have scored 18,500 images of six datasets for 18 findings. Each page is asked over HTTP by one reader, then by 20
at once who do not pause, and the 95th percentile is taken. The peer is the limit for one reader, 0.3 s; the exit code is 1
where it is broken. With --quick: a tenth of the images.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy

import contextlib
import random
import socket
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import uvicorn
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from benchmarks.ask import SIZES, build
from benchmarks.report import Row, arguments, show
from db.connection import embedded
from db.embedded import acquire
from xray.explorer.app import create_app

READERS, EACH, ALONE = 20, 15, 20
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


def seconds(base: str, path: str) -> float:
    """How long a page takes to its last byte."""
    began = time.perf_counter()
    with urllib.request.urlopen(base + path, timeout=120) as answer:
        answer.read()
    return time.perf_counter() - began


def times(base: str, page: str, readers: int, each: int, n_images: int) -> list[float]:
    """Seconds of a page, asked by so many readers at once, so many times each."""

    def read(reader: int) -> list[float]:
        chance = random.Random(f"{page} {reader}")
        return [seconds(base, address(page, chance, n_images)) for _ in range(each)]

    with ThreadPoolExecutor(readers) as pool:
        return [second for read_in in pool.map(read, range(readers)) for second in read_in]


def rows(quick: bool) -> Iterator[Row]:
    """A row per page: its limit, and the 95th percentile of one reader; that of twenty stands in words."""
    part = PART / 10 if quick else PART
    sizes = {name: max(100, round(n * part)) for name, n in SIZES.items()}
    n_images = sum(sizes.values())
    with (
        tempfile.TemporaryDirectory(prefix="explore") as folder,
        embedded(Path(folder)) as logins,
        acquire(Path(folder)) as server,
    ):
        world = build(create_engine(server.url("xray"), poolclass=NullPool), sizes)
        with served(str(logins["writer"].reader), logins["writer"].xray, Path(folder)) as base:
            for page in PAGES:
                times(base, page, 1, 2, n_images)  # what is read once
            for number, page in enumerate(PAGES, start=1):
                alone = float(np.quantile(times(base, page, 1, ALONE, n_images), 0.95))
                crowd = float(np.quantile(times(base, page, READERS, EACH, n_images), 0.95))
                work = f"{page}, {world.n / 1e6:.1f} M scores; p95 of {READERS} readers at once {crowd:.2f} s"
                yield Row(f"X{number}", work, LIMIT, alone, LIMIT / alone, "s", True)


def main() -> int:
    """Print every row; exit code 1 where a page takes one reader longer than its limit."""
    options = arguments(__doc__)
    good = True
    for row in rows(options.quick):
        show(row, options.json)
        good &= row.ratio >= 1
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
