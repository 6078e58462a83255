"""A study file (TOML) → datasets, configurations and recipe: what is to be true when the study is done.

name = "pneumonia"
protocol = "corrected"
configurations = ["each", "all", "all but one site"]
seeds = [0, 1, 2]

[[datasets]]
name = "nih"
site = "nih"
manifest = "nih/labels.csv"       # paths are relative to the study file

[network]
name = "densenet121"
image_size = 224

[training]
epochs = 100
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xray import limits, names
from xray.configuration import Condition, Configuration
from xray.data.protocol import DEFAULT, NAMED, PAPER, load_protocol
from xray.data.request import DatasetRequest, Phantom
from xray.errors import DataError, StudyError
from xray.findings import declare
from xray.keys import check, joined
from xray.learning.recipe import Recipe
from xray.study_keys import Bounds, Dataset, NamedConfiguration, StudyFile, some_of
from xray.tasks import TASKS

if TYPE_CHECKING:
    from xray.data.mapping.model import MappedFiles

QUESTION = "Does a model that was trained at one site work at another?"
KINDS = ("each", "all", "all but one site")
ALL_KINDS = (*KINDS, "pairs")
LOSS_RATIO = 2.0
"""As `xray.stats.causes.LOSS_RATIO`: a cause is named from a probability of 2/3 on."""


@dataclass(frozen=True)
class Study:
    """A study file, read and checked. protocol: the name of one that comes along, or the path of a TOML file."""

    path: Path
    name: str
    title: str
    question: str
    protocol: str
    datasets: tuple[DatasetRequest, ...]
    kinds: tuple[str, ...]
    seeds: tuple[int, ...]
    recipe: Recipe
    features: tuple[str, ...] = ()
    """Datasets of which the pooled features of every image are stored, by the models of the first seed."""
    foreign: tuple[str, ...] = ()
    """Models from elsewhere, by name, that stand beside the study's own."""
    own_configurations: tuple[Configuration, ...] = ()
    """Configurations with a [[configuration]] table of their own."""
    findings: tuple[str, ...] = TASKS
    """What models are trained for and results are of, in order."""
    reference: str = ""
    """The dataset that models from elsewhere are compared with at all others; "" where none is declared."""
    loss_ratio: float = LOSS_RATIO
    """How many missed causes a false claim costs, in verdicts on models from elsewhere."""

    def configurations(self) -> list[Configuration]:
        """Every configuration asked for, each content once: each dataset, all, all but one site, pairs, those by name."""
        names = tuple(d.name for d in self.datasets)
        sites = list(dict.fromkeys(d.site for d in self.datasets))
        requests: list[Configuration] = []
        if "each" in self.kinds:
            requests += [Configuration(name, (name,)) for name in names]
        if "all" in self.kinds:
            requests.append(Configuration("all", names))
        if "all but one site" in self.kinds and len(sites) > 1:
            requests += [Configuration(f"all-but-{site}", self.outside(site)) for site in sites]
        if "pairs" in self.kinds:
            requests += [Configuration(f"{a}-and-{b}", (a, b)) for a, b in combinations(names, 2)]
        first: dict[object, Configuration] = {}
        for configuration in requests:
            first.setdefault(configuration.content, configuration)
        return [
            replace(configuration, findings=self.findings)
            for configuration in (*first.values(), *self.own_configurations)
        ]

    @property
    def image_size(self) -> int | None:
        """Pixels along a side of what is trained on; None where nothing is."""
        return self.recipe.image_size if self.configurations() else None

    def outside(self, site: str) -> tuple[str, ...]:
        """Names of the datasets that are not of this site."""
        return tuple(d.name for d in self.datasets if d.site != site)

    def definition(self) -> dict[str, Any]:
        """The study as plain data, for the database and for people."""
        return {
            "name": self.name,
            "title": self.title,
            "protocol": self.protocol,
            "datasets": [{"name": d.name, "site": d.site} for d in self.datasets],
            "configurations": list(self.kinds),
            "named": [configuration.plain() for configuration in self.own_configurations],
            "seeds": list(self.seeds),
            "foreign": list(self.foreign),
            "recipe": asdict(self.recipe),
            "features": list(self.features),
            "findings": list(self.findings),
            "reference": self.reference,
            "loss_ratio": self.loss_ratio,
            "file": str(self.path.resolve()),
        }


def read_study(path: Path) -> Study:
    """Read and check a study file. Raises `StudyError` that names file and key of every fault."""
    file = check(StudyFile, limits.read_toml(path, StudyError), str(path), StudyError)
    protocol = _protocol(file.protocol or DEFAULT, path)
    declared = _findings(file.findings, protocol, path)
    findings = declared or TASKS
    datasets = tuple(_dataset(entry, path, declared) for entry in file.datasets)
    names = [dataset.name for dataset in datasets]
    _check_selections(file, names, findings, path)
    study = Study(
        path=path,
        name=file.name,
        title=file.name if file.title is None else file.title,
        question=QUESTION if file.question is None else file.question,
        protocol=protocol,
        datasets=datasets,
        kinds=tuple(dict.fromkeys(KINDS if file.configurations is None else file.configurations)),
        seeds=tuple(file.seeds),
        recipe=_recipe(file, path.resolve().parent),
        features=tuple(dict.fromkeys(file.features)),
        foreign=tuple(file.foreign),
        own_configurations=tuple(
            _configuration(entry, names, findings, path) for entry in file.configuration
        ),
        findings=findings,
        reference=file.reference,
        loss_ratio=LOSS_RATIO if file.loss_ratio is None else float(file.loss_ratio),
    )
    _check(study)
    return study


def _check_selections(file: StudyFile, names: list[str], findings: Sequence[str], path: Path) -> None:
    """Datasets and findings that the file chooses are there."""
    faults = some_of("", "features", file.features, names)
    for configuration in file.configuration:
        source = f"[[configuration]] {configuration.name}: "
        faults += some_of(source, "datasets", configuration.datasets or [], names)
        faults += some_of(source, "tasks", configuration.tasks, list(findings))
        if configuration.datasets == []:
            faults.append(f"{source}datasets: expected at least one of {', '.join(names)}")
    if faults:
        raise StudyError(joined(str(path), faults))


def _check(study: Study) -> None:
    names = [d.name for d in study.datasets]
    for name in sorted({n for n in names if names.count(n) > 1}):
        raise StudyError(f"{study.path}: datasets: {name!r} is named twice")
    if not study.seeds or len(set(study.seeds)) < len(study.seeds):
        raise StudyError(f"{study.path}: seeds: expected different numbers, found {list(study.seeds)}")
    if study.reference and study.reference not in names:
        raise StudyError(
            f"{study.path}: reference: expected one of {', '.join(names)}, found {study.reference!r}"
        )
    check_loss_ratio(f"{study.path}: loss_ratio", study.loss_ratio)
    _check_trained(study)
    order = [configuration.name for configuration in study.configurations()]
    contents: dict[object, str] = {}
    for configuration in study.configurations():
        if (other := contents.setdefault(configuration.content, configuration.name)) != configuration.name:
            raise StudyError(
                f"{study.path}: [[configuration]] {configuration.name}: is the same as configuration {other!r}"
            )
    for name in sorted({n for n in order if order.count(n) > 1}):
        if any(configuration.name == name for configuration in study.own_configurations):
            raise StudyError(f"{study.path}: [[configuration]] {name}: another configuration has this name")
        raise StudyError(
            f"{study.path}: datasets: {name!r} is the name of a configuration of several datasets"
        )
    for name in study.foreign:
        if name in {*order, *names}:
            raise StudyError(
                f"{study.path}: foreign: {name!r} is the name of a dataset or configuration here"
            )


def _findings(words: list[str], protocol: str, path: Path) -> tuple[str, ...]:
    """The findings that the file names, none where it leaves them to the default list."""
    declared = declare(words, f"{path}: findings", StudyError)
    if declared and declared != TASKS and protocol == PAPER:
        raise StudyError(
            f"{path}: findings: protocol {PAPER} is about the findings of the default list; take {DEFAULT!r}, or a "
            "protocol of your own"
        )
    return declared


def _check_trained(study: Study) -> None:
    """Something is judged, and what is trained has images to train on."""
    trained = bool(study.kinds or study.own_configurations)
    if not trained and not study.foreign:
        raise StudyError(
            f"{study.path}: configurations: expected at least one of {', '.join(ALL_KINDS)}, or models from elsewhere "
            "(foreign)"
        )
    if not trained and study.features:
        raise StudyError(f"{study.path}: features: are those of models trained here, and none is")
    if trained and not load_protocol(study.protocol).trains:
        raise StudyError(
            f"{study.path}: protocol: {study.protocol} leaves nothing to train on; say configurations = [] to judge "
            f"models from elsewhere, or another protocol, such as {DEFAULT}"
        )


def _configuration(
    entry: NamedConfiguration, datasets: list[str], findings: Sequence[str], path: Path
) -> Configuration:
    selection = datasets if entry.datasets is None else entry.datasets
    source = f"{path}: [[configuration]] {entry.name}: [where]"
    return Configuration(
        entry.name,
        tuple(dataset for dataset in datasets if dataset in selection),
        tuple(finding for finding in findings if finding in entry.tasks),
        tuple(_condition(column, entry.where[column], source) for column in sorted(entry.where)),
    )


def _condition(column: str, value: Any, source: str) -> Condition:
    if isinstance(value, dict):
        bounds = check(Bounds, value, f"{source}: [{column}]", StudyError)
        return Condition(column, (), bounds.least, bounds.most)
    texts = value if isinstance(value, list) else [value]
    if not texts or not all(isinstance(text, str) for text in texts):
        raise StudyError(
            f"{source}: {column}: expected a text, a list of texts, or {{ least = …, most = … }}, found {value!r}"
        )
    return Condition(column, tuple(sorted(set(texts))))


def _protocol(name: str, path: Path) -> str:
    source = name if name in NAMED else str(path.resolve().parent / Path(name).expanduser())
    try:
        load_protocol(source)
    except StudyError as error:
        raise StudyError(f"{path}: protocol: {error}") from None
    return source


def _dataset(entry: Dataset, path: Path, findings: tuple[str, ...]) -> DatasetRequest:
    folder = path.resolve().parent
    mapping = folder / Path(entry.map).expanduser() if entry.map else None
    mapped = _mapped(entry, mapping, f"{path}: [[datasets]] {entry.name}") if mapping is not None else None
    labels = entry.table
    if entry.source == "dicom" and mapped is None:
        labels = labels or entry.images
    table = folder / Path(labels).expanduser() if labels else None
    images = folder / Path(entry.images).expanduser() if entry.images else None
    if mapped is not None:
        table = table or mapped.table
        images = images or (None if entry.labels_only else mapped.images)
    phantom, site = entry.phantom, entry.site or (mapped.site if mapped is not None else None)
    return DatasetRequest(
        entry.name,
        site or entry.name,
        entry.source,
        table,
        images,
        Phantom(phantom.site, phantom.patients, phantom.size, phantom.seed) if phantom else None,
        entry.labels_only,
        findings=findings,
        reading=entry.reading(),
        mapping=mapping,
        readers=entry.readers or None,
        site_stated=site is not None,
    )


def _mapped(entry: Dataset, path: Path, source: str) -> "MappedFiles":
    """What a dataset's mapping file names. Raises `StudyError` where it can't be read, or its dataset takes none."""
    from xray.data.mapping.model import read_named  # which takes long to import

    if entry.phantom is not None or entry.source not in ("manifest", "dicom"):
        raise StudyError(
            f"{source}: map: is for tables of your own (source manifest or dicom), whose columns are not known"
        )
    try:
        mapped = read_named(path)
    except DataError as error:
        raise StudyError(f"{source}: map: {error}") from None
    if mapped.table is None and not entry.table:
        raise StudyError(
            f'{source}: map: {path.name} names no table; give file = "…" there, or manifest here'
        )
    return mapped


def _recipe(file: StudyFile, folder: Path) -> Recipe:
    network, training = file.network, file.training
    return Recipe(
        network=network.name,
        image_size=network.image_size,
        epochs=training.epochs,
        batch_size=training.batch_size,
        learning_rate=float(training.learning_rate),
        weight_decay=float(training.weight_decay),
        epoch_images=training.epoch_images or None,
        augmentation=file.augmentation.augmentation(),
        selection=training.selection,
        heads=network.heads,
        penalty=float(network.penalty),
        weights=str(folder / Path(network.weights).expanduser()) if network.weights else None,
        precision=training.precision,
        compile=training.compile,
    )


def check_loss_ratio(source: str, value: float) -> float:
    """How many missed causes a false claim costs, given back. Raises `StudyError`, naming `where`, below 1 or above 999."""
    if not 1 <= value <= 999:
        raise StudyError(
            f"{source}: a false claim costs as much as so many missed causes: expected 1 to 999, found {value:g}"
        )
    return value


def check_name(source: str, value: str) -> str:
    """A name of a study, dataset or site, given back. Raises `StudyError`, naming `where`, if it is not one."""
    return names.check_name(source, value, StudyError)
