"""A user's command line on a home of their own, whatever else their shell and their folder are for."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

OURS = ("XRAY_", "PREFECT_", "MLFLOW_")
PROJECT = Path(__file__).resolve().parents[1]
XRAY = Path(sys.executable).with_name("xray")

SHELL = {
    **dict.fromkeys(("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"), "http://127.0.0.1:9"),
    "ALL_PROXY": "socks5://127.0.0.1:9",
    "no_proxy": "internal.example",
    "PREFECT_API_KEY": "of-the-cloud",
    "PREFECT_API_AUTH_STRING": "somebody:else",
    "PREFECT_API_SSL_CERT_FILE": "/nowhere/certificate.pem",
    "PREFECT_CLIENT_CUSTOM_HEADERS": "{no json",
    "PREFECT_HOME": "/nowhere/prefect",
    "PREFECT_PROFILE": "elsewhere",
    "PREFECT_LOGGING_LEVEL": "LOUD",
    "PREFECT_LOGGING_SETTINGS_PATH": "/nowhere/logging.yml",
    "PREFECT_RESULTS_DEFAULT_SERIALIZER": "absent",
    "PREFECT_SERVER_API_AUTH_STRING": "somebody:else",
    "PREFECT_SERVER_CSRF_PROTECTION_ENABLED": "true",
    "PREFECT_SERVER_API_BASE_PATH": "/elsewhere",
    "PREFECT_API_DATABASE_CONNECTION_URL": "sqlite+aiosqlite:////nowhere/prefect.db",
    "MLFLOW_TRACKING_URI": "http://127.0.0.1:9",
    "MLFLOW_REGISTRY_URI": "http://127.0.0.1:9",
    "MLFLOW_TRACKING_TOKEN": "of-the-cloud",
    "MLFLOW_TRACKING_USERNAME": "somebody",
    "MLFLOW_TRACKING_PASSWORD": "else",
    "MLFLOW_EXPERIMENT_NAME": "of other work",
    "MLFLOW_EXPERIMENT_ID": "77",
    "MLFLOW_RUN_ID": "0123456789abcdef0123456789abcdef",
    "MLFLOW_SERVER_ALLOWED_HOSTS": "evil.example",
    "_MLFLOW_SERVER_ARTIFACT_ROOT": "/nowhere/artifacts",
}
"""The shell of a user who has Prefect, MLflow and a proxy for other work; the proxy can't reach this machine's own ports."""
FOLDER = {
    ".env": "PREFECT_CLIENT_MAX_RETRIES=many\nPREFECT_API_KEY=of-the-cloud\nMLFLOW_TRACKING_URI=http://127.0.0.1:9\n",
    "prefect.toml": '[client]\nretry_jitter_factor = "some"\n',
    "pyproject.toml": '[tool.prefect.results]\npersist_by_default = "perhaps"\n',
}
"""Files of that work in the folder in which the command runs; none is one that Prefect could read without an error."""


@dataclass(frozen=True)
class Home:
    """One XRAY_HOME and the command line on it."""

    path: Path
    variables: dict[str, str] = field(default_factory=SHELL.copy)

    def environment(self) -> dict[str, str]:
        """The environment of a user: nothing of this process's own settings of the platform."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
        return {**environment, "XRAY_HOME": str(self.path), "PYTHONPATH": str(PROJECT), **self.variables}

    def start(self, *arguments: str | Path, **options: Any) -> "subprocess.Popen[str]":
        """Start a command and leave it running."""
        for name, content in FOLDER.items():
            (self.path.parent / name).write_text(content)
        return subprocess.Popen(
            [XRAY, *arguments],
            env=self.environment(),
            cwd=self.path.parent,
            text=True,
            stdin=subprocess.DEVNULL,
            **options,
        )

    def run(self, *arguments: str | Path, exit_code: int = 0, timeout: float = 900) -> Any:
        """Run a command to its end, which must have this exit code."""
        with self.start(*arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            try:
                out, err = process.communicate(timeout=timeout)
            except BaseException:
                process.kill()
                raise
        assert process.returncode == exit_code, f"{arguments}: {process.returncode}\n{out}\n{err}"
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def sql(self, query: str) -> list[dict[str, Any]]:
        """Rows of `xray sql --json`."""
        return [json.loads(line) for line in self.run("sql", "--json", query).stdout.splitlines()]


def copy_home(home: Path, target: Path) -> None:
    """With owners and rights: files of a home of root are in part another account's."""
    subprocess.run(["cp", "-a", home, target], check=True)
