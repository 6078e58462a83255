"""Install this checkout with its `dev` extra beside the Python that runs this, at the exact versions of constraints.txt.

    .venv/bin/python install.py [uv | pip]

By uv, which downloads and unpacks on all cores; by pip where uv can't be had, fails, or does not know what pip is told here.
uv reads none of pip's settings: they are passed on, so that both ask the same indexes for the same packages.
"""

import ast
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

HERE = Path(__file__).resolve().parent
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check")
REQUIREMENTS = ("--constraint", "constraints.txt", "--editable", ".[dev]")

VARIABLES = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "constraint": "UV_CONSTRAINT",
    "trusted-host": "UV_INSECURE_HOST",
    "cert": "SSL_CERT_FILE",
    "client-cert": "SSL_CLIENT_CERT",
    "default-timeout": "UV_HTTP_TIMEOUT",
    "timeout": "UV_HTTP_TIMEOUT",
    "retries": "UV_HTTP_RETRIES",
}
"""Setting of pip → variable of uv. An argument could be read by others, and an address may hold a password."""
NEEDLESS = {
    "cache-dir",
    "compile",
    "disable-pip-version-check",
    "no-color",
    "no-compile",
    "no-input",
    "no-python-version-warning",
    "no-warn-script-location",
    "progress-bar",
    "quiet",
    "require-virtualenv",
    "root-user-action",
    "verbose",
}
"""Settings of pip that do not change what is installed."""


def pip_settings(listing: str) -> dict[str, str]:
    """What `pip config list` prints, as `pip install` takes it: the environment before [install] before [global]."""
    sections: dict[str, dict[str, str]] = {"global": {}, "install": {}, ":env:": {}}
    for line in listing.splitlines():
        name, _, value = line.partition("=")
        section, _, key = name.rpartition(".")
        if section in sections:
            sections[section][key] = str(ast.literal_eval(value))
    return sections["global"] | sections["install"] | sections[":env:"]


def uv_variables(settings: Mapping[str, str]) -> dict[str, str] | None:
    """The environment in which uv does what pip would with these settings; None where one has no equal."""
    if settings.keys() - VARIABLES.keys() - NEEDLESS or "," in settings.get("find-links", ""):
        return None
    separator = {"find-links": ","}
    return {
        VARIABLES[key]: separator.get(key, " ").join(value.split())
        for key, value in settings.items()
        if key in VARIABLES
    }


def by_uv() -> str:
    """Install by uv; why that did not go, or nothing."""
    listing = subprocess.run([*PIP, "config", "list"], capture_output=True, text=True, check=True).stdout
    variables = uv_variables(pip_settings(listing))
    if variables is None:
        return "pip has a setting here that uv does not know"
    own = ("install", "--quiet", "--constraint", "constraints.txt", "--only-binary", "uv", "uv")
    if subprocess.run([*PIP, *own], cwd=HERE, capture_output=True).returncode:
        return "uv can't be had here"
    # pip takes the best version that any index has, uv by itself the first index that has any
    options = ("--quiet", "--python", sys.executable, "--index-strategy", "unsafe-best-match")
    command = (sys.executable, "-m", "uv", "pip", "install", *options, *REQUIREMENTS)
    done = subprocess.run(command, cwd=HERE, env={**os.environ, **variables})
    return "uv failed" if done.returncode else ""


def main(installer: str = "uv") -> int:
    """Install by uv, by pip where that does not go; the exit code."""
    if installer == "uv":
        reason = by_uv()
        if not reason:
            return 0
        print(f"{reason}: installing by pip, which takes longer", flush=True)
    return subprocess.run([*PIP, "install", "--quiet", "--no-compile", *REQUIREMENTS], cwd=HERE).returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2]))
