"""What starts work: Prefect flows, deployments, automations, and the command line.

Whatever starts here, and every process that it starts, makes files for its owner only.
"""

import atexit
import gc
import os
from typing import Final

MANY: Final = (100_000, 20, 100)
"""As often as Python looks for garbage by itself (700, 10, 10), it takes a quarter of the time of imports and of figures."""

os.umask(0o077)
gc.set_threshold(*MANY)


def leave_garbage() -> None:
    """Have this program end without looking for garbage in all that it imported: .4 s of an analysis, 1 s of Prefect.

    For programs of ours, which close what they write: what only the search would have finalised is not, such as a file that
    a module with functions has left open.
    """
    atexit.register(gc.freeze)
