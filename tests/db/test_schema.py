"""The models: documented grain, names by convention."""

import re

import pytest
from sqlalchemy import ForeignKeyConstraint, PrimaryKeyConstraint, UniqueConstraint

from db.results import Analysis

MAPPERS = {mapper.class_.__name__: mapper for mapper in Analysis.registry.mappers}


@pytest.mark.parametrize("name", sorted(MAPPERS))
def test_every_table_documents_its_grain(name: str) -> None:
    assert (MAPPERS[name].class_.__doc__ or "").startswith("One row per ")


@pytest.mark.parametrize("name", sorted(MAPPERS))
def test_a_table_has_the_name_of_its_class_in_snake_case(name: str) -> None:
    table = MAPPERS[name].local_table
    assert table.name == re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


@pytest.mark.parametrize("table", Analysis.metadata.sorted_tables, ids=lambda table: table.name)
def test_constraints_are_named_by_convention(table: object) -> None:
    prefixes = {PrimaryKeyConstraint: "pk_", UniqueConstraint: "uq_", ForeignKeyConstraint: "fk_"}
    for constraint in table.constraints:  # type: ignore[attr-defined]
        prefix = prefixes.get(type(constraint), "ck_")
        assert str(constraint.name).startswith(f"{prefix}{table.name}")  # type: ignore[attr-defined]
    for index in table.indexes:  # type: ignore[attr-defined]
        assert str(index.name).startswith(f"ix_{table.name}_")  # type: ignore[attr-defined]
        assert index.name != f"ix_{table.name}_"  # type: ignore[attr-defined]


def test_deleting_models_studies_and_analyses_deletes_their_children() -> None:
    """What belongs to a model, a study, an analysis or a worklist is deleted with it; frozen things have no such way."""
    parents = {
        "model",
        "study",
        "analysis",
        "evaluation",
        "worklist",
        "worklist_image",
        "intervention_evaluation",
    }
    for table in Analysis.metadata.sorted_tables:
        for key in table.foreign_keys:
            cascades = key.ondelete == "cascade"
            assert cascades == (key.column.table.name in parents), key
