"""What is true of chest X-rays and of classifiers: data, pixels, learning, statistics, analyses, reports.

    with xray.connect() as platform:
        platform.evaluate({"vendor-a": "scores.csv"}, labels="labels.csv", site="our-hospital")
        platform.results("performance")

is what a script or a notebook needs of it (docs/python.md); the rest is for the commands.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xray.platform import Platform

__all__ = ["connect"]


def connect(home: str | Path | None = None) -> "Platform":
    """The platform of a home (default: XRAY_HOME, else .xray in the current folder), its database started where need be.

    Close it, or use it as a context manager. Raises `XrayError` where the home or its database can't be used.
    """
    from xray.platform import Platform

    return Platform(home)


def __getattr__(name: str) -> Any:
    """`xray.__version__`, read when it is asked for."""
    if name == "__version__":
        from importlib import metadata

        return metadata.version("xray")
    raise AttributeError(f"module 'xray' has no attribute {name!r}")
