"""How every benchmark measures and reports: interleaved rounds, medians, one line per claim."""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Generator, Iterable
from contextlib import closing, nullcontext
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Row:
    """One claim. peer, ours: amount per piece of work in `unit`; ratio: how many times better ours is.

    equal: whether both gave the same result, without which the ratio means nothing.
    """

    id: str
    work: str
    peer: float
    ours: float
    ratio: float
    unit: str
    equal: bool


@dataclass(frozen=True)
class Timing:
    """Medians over rounds: CPU seconds of both sides, and their ratio round by round."""

    peer: float
    ours: float
    ratio: float


def compare(
    peer: Callable[[], object], product: Callable[[], object], rounds: int, repeats: int = 1
) -> Timing:
    """CPU time of both sides, one after the other in every round, so that a busy machine hurts both.

    Ours runs `repeats` times a round, where once would be too short to time. Call both once before, so that
    neither pays for imports or compilation.
    """
    peers, own = [], []
    for _ in range(rounds):
        start = time.process_time()
        peer()
        between = time.process_time()
        for _ in range(repeats):
            product()
        end = time.process_time()
        peers.append(between - start)
        own.append((end - between) / repeats)
    ratios = [peer_seconds / seconds for peer_seconds, seconds in zip(peers, own, strict=True)]
    return Timing(statistics.median(peers), statistics.median(own), statistics.median(ratios))


def arguments(description: str | None) -> argparse.Namespace:
    """The options that every benchmark has: --quick (within a minute) and --json (one object per line)."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="fewer rounds: ends within a minute")
    parser.add_argument("--json", action="store_true", help="print one JSON object per line")
    return parser.parse_args()


def show(row: Row, as_json: bool) -> None:
    """Print one claim as it comes in."""
    if as_json:
        print(json.dumps(asdict(row), ensure_ascii=False), flush=True)
        return
    equal = "equal" if row.equal else "DIFFERENT"
    figures = f"{row.ratio:8.1f} ×  {row.peer:10.4g} → {row.ours:<10.4g} {row.unit:18}"
    print(f"{row.id:3} {figures} {equal:9}  {row.work}", flush=True)


def holds(row: Row) -> bool:
    """Whether both sides gave the same result, and ours is no worse than its peer, such as a limit."""
    return row.equal and row.ratio >= 1


def is_equal(row: Row) -> bool:
    """Whether both sides gave the same result."""
    return row.equal


def judged(rows: Iterable[Row], as_json: bool, good: Callable[[Row], bool] = holds) -> int:
    """Print every claim as it comes in; the exit code: 1 where one is not good, else 0."""
    fine = True
    # what a generator has begun, such as a server, ends before an error of ours is told
    with closing(rows) if isinstance(rows, Generator) else nullcontext():
        for row in rows:
            show(row, as_json)
            fine &= good(row)
    return 0 if fine else 1
