"""Result tables of the further analyses of the paper, of subgroups and of the headline; Kendall's tau beside kappa.

Revision: 0006
"""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from alembic import op

revision = "0006"
down_revision = "0005"

OF_A_CELL = "n:int n_pos:int method:text reason:text? evaluation_ids:int[]"
INTERVAL = "lower:float? upper:float?"
TABLES = {
    "threshold_transfer": "trained_on:text measure:text threshold_target:float? threshold_home:float? at_target:float? "
    f"at_home:float? difference:float? {INTERVAL} {OF_A_CELL}",
    "seed_agreement": f"trained_on:text seed_a:int seed_b:int kappa:float? {INTERVAL} pabak:float? {OF_A_CELL}",
    "bland_altman": "reference:text trained_on:text bias:float? bias_from:float? bias_to:float? lower_limit:float? "
    "lower_limit_from:float? lower_limit_to:float? upper_limit:float? upper_limit_from:float? upper_limit_to:float? "
    f"sd:float? auc_reference:float? auc:float? kappa:float? {OF_A_CELL}",
    "operating_point": "trained_on:text rule:text measure:text threshold:float? numerator:int denominator:int "
    "value:float? "
    f"{INTERVAL} {OF_A_CELL}",
    "average_precision": f"trained_on:text average_precision:float? {INTERVAL} prevalence:float? {OF_A_CELL}",
    "calibration": "trained_on:text brier:float? reliability:float? resolution:float? uncertainty:float? ece:float? "
    "intercept:float? slope:float? slope_lower:float? slope_upper:float? bin_n:int[] bin_predicted:float[] "
    f"bin_observed:float[] bin_lower:float[] bin_upper:float[] {OF_A_CELL}",
    "subgroup_auc": f"trained_on:text grouping:text subgroup:text auc:float? {INTERVAL} auc_rest:float? "
    "difference:float? "
    f"difference_lower:float? difference_upper:float? p:float? p_holm:float? q:float? is_worst:bool {OF_A_CELL}",
    "pooled_agreement": f"trained_on_a:text trained_on_b:text rule:text kappa:float? {INTERVAL} pabak:float? tau:float? "
    f"cohort_ids:int[] {OF_A_CELL}",
    "mean_auc": f"trained_on:text reference:text? task_ids:int[] n:int n_patients:int auc:float? {INTERVAL} "
    "difference:float? difference_lower:float? difference_upper:float? p:float? p_holm:float? method:text "
    "reason:text? evaluation_ids:int[]",
    "classifier_map": "trained_on:text seed:int x:float y:float explained_x:float explained_y:float method:text",
    "classifier_distance": "trained_on:text seed:int? n_datasets:int distance:float relative:float? cross_domain_auc:float? "
    "method:text",
    "feature_map": "trained_on:text seed:int x:float y:float method:text",
    "view_classifier": f"trained_on:text seed:int n:int n_pos:int auc:float? {INTERVAL} method:text reason:text?",
}
"""Table → its columns beside id and keys, as name:type; a ? may be NULL."""
GRAIN = {
    "threshold_transfer": ("cohort_id", "task_id", "trained_on", "measure"),
    "seed_agreement": ("cohort_id", "task_id", "trained_on", "seed_a", "seed_b"),
    "bland_altman": ("cohort_id", "task_id", "reference", "trained_on"),
    "operating_point": ("cohort_id", "task_id", "trained_on", "rule", "measure"),
    "average_precision": ("cohort_id", "task_id", "trained_on"),
    "calibration": ("cohort_id", "task_id", "trained_on"),
    "subgroup_auc": ("cohort_id", "task_id", "trained_on", "grouping", "subgroup"),
    "pooled_agreement": ("task_id", "trained_on_a", "trained_on_b", "rule"),
    "mean_auc": ("cohort_id", "trained_on"),
    "classifier_map": ("trained_on", "seed", "dataset_id", "task_id"),
    "classifier_distance": ("trained_on", "task_id", "seed"),
    "feature_map": ("evaluation_id", "image_id"),
    "view_classifier": ("evaluation_id",),
}
KEYS = {"cohort_id": None, "task_id": None, "dataset_id": None, "image_id": None, "evaluation_id": "cascade"}
"""Column that refers to a table of its name → what happens when the row there is deleted."""
NAMED = ("mean_auc", "classifier_map", "classifier_distance", "feature_map", "view_classifier")
"""Tables whose unique constraint has the derived name; that of the others would be too long."""
TYPES: dict[str, Any] = {
    "int": sa.Integer(),
    "text": sa.Text(),
    "bool": sa.Boolean(),
    "float": postgresql.DOUBLE_PRECISION(),
    "int[]": postgresql.ARRAY(sa.Integer()),
    "float[]": postgresql.ARRAY(postgresql.DOUBLE_PRECISION()),
}


def upgrade() -> None:
    op.add_column("agreement", sa.Column("tau", postgresql.DOUBLE_PRECISION(), nullable=True))
    for table, columns in TABLES.items():
        keys = [key for key in KEYS if key in GRAIN[table]]
        op.create_table(
            table,
            sa.Column("id", sa.BigInteger(), nullable=False),
            sa.Column("analysis_id", sa.Integer(), nullable=False),
            *(_key(key) for key in keys),
            *map(_column, columns.split()),
            _reference(table, "analysis_id", "cascade"),
            *(_reference(table, key, KEYS[key]) for key in keys),
            sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{table}")),
            sa.UniqueConstraint(
                "analysis_id",
                *GRAIN[table],
                name=op.f(_name(table)),
                postgresql_nulls_not_distinct=table == "classifier_distance" or None,
            ),
        )


def downgrade() -> None:
    for table in reversed(TABLES):
        op.drop_table(table)
    op.drop_column("agreement", "tau")


def _column(described: str) -> Any:
    name, kind = described.split(":")
    return sa.Column(name, TYPES[kind.rstrip("?")], nullable=kind.endswith("?"))


def _key(name: str) -> Any:
    return sa.Column(name, sa.SmallInteger() if name == "task_id" else sa.Integer(), nullable=False)


def _reference(table: str, key: str, ondelete: str | None) -> Any:
    other = key.removesuffix("_id")
    return sa.ForeignKeyConstraint(
        [key], [f"{other}.id"], name=op.f(f"fk_{table}_{key}_{other}"), ondelete=ondelete
    )


def _name(table: str) -> str:
    return f"uq_{table}_" + ("_".join(("analysis_id", *GRAIN[table])) if table in NAMED else "grain")
