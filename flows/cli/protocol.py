"""`xray protocol`: the rules of a protocol, and what changes between two."""

from typing import Any

import click

from flows.cli.groups import Group
from flows.cli.rows import json_option, print_json


@click.group(cls=Group)
def protocol() -> None:
    """The rules of a protocol, and what changes between two."""


@protocol.command()
@click.argument("name")
@json_option()
def show(name: str, as_json: bool) -> None:
    """Every rule of protocol NAME (paper, corrected, external, external-first, or a TOML file)."""
    from xray.data.protocol import load_protocol

    rules = load_protocol(name).as_dict()
    if as_json:
        print_json(rules)
        return
    for key, value in rules.items():
        if isinstance(value, dict):
            for inner, its in value.items():
                click.echo(f"{key}.{inner} = {_plain(its)}")
        else:
            click.echo(f"{key} = {_plain(value)}")


@protocol.command()
@click.argument("first")
@click.argument("second")
@click.argument("dataset", required=False)
@click.option("--images", is_flag=True, help="List every image of DATASET whose part differs.")
@json_option("As JSON.")
def diff(first: str, second: str, dataset: str | None, images: bool, as_json: bool) -> None:
    """What changes from protocol FIRST to SECOND: the rules and, of DATASET, counts and images. Nothing is stored."""
    from flows.cli.rows import show_rows
    from flows.platform import storage
    from xray.data.compare import changed_rules, compare, image_changes
    from xray.data.protocol import load_protocol
    from xray.data.registered import read_named

    one, two = load_protocol(first), load_protocol(second)
    if dataset is None:
        show_rows(changed_rules(one, two), as_json, "the rules are the same")
        return
    with storage() as databases, databases.engine().begin() as connection:
        registered = read_named(connection, dataset)
    if images:
        show_rows(image_changes(registered, one, two), as_json, "every image is in the same part")
        return
    compared = compare(registered, one, two)
    if as_json:
        print_json(compared)
    else:
        click.echo(_text(compared))


def _text(compared: dict[str, Any]) -> str:
    from flows.cli.sql import table

    names = (compared["first"], compared["second"])
    rules = [(rule["rule"], _plain(rule["first"]), _plain(rule["second"])) for rule in compared["rules"]]
    images = compared["images"]
    rows: list[tuple[str, Any, Any]] = [
        (f"rows, {part}", *sizes.values()) for part, sizes in compared["parts"].items()
    ]
    rows += [("rows", *images["rows"].values()), ("different images", *images["different"].values())]
    rows += [("images only here", images["only_first"], images["only_second"])]
    rows += [
        (f"left out: {reason}", *(compared["left_out"][side].get(reason) for side in ("first", "second")))
        for reason in dict.fromkeys([*compared["left_out"]["first"], *compared["left_out"]["second"]])
    ]
    tasks = [
        (
            task,
            its["first"]["positive"],
            its["second"]["positive"],
            its["first"]["negative"],
            its["second"]["negative"],
        )
        for task, its in compared["tasks"].items()
    ]
    shared = (
        f"{images['both']} images are in both; of them {images['other_labels']} have another label, "
        f"and {images['moved']} are test images under only one"
    )
    calls = [f"{call}, {name}" for call in ("positive", "negative") for name in names]
    parts = [
        table(("rule", *names), rules),
        table(("", *names), rows),
        shared,
        table(("task", *calls), tasks),
    ]
    return "\n\n".join([f"{compared['dataset']}: {names[0]} → {names[1]}", *parts])


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_plain(its)}" for key, its in value.items() if its not in ((), ""))
    if isinstance(value, list | tuple):
        return " or ".join(map(str, value)) or "any"
    return str(value)
