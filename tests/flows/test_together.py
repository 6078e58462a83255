"""One model trained by two processes together, as one command starts them on a new home."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_two_processes_train_one_model_by_the_command(new_home, tiny_file, free_port):
    launcher = [Path(sys.executable).with_name("torchrun"), "--nproc-per-node", "2", "--no-python"]
    launcher += ["--master-addr", "127.0.0.1", "--master-port", str(free_port)]
    command = [Path(sys.executable).with_name("xray"), "study", "train", tiny_file, "--configuration", "all"]
    environment = {**new_home.environment(), "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    environment["PATH"] = os.environ["PATH"]
    process = subprocess.run(
        [*launcher, *command], env=environment, capture_output=True, text=True, timeout=300
    )
    assert process.returncode == 0, process.stderr
    (model,) = new_home.sql("select id, provenance ->> 'processes' as processes from model")
    assert model["processes"] == "2"
    assert new_home.run("study", "train", tiny_file, "--configuration", "all").stdout == (
        f"model {model['id']} already existed\n"
    )
