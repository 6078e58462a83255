"""Which column of somebody else's file is which task: our names, which are torchxrayvision's, however they are cased."""

from collections.abc import Sequence

from xray.data.sources.csvfile import near
from xray.tasks import TASKS


def plain_name(name: str) -> str:
    """A name without what people write in different ways: case, spaces, underscores and hyphens."""
    return "".join(character for character in name.lower() if character not in " _-")


_TASK_OF = {plain_name(task): index for index, task in enumerate(TASKS)}


def task_of(name: str) -> int | None:
    """The task that a name stands for, however it is cased and joined ("pleural thickening"); None where it is no task."""
    return _TASK_OF.get(plain_name(name))


def task_columns(names: Sequence[str]) -> tuple[dict[int, str], list[str], list[str]]:
    """Task → its column; the columns that are no task; and what is wrong, in words: two columns of a task, near misses."""
    found: dict[int, str] = {}
    others, wrong = [], []
    for name in names:
        task = task_of(name)
        if task is None:
            others.append(name)
            guess = near(name, TASKS)
            if guess is not None:
                wrong.append(f"column {name!r} is no task; did you mean {guess!r}?")
        elif task in found:
            wrong.append(f"columns {found[task]!r} and {name!r} are both {TASKS[task]}")
        else:
            found[task] = name
    return found, others, wrong
