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
    from xray.data.mapping.model import Named

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
    named: tuple[Configuration, ...] = ()
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
        asked: list[Configuration] = []
        if "each" in self.kinds:
            asked += [Configuration(name, (name,)) for name in names]
        if "all" in self.kinds:
            asked.append(Configuration("all", names))
        if "all but one site" in self.kinds and len(sites) > 1:
            asked += [Configuration(f"all-but-{site}", self.outside(site)) for site in sites]
        if "pairs" in self.kinds:
            asked += [Configuration(f"{a}-and-{b}", (a, b)) for a, b in combinations(names, 2)]
        first: dict[object, Configuration] = {}
        for configuration in asked:
            first.setdefault(configuration.content, configuration)
        return [
            replace(configuration, findings=self.findings) for configuration in (*first.values(), *self.named)
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
            "named": [configuration.plain() for configuration in self.named],
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
    asked = check(StudyFile, limits.read_toml(path, StudyError), str(path), StudyError)
    protocol = _protocol(asked.protocol or DEFAULT, path)
    declared = _declared(asked.findings, protocol, path)
    findings = declared or TASKS
    datasets = tuple(_dataset(entry, path, declared) for entry in asked.datasets)
    names = [dataset.name for dataset in datasets]
    _check_chosen(asked, names, findings, path)
    study = Study(
        path=path,
        name=asked.name,
        title=asked.name if asked.title is None else asked.title,
        question=QUESTION if asked.question is None else asked.question,
        protocol=protocol,
        datasets=datasets,
        kinds=tuple(dict.fromkeys(KINDS if asked.configurations is None else asked.configurations)),
        seeds=tuple(asked.seeds),
        recipe=_recipe(asked, path.resolve().parent),
        features=tuple(dict.fromkeys(asked.features)),
        foreign=tuple(asked.foreign),
        named=tuple(_configuration(entry, names, findings, path) for entry in asked.configuration),
        findings=findings,
        reference=asked.reference,
        loss_ratio=LOSS_RATIO if asked.loss_ratio is None else float(asked.loss_ratio),
    )
    _check(study)
    return study


def _check_chosen(asked: StudyFile, names: list[str], findings: Sequence[str], path: Path) -> None:
    """Datasets and findings that the file chooses are there."""
    faults = some_of("", "features", asked.features, names)
    for configuration in asked.configuration:
        where = f"[[configuration]] {configuration.name}: "
        faults += some_of(where, "datasets", configuration.datasets or [], names)
        faults += some_of(where, "tasks", configuration.tasks, list(findings))
        if configuration.datasets == []:
            faults.append(f"{where}datasets: expected at least one of {', '.join(names)}")
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
    asked = [configuration.name for configuration in study.configurations()]
    seen: dict[object, str] = {}
    for configuration in study.configurations():
        if (other := seen.setdefault(configuration.content, configuration.name)) != configuration.name:
            raise StudyError(
                f"{study.path}: [[configuration]] {configuration.name}: is the same as configuration {other!r}"
            )
    for name in sorted({n for n in asked if asked.count(n) > 1}):
        if any(configuration.name == name for configuration in study.named):
            raise StudyError(f"{study.path}: [[configuration]] {name}: another configuration has this name")
        raise StudyError(
            f"{study.path}: datasets: {name!r} is the name of a configuration of several datasets"
        )
    for name in study.foreign:
        if name in {*asked, *names}:
            raise StudyError(
                f"{study.path}: foreign: {name!r} is the name of a dataset or configuration here"
            )


def _declared(asked: list[str], protocol: str, path: Path) -> tuple[str, ...]:
    """The findings that the file names, none where it leaves them to the default list."""
    declared = declare(asked, f"{path}: findings", StudyError)
    if declared and declared != TASKS and protocol == PAPER:
        raise StudyError(
            f"{path}: findings: protocol {PAPER} is about the findings of the default list; take {DEFAULT!r}, or a "
            "protocol of your own"
        )
    return declared


def _check_trained(study: Study) -> None:
    """Something is judged, and what is trained has images to train on."""
    trained = bool(study.kinds or study.named)
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
    asked: NamedConfiguration, datasets: list[str], findings: Sequence[str], path: Path
) -> Configuration:
    chosen = datasets if asked.datasets is None else asked.datasets
    where = f"{path}: [[configuration]] {asked.name}: [where]"
    return Configuration(
        asked.name,
        tuple(dataset for dataset in datasets if dataset in chosen),
        tuple(finding for finding in findings if finding in asked.tasks),
        tuple(_condition(column, asked.where[column], where) for column in sorted(asked.where)),
    )


def _condition(column: str, value: Any, where: str) -> Condition:
    if isinstance(value, dict):
        bounds = check(Bounds, value, f"{where}: [{column}]", StudyError)
        return Condition(column, (), bounds.least, bounds.most)
    texts = value if isinstance(value, list) else [value]
    if not texts or not all(isinstance(text, str) for text in texts):
        raise StudyError(
            f"{where}: {column}: expected a text, a list of texts, or {{ least = …, most = … }}, found {value!r}"
        )
    return Condition(column, tuple(sorted(set(texts))))


def _protocol(name: str, path: Path) -> str:
    source = name if name in NAMED else str(path.resolve().parent / Path(name).expanduser())
    try:
        load_protocol(source)
    except StudyError as error:
        raise StudyError(f"{path}: protocol: {error}") from None
    return source


def _dataset(asked: Dataset, path: Path, findings: tuple[str, ...]) -> DatasetRequest:
    folder = path.resolve().parent
    mapping = folder / Path(asked.map).expanduser() if asked.map else None
    named = _named(asked, mapping, f"{path}: [[datasets]] {asked.name}") if mapping is not None else None
    labels = asked.table
    if asked.source == "dicom" and named is None:
        labels = labels or asked.images
    table = folder / Path(labels).expanduser() if labels else None
    images = folder / Path(asked.images).expanduser() if asked.images else None
    if named is not None:
        table = table or named.table
        images = images or (None if asked.labels_only else named.images)
    drawn, site = asked.phantom, asked.site or (named.site if named is not None else None)
    return DatasetRequest(
        asked.name,
        site or asked.name,
        asked.source,
        table,
        images,
        Phantom(drawn.site, drawn.patients, drawn.size, drawn.seed) if drawn else None,
        asked.labels_only,
        findings=findings,
        reading=asked.reading(),
        mapping=mapping,
        readers=asked.readers or None,
        site_stated=site is not None,
    )


def _named(asked: Dataset, path: Path, where: str) -> "Named":
    """What a dataset's mapping file names. Raises `StudyError` where it can't be read, or its dataset takes none."""
    from xray.data.mapping.model import read_named  # which takes long to import

    if asked.phantom is not None or asked.source not in ("manifest", "dicom"):
        raise StudyError(
            f"{where}: map: is for tables of your own (source manifest or dicom), whose columns are not known"
        )
    try:
        named = read_named(path)
    except DataError as error:
        raise StudyError(f"{where}: map: {error}") from None
    if named.table is None and not asked.table:
        raise StudyError(f'{where}: map: {path.name} names no table; give file = "…" there, or manifest here')
    return named


def _recipe(asked: StudyFile, folder: Path) -> Recipe:
    network, training = asked.network, asked.training
    return Recipe(
        network=network.name,
        image_size=network.image_size,
        epochs=training.epochs,
        batch_size=training.batch_size,
        learning_rate=float(training.learning_rate),
        weight_decay=float(training.weight_decay),
        epoch_images=training.epoch_images or None,
        augmentation=asked.augmentation.augmentation(),
        selection=training.selection,
        heads=network.heads,
        penalty=float(network.penalty),
        weights=str(folder / Path(network.weights).expanduser()) if network.weights else None,
        precision=training.precision,
        compile=training.compile,
    )


def check_loss_ratio(where: str, value: float) -> float:
    """How many missed causes a false claim costs, given back. Raises `StudyError`, naming `where`, below 1 or above 999."""
    if not 1 <= value <= 999:
        raise StudyError(
            f"{where}: a false claim costs as much as so many missed causes: expected 1 to 999, found {value:g}"
        )
    return value


def check_name(where: str, value: str) -> str:
    """A name of a study, dataset or site, given back. Raises `StudyError`, naming `where`, if it is not one."""
    return names.check_name(where, value, StudyError)
