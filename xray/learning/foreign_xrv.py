"""torchxrayvision's published classifiers: what a card would say of their weights files.

Their networks are torchvision's with one channel, so that the package is needed for its tables, and for its classes where a
file is a whole pickled module, but not to run the model.
"""

from typing import Any, Final

from xray.errors import ForeignModelError
from xray.learning.foreign_card import Card, card_of

_TRAINED_ON: Final[dict[str, tuple[str, ...]]] = {
    "densenet121-res224-all": ("nih", "padchest", "chexpert", "mimic_ch", "google", "openi", "rsna"),
    "densenet121-res224-nih": ("nih",),
    "densenet121-res224-pc": ("padchest",),
    "densenet121-res224-chex": ("chexpert",),
    "densenet121-res224-rsna": ("rsna",),
    "densenet121-res224-mimic_nb": ("mimic_nb",),
    "densenet121-res224-mimic_ch": ("mimic_ch",),
    "resnet50-res512-all": ("padchest", "nih", "rsna", "siim", "vin"),
}
"""Their models by name → our names of the datasets that their documentation says they were trained on."""


def xrv_card(weights: str, name: str) -> Card:
    """The card of one of torchxrayvision's models, as `xrv.models.DenseNet(weights=…)` names it.

    Its logits are taken before `op_norm`, which moves each task's operating point to 0.5 and keeps the order of images.
    Raises `ForeignModelError` where the package is not installed or has no such model.
    """
    tables = _tables()
    if weights not in _TRAINED_ON or weights not in tables:
        raise ForeignModelError(f"torchxrayvision has no model {weights!r}; known: {', '.join(_TRAINED_ON)}")
    about = tables[weights]
    operating = ", ".join(
        f"{label} {threshold:.4g}"
        for label, threshold in zip(about["labels"], about["op_threshs"], strict=True)
        if label and threshold == threshold
    )
    plain = {
        "name": name,
        "size": about["input_resolution"],
        "range": [-1024, 1024],
        "output": "logit",
        "tasks": list(about["labels"]),
        "network": weights.partition("-")[0],
        "trained_on": list(_TRAINED_ON[weights]),
        "citation": f"torchxrayvision {weights}: Cohen et al. 2020, arXiv:2002.02497",
        "note": f"operating points of its probabilities, not applied: {operating}",
    }
    return card_of(plain, weights)


def _tables() -> dict[str, dict[str, Any]]:
    import warnings

    try:
        with warnings.catch_warnings():  # the package silences all warnings when it is imported
            warnings.simplefilter("ignore")
            from torchxrayvision.models import model_urls
    except ImportError:
        raise ForeignModelError("torchxrayvision's models need its extra: pip install 'xray[xrv]'") from None
    tables: dict[str, dict[str, Any]] = model_urls
    return tables
