"""Every speed claim as a script: `python -m benchmarks.NAME [--quick] [--json]`."""
