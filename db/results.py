"""The tables of results: what analyses of stored evaluations found. Grain of each table in its docstring.

Every result belongs to an `analysis` of a study and goes with it. What they were computed from is in `db.schema`, whose
metadata these tables are part of; `db.result_views` gives them names.
"""

import datetime as dt
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, SmallInteger, UniqueConstraint, func
from sqlalchemy.orm import Mapped, mapped_column

from db.schema import Base


class Analysis(Base):
    """One row per (study, analysis, cell) whose result rows are stored; `fingerprint` covers all that they came from.

    cell: what of the analysis: a test dataset and a configuration, as {nih,all}; {} where it is computed as a whole.
    place: of the cell in the study's order. provenance: code version, flow run and worker that computed it; NULL for those
    of before this was kept.
    """

    __tablename__ = "analysis"
    __table_args__ = (UniqueConstraint("study_id", "name", "cell"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("study.id", ondelete="cascade"))
    name: Mapped[str]
    cell: Mapped[list[str]] = mapped_column(server_default="{}")
    place: Mapped[int] = mapped_column(server_default="0")
    fingerprint: Mapped[str]
    provenance: Mapped[dict[str, Any] | None]
    computed_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())


class PartialResult(Base):
    """One row per (study, name, cell): what several results are put together from, kept so that one more model costs one.

    value: JSON that keeps every bit. It is a cache, as results are; `fingerprint` and `cell` as of an analysis.
    """

    __tablename__ = "partial_result"
    study_id: Mapped[int] = mapped_column(ForeignKey("study.id", ondelete="cascade"), primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    cell: Mapped[list[str]] = mapped_column(server_default="{}", primary_key=True)
    fingerprint: Mapped[str]
    value: Mapped[str]


class _Result:
    """Columns of every result that is one of a test cohort and a task: counts, how, why not, and from what."""

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    analysis_id: Mapped[int] = mapped_column(ForeignKey("analysis.id", ondelete="cascade"))
    cohort_id: Mapped[int] = mapped_column(ForeignKey("cohort.id"))
    task_id: Mapped[int] = mapped_column(SmallInteger, ForeignKey("task.id"))
    n: Mapped[int]
    n_pos: Mapped[int]
    method: Mapped[str]
    reason: Mapped[str | None]
    evaluation_ids: Mapped[list[int]]


def _grain(table: str, *columns: str) -> tuple[UniqueConstraint]:
    """One row per (analysis, cohort, task) and these columns; a name of its own, as the derived one would be too long."""
    return (UniqueConstraint("analysis_id", "cohort_id", "task_id", *columns, name=f"uq_{table}_grain"),)


class Auc(_Result, Base):
    """One row per (study, configuration, test cohort, task, seed); seed NULL is the ensemble of the seeds."""

    __tablename__ = "auc"
    __table_args__ = (
        UniqueConstraint(
            "analysis_id", "trained_on", "cohort_id", "task_id", "seed", postgresql_nulls_not_distinct=True
        ),
    )
    trained_on: Mapped[str]
    seed: Mapped[int | None]
    auc: Mapped[float | None]
    lower: Mapped[float | None]
    upper: Mapped[float | None]


class AucDifference(_Result, Base):
    """One row per (study, test cohort, task, pair of leave-one-site-out arms): paired difference of ensemble AUCs."""

    __tablename__ = "auc_difference"
    __table_args__ = (UniqueConstraint("analysis_id", "cohort_id", "task_id", "arm_a", "arm_b"),)
    arm_a: Mapped[str]
    arm_b: Mapped[str]
    trained_on_a: Mapped[str]
    trained_on_b: Mapped[str]
    auc_a: Mapped[float | None]
    auc_b: Mapped[float | None]
    difference: Mapped[float | None]
    lower: Mapped[float | None]
    upper: Mapped[float | None]
    p: Mapped[float | None]
    p_holm: Mapped[float | None]


class Agreement(_Result, Base):
    """One row per (study, test cohort, task, model against the cohort's own, rule): Cohen's kappa at Youden points.

    rule: where a model's Youden point is read off: "target", the test cohort itself (paper, Fig 3), or "own", the test
    cohorts of the datasets that it was trained on, as a hospital that buys a model must.
    """

    __tablename__ = "agreement"
    __table_args__ = (
        UniqueConstraint("analysis_id", "cohort_id", "task_id", "reference", "trained_on", "rule"),
    )
    reference: Mapped[str]
    trained_on: Mapped[str]
    rule: Mapped[str]
    kappa: Mapped[float | None]
    lower: Mapped[float | None]
    upper: Mapped[float | None]
    pabak: Mapped[float | None]
    positive_agreement: Mapped[float | None]
    negative_agreement: Mapped[float | None]
    mcnemar_p: Mapped[float | None]
    tau: Mapped[float | None]
    threshold_reference: Mapped[float | None]
    threshold: Mapped[float | None]


class ReaderAgreement(_Result, Base):
    """One row per (study, test cohort, task, compared): do a dataset's readers agree, and a model with them?

    compared: "pair of readers" (reader_a, reader_b), "readers" (all pairs together, each both ways: Fleiss' kappa where as
    many have read each image), "model and readers" (a model with each of them, together), "model and label". trained_on: the
    model, called at its Youden point on the cohort; NULL between readers. n: images; n_calls: pairs of calls.
    """

    __tablename__ = "reader_agreement"
    __table_args__ = (
        UniqueConstraint(
            "analysis_id", "cohort_id", "task_id", "compared", "trained_on", "reader_a", "reader_b",
            name="uq_reader_agreement_grain", postgresql_nulls_not_distinct=True,
        ),
    )  # fmt: skip
    trained_on: Mapped[str | None]
    compared: Mapped[str]
    reader_a: Mapped[str | None]
    reader_b: Mapped[str | None]
    rule: Mapped[str]
    n_calls: Mapped[int]
    kappa: Mapped[float | None]
    lower: Mapped[float | None]
    upper: Mapped[float | None]
    pabak: Mapped[float | None]
    positive_agreement: Mapped[float | None]
    negative_agreement: Mapped[float | None]


class Shift(Base):
    """One row per (study, task, training cohort's test images A, target's test images B): images, prevalence or labels?

    auc_XY: the ensemble of the model of X on images of Y. auc_drop = auc_aa − auc_ab = intrinsic + transfer; excess:
    transfer minus the median of the pair's other tasks. p_*: tests; p_adjusted: of "nothing changed", over the
    study. verdict: `none`, `cannot tell`, or causes joined by " + ".
    """

    __tablename__ = "shift"
    __table_args__ = (UniqueConstraint("analysis_id", "cohort_a_id", "cohort_b_id", "task_id"),)
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    analysis_id: Mapped[int] = mapped_column(ForeignKey("analysis.id", ondelete="cascade"))
    cohort_a_id: Mapped[int] = mapped_column(ForeignKey("cohort.id"))
    cohort_b_id: Mapped[int] = mapped_column(ForeignKey("cohort.id"))
    task_id: Mapped[int] = mapped_column(SmallInteger, ForeignKey("task.id"))
    trained_on_a: Mapped[str]
    trained_on_b: Mapped[str]
    n_a: Mapped[int]
    n_pos_a: Mapped[int]
    n_b: Mapped[int]
    n_pos_b: Mapped[int]
    auc_aa: Mapped[float | None]
    auc_ab: Mapped[float | None]
    auc_ba: Mapped[float | None]
    auc_bb: Mapped[float | None]
    auc_drop: Mapped[float | None]
    drop_lower: Mapped[float | None]
    drop_upper: Mapped[float | None]
    intrinsic: Mapped[float | None]
    intrinsic_lower: Mapped[float | None]
    intrinsic_upper: Mapped[float | None]
    p_intrinsic: Mapped[float | None]
    transfer: Mapped[float | None]
    transfer_lower: Mapped[float | None]
    transfer_upper: Mapped[float | None]
    p_transfer: Mapped[float | None]
    excess: Mapped[float | None]
    excess_lower: Mapped[float | None]
    excess_upper: Mapped[float | None]
    p_meaning: Mapped[float | None]
    p_companions: Mapped[float | None]
    p_images: Mapped[float | None]
    p_images_all: Mapped[float | None]
    prevalence_a: Mapped[float | None]
    prevalence_b: Mapped[float | None]
    p_prevalence: Mapped[float | None]
    implied_prevalence: Mapped[float | None]
    implied_lower: Mapped[float | None]
    implied_upper: Mapped[float | None]
    n_shared: Mapped[int]
    kappa: Mapped[float | None]
    kappa_lower: Mapped[float | None]
    kappa_upper: Mapped[float | None]
    p_adjusted: Mapped[float | None]
    verdict: Mapped[str]
    basis: Mapped[str]
    assumption: Mapped[str | None]
    resolve: Mapped[str | None]
    method: Mapped[str]
    reason: Mapped[str | None]
    evaluation_ids: Mapped[list[int]]


class Causes(Base):
    """One row per (study, model from elsewhere, task, reference's test images A, test images B): why is it worse at B?

    at_home: A is the study's reference, or the model is said to be trained on it; else A is any other test dataset.
    probability_*: that the cause counts; share_*: what of the drop it takes, with its 95 % interval. alike: whether the case
    is like the simulated ones, without which probabilities mean nothing. verdict: `none`, `cannot tell`, or causes joined by
    " + ", named by loss_ratio. evidence: what was used, and what was left out. reason: why nothing can be said.
    reread, readers: images of B that were read again by A's rules, and by how many people; probability_label_before: without
    these reads.
    """

    __tablename__ = "causes"
    __table_args__ = (
        UniqueConstraint(
            "analysis_id", "cohort_a_id", "cohort_b_id", "task_id", "trained_on", name="uq_causes_grain"
        ),
    )
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    analysis_id: Mapped[int] = mapped_column(ForeignKey("analysis.id", ondelete="cascade"))
    cohort_a_id: Mapped[int] = mapped_column(ForeignKey("cohort.id"))
    cohort_b_id: Mapped[int] = mapped_column(ForeignKey("cohort.id"))
    task_id: Mapped[int] = mapped_column(SmallInteger, ForeignKey("task.id"))
    trained_on: Mapped[str]
    at_home: Mapped[bool]
    n_a: Mapped[int]
    n_pos_a: Mapped[int]
    n_b: Mapped[int]
    n_pos_b: Mapped[int]
    auc_a: Mapped[float | None]
    auc_b: Mapped[float | None]
    auc_drop: Mapped[float | None]
    drop_lower: Mapped[float | None]
    drop_upper: Mapped[float | None]
    probability_image: Mapped[float | None]
    probability_population: Mapped[float | None]
    probability_prevalence: Mapped[float | None]
    probability_label: Mapped[float | None]
    share_image: Mapped[float | None]
    share_image_lower: Mapped[float | None]
    share_image_upper: Mapped[float | None]
    share_population: Mapped[float | None]
    share_population_lower: Mapped[float | None]
    share_population_upper: Mapped[float | None]
    share_prevalence: Mapped[float | None]
    share_prevalence_lower: Mapped[float | None]
    share_prevalence_upper: Mapped[float | None]
    share_label: Mapped[float | None]
    share_label_lower: Mapped[float | None]
    share_label_upper: Mapped[float | None]
    alike: Mapped[bool | None]
    reread: Mapped[int | None]
    readers: Mapped[int | None]
    probability_label_before: Mapped[float | None]
    loss_ratio: Mapped[float]
    evidence: Mapped[str]
    verdict: Mapped[str]
    basis: Mapped[str]
    assumption: Mapped[str | None]
    resolve: Mapped[str | None]
    method: Mapped[str]
    reason: Mapped[str | None]
    evaluation_ids: Mapped[list[int]]


class Intervention(Base):
    """One row per (study, configuration, task, test images A, target B, kind): what a model loses on A's images like B's.

    kind: what was changed, as in `intervention_evaluation`. before, after: AUC of the ensemble on the same images of A, as
    they are and changed; loss: before minus after, with its paired 95 % interval; q: of p, over the study. changes: by how
    much, as JSON. reason: why something is missing, or why nothing is lost.
    """

    __tablename__ = "intervention"
    __table_args__ = (
        UniqueConstraint(
            "analysis_id",
            "cohort_a_id",
            "cohort_b_id",
            "task_id",
            "trained_on",
            "kind",
            name="uq_intervention_grain",
        ),
    )
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    analysis_id: Mapped[int] = mapped_column(ForeignKey("analysis.id", ondelete="cascade"))
    cohort_a_id: Mapped[int] = mapped_column(ForeignKey("cohort.id"))
    cohort_b_id: Mapped[int] = mapped_column(ForeignKey("cohort.id"))
    task_id: Mapped[int] = mapped_column(SmallInteger, ForeignKey("task.id"))
    trained_on: Mapped[str]
    kind: Mapped[str]
    n: Mapped[int]
    n_pos: Mapped[int]
    before: Mapped[float | None]
    after: Mapped[float | None]
    loss: Mapped[float | None]
    lower: Mapped[float | None]
    upper: Mapped[float | None]
    p: Mapped[float | None]
    q: Mapped[float | None]
    changes: Mapped[str]
    method: Mapped[str]
    reason: Mapped[str | None]
    evaluation_ids: Mapped[list[int]]


class ThresholdTransfer(_Result, Base):
    """One row per (study, test cohort, task, configuration, measure): what a threshold that was set at home costs here.

    measure: accuracy, sensitivity or specificity; difference: at the home threshold minus at the target's own (Youden's).
    """

    __tablename__ = "threshold_transfer"
    __table_args__ = _grain("threshold_transfer", "trained_on", "measure")
    trained_on: Mapped[str]
    measure: Mapped[str]
    threshold_target: Mapped[float | None]
    threshold_home: Mapped[float | None]
    at_target: Mapped[float | None]
    at_home: Mapped[float | None]
    difference: Mapped[float | None]
    lower: Mapped[float | None]
    upper: Mapped[float | None]


class SeedAgreement(_Result, Base):
    """One row per (study, test cohort, task, configuration, pair of its seeds): Cohen's kappa between two trainings."""

    __tablename__ = "seed_agreement"
    __table_args__ = _grain("seed_agreement", "trained_on", "seed_a", "seed_b")
    trained_on: Mapped[str]
    seed_a: Mapped[int]
    seed_b: Mapped[int]
    kappa: Mapped[float | None]
    lower: Mapped[float | None]
    upper: Mapped[float | None]
    pabak: Mapped[float | None]


class PooledAgreement(Base):
    """One row per (study, task, pair of single-dataset configurations, rule): kappa and tau over all test cohorts together.

    rule: as in `agreement`. Symmetric: each pair stands once. cohort_ids: the cohorts that are pooled.
    """

    __tablename__ = "pooled_agreement"
    __table_args__ = (
        UniqueConstraint(
            "analysis_id", "task_id", "trained_on_a", "trained_on_b", "rule", name="uq_pooled_agreement_grain"
        ),
    )
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    analysis_id: Mapped[int] = mapped_column(ForeignKey("analysis.id", ondelete="cascade"))
    task_id: Mapped[int] = mapped_column(SmallInteger, ForeignKey("task.id"))
    trained_on_a: Mapped[str]
    trained_on_b: Mapped[str]
    rule: Mapped[str]
    n: Mapped[int]
    n_pos: Mapped[int]
    kappa: Mapped[float | None]
    lower: Mapped[float | None]
    upper: Mapped[float | None]
    pabak: Mapped[float | None]
    tau: Mapped[float | None]
    cohort_ids: Mapped[list[int]]
    method: Mapped[str]
    reason: Mapped[str | None]
    evaluation_ids: Mapped[list[int]]


class BlandAltman(_Result, Base):
    """One row per (study, test cohort, task, configuration against the cohort's own): limits of agreement of scores.

    Scores are calibrated (Eq. 1 of the paper) to lie in [0, 1]; differences are reference minus trained_on. A name that ends
    in _from or _to is the 95 % bound of the one before. auc, auc_reference, kappa: what pairs are chosen by.
    """

    __tablename__ = "bland_altman"
    __table_args__ = _grain("bland_altman", "reference", "trained_on")
    reference: Mapped[str]
    trained_on: Mapped[str]
    bias: Mapped[float | None]
    bias_from: Mapped[float | None]
    bias_to: Mapped[float | None]
    lower_limit: Mapped[float | None]
    lower_limit_from: Mapped[float | None]
    lower_limit_to: Mapped[float | None]
    upper_limit: Mapped[float | None]
    upper_limit_from: Mapped[float | None]
    upper_limit_to: Mapped[float | None]
    sd: Mapped[float | None]
    auc_reference: Mapped[float | None]
    auc: Mapped[float | None]
    kappa: Mapped[float | None]


class OperatingPoint(_Result, Base):
    """One row per (study, test cohort, task, configuration, rule, measure): a proportion at a threshold.

    rule: where the Youden point is read off, as in `agreement`, or `declared`: by the maker of a model from elsewhere.
    measure: sensitivity, specificity, ppv, npv, accuracy or positive_rate,
    which is numerator / denominator.
    """

    __tablename__ = "operating_point"
    __table_args__ = _grain("operating_point", "trained_on", "rule", "measure")
    trained_on: Mapped[str]
    rule: Mapped[str]
    measure: Mapped[str]
    threshold: Mapped[float | None]
    numerator: Mapped[int]
    denominator: Mapped[int]
    value: Mapped[float | None]
    lower: Mapped[float | None]
    upper: Mapped[float | None]


class AveragePrecision(_Result, Base):
    """One row per (study, test cohort, task, configuration): area under the precision-recall curve of the ensemble.

    prevalence: what a model that knows nothing gets.
    """

    __tablename__ = "average_precision"
    __table_args__ = _grain("average_precision", "trained_on")
    trained_on: Mapped[str]
    average_precision: Mapped[float | None]
    lower: Mapped[float | None]
    upper: Mapped[float | None]
    prevalence: Mapped[float | None]


class PartialAuc(_Result, Base):
    """One row per (study, test cohort, task, configuration): AUC where at most one negative of ten is called, ensemble.

    partial_auc: on McClish's scale, 0.5 is guessing and 1 perfect.
    """

    __tablename__ = "partial_auc"
    __table_args__ = _grain("partial_auc", "trained_on")
    trained_on: Mapped[str]
    partial_auc: Mapped[float | None]
    lower: Mapped[float | None]
    upper: Mapped[float | None]


class Calibration(_Result, Base):
    """One row per (study, test cohort, task, configuration): do the ensemble's probabilities mean what they say?

    brier = reliability - resolution + uncertainty. ece: expected calibration error. intercept, slope: Cox's line, (0, 1)
    where perfect. bin_*: the reliability curve, ten bins of equally many images.
    """

    __tablename__ = "calibration"
    __table_args__ = _grain("calibration", "trained_on")
    trained_on: Mapped[str]
    brier: Mapped[float | None]
    reliability: Mapped[float | None]
    resolution: Mapped[float | None]
    uncertainty: Mapped[float | None]
    ece: Mapped[float | None]
    intercept: Mapped[float | None]
    slope: Mapped[float | None]
    slope_lower: Mapped[float | None]
    slope_upper: Mapped[float | None]
    bin_n: Mapped[list[int]]
    bin_predicted: Mapped[list[float]]
    bin_observed: Mapped[list[float]]
    bin_lower: Mapped[list[float]]
    bin_upper: Mapped[list[float]]


class NetBenefit(_Result, Base):
    """One row per (study, test cohort, task, configuration, threshold): is acting on the calls worth it?

    net_benefit: true positives per image, less false ones at the threshold's odds, where every image of at least this
    probability is acted on. treat_all: of acting on every image; of none it is 0. difference: net_benefit minus treat_all.
    """

    __tablename__ = "net_benefit"
    __table_args__ = _grain("net_benefit", "trained_on", "threshold")
    trained_on: Mapped[str]
    threshold: Mapped[float]
    net_benefit: Mapped[float | None]
    lower: Mapped[float | None]
    upper: Mapped[float | None]
    treat_all: Mapped[float | None]
    difference: Mapped[float | None]
    difference_lower: Mapped[float | None]
    difference_upper: Mapped[float | None]


class SubgroupAuc(_Result, Base):
    """One row per (study, test cohort, task, configuration, grouping, subgroup): AUC among these images, and among the rest.

    difference: subgroup minus rest. p_holm, q: adjusted over all such comparisons of the grouping. is_worst: the lowest AUC
    of its grouping among subgroups with at least 10 positives and 10 negatives.
    """

    __tablename__ = "subgroup_auc"
    __table_args__ = _grain("subgroup_auc", "trained_on", "grouping", "subgroup")
    trained_on: Mapped[str]
    grouping: Mapped[str]
    subgroup: Mapped[str]
    auc: Mapped[float | None]
    lower: Mapped[float | None]
    upper: Mapped[float | None]
    auc_rest: Mapped[float | None]
    difference: Mapped[float | None]
    difference_lower: Mapped[float | None]
    difference_upper: Mapped[float | None]
    p: Mapped[float | None]
    p_holm: Mapped[float | None]
    q: Mapped[float | None]
    is_worst: Mapped[bool]


class MeanAuc(Base):
    """One row per (study, test cohort, configuration): mean AUC over tasks, and its difference to the cohort's own model.

    Intervals are of a bootstrap over patients that draws the same patients for every task and model. task_ids: those that
    enter, which the configuration shares with the cohort's own (`reference`).
    """

    __tablename__ = "mean_auc"
    __table_args__ = (UniqueConstraint("analysis_id", "cohort_id", "trained_on"),)
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    analysis_id: Mapped[int] = mapped_column(ForeignKey("analysis.id", ondelete="cascade"))
    cohort_id: Mapped[int] = mapped_column(ForeignKey("cohort.id"))
    trained_on: Mapped[str]
    reference: Mapped[str | None]
    task_ids: Mapped[list[int]]
    n: Mapped[int]
    n_patients: Mapped[int]
    auc: Mapped[float | None]
    lower: Mapped[float | None]
    upper: Mapped[float | None]
    difference: Mapped[float | None]
    difference_lower: Mapped[float | None]
    difference_upper: Mapped[float | None]
    p: Mapped[float | None]
    p_holm: Mapped[float | None]
    method: Mapped[str]
    reason: Mapped[str | None]
    evaluation_ids: Mapped[list[int]]


class ClassifierMap(Base):
    """One row per (study, configuration, seed, dataset, task) with a head of its own: its place on two principal axes.

    explained_x, explained_y: shares of the variance of the model's vectors along the axes.
    """

    __tablename__ = "classifier_map"
    __table_args__ = (UniqueConstraint("analysis_id", "trained_on", "seed", "dataset_id", "task_id"),)
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    analysis_id: Mapped[int] = mapped_column(ForeignKey("analysis.id", ondelete="cascade"))
    trained_on: Mapped[str]
    seed: Mapped[int]
    dataset_id: Mapped[int] = mapped_column(ForeignKey("dataset.id"))
    task_id: Mapped[int] = mapped_column(SmallInteger, ForeignKey("task.id"))
    x: Mapped[float]
    y: Mapped[float]
    explained_x: Mapped[float]
    explained_y: Mapped[float]
    method: Mapped[str]


class ClassifierDistance(Base):
    """One row per (study, configuration, task, seed) of models with a head per dataset; seed NULL is the mean of the seeds.

    distance: mean L2 distance between the task's vectors over datasets; relative: over the mean of all tasks.
    cross_domain_auc: mean AUC of the models of one dataset each on the other datasets.
    """

    __tablename__ = "classifier_distance"
    __table_args__ = (
        UniqueConstraint("analysis_id", "trained_on", "task_id", "seed", postgresql_nulls_not_distinct=True),
    )
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    analysis_id: Mapped[int] = mapped_column(ForeignKey("analysis.id", ondelete="cascade"))
    trained_on: Mapped[str]
    task_id: Mapped[int] = mapped_column(SmallInteger, ForeignKey("task.id"))
    seed: Mapped[int | None]
    n_datasets: Mapped[int]
    distance: Mapped[float]
    relative: Mapped[float | None]
    cross_domain_auc: Mapped[float | None]
    method: Mapped[str]


class FeatureMap(Base):
    """One row per (study, evaluation with features, image): its place on a plane by t-SNE."""

    __tablename__ = "feature_map"
    __table_args__ = (UniqueConstraint("analysis_id", "evaluation_id", "image_id"),)
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    analysis_id: Mapped[int] = mapped_column(ForeignKey("analysis.id", ondelete="cascade"))
    evaluation_id: Mapped[int] = mapped_column(ForeignKey("evaluation.id", ondelete="cascade"))
    trained_on: Mapped[str]
    seed: Mapped[int]
    image_id: Mapped[int] = mapped_column(ForeignKey("image.id"))
    x: Mapped[float]
    y: Mapped[float]
    method: Mapped[str]


class ViewClassifier(Base):
    """One row per (study, evaluation with features, told): AUC of telling a view (n_pos) from another by the features.

    told: "lateral", from frontal views, or "AP", from PA.
    """

    __tablename__ = "view_classifier"
    __table_args__ = (UniqueConstraint("analysis_id", "evaluation_id", "told"),)
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    analysis_id: Mapped[int] = mapped_column(ForeignKey("analysis.id", ondelete="cascade"))
    evaluation_id: Mapped[int] = mapped_column(ForeignKey("evaluation.id", ondelete="cascade"))
    trained_on: Mapped[str]
    seed: Mapped[int]
    told: Mapped[str]
    n: Mapped[int]
    n_pos: Mapped[int]
    auc: Mapped[float | None]
    lower: Mapped[float | None]
    upper: Mapped[float | None]
    method: Mapped[str]
    reason: Mapped[str | None]


class Synthesis(Base):
    """One row per (study, task, configuration, measure): results at sites that the model does not come from, put together.

    measure: auc, sensitivity, specificity, calibration slope, observed/expected. value, lower, upper: mean over sites and
    its 95 % interval; next_lower, next_upper: 95 % prediction interval of a further site. tau2: variance between sites, on
    the scale of the method (logit of shares, log of a ratio). i2: its share of the variance. threshold: a logit.
    """

    __tablename__ = "synthesis"
    __table_args__ = (
        UniqueConstraint("analysis_id", "task_id", "trained_on", "measure", name="uq_synthesis_grain"),
    )
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    analysis_id: Mapped[int] = mapped_column(ForeignKey("analysis.id", ondelete="cascade"))
    task_id: Mapped[int] = mapped_column(SmallInteger, ForeignKey("task.id"))
    trained_on: Mapped[str]
    measure: Mapped[str]
    datasets: Mapped[str]
    cohort_ids: Mapped[list[int]]
    n_sites: Mapped[int]
    value: Mapped[float | None]
    lower: Mapped[float | None]
    upper: Mapped[float | None]
    next_lower: Mapped[float | None]
    next_upper: Mapped[float | None]
    tau2: Mapped[float | None]
    i2: Mapped[float | None]
    threshold: Mapped[float | None]
    method: Mapped[str]
    reason: Mapped[str | None]
    evaluation_ids: Mapped[list[int]]
