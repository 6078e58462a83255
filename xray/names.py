"""Names: which can be taken, and which are refused at the door.

Names of datasets, sites, studies, protocols, configurations and models become names of folders, files, deployments and
registered models, and are typed in a shell: lower-case letters, digits, - and _. Names of images, patients and findings are
their owners', and are text: whatever shows them escapes them. Only what would mislead a reader or break a line is refused.
"""

import difflib
import os
import re
from collections.abc import Iterable
from typing import Final

from xray.errors import XrayError

NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,59}")
LONGEST: Final = 500
"""Letters of a name that its owner chose. File systems take 255 bytes for each part of a path."""
UNFIT: Final = r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ufffe\uffff\ud800-\udfff]"
"""Control characters, line ends, marks that turn the direction of the text that follows, and halves of characters."""
_UNFIT: Final = re.compile(UNFIT)
_NEAR: Final = 0.85


def check_name(source: str, value: str, error: type[XrayError]) -> str:
    """A name of ours, given back. Raises `error`, naming `where`, if it is not one."""
    if (fault := fault_of_name(value)) is not None:
        raise error(f"{source}: {fault}")
    return value


def fault_of_name(value: str) -> str | None:
    """Why a text is no name of ours, or None."""
    return (
        None
        if NAME.fullmatch(value)
        else f"expected lower-case letters, digits, - or _, at most 60, found {quoted(value)}"
    )


def check_text(source: str, value: str, error: type[XrayError], longest: int = LONGEST) -> str:
    """One line of text, given back. Raises `error`, naming `where`, where it is longer, or has characters of `UNFIT`."""
    fault = fault_of(value, longest)
    if fault:
        raise error(f"{source}: {fault}, found {quoted(value)}")
    return value


def fault_of(value: str, longest: int = LONGEST) -> str | None:
    """Why a text is no name, or None."""
    unfit = _UNFIT.search(value)
    if unfit:
        return f"expected text without control characters, has U+{ord(unfit[0]):04X}"
    return f"expected at most {longest} letters, has {len(value)}" if len(value) > longest else None


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The name that somebody who typed `name` most likely meant, or None where none is near."""
    near = difflib.get_close_matches(name, list(names), n=1)
    return near[0] if near else None


def unknown(kind: str, name: str, names: Iterable[str], none: str = "none") -> str:
    """The sentence for a name that is none of `names`, with the nearest or all of them; `none` stands for no name at all."""
    candidates = list(names)
    near = nearest(name, candidates)
    hint = f"did you mean {near!r}?" if near else f"known: {', '.join(candidates) or none}"
    return f"there is no {kind} {quoted(name)}; {hint}"


def plain(word: str) -> str:
    """A word without what people write in different ways: case, spaces, underscores, hyphens and other marks."""
    return "".join(character for character in word.casefold() if character.isalnum())


def near(text: str, among: Iterable[str]) -> str | None:
    """The one of these names that is nearly `wanted` (case, spaces, underscores, a slip of typing), or None."""
    of = {plain(name): name for name in among if name}
    close = difflib.get_close_matches(plain(text), list(of), n=1, cutoff=_NEAR)
    return of[close[0]] if close else None


def quoted(value: str) -> str:
    """A text in quotes, for a message: what can't be printed written out, the middle of a long one left out."""
    text = value if len(value) <= 80 else f"{value[:40]}…{value[-20:]}"
    return ascii(text) if _UNFIT.search(text) else repr(text)


def readable(text: str) -> str:
    """Text that a database takes, of a path or a command line: a byte that is no UTF-8 is written as \\xNN."""
    return os.fsencode(text).decode("utf-8", "backslashreplace")
