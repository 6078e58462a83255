"""Compile ahead what the demo needs of the statistics and the pixel path, on all cores: python -m xray.machine_code

`make install` runs it, as it compiles Python's bytecode; without it a function is compiled at its first call, while
somebody waits. `machine_code.csv` names the functions and the types of their arguments, by number of dimensions, layout
and whether they may be written. After functions have changed it is written anew from what a demo compiles:

    NUMBA_CACHE_DIR=FOLDER XRAY_HOME=HOME xray demo    (both folders new)
    NUMBA_CACHE_DIR=FOLDER python -m xray.machine_code --learn
"""

import argparse
import csv
import importlib
import pkgutil
from concurrent.futures import ProcessPoolExecutor
from itertools import groupby
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final, NamedTuple

from numba import types
from numba.core.dispatcher import Dispatcher

from xray import pixels, stats
from xray.cores import cores

LISTED: Final = Path(__file__).with_suffix(".csv")


class Compiled(NamedTuple):
    """A function for arguments of some types: `float64` for a number, `float64:2:C` or `float32:2:F:readonly` for arrays."""

    module: str
    function: str
    arguments: tuple[str, ...]


def listed() -> list[Compiled]:
    """What is to be compiled."""
    with LISTED.open(encoding="utf-8", newline="") as file:
        return [
            Compiled(module, function, tuple(arguments)) for module, function, *arguments in csv.reader(file)
        ]


def dispatcher(of: Compiled) -> Any:
    """numba's dispatcher of the function. ImportError, AttributeError where there is none."""
    return getattr(importlib.import_module(of.module), of.function)


def compile_listed(several: list[Compiled]) -> None:
    """Compile a function for its types, unless its machine code is on disk: one process writes what is kept of it."""
    for of in several:
        dispatcher(of).compile(tuple(_type(argument) for argument in of.arguments))


def learned() -> list[Compiled]:
    """All that is on disk, of every module of `xray.pixels` and `xray.stats`."""
    compiled = []
    for package in (pixels, stats):
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            for name, function in vars(importlib.import_module(module.name)).items():
                if isinstance(function, Dispatcher) and function.py_func.__module__ == module.name:
                    cache: Any = vars(function)["_cache"]
                    index = cache._cache_file._load_index()  # by signature, target, hashes of the code
                    compiled += [Compiled(module.name, name, tuple(map(_text, key[0]))) for key in index]
    return sorted(compiled)


def _type(text: str) -> types.Type:
    name, *of_array = text.split(":")
    element = getattr(types, name)
    if not of_array:
        return element
    n_dimensions, *flags = of_array
    layout: Any = flags[0]
    return types.Array(element, int(n_dimensions), layout, readonly="readonly" in flags)


def _text(of: Any) -> str:
    if not isinstance(of, types.Array):
        return _name(of)
    return ":".join([_name(of.dtype), str(of.ndim), of.layout] + ["readonly"] * (not of.mutable))


def _name(of: types.Type) -> str:
    return "boolean" if of == types.boolean else str(of)


def main() -> None:
    """Compile all that is listed, or list what is compiled."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--learn", action="store_true", help=f"write {LISTED.name} from what is on disk")
    if options.parse_args().learn:
        rows = [[of.module, of.function, *of.arguments] for of in learned()]
        if not rows:
            options.error("nothing is compiled yet: run a demo first")
        with LISTED.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(rows)
        return
    by_function = [list(several) for _, several in groupby(listed(), lambda of: (of.module, of.function))]
    with ProcessPoolExecutor(cores(), get_context("fork")) as pool:
        list(pool.map(compile_listed, by_function))


if __name__ == "__main__":
    main()
