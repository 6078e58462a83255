"""Files of keys, checked as a whole by pydantic: every fault at once, with file, table, key, and the nearest key.

    class Network(Part):
        image_size: int = Field(224, ge=8, description="a whole number")

    check(Network, {"image_sise": 7}, "study.toml", StudyError)

The description of a key is what its value is expected to be, in words. A list may have other words for what is in it:
`Field(..., json_schema_extra={"parts": "whole numbers"})`.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from xray import names
from xray.errors import XrayError

Model = TypeVar("Model", bound=BaseModel)


class Part(BaseModel):
    """A table of a file: no other keys, no conversions."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def _name(value: str) -> str:
    if (fault := names.fault_of_name(value)) is not None:
        raise ValueError(fault)
    return value


Name = Annotated[str, AfterValidator(_name)]
"""A name of ours: of a study, dataset, site or model."""


def check(model: type[Model], raw: Mapping[str, Any], source: str, error: type[XrayError]) -> Model:
    """The table as a `model`. Raises `error`, naming `where`, with a line for each fault; one alone stands in the first."""
    try:
        return model.model_validate(raw)
    except ValidationError as failure:
        faults = list(dict.fromkeys(_fault(model, raw, detail) for detail in failure.errors()))
    raise error(joined(source, faults)) from None


def joined(source: str, faults: list[str]) -> str:
    """Faults of a file in one message."""
    return (
        f"{source}: {faults[0]}"
        if len(faults) == 1
        else "\n  ".join([f"{source}: {len(faults)} mistakes", *faults])
    )


def _fault(model: type[BaseModel], raw: Any, error: Any) -> str:
    """One fault: the tables that lead to it, the key, and what is the matter."""
    tables, part, keys = "", model, list(error["loc"])
    while keys:
        key = keys.pop(0)
        inner = _part_of(part, key)
        value = raw.get(key) if isinstance(raw, Mapping) else None
        if inner is None:
            return tables + (_of_parts(part, key, value, error) if keys else _at(part, key, value, error))
        number = keys.pop(0) if isinstance(value, list) and keys else None
        table = value[number] if isinstance(value, list) and number is not None else value
        if (not keys and error["type"] != "value_error") or not isinstance(table, Mapping):
            return tables + _at(
                part, key, value, error
            )  # what stands there is no table, or none stands there
        title = key if number is None else f"[{key}]"
        tables += f"[{title}]" + ("" if number is None else f" {_title(table) or number + 1}") + ": "
        part, raw = inner, table
    return tables + str(error["ctx"]["error"])


def _at(part: type[BaseModel], key: Any, value: Any, error: Any) -> str:
    """What is the matter with a key of a table."""
    kind, expected = error["type"], _expected(part, key)
    if kind == "missing":
        return f"{key} is missing; expected {expected}"
    if kind == "extra_forbidden":
        near = names.nearest(str(key), part.model_fields)
        hint = (
            f"did you mean {near!r}?" if near else f"expected some of {', '.join(sorted(part.model_fields))}"
        )
        return f"unknown key {key!r}; {hint}"
    if kind == "value_error":
        return f"{key}: {error['ctx']['error']}"
    if kind == "greater_than_equal" and int in _kinds(part.model_fields[key].annotation):
        return f"{key}: expected at least {error['ctx']['ge']}, found {value!r}"
    return f"{key}: expected {expected}, found {value!r}"


def _of_parts(part: type[BaseModel], key: Any, value: Any, error: Any) -> str:
    """What is the matter with one of the values in a list or table of plain values."""
    if error["type"] == "literal_error":
        return f"{key}: expected some of {', '.join(_literals(part, key))}, found {error['input']!r}"
    extra = part.model_fields[key].json_schema_extra
    words = extra.get("parts") if isinstance(extra, dict) else None
    return f"{key}: expected {words or _expected(part, key)}, found {value!r}"


def _expected(part: type[BaseModel], key: Any) -> str:
    """What a key is expected to be, in words."""
    field = part.model_fields.get(key)
    if field is None:
        return "a table"
    described = [
        field,
        *(entry for kind in _kinds(field.annotation) for entry in getattr(kind, "__metadata__", ())),
    ]
    if words := [entry.description for entry in described if getattr(entry, "description", None)]:
        return str(words[0])
    if literals := _literals(part, key):
        return f"one of {', '.join(literals)}"
    if _part_of(part, key) is not None:
        return f"one [[{key}]] table or more" if _is_list(field.annotation) else "a table"
    return WORDS.get(_plain(field.annotation), "text")


WORDS = {str: "text", bool: "true or false", int: "a whole number", float: "a number"}


def _literals(part: type[BaseModel], key: Any) -> tuple[str, ...]:
    return tuple(str(value) for kind in _kinds(part.model_fields[key].annotation) if get_origin(kind) is Literal
                 for value in get_args(kind))  # fmt: skip


def _part_of(part: type[BaseModel], key: Any) -> type[BaseModel] | None:
    """The model of the table, or of the tables, that stand under a key."""
    field = part.model_fields.get(key)
    kinds = _kinds(field.annotation) if field is not None else []
    return next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)


def _kinds(annotation: Any) -> list[Any]:
    """A type and all that it is made of."""
    return [annotation, *(inner for argument in get_args(annotation) for inner in _kinds(argument))]


def _is_list(annotation: Any) -> bool:
    return any(get_origin(kind) is list for kind in _kinds(annotation))


def _plain(annotation: Any) -> Any:
    """The type of one value."""
    inner = [argument for argument in get_args(annotation) if argument is not type(None)]
    return _plain(inner[0]) if get_origin(annotation) in (Annotated, Union) and inner else annotation


def _title(table: Any) -> str:
    """The name that a table says, if it can stand in a message."""
    name = table.get("name") if isinstance(table, Mapping) else None
    return name if isinstance(name, str) and names.fault_of(name, longest=60) is None else ""
