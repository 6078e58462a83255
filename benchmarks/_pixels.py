"""What the benchmarks of pixels share: made-up radiographs, interleaved rounds and one line per result."""

import json
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray


def peer() -> Any:
    """torchxrayvision, or an end that says what is missing."""
    try:
        return import_module("torchxrayvision")
    except ImportError as error:
        message = f"not measured: the peer is not installed ({error.name}): pip install torchxrayvision"
        raise SystemExit(message) from error


def radiograph(rng: np.random.Generator, size: int) -> NDArray[np.float32]:
    """A made-up picture (size, size) in [0, 1] that compresses as real ones do: about 3 bits a pixel."""
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j].astype(np.float32)
    picture = 0.25 + 0.5 * np.exp(-(x**2) / 0.08) + 0.15 * (y + 1) / 2
    for side in (-1, 1):
        picture -= 0.35 * np.exp(-((x - side * 0.45) ** 2) / 0.05 - y**2 / 0.3)
    for _ in range(12):
        phase, rate = rng.uniform(0, 6), rng.uniform(4, 40)
        picture += rng.uniform(0.005, 0.03) * np.sin(rate * (y + rng.uniform(-0.5, 0.5) * x**2) + phase)
    picture += rng.normal(0, 0.004, picture.shape)
    clipped: NDArray[np.float32] = np.clip(picture, 0, 1).astype(np.float32)
    return clipped


def interleaved(
    peer: Callable[[], int], product: Callable[[], int], rounds: int
) -> tuple[float, float, float]:
    """Images per CPU second of both, and the ratio: medians over rounds of one turn each.

    Each callable works through its images once and returns how many. The first round warms up and is left
    out.
    """
    rates = np.array([[_rate(peer), _rate(product)] for _ in range(rounds + 1)])[1:]
    medians = np.median(rates, axis=0)
    return float(medians[0]), float(medians[1]), float(np.median(rates[:, 1] / rates[:, 0]))


def _rate(work: Callable[[], int]) -> float:
    begin = time.process_time()
    n = work()
    return n / (time.process_time() - begin)


def show(
    as_json: bool, *, id: str, work: str, rates: tuple[float, float, float], target: float, equal: bool
) -> None:
    """Print one result; `rates` are the peer's, ours and the ratio."""
    peer, product, ratio = rates
    unit = "images/CPU-s"
    if as_json:
        row = {
            "id": id,
            "work": work,
            "peer": peer,
            "ours": product,
            "ratio": ratio,
            "unit": unit,
            "equal": equal,
        }
        click.echo(json.dumps(row))
        return
    met = "met" if ratio >= target else "NOT met"
    same = "results equal" if equal else "RESULTS DIFFER"
    click.echo(
        f"{id} {work}: peer {peer:.1f}, ours {product:.1f} {unit}, ×{ratio:.1f} (≥ {target:g} {met}), {same}"
    )
