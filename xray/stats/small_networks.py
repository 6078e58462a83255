"""The mean of a few small networks with one hidden layer, coefficients shipped as CSV: numbers in, probabilities out."""

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

import numpy as np
from scipy.special import expit

from xray.stats.estimates import FloatArray

WIDEST: Final = 4.0
"""Standardised inputs are cut here."""


@dataclass(frozen=True)
class Networks:
    """names (p,) of the inputs, with centre and scale (p,). first (k, p, h), first_bias (k, h), second (k, h, o),
    second_bias (k, o) of k networks with h hidden units and o answers.
    """

    names: tuple[str, ...]
    centre: FloatArray
    scale: FloatArray
    first: FloatArray
    first_bias: FloatArray
    second: FloatArray
    second_bias: FloatArray

    def answers(self, inputs: FloatArray) -> FloatArray:
        """Chances (n, o) from inputs (n, p); what is not finite counts as its mean."""
        finite = np.where(np.isfinite(inputs), inputs, self.centre)
        x = np.clip((finite - self.centre) / self.scale, -WIDEST, WIDEST)
        hidden = np.tanh(np.einsum("np,kph->knh", x, self.first) + self.first_bias[:, None])
        out = np.einsum("knh,kho->kno", hidden, self.second) + self.second_bias[:, None]
        return np.asarray(expit(out).mean(axis=0))


@cache
def networks(name: str) -> Networks:
    """Those of a file that comes along."""
    return parse((files("xray.stats") / f"{name}.csv").read_text(encoding="utf-8"))


def parse(content: str) -> Networks:
    """From lines `what, name, number …`, as `written` writes them."""
    lines: dict[str, list[tuple[str, list[float]]]] = {}
    for kind, name, *numbers in csv.reader(content.splitlines()):
        lines.setdefault(kind, []).append((name, [float(number) for number in numbers]))
    table = {kind: np.array([numbers for _, numbers in rows]) for kind, rows in lines.items()}
    k, p, h = len(lines["first bias"]), len(lines["input"]), table["first bias"].shape[1]
    return Networks(
        tuple(name for name, _ in lines["input"]),
        table["input"][:, 0],
        table["input"][:, 1],
        table["first"].reshape(p, k, h).transpose(1, 0, 2),
        table["first bias"],
        table["second"].reshape(k, h, -1),
        table["second bias"],
    )


def as_text(of: Networks) -> str:
    """As text, four digits each."""
    k, _, h = of.first.shape
    rows = [("input", name, np.array([of.centre[i], of.scale[i]])) for i, name in enumerate(of.names)]
    rows += [("first", name, of.first[:, i].ravel()) for i, name in enumerate(of.names)]
    rows += [("first bias", str(n), of.first_bias[n]) for n in range(k)]
    rows += [("second", f"{n} {j}", of.second[n, j]) for n in range(k) for j in range(h)]
    rows += [("second bias", str(n), of.second_bias[n]) for n in range(k)]
    return "".join(
        ",".join([kind, name, *(f"{number:.4g}" for number in numbers)]) + "\n"
        for kind, name, numbers in rows
    )
