"""`make install`: what pip is told to do on this machine uv is told too, or it is not used."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from install import pip_settings, uv_variables

PIP_CONF = """
[global]
index-url = https://user:word@mirror.example/simple
extra-index-url = file:///one/simple file:///two/simple
timeout = 5
progress-bar = off
[install]
timeout = 60
trusted-host =
    one.example
    two.example
[freeze]
timeout = 1
"""


@pytest.fixture
def listing(tmp_path: Path) -> str:
    """What pip lists where this is one of its files of settings."""
    file = tmp_path / "pip.conf"
    file.write_text(PIP_CONF)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    own = {
        "PIP_CONFIG_FILE": str(file),
        "PIP_FIND_LINKS": "/wheels https://more.example/",
        "PIP_RETRIES": "7",
    }
    command = [sys.executable, "-m", "pip", "config", "list"]
    return subprocess.run(command, env=environment | own, capture_output=True, text=True, check=True).stdout


def test_uv_uses_the_indexes_of_pip(listing: str) -> None:
    settings = pip_settings(listing)
    own = ("index-url", "extra-index-url", "find-links", "timeout", "trusted-host", "retries")
    assert uv_variables({key: settings[key] for key in own}) == {
        "UV_DEFAULT_INDEX": "https://user:word@mirror.example/simple",
        "UV_INDEX": "file:///one/simple file:///two/simple",
        "UV_FIND_LINKS": "/wheels,https://more.example/",
        "UV_HTTP_TIMEOUT": "60",
        "UV_INSECURE_HOST": "one.example two.example",
        "UV_HTTP_RETRIES": "7",
    }


@pytest.mark.parametrize("key", ["proxy", "no-binary", "require-hashes", "target", "a-setting-of-tomorrow"])
def test_a_setting_that_uv_does_not_know_leaves_the_installation_to_pip(key: str) -> None:
    assert uv_variables(pip_settings("global.index-url='https://mirror.example/simple'")) is not None
    assert uv_variables(pip_settings(f"global.{key}='1'")) is None
    assert uv_variables(pip_settings(f":env:.{key}='1'")) is None
    assert uv_variables(pip_settings(f"download.{key}='1'")) == {}


def test_a_wheel_folder_that_uv_would_split_leaves_the_installation_to_pip() -> None:
    assert uv_variables({"find-links": "/a,b"}) is None
