"""The eight datasets of the study: which site their images come from, who labelled them (protocol §2)."""

import csv
import functools
from dataclasses import dataclass
from importlib import resources


@dataclass(frozen=True)
class Dataset:
    """Images of one site under one labeller.

    name: as users type it. published: as the paper writes it. maximum: the greatest pixel value of its files.
    """

    name: str
    published: str
    site: str
    labeller: str
    maximum: int


@functools.cache
def published_datasets() -> dict[str, Dataset]:
    """The study's datasets by name."""
    text = (resources.files("xray.data.sources") / "datasets.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(text.splitlines())
    return {
        row["name"]: Dataset(row["name"], row["published"], row["site"], row["labeller"], int(row["maximum"]))
        for row in rows
    }


@functools.cache
def published_sites() -> dict[str, str]:
    """Source → the site whose images it reads: the study's datasets, and the other published layouts."""
    text = (resources.files("xray.data.sources") / "layouts.csv").read_text(encoding="utf-8")
    layouts = {row["name"]: row["site"] for row in csv.DictReader(text.splitlines())}
    return {name: its.site for name, its in published_datasets().items()} | layouts


def dataset(name: str, site: str | None = None) -> Dataset:
    """A dataset of the study, or one of a user's own: its site is `site`, else named like the dataset."""
    published = published_datasets().get(name)
    return published or Dataset(name, name, site or name, "manifest", 255)
