"""The keys of a study file: what each is, and what it is where a file leaves it out. What they mean is in `xray.study`."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from xray import names
from xray.errors import DataError
from xray.keys import Name, Part
from xray.learning.recipe import Recipe
from xray.learning.selection import RULES as SELECTION
from xray.pixels.augment import Augmentation
from xray.pixels.reading import Reading

LARGEST_SEED: Final = 2**31 - 1
"""What the database's integer columns hold."""
Real = Annotated[float, Field(ge=0, allow_inf_nan=False, description="a number of 0 or more")]
Texts = Annotated[list[str], Field(description="a list of texts")]
Seed = Annotated[int, Field(ge=0, le=LARGEST_SEED)]


class PhantomSite(Part):
    """[datasets.phantom]: a synthetic hospital."""

    site: str
    patients: int = Field(ge=1)
    size: int = Field(64, ge=1)
    seed: int = Field(0, ge=0)


class Dataset(Part):
    """[[datasets]]."""

    name: Name
    site: Name | None = None
    manifest: str = ""
    labels: str | None = None
    images: str = ""
    source: str = "manifest"
    phantom: PhantomSite | None = None
    maximum: int = Field(0, ge=0)
    window: bool = False
    labels_only: bool = False
    map: str = ""
    readers: str = ""

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if self.phantom is not None and self.table:
            raise ValueError("expected either phantom or manifest, found both")
        if self.labels_only and (self.images or self.phantom):
            raise ValueError(f"labels_only: there are pictures: {'images' if self.images else 'phantom'}")
        try:
            self.reading()
        except DataError as error:
            raise ValueError(str(error)) from None
        return self

    @property
    def table(self) -> str:
        """The file of its labels; "" where none is said."""
        return self.manifest if self.labels is None else self.labels

    def reading(self) -> Reading:
        """How its pictures are read."""
        return Reading(self.maximum or None, self.window)


class Bounds(Part):
    """A condition on a column of numbers."""

    least: Real | None = None
    most: Real | None = None

    @model_validator(mode="after")
    def _bounds(self) -> Self:
        if self.least is None and self.most is None:
            raise ValueError("expected least, most or both")
        return self


class NamedConfiguration(Part):
    """[[configuration]]: a configuration with a table of its own."""

    name: Name
    datasets: Texts | None = None
    tasks: Texts = Field([])
    where: dict[str, Any] = Field({}, description="a table")


class Network(Part):
    """[network]."""

    name: str = Recipe.network
    image_size: Annotated[int, Field(ge=8)] = Recipe.image_size
    heads: Literal["shared", "per dataset"] = "shared"
    penalty: Real = Recipe.penalty
    weights: str = ""

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if self.penalty and self.heads != "per dataset":
            raise ValueError('penalty: needs heads = "per dataset"')
        return self


class Training(Part):
    """[training]."""

    epochs: Annotated[int, Field(ge=1)] = Recipe.epochs
    batch_size: Annotated[int, Field(ge=2)] = Recipe.batch_size
    learning_rate: Real = Recipe.learning_rate
    weight_decay: Real = Recipe.weight_decay
    epoch_images: Annotated[int, Field(ge=0)] = 0
    selection: str = next(iter(SELECTION))
    precision: Literal["float32", "bfloat16"] = "float32"
    compile: bool = False

    @field_validator("selection")
    @classmethod
    def _is_a_rule(cls, value: str) -> str:
        if value not in SELECTION:
            raise ValueError(f"expected one of {', '.join(SELECTION)}, found {value!r}")
        return value


class Ranges(Part):
    """[augmentation]."""

    rotation: Real = Augmentation.rotation
    translation: Real = Augmentation.translation
    scale: Real = Augmentation.scale
    intensity: Real = Augmentation.intensity

    @model_validator(mode="after")
    def _in_range(self) -> Self:
        self.augmentation()
        return self

    def augmentation(self) -> Augmentation:
        """As training draws from it. Raises ValueError."""
        return Augmentation(self.rotation, self.translation, self.scale, self.intensity)


def _different(value: list[str]) -> list[str]:
    for name in value:
        if not names.NAME.fullmatch(name):
            raise ValueError(f"expected names of models, found {names.quoted(name)}")
    if len(set(value)) < len(value):
        raise ValueError(f"a name stands twice in {value!r}")
    return value


def _some(value: list[Any]) -> list[Any]:
    if not value:
        raise ValueError("expected one table or more, found []")
    return value


class StudyFile(Part):
    """A study file, before its names are looked up."""

    name: Name
    title: str | None = None
    question: str | None = None
    protocol: str | None = None
    findings: Texts = Field([])
    configurations: list[Literal["each", "all", "all but one site", "pairs"]] | None = Field(
        None, description="a list of texts"
    )
    seeds: list[Seed] = Field(
        [0, 1, 2],
        description="a list of whole numbers",
        json_schema_extra={"parts": f"whole numbers from 0 to {LARGEST_SEED}"},
    )
    features: Texts = Field([])
    foreign: Annotated[list[str], AfterValidator(_different)] = Field(
        [], description="a list of names", json_schema_extra={"parts": "names of models"}
    )
    datasets: Annotated[list[Dataset], AfterValidator(_some)] = Field(
        description="one [[datasets]] table or more"
    )
    configuration: list[NamedConfiguration] = Field([], description="one [[configuration]] table or more")
    network: Network = Network()
    training: Training = Training()
    augmentation: Ranges = Ranges()
    reference: str = ""
    loss_ratio: Real | None = None


def some_of(source: str, key: str, texts: list[str], allowed: Mapping[str, Any] | list[str]) -> list[str]:
    """The sentence of every text that is none of those that are allowed."""
    return [
        f"{source}{key}: expected some of {', '.join(allowed)}, found {text!r}"
        for text in texts
        if text not in allowed
    ]
