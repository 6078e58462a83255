"""The tables of what is known: images, labels, cohorts, models, studies and scores, as SQLAlchemy models.

Grain of each table in its docstring; guards that SQL can't declare are in sql/guards. Results are in `db.results`.

Everything that belongs to many images at once is a vector in the order of an image list: label states of a dataset,
1/0/missing labels of a cohort, logits of an evaluation, in pieces. The views in sql/views turn vectors into rows with names.
"""

import datetime as dt
from typing import Any, ClassVar

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, DOUBLE_PRECISION, JSONB, REAL
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

PIECE = 2000
"""Elements of a piece of a vector; those of logits fill a page. sql/functions/piece_length.sql says the same."""


class Base(DeclarativeBase):
    """Root of the models; constraint names are derived, so that migrations can name them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        str: Text,
        dt.datetime: DateTime(timezone=True),
        dict[str, Any]: JSONB(none_as_null=True),
        float: DOUBLE_PRECISION,
        list[int]: ARRAY(Integer),
        list[str]: ARRAY(Text),
        list[float]: ARRAY(DOUBLE_PRECISION),
    }


class Home(Base):
    """One row per folder of files (XRAY_HOME) that goes with this database: where it was when it was last opened.

    id: as the folder's own file `home.id` says. Where a folder is found elsewhere, MLflow's paths in it are written anew.
    """

    __tablename__ = "home"
    id: Mapped[str] = mapped_column(primary_key=True)
    path: Mapped[str]


class Site(Base):
    """One row per place where images come from. A patient belongs to a site."""

    __tablename__ = "site"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    synthetic: Mapped[bool] = mapped_column(server_default=text("false"))


class Task(Base):
    """One row per finding that a dataset, a study or a model has declared. Those of the default list are the first.

    The id means nothing; where a finding stands is said by the lists of datasets, studies and models.
    """

    __tablename__ = "task"
    id: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    name: Mapped[str] = mapped_column(unique=True)


class Patient(Base):
    """One row per patient, whatever names sites and datasets have for it; `image.patient` are these names.

    site_id: where the patient was first seen. name: as it was first called, NULL where nobody tells who is shown. key: from
    which the split draws the patient's part, fixed when the patient is first seen: what is told later moves none.
    """

    __tablename__ = "patient"
    __table_args__ = (UniqueConstraint("site_id", "key"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    site_id: Mapped[int] = mapped_column(ForeignKey("site.id"))
    name: Mapped[str | None]
    key: Mapped[str]


class Image(Base):
    """One row per name that a site has for a picture, whatever the number of datasets that it is in.

    Who and what is shown is said here, and nowhere else (docs/decisions/0027). canonical_id: the image that was the first of
    the same picture, itself where it is the first: images are one that are copies (`original`) or of equal content.
    patient_id: the patient; images of one picture are of one patient, and so are those of one patient's name at a site.
    Written at registration (sql/queries/merge_*.sql); an image that is inserted without them is taken for a new one.

    original: the name, at the site, of the image that this one is a copy of; NULL for an original. content_hash and
    perceptual_hash (256 bits of the picture's coarse structure, hex) are NULL where it was registered without pixels.
    path: of its file, relative to the home where it lies in there, so that a home can move.
    """

    __tablename__ = "image"
    __table_args__ = (
        UniqueConstraint("site_id", "name"),
        Index(None, "name"),
        Index(None, "content_hash"),
        Index(None, "site_id", "patient"),
        Index(None, "patient_id"),
        Index("ix_image_copies", "canonical_id", postgresql_where=text("canonical_id <> id")),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    site_id: Mapped[int] = mapped_column(ForeignKey("site.id"))
    name: Mapped[str]
    canonical_id: Mapped[int] = mapped_column(ForeignKey("image.id"))
    patient_id: Mapped[int] = mapped_column(ForeignKey("patient.id"))
    patient: Mapped[str | None]
    original: Mapped[str | None]
    content_hash: Mapped[str | None]
    perceptual_hash: Mapped[str | None]
    path: Mapped[str | None]
    view: Mapped[str | None]
    age: Mapped[float | None] = mapped_column(REAL)
    sex: Mapped[str | None]


class PlantedTruth(Base):
    """One row per (image, finding) of a synthetic site: what was drawn, before the site's labelling changed it."""

    __tablename__ = "planted_truth"
    image_id: Mapped[int] = mapped_column(ForeignKey("image.id"), primary_key=True)
    finding: Mapped[str] = mapped_column(primary_key=True)
    present: Mapped[bool]
    size: Mapped[float | None] = mapped_column(REAL)


class ImageList(Base):
    """One row per frozen, ordered list of images. `content_hash` covers sites and names in order. Never changed."""

    __tablename__ = "image_list"
    __table_args__ = (
        CheckConstraint("cardinality(image_ids) = length", name="length"),
        CheckConstraint("length > 0", name="not_empty"),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    content_hash: Mapped[str] = mapped_column(unique=True)
    length: Mapped[int]
    image_ids: Mapped[list[int]]


class Dataset(Base):
    """One row per dataset: images of one site under one labeller, in the order of its label file.

    reading: how its pictures are read where that was said ("maximum 4095" or "window"); NULL: as their files say.
    mapping: keys of the mapping file by which its table was read; NULL without one.
    reader_rule: how its label follows from those of its readers: majority, any, all, or a reader's name; NULL where its
    files have one label an image.
    """

    __tablename__ = "dataset"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    site_id: Mapped[int] = mapped_column(ForeignKey("site.id"), index=True)
    image_list_id: Mapped[int] = mapped_column(ForeignKey("image_list.id"))
    source: Mapped[str]
    content_hash: Mapped[str]
    reading: Mapped[str | None]
    mapping: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    reader_rule: Mapped[str | None]
    registered_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())


class DatasetTask(Base):
    """One row per (dataset, finding) that its labels were declared to speak of, in its order."""

    __tablename__ = "dataset_task"
    __table_args__ = (UniqueConstraint("dataset_id", "position"),)
    dataset_id: Mapped[int] = mapped_column(ForeignKey("dataset.id"), primary_key=True)
    task_id: Mapped[int] = mapped_column(SmallInteger, ForeignKey("task.id"), primary_key=True)
    position: Mapped[int] = mapped_column(SmallInteger)


class SourceTerm(Base):
    """One row per native term that a label of a dataset came from."""

    __tablename__ = "source_term"
    __table_args__ = (UniqueConstraint("dataset_id", "term"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    dataset_id: Mapped[int] = mapped_column(ForeignKey("dataset.id"))
    term: Mapped[str]


class Label(Base):
    """One row per (dataset, task): the four-state labels of its images in order, and the term behind each.

    States: 1 positive, 0 negative, -1 uncertain, -2 not mentioned. `term_ids` is NULL where no term is kept.
    """

    __tablename__ = "label"
    dataset_id: Mapped[int] = mapped_column(ForeignKey("dataset.id"), primary_key=True)
    task_id: Mapped[int] = mapped_column(SmallInteger, ForeignKey("task.id"), primary_key=True)
    states: Mapped[list[int]] = mapped_column(ARRAY(SmallInteger))
    term_ids: Mapped[list[int] | None]


class Reader(Base):
    """One row per (dataset, reader): who labelled images of a dataset that several people, or programs, have read."""

    __tablename__ = "reader"
    __table_args__ = (UniqueConstraint("dataset_id", "name"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    dataset_id: Mapped[int] = mapped_column(ForeignKey("dataset.id"))
    name: Mapped[str]


class ReaderLabel(Base):
    """One row per (reader, task): the states that the reader gave to the dataset's images, in order; those of `Label`.

    -2 is an image that the reader did not read, or of which nothing was said.
    """

    __tablename__ = "reader_label"
    reader_id: Mapped[int] = mapped_column(ForeignKey("reader.id"), primary_key=True)
    task_id: Mapped[int] = mapped_column(SmallInteger, ForeignKey("task.id"), primary_key=True)
    states: Mapped[list[int]] = mapped_column(ARRAY(SmallInteger))


class NativeColumn(Base):
    """One row per (dataset, column of its label files): cell i is terms[codes[i]], in the order of the image list."""

    __tablename__ = "native_column"
    __table_args__ = (UniqueConstraint("dataset_id", "position"),)
    dataset_id: Mapped[int] = mapped_column(ForeignKey("dataset.id"), primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(SmallInteger)
    terms: Mapped[list[str]] = mapped_column(ARRAY(Text))
    codes: Mapped[list[int]]


class LabelRule(Base):
    """One row per (dataset, rule) by which its labels were read, as it was when the dataset was registered.

    task_id: NULL where the term speaks of no task. rule_set: the protocols' rule set, NULL for every one.
    """

    __tablename__ = "label_rule"
    dataset_id: Mapped[int] = mapped_column(ForeignKey("dataset.id"), primary_key=True)
    position: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    native_column: Mapped[str]
    term: Mapped[str]
    task_id: Mapped[int | None] = mapped_column(SmallInteger, ForeignKey("task.id"))
    rule: Mapped[str]
    rule_set: Mapped[str | None]
    source: Mapped[str]


class Quarantine(Base):
    """One row per row or picture of a dataset's files that was set aside, and why.

    row: line of the file, the header being 1. kept: in the dataset all the same, and to be looked at.
    """

    __tablename__ = "quarantine"
    id: Mapped[int] = mapped_column(primary_key=True)
    dataset_id: Mapped[int] = mapped_column(ForeignKey("dataset.id"), index=True)
    file: Mapped[str]
    row: Mapped[int | None]
    image: Mapped[str | None]
    reason: Mapped[str]
    kept: Mapped[bool] = mapped_column(server_default=text("false"))
    at: Mapped[dt.datetime] = mapped_column(server_default=func.now())


class Protocol(Base):
    """One row per version of a named set of rules: views, one per patient, label policy, split, pixels."""

    __tablename__ = "protocol"
    __table_args__ = (UniqueConstraint("name", "version"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    version: Mapped[int]
    definition: Mapped[dict[str, Any]]


class Cohort(Base):
    """One row per (dataset, protocol, part): an image list with frozen labels. Never changed."""

    __tablename__ = "cohort"
    __table_args__ = (
        UniqueConstraint("dataset_id", "protocol_id", "part"),
        CheckConstraint("part in ('train', 'validation', 'test')", name="part"),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    dataset_id: Mapped[int] = mapped_column(ForeignKey("dataset.id"))
    protocol_id: Mapped[int] = mapped_column(ForeignKey("protocol.id"))
    part: Mapped[str]
    image_list_id: Mapped[int] = mapped_column(ForeignKey("image_list.id"), index=True)
    content_hash: Mapped[str]


class CohortLabel(Base):
    """One row per (cohort, task) that has any label: 1, 0 or NULL per image, in the order of the image list."""

    __tablename__ = "cohort_label"
    cohort_id: Mapped[int] = mapped_column(ForeignKey("cohort.id"), primary_key=True)
    task_id: Mapped[int] = mapped_column(SmallInteger, ForeignKey("task.id"), primary_key=True)
    labels: Mapped[list[int]] = mapped_column(ARRAY(SmallInteger))
    n_pos: Mapped[int]
    n_neg: Mapped[int]


class CohortLabelPiece(Base):
    """One row per (cohort, piece, task): `CohortLabel.labels` in the pieces of the predictions, -1 for NULL.

    Written by the database with the labels.
    """

    __tablename__ = "cohort_label_piece"
    __table_args__ = (PrimaryKeyConstraint("cohort_id", "piece", "task_id"),)
    cohort_id: Mapped[int] = mapped_column(ForeignKey("cohort.id"))
    task_id: Mapped[int] = mapped_column(SmallInteger, ForeignKey("task.id"))
    piece: Mapped[int] = mapped_column(SmallInteger)
    labels: Mapped[list[int]] = mapped_column(ARRAY(SmallInteger))


class Leakage(Base):
    """One row per (training or validation cohort, test cohort, task) of one protocol: test rows that training knows.

    task_id: NULL for all rows, else the rows that are positive for the task. n_image: rows whose picture is in the training
    cohort. n_patient: rows whose patient is, or whose picture is. n_unknown: rows of unknown patient, of which only the
    picture can be told. A pair without an overlap has its row for all rows, and none per task. model_id: NULL for the whole
    training cohort, else for the images of it that this model was trained on.
    """

    __tablename__ = "leakage"
    __table_args__ = (
        UniqueConstraint(
            "train_cohort_id", "test_cohort_id", "task_id", "model_id", postgresql_nulls_not_distinct=True
        ),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    train_cohort_id: Mapped[int] = mapped_column(ForeignKey("cohort.id"))
    test_cohort_id: Mapped[int] = mapped_column(ForeignKey("cohort.id"), index=True)
    task_id: Mapped[int | None] = mapped_column(SmallInteger, ForeignKey("task.id"))
    n: Mapped[int]
    n_image: Mapped[int]
    n_patient: Mapped[int]
    n_unknown: Mapped[int]
    model_id: Mapped[int | None] = mapped_column(ForeignKey("model.id", ondelete="cascade"))


class Model(Base):
    """One row per model: a network trained here, or a foreign one, trained elsewhere.

    `key` is a hash of all that determines its scores. trained_on: the name under which its results stand: its
    configuration, or a foreign model's own name. A foreign model has a card, that says what is known of it, and no seed,
    recipe or protocol; it has a network (its file's format), an image size and a version in MLflow where its file is here,
    and none of them where only its scores are.
    configuration: its datasets, tasks (NULL: all) and conditions on images (empty: none), as the study asked for them;
    NULL of a foreign model.
    weights_sha256: hash (hex) of its weights or its file, which is asked whenever that is opened. weights_since: NULL where
    the hash was taken when the file was made; else of a model that is older than hashes, since when its file is known to be
    the same.
    """

    __tablename__ = "model"
    __table_args__ = (
        CheckConstraint("kind in ('trained', 'foreign')", name="kind"),
        CheckConstraint(
            "kind <> 'trained' or num_nonnulls(seed, network, image_size, protocol_id, recipe, mlflow_run_id, mlflow_model,"
            " mlflow_version, best_epoch, trained_at) = 10 and card is null",
            name="trained",
        ),
        CheckConstraint(
            "kind <> 'foreign' or num_nonnulls(seed, protocol_id, recipe, best_epoch, validation_auc, trained_at) = 0"
            " and num_nonnulls(network, image_size, mlflow_run_id, mlflow_model, mlflow_version) in (0, 5)"
            " and card is not null and trained_on = name",
            name="foreign",
        ),
        CheckConstraint(
            "weights_sha256 ~ '^[0-9a-f]{64}$' and mlflow_model is not null"
            " or weights_sha256 is null and weights_since is null",
            name="weights",
        ),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    key: Mapped[str] = mapped_column(unique=True)
    kind: Mapped[str] = mapped_column(server_default="trained")
    trained_on: Mapped[str]
    seed: Mapped[int | None]
    network: Mapped[str | None]
    image_size: Mapped[int | None]
    protocol_id: Mapped[int | None] = mapped_column(ForeignKey("protocol.id"))
    recipe: Mapped[dict[str, Any] | None]
    card: Mapped[dict[str, Any] | None]
    mlflow_run_id: Mapped[str | None] = mapped_column(unique=True)
    mlflow_model: Mapped[str | None]
    mlflow_version: Mapped[int | None]
    best_epoch: Mapped[int | None]
    validation_auc: Mapped[float | None]
    provenance: Mapped[dict[str, Any]]
    configuration: Mapped[dict[str, Any] | None]
    trained_at: Mapped[dt.datetime | None] = mapped_column(server_default=func.now())
    weights_sha256: Mapped[str | None]
    weights_since: Mapped[dt.datetime | None]


class ModelTask(Base):
    """One row per (model, task) whose output was trained; position is that of the output, from 0."""

    __tablename__ = "model_task"
    __table_args__ = (UniqueConstraint("model_id", "position"),)
    model_id: Mapped[int] = mapped_column(ForeignKey("model.id", ondelete="cascade"), primary_key=True)
    task_id: Mapped[int] = mapped_column(SmallInteger, ForeignKey("task.id"), primary_key=True)
    position: Mapped[int] = mapped_column(SmallInteger)


class TrainingCohort(Base):
    """One row per (model, cohort) that the model was trained or selected on.

    image_list_id: the images of the cohort that were used, NULL for all of them.
    """

    __tablename__ = "training_cohort"
    model_id: Mapped[int] = mapped_column(ForeignKey("model.id", ondelete="cascade"), primary_key=True)
    cohort_id: Mapped[int] = mapped_column(ForeignKey("cohort.id"), primary_key=True, index=True)
    image_list_id: Mapped[int | None] = mapped_column(ForeignKey("image_list.id"))


class Classifier(Base):
    """One row per output of a model that was trained: what its last layer makes of the pooled features.

    logit = weights · features + bias. dataset_id: NULL for a head that all datasets share.
    """

    __tablename__ = "classifier"
    __table_args__ = (
        UniqueConstraint("model_id", "dataset_id", "task_id", postgresql_nulls_not_distinct=True),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    model_id: Mapped[int] = mapped_column(ForeignKey("model.id", ondelete="cascade"))
    dataset_id: Mapped[int | None] = mapped_column(ForeignKey("dataset.id"))
    task_id: Mapped[int] = mapped_column(SmallInteger, ForeignKey("task.id"))
    weights: Mapped[list[float]] = mapped_column(ARRAY(REAL))
    bias: Mapped[float] = mapped_column(REAL)


class ForeignTraining(Base):
    """One row per (foreign model, dataset that it is said to be trained on), by name: it may not be registered here.

    Which of its images were used is not known. A model without a row: what it was trained on is unknown.
    """

    __tablename__ = "foreign_training"
    model_id: Mapped[int] = mapped_column(ForeignKey("model.id", ondelete="cascade"), primary_key=True)
    dataset: Mapped[str] = mapped_column(primary_key=True)


class ForeignLeakage(Base):
    """One row per (dataset that a foreign model is said to be trained on, test cohort): test rows that it may know.

    Counts as in `leakage`, against all images of the dataset.
    """

    __tablename__ = "foreign_leakage"
    dataset_id: Mapped[int] = mapped_column(ForeignKey("dataset.id"), primary_key=True)
    test_cohort_id: Mapped[int] = mapped_column(ForeignKey("cohort.id"), primary_key=True, index=True)
    n: Mapped[int]
    n_image: Mapped[int]
    n_patient: Mapped[int]
    n_unknown: Mapped[int]


class Study(Base):
    """One row per study file, by its name; `definition` is the file as last run. protocol_id: NULL before its first run."""

    __tablename__ = "study"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    protocol_id: Mapped[int | None] = mapped_column(ForeignKey("protocol.id"))
    definition: Mapped[dict[str, Any]]


class StudyDataset(Base):
    """One row per (study, dataset), in the order of the study file.

    guest: not of the study file; registered later, and tested on only. Guests stand behind the others, from position 1000.
    """

    __tablename__ = "study_dataset"
    study_id: Mapped[int] = mapped_column(ForeignKey("study.id", ondelete="cascade"), primary_key=True)
    dataset_id: Mapped[int] = mapped_column(ForeignKey("dataset.id"), primary_key=True)
    position: Mapped[int] = mapped_column(SmallInteger)
    guest: Mapped[bool] = mapped_column(server_default=text("false"))


class StudyTask(Base):
    """One row per (study, finding) that it is about, in the order of the study file."""

    __tablename__ = "study_task"
    __table_args__ = (UniqueConstraint("study_id", "position"),)
    study_id: Mapped[int] = mapped_column(ForeignKey("study.id", ondelete="cascade"), primary_key=True)
    task_id: Mapped[int] = mapped_column(SmallInteger, ForeignKey("task.id"), primary_key=True)
    position: Mapped[int] = mapped_column(SmallInteger)


class StudyModel(Base):
    """One row per (study, model) that the study file asks for, in its order."""

    __tablename__ = "study_model"
    study_id: Mapped[int] = mapped_column(ForeignKey("study.id", ondelete="cascade"), primary_key=True)
    model_id: Mapped[int] = mapped_column(
        ForeignKey("model.id", ondelete="cascade"), primary_key=True, index=True
    )
    position: Mapped[int] = mapped_column(SmallInteger)


class Evaluation(Base):
    """One row per (model, image list) that is completely scored; there are no half ones.

    provenance: code version, flow run and worker that wrote it; NULL for those of before this was kept.
    """

    __tablename__ = "evaluation"
    __table_args__ = (UniqueConstraint("model_id", "image_list_id"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    model_id: Mapped[int] = mapped_column(ForeignKey("model.id", ondelete="cascade"))
    image_list_id: Mapped[int] = mapped_column(ForeignKey("image_list.id"), index=True)
    seconds: Mapped[float | None] = mapped_column(REAL)
    provenance: Mapped[dict[str, Any] | None]
    completed_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())


class Prediction(Base):
    """One row per (evaluation, piece, task): logits of `PIECE` images in the order of the image list, the last
    piece has fewer.

    No row for an output that was never trained; NaN for an image that could not be scored.
    """

    __tablename__ = "prediction"
    __table_args__ = (PrimaryKeyConstraint("evaluation_id", "piece", "task_id"),)
    evaluation_id: Mapped[int] = mapped_column(ForeignKey("evaluation.id", ondelete="cascade"))
    task_id: Mapped[int] = mapped_column(SmallInteger, ForeignKey("task.id"))
    piece: Mapped[int] = mapped_column(SmallInteger)
    logits: Mapped[list[float]] = mapped_column(ARRAY(REAL))


class ListedImage(Base):
    """One row per (scored image list, image): the piece of the list's vectors that it is in, and its place there from 1.

    Written by the database with the first evaluation of the list; an index of `image_list.image_ids`.
    """

    __tablename__ = "listed_image"
    image_list_id: Mapped[int] = mapped_column(ForeignKey("image_list.id"), primary_key=True)
    piece: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    place: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    image_id: Mapped[int] = mapped_column(index=True)


class Feature(Base):
    """One row per (evaluation, image) whose pooled features were asked for; position is that in the image list, from 1.

    All images of the evaluation's list, or none.
    """

    __tablename__ = "feature"
    evaluation_id: Mapped[int] = mapped_column(
        ForeignKey("evaluation.id", ondelete="cascade"), primary_key=True, autoincrement=False
    )
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    features: Mapped[list[float]] = mapped_column(ARRAY(REAL))


class InterventionEvaluation(Base):
    """One row per (evaluation, target image list, kind): its images scored again, changed on purpose to be like those.

    No result, export or count of evaluations knows of them. kind: what was changed (`xray.pixels.changes`), or pipeline: the
    scores came in a file, of the pictures through the target's own pipeline. changes: by how much, by name; empty where the
    target's pictures are not worse in this way, so that nothing was changed and the scores are those of the evaluation.
    images: how many were drawn by the seed, NULL for all; others have no score. pictures: hash of what both lists' pictures
    show, version: of the code that changes pictures; where either is another now, the scores are stale.
    """

    __tablename__ = "intervention_evaluation"
    __table_args__ = (
        UniqueConstraint("evaluation_id", "target_list_id", "kind"),
        CheckConstraint(
            "kind in ('histogram', 'resolution', 'noise', 'borders', 'all', 'pipeline')", name="kind"
        ),
        CheckConstraint("images > 0", name="images"),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    evaluation_id: Mapped[int] = mapped_column(ForeignKey("evaluation.id", ondelete="cascade"))
    target_list_id: Mapped[int] = mapped_column(ForeignKey("image_list.id"), index=True)
    kind: Mapped[str]
    changes: Mapped[dict[str, Any]]
    images: Mapped[int | None]
    seed: Mapped[int] = mapped_column(BigInteger)
    version: Mapped[int] = mapped_column(SmallInteger)
    pictures: Mapped[str]
    provenance: Mapped[dict[str, Any] | None]
    made_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())


class InterventionScore(Base):
    """One row per (intervention, task): logits of the changed pictures, in the order of the evaluation's image list.

    NaN for an image that was not drawn, or could not be scored.
    """

    __tablename__ = "intervention_score"
    __table_args__ = (PrimaryKeyConstraint("intervention_id", "task_id"),)
    intervention_id: Mapped[int] = mapped_column(
        ForeignKey("intervention_evaluation.id", ondelete="cascade"), autoincrement=False
    )
    task_id: Mapped[int] = mapped_column(SmallInteger, ForeignKey("task.id"))
    logits: Mapped[list[float]] = mapped_column(ARRAY(REAL))


class Recalibration(Base):
    """One row per calibration: a map of a model's logits for a finding, fitted on a cohort. Never changed.

    version: counted for each model and finding, from 1. intercept, slope: of intercept and logistic, whose calibrated logit
    is intercept + slope · logit. knots (ascending logits), probabilities: of isotonic, linear between knots.
    n, n_pos: images that it was fitted on. fingerprint: of labels, logits, method and code; the same is not fitted twice.
    """

    __tablename__ = "recalibration"
    __table_args__ = (
        UniqueConstraint("model_id", "task_id", "version"),
        UniqueConstraint("model_id", "task_id", "fingerprint"),
        CheckConstraint("method in ('intercept', 'logistic', 'isotonic')", name="method"),
        CheckConstraint(
            "num_nonnulls(intercept, slope) = case method when 'isotonic' then 0 else 2 end"
            " and num_nonnulls(knots, probabilities) = case method when 'isotonic' then 2 else 0 end",
            name="parameters",
        ),
        CheckConstraint(
            "cardinality(knots) > 0 and cardinality(knots) = cardinality(probabilities)", name="knots"
        ),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    model_id: Mapped[int] = mapped_column(ForeignKey("model.id", ondelete="cascade"))
    task_id: Mapped[int] = mapped_column(SmallInteger, ForeignKey("task.id"))
    version: Mapped[int]
    cohort_id: Mapped[int] = mapped_column(ForeignKey("cohort.id"), index=True)
    method: Mapped[str]
    intercept: Mapped[float | None]
    slope: Mapped[float | None]
    knots: Mapped[list[float] | None]
    probabilities: Mapped[list[float] | None]
    n: Mapped[int]
    n_pos: Mapped[int]
    fingerprint: Mapped[str]
    fitted_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())


class Worklist(Base):
    """One row per list of images that is read again, for one finding.

    source: the address, of the explorer's pages, of the list that it was made from; NULL of one that came from a file.
    """

    __tablename__ = "worklist"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    task_id: Mapped[int] = mapped_column(SmallInteger, ForeignKey("task.id"))
    source: Mapped[str | None]
    made_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())


class WorklistImage(Base):
    """One row per (worklist, image), in the order in which it is read, from 1: an order that says nothing of scores."""

    __tablename__ = "worklist_image"
    __table_args__ = (UniqueConstraint("worklist_id", "image_id"),)
    worklist_id: Mapped[int] = mapped_column(
        ForeignKey("worklist.id", ondelete="cascade"), primary_key=True, autoincrement=False
    )
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    image_id: Mapped[int] = mapped_column(ForeignKey("image.id"), index=True)


class WorklistRead(Base):
    """One row per (worklist, image, reader): what a person said of the finding, blind; the last answer counts."""

    __tablename__ = "worklist_read"
    __table_args__ = (
        ForeignKeyConstraint(
            ["worklist_id", "position"],
            ["worklist_image.worklist_id", "worklist_image.position"],
            ondelete="cascade",
            name="fk_worklist_read_worklist_image",
        ),
        CheckConstraint("answer in ('yes', 'no', 'unsure')", name="answer"),
        CheckConstraint("length(reader) between 1 and 60", name="reader"),
        CheckConstraint("length(comment) <= 2000", name="comment"),
    )
    worklist_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    reader: Mapped[str] = mapped_column(primary_key=True)
    answer: Mapped[str]
    comment: Mapped[str | None]
    read_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())


class RereadPlan(Base):
    """One row per worklist that a plan drew: images of a test cohort, to be read by the rules of another. Never changed.

    cohort_id: whose images and labels; reference_cohort_id: by whose rules; trained_on: the model whose verdict is open.
    strata: of each image of the cohort's list, in its order, -1 where it has no label or score; sizes, drawn: images of each
    stratum, and those that were drawn by the seed, so that the chance of each is drawn / size. chance: that these reads
    settle whether labels are a cause, as it was foretold.
    """

    __tablename__ = "reread_plan"
    __table_args__ = (
        CheckConstraint("cardinality(sizes) = cardinality(drawn)", name="strata"),
        CheckConstraint("chance between 0 and 1", name="chance"),
    )
    worklist_id: Mapped[int] = mapped_column(
        ForeignKey("worklist.id", ondelete="cascade"), primary_key=True, autoincrement=False
    )
    study_id: Mapped[int] = mapped_column(ForeignKey("study.id", ondelete="cascade"), index=True)
    trained_on: Mapped[str]
    cohort_id: Mapped[int] = mapped_column(ForeignKey("cohort.id"), index=True)
    reference_cohort_id: Mapped[int] = mapped_column(ForeignKey("cohort.id"), index=True)
    strata: Mapped[list[int]] = mapped_column(ARRAY(SmallInteger))
    sizes: Mapped[list[int]]
    drawn: Mapped[list[int]]
    seed: Mapped[int] = mapped_column(BigInteger)
    chance: Mapped[float]
    made_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())


class Change(Base):
    """One row per statement that wrote what is known of images or of studies, added by triggers, never taken away.

    What was read of them is as it was while no row is new.
    """

    __tablename__ = "change"
    __table_args__ = (CheckConstraint("subject in ('images', 'studies')", name="subject"),)
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    subject: Mapped[str]
    made_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())
