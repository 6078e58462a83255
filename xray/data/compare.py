"""What changes between two protocols, or versions of one: rules, images and counts of a dataset."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from xray.data.protocol import Protocol
from xray.data.registered import RegisteredDataset
from xray.data.selection import Selection, select
from xray.data.split import parts
from xray.findings import columns, standard


def changed_rules(first: Protocol, second: Protocol, labeller: str | None = None) -> list[dict[str, Any]]:
    """{"rule", first's name, second's name} for every rule that differs; of datasets only `labeller`'s, where given."""
    one, two = (_flat(_relevant(protocol, labeller)) for protocol in (first, second))
    keys = sorted(set(one) | set(two))
    return [
        {"rule": key, "first": one.get(key), "second": two.get(key)}
        for key in keys
        if one.get(key) != two.get(key)
    ]


def compare(dataset: RegisteredDataset, first: Protocol, second: Protocol) -> dict[str, Any]:
    """Counts of a dataset under two protocols, and how many images are only in one of them.

    {"dataset", "first", "second", "rules": see `changed_rules`, "images": {…}, "parts": {part: {…}}, "left_out": {…},
    "tasks": {task: {…}}}. Nothing is stored. `only_first` and `only_second` count different images, `rows` repeats too;
    `moved` counts images that are test images under one and not under the other, of those in both.
    """
    sides = {"first": first, "second": second}
    selections = {side: select(dataset.table, dataset.labeller, rules) for side, rules in sides.items()}
    split = {
        side: parts(selections[side], dataset.table, dataset.site, rules) for side, rules in sides.items()
    }
    images = {side: set(selections[side].index.tolist()) for side in sides}
    tests = {side: set(selections[side].index[split[side]["test"]].tolist()) for side in sides}
    both = images["first"] & images["second"]
    return {
        "dataset": dataset.name,
        "first": first.name,
        "second": second.name,
        "rules": changed_rules(first, second, dataset.labeller),
        "images": {
            "rows": {side: len(selections[side]) for side in sides},
            "different": {side: len(images[side]) for side in sides},
            "both": len(both),
            "only_first": len(images["first"] - images["second"]),
            "only_second": len(images["second"] - images["first"]),
            "moved": len(both & (tests["first"] ^ tests["second"])),
            "other_labels": _relabelled(selections["first"], selections["second"]),
        },
        "parts": {
            part: {side: len(split[side][part]) for side in sides} for part in ("train", "validation", "test")
        },
        "left_out": {side: selections[side].left_out for side in sides},
        "tasks": _counts(selections),
    }


def image_changes(dataset: RegisteredDataset, first: Protocol, second: Protocol) -> list[dict[str, str]]:
    """{"image", "first", "second"} for each image whose part differs; "" where a protocol leaves it out."""
    parts_of = [_part_of(dataset, protocol) for protocol in (first, second)]
    rows = sorted(set(parts_of[0]) | set(parts_of[1]))
    images = dataset.table.rows["image"]
    return [
        {
            "image": str(images.iloc[row]),
            "first": parts_of[0].get(row, ""),
            "second": parts_of[1].get(row, ""),
        }
        for row in rows
        if parts_of[0].get(row) != parts_of[1].get(row)
    ]


def _part_of(dataset: RegisteredDataset, protocol: Protocol) -> dict[int, str]:
    selection = select(dataset.table, dataset.labeller, protocol)
    parts_of: dict[int, set[str]] = {}
    for part, rows_of_part in parts(selection, dataset.table, dataset.site, protocol).items():
        for row in selection.index[rows_of_part].tolist():
            parts_of.setdefault(row, set()).add(part)
    return {row: " and ".join(sorted(its)) for row, its in parts_of.items()}


def _relabelled(first: Selection, second: Selection) -> int:
    """Images in both of which a label differs."""
    _, one, two = np.intersect1d(first.index, second.index, return_indices=True)
    a = first.labels[one]
    b = columns(second.labels[two], second.findings, first.findings, np.nan)
    return int((~((a == b) | (np.isnan(a) & np.isnan(b)))).any(axis=1).sum())


def _counts(selections: Mapping[str, Selection]) -> dict[str, dict[str, dict[str, int]]]:
    findings = standard(dict.fromkeys(name for its in selections.values() for name in its.findings))
    labels = {side: columns(its.labels, its.findings, findings, np.nan) for side, its in selections.items()}
    counts = {
        side: {"positive": (its == 1).sum(axis=0), "negative": (its == 0).sum(axis=0)}
        for side, its in labels.items()
    }
    return {
        task: {
            side: {call: int(number[index]) for call, number in its.items()} for side, its in counts.items()
        }
        for index, task in enumerate(findings)
        if any(number[index] for its in counts.values() for number in its.values())
    }


def _relevant(protocol: Protocol, labeller: str | None) -> dict[str, Any]:
    plain = protocol.as_dict()
    for key in ("name", "description", "version"):
        del plain[key]
    if labeller is not None:
        rule = protocol.rule(labeller)
        plain["datasets"] = {labeller: vars(rule)}
    return plain


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = list(value) if isinstance(value, tuple) else value
    return flat
