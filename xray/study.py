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

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
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
from xray.learning.recipe import Recipe
from xray.learning.selection import RULES as SELECTION
from xray.pixels.augment import Augmentation
from xray.pixels.reading import Reading
from xray.tasks import TASKS

if TYPE_CHECKING:
    from xray.data.mapping.model import Named

QUESTION = "Does a model that was trained at one site work at another?"
KINDS = ("each", "all", "all but one site")
ALL_KINDS = (*KINDS, "pairs")
LOSS_RATIO = 9.0
"""As `xray.stats.causes.LOSS_RATIO`: a cause is named from a probability of 0.9 on."""
LARGEST_SEED = 2**31 - 1
"""What the database's integer columns hold."""


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
        return [replace(each, findings=self.findings) for each in (*first.values(), *self.named)]

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
            "named": [each.plain() for each in self.named],
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
    """Read and check a study file. Raises `StudyError` that names file and key."""
    top = _Table(limits.read_toml(path, StudyError), str(path))
    name = top.name("name")
    protocol = _protocol(top, path)
    declared = _declared(top, protocol)
    findings = declared or TASKS
    datasets = tuple(_dataset(table, path, declared) for table in top.tables("datasets"))
    study = Study(
        path=path,
        name=name,
        title=top.text("title", name),
        question=top.text("question", QUESTION),
        protocol=protocol,
        datasets=datasets,
        kinds=tuple(top.texts("configurations", ALL_KINDS, KINDS)),
        seeds=tuple(top.numbers("seeds", (0, 1, 2))),
        recipe=_recipe(
            top.table("network"), top.table("training"), top.table("augmentation"), path.resolve().parent
        ),
        features=tuple(top.texts("features", [d.name for d in datasets], ())),
        foreign=tuple(top.names("foreign")),
        named=tuple(
            _configuration(table, [d.name for d in datasets], findings)
            for table in (top.tables("configuration") if "configuration" in top.raw else [])
        ),
        findings=findings,
        reference=top.text("reference", ""),
        loss_ratio=top.real("loss_ratio", LOSS_RATIO),
    )
    top.done()
    _check(study)
    return study


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
    asked = [each.name for each in study.configurations()]
    seen: dict[object, str] = {}
    for each in study.configurations():
        if (other := seen.setdefault(each.content, each.name)) != each.name:
            raise StudyError(
                f"{study.path}: [[configuration]] {each.name}: is the same as configuration {other!r}"
            )
    for name in sorted({n for n in asked if asked.count(n) > 1}):
        if any(each.name == name for each in study.named):
            raise StudyError(f"{study.path}: [[configuration]] {name}: another configuration has this name")
        raise StudyError(
            f"{study.path}: datasets: {name!r} is the name of a configuration of several datasets"
        )
    for name in study.foreign:
        if name in {*asked, *names}:
            raise StudyError(
                f"{study.path}: foreign: {name!r} is the name of a dataset or configuration here"
            )


def _declared(top: "_Table", protocol: str) -> tuple[str, ...]:
    """The findings that the file names, none where it leaves them to the default list."""
    declared = declare(top.words("findings"), f"{top.where}: findings", StudyError)
    if declared and declared != TASKS and protocol == PAPER:
        raise StudyError(
            f"{top.where}: findings: protocol {PAPER} is about the findings of the default list; take {DEFAULT!r}, or a "
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


def _configuration(table: "_Table", datasets: list[str], findings: Sequence[str]) -> Configuration:
    name = table.name("name")
    chosen = table.texts("datasets", datasets, datasets)
    tasks = table.texts("tasks", findings, ())
    where = table.table("where")
    found = Configuration(
        name,
        tuple(each for each in datasets if each in chosen),
        tuple(each for each in findings if each in tasks),
        tuple(_condition(where, column) for column in sorted(where.raw)),
    )
    table.done()
    if not found.datasets:
        raise StudyError(f"{table.where}: datasets: expected at least one of {', '.join(datasets)}")
    return found


def _condition(where: "_Table", column: str) -> Condition:
    value = where.raw[column]
    if isinstance(value, dict):
        bounds = where.table(column)
        least, most = bounds.bound("least"), bounds.bound("most")
        bounds.done()
        if least is None and most is None:
            raise StudyError(f"{bounds.where}: expected least, most or both")
        return Condition(column, (), least, most)
    texts = value if isinstance(value, list) else [value]
    if not texts or not all(isinstance(each, str) for each in texts):
        raise StudyError(
            f"{where.where}: {column}: expected a text, a list of texts, or {{ least = …, most = … }}, found {value!r}"
        )
    return Condition(column, tuple(sorted(set(texts))))


def _protocol(top: "_Table", path: Path) -> str:
    name = top.text("protocol", DEFAULT)
    found = name if name in NAMED else str(path.resolve().parent / Path(name).expanduser())
    try:
        load_protocol(found)
    except StudyError as error:
        raise StudyError(f"{path}: protocol: {error}") from None
    return found


def _dataset(table: "_Table", path: Path, findings: tuple[str, ...]) -> DatasetRequest:
    name = table.name("name")
    folder = path.resolve().parent
    mapping = table.text("map", "")
    named = _named(table, folder / Path(mapping).expanduser()) if mapping else None
    site = table.name("site", (named.site if named is not None else None) or name)
    manifest = table.text("manifest", "")
    labels = table.text("labels", manifest)
    images = table.text("images", "")
    drawn = table.table("phantom")
    phantom = None
    if "phantom" in table.raw:
        phantom = Phantom(
            drawn.text("site"),
            drawn.number("patients"),
            drawn.number("size", 64),
            drawn.number("seed", 0, least=0),
        )
        if labels:
            raise StudyError(f"{table.where}: expected either phantom or manifest, found both")
    drawn.done()
    source = table.text("source", "manifest")
    readers = table.text("readers", "")
    if source == "dicom" and named is None:
        labels = labels or images
    try:
        reading = Reading(table.number("maximum", 0, least=0) or None, table.flag("window"))
    except DataError as error:
        raise StudyError(f"{table.where}: {error}") from None
    labels_only = table.flag("labels_only")
    if labels_only and (images or phantom):
        raise StudyError(
            f"{table.where}: labels_only: there are pictures: {'images' if images else 'phantom'}"
        )
    table.done()
    return DatasetRequest(
        name,
        site,
        source,
        folder / Path(labels).expanduser() if labels else named.table if named is not None else None,
        folder / Path(images).expanduser()
        if images
        else named.images
        if named is not None and not labels_only
        else None,
        phantom,
        labels_only,
        findings=findings,
        reading=reading,
        mapping=folder / Path(mapping).expanduser() if mapping else None,
        readers=readers or None,
        site_stated="site" in table.raw or (named is not None and named.site is not None),
    )


def _named(table: "_Table", path: Path) -> "Named":
    """What a dataset's mapping file names. Raises `StudyError` where it can't be read, or its dataset takes none."""
    from xray.data.mapping.model import read_named  # which takes long to import

    if "phantom" in table.raw or table.text("source", "manifest") not in ("manifest", "dicom"):
        raise StudyError(
            f"{table.where}: map: is for tables of your own (source manifest or dicom), whose columns are not known"
        )
    try:
        named = read_named(path)
    except DataError as error:
        raise StudyError(f"{table.where}: map: {error}") from None
    if named.table is None and not (table.text("labels", "") or table.text("manifest", "")):
        raise StudyError(
            f'{table.where}: map: {path.name} names no table; give file = "…" there, or manifest here'
        )
    return named


def _recipe(network: "_Table", training: "_Table", augmentation: "_Table", folder: Path) -> Recipe:
    default = Recipe()
    weights = network.text("weights", "")
    recipe = Recipe(
        network=network.text("name", default.network),
        image_size=network.number("image_size", default.image_size, least=8),
        epochs=training.number("epochs", default.epochs),
        batch_size=training.number("batch_size", default.batch_size, least=2),
        learning_rate=training.real("learning_rate", default.learning_rate),
        weight_decay=training.real("weight_decay", default.weight_decay),
        epoch_images=training.number("epoch_images", 0, least=0) or None,
        augmentation=_augmentation(augmentation),
        selection=training.choice("selection", tuple(SELECTION)),
        heads=network.choice("heads", ("shared", "per dataset")),
        penalty=network.real("penalty", default.penalty),
        weights=str(folder / Path(weights).expanduser()) if weights else None,
        precision=training.choice("precision", ("float32", "bfloat16")),
        compile=training.flag("compile"),
    )
    if recipe.penalty and recipe.heads != "per dataset":
        raise StudyError(f'{network.where}: penalty: needs heads = "per dataset"')
    for table in (network, training, augmentation):
        table.done()
    return recipe


def _augmentation(table: "_Table") -> Augmentation:
    strengths = {k: table.real(k, v) for k, v in dataclasses.asdict(Augmentation()).items()}
    try:
        return Augmentation(**strengths)
    except ValueError as error:
        raise StudyError(f"{table.where}: {error}") from None


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


def _plain_name(table: Mapping[str, Any]) -> str:
    """The name that a table says, if it can stand in a message."""
    name = table.get("name")
    return name if isinstance(name, str) and names.fault_of(name, longest=60) is None else ""


class _Table:
    """One table of the file; remembers which keys were asked for, so that a misspelt key is an error."""

    def __init__(self, raw: Mapping[str, Any], where: str) -> None:
        self.raw, self.where = raw, where
        self._known: set[str] = set()

    def _get(self, key: str, kind: type | tuple[type, ...], expected: str, default: Any) -> Any:
        self._known.add(key)
        if key not in self.raw:
            if default is None:
                raise StudyError(f"{self.where}: {key} is missing; expected {expected}")
            return default
        value = self.raw[key]
        if not isinstance(value, kind) or isinstance(value, bool):
            raise StudyError(f"{self.where}: {key}: expected {expected}, found {value!r}")
        return value

    def text(self, key: str, default: str | None = None) -> str:
        return str(self._get(key, str, "text", default))

    def name(self, key: str, default: str | None = None) -> str:
        return check_name(f"{self.where}: {key}", self.text(key, default))

    def choice(self, key: str, allowed: tuple[str, ...]) -> str:
        """One of some texts; the first is the default."""
        value = self.text(key, allowed[0])
        if value not in allowed:
            raise StudyError(f"{self.where}: {key}: expected one of {', '.join(allowed)}, found {value!r}")
        return value

    def flag(self, key: str) -> bool:
        """True or false, which is the default."""
        self._known.add(key)
        value = self.raw.get(key, False)
        if not isinstance(value, bool):
            raise StudyError(f"{self.where}: {key}: expected true or false, found {value!r}")
        return value

    def number(self, key: str, default: int | None = None, least: int = 1) -> int:
        value = int(self._get(key, int, "a whole number", default))
        if value < least:
            raise StudyError(f"{self.where}: {key}: expected at least {least}, found {value}")
        return value

    def real(self, key: str, default: float) -> float:
        value = float(self._get(key, (int, float), "a number", default))
        if not 0 <= value < float("inf"):
            raise StudyError(f"{self.where}: {key}: expected a number of 0 or more, found {value}")
        return value

    def bound(self, key: str) -> float | None:
        """A number of 0 or more; None where the key is not there."""
        self._known.add(key)
        return self.real(key, 0.0) if key in self.raw else None

    def numbers(self, key: str, default: Iterable[int]) -> list[int]:
        value = self._get(key, list, "a list of whole numbers", list(default))
        if not all(isinstance(v, int) and not isinstance(v, bool) and 0 <= v <= LARGEST_SEED for v in value):
            raise StudyError(
                f"{self.where}: {key}: expected whole numbers from 0 to {LARGEST_SEED}, found {value!r}"
            )
        return list(value)

    def texts(self, key: str, allowed: Iterable[str], default: Iterable[str]) -> list[str]:
        value = self._get(key, list, "a list of texts", list(default))
        for each in value:
            if each not in allowed:
                raise StudyError(
                    f"{self.where}: {key}: expected some of {', '.join(allowed)}, found {each!r}"
                )
        return list(dict.fromkeys(value))

    def words(self, key: str) -> list[str]:
        """A list of texts of any kind; empty where the key is not there."""
        value = self._get(key, list, "a list of texts", [])
        if not all(isinstance(each, str) for each in value):
            raise StudyError(f"{self.where}: {key}: expected a list of texts, found {value!r}")
        return list(value)

    def names(self, key: str) -> list[str]:
        value = self._get(key, list, "a list of names", [])
        for each in value:
            if not isinstance(each, str) or not names.NAME.fullmatch(each):
                raise StudyError(
                    f"{self.where}: {key}: expected names of models, found {names.shown(str(each))}"
                )
        if len(set(value)) < len(value):
            raise StudyError(f"{self.where}: {key}: a name stands twice in {value!r}")
        return list(value)

    def table(self, key: str) -> "_Table":
        return _Table(self._get(key, dict, "a table", {}), f"{self.where}: [{key}]")

    def tables(self, key: str) -> list["_Table"]:
        value = self._get(key, list, f"one [[{key}]] table or more", None)
        if not value or not all(isinstance(v, dict) for v in value):
            raise StudyError(f"{self.where}: {key}: expected one [[{key}]] table or more, found {value!r}")
        return [
            _Table(v, f"{self.where}: [[{key}]] {_plain_name(v) or number}")
            for number, v in enumerate(value, 1)
        ]

    def done(self) -> None:
        """Refuse keys that nobody asked for."""
        for key in self.raw:
            if key not in self._known:
                near = names.nearest(key, self._known)
                hint = (
                    f"; did you mean {near!r}?"
                    if near
                    else f"; expected some of {', '.join(sorted(self._known))}"
                )
                raise StudyError(f"{self.where}: unknown key {key!r}{hint}")
