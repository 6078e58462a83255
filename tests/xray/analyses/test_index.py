"""The index of analyses, which is read from their sources, says what the registry says, and imports nothing for it."""

import subprocess
import sys

from xray.analyses.index import entries
from xray.analyses.run import ANALYSES


def test_the_index_lists_every_registered_analysis():
    indexed = [(e.name, e.code, e.order, e.unit, e.state, e.code_hash) for e in entries()]
    assert indexed == [(e.name, e.code, e.order, e.unit, e.state, e.code_hash) for e in ANALYSES]


def test_the_index_and_its_states_import_no_statistics():
    script = (
        "import sys\n"
        "from xray.analyses.index import entries\n"
        "print([entry.unit and entry.state and entry.code_hash for entry in entries()].count(None) < len(entries()))\n"
        "print(*sorted({name.split('.')[0] for name in sys.modules}))"
    )
    process = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    some_have_states, names = process.stdout.splitlines()
    assert some_have_states == "True"
    assert not set(names.split()) & {"scipy", "numba", "matplotlib", "pandas", "sklearn", "torch"}
