"""Prefect's worker of a stack, whose runner keeps its files in a folder of the stack.

    python -m flows.standing.worker FOLDER --pool gpu …        what follows the folder is for `prefect worker start`

By itself the runner makes `runner_storage` in the folder for temporary files, which all accounts of a machine share: it
belongs to whoever started a worker first, and the workers of everybody else end at once. Flow runs keep their own folder
for temporary files.
"""

import shutil
import sys
import tempfile
from pathlib import Path


def main() -> None:
    """Run the worker to its end. What a killed one has left in the folder is removed."""
    folder = Path(sys.argv[1])
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700, parents=True)
    tempfile.tempdir = str(folder)
    from prefect.cli import app

    sys.argv[1:2] = ["worker", "start"]
    app()


if __name__ == "__main__":
    main()
