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
# as it ends, Python looks for garbage among all that was imported: .4 s of an analysis, 1 s of Prefect, 2.7 s with PyTorch
atexit.register(gc.freeze)
