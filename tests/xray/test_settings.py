"""Where things are kept, and what numbers depend on."""

import stat
import subprocess
from importlib import metadata
from pathlib import Path

import pytest

from xray import settings


@pytest.fixture(autouse=True)
def fresh():
    settings.code_version.cache_clear()
    yield
    settings.code_version.cache_clear()


def test_the_home_is_created_and_absolute(tmp_path, monkeypatch):
    monkeypatch.setenv("XRAY_HOME", str(tmp_path / "not yet" / "xray home"))
    assert settings.home() == tmp_path / "not yet" / "xray home"
    assert settings.home().is_dir()


def test_only_its_owner_can_read_the_home(tmp_path, monkeypatch, caplog):
    home = tmp_path / "home"
    monkeypatch.setenv("XRAY_HOME", str(home))
    assert stat.S_IMODE(settings.home().stat().st_mode) == 0o700
    assert caplog.messages == []
    home.chmod(0o755)
    assert stat.S_IMODE(settings.home().stat().st_mode) == 0o700
    settings.home()
    assert caplog.messages == [f"{home} was open to other accounts: closed to them (mode 0700)"]


@pytest.mark.parametrize("value", [None, ""])
def test_without_a_name_the_home_is_in_the_current_folder(value, tmp_path, monkeypatch):
    monkeypatch.delenv("XRAY_HOME", raising=False)
    if value is not None:
        monkeypatch.setenv("XRAY_HOME", value)
    monkeypatch.chdir(tmp_path)
    assert settings.home() == (tmp_path / ".xray").resolve()


def test_the_home_may_be_relative_to_the_users_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XRAY_HOME", "~/x")
    assert settings.home() == tmp_path / "x"


def test_artifacts_are_in_the_home_or_at_the_configured_address(tmp_path, monkeypatch):
    monkeypatch.setenv("XRAY_HOME", str(tmp_path))
    monkeypatch.delenv("XRAY_ARTIFACTS", raising=False)
    assert settings.artifacts() == tmp_path / "mlflow" / "artifacts"
    monkeypatch.setenv("XRAY_ARTIFACTS", "s3://bucket/folder")
    assert settings.artifacts() == "s3://bucket/folder"


def test_versions_are_the_installed_ones():
    versions = settings.code_version()
    for package in ("xray", "torch", "numpy", "scikit-learn", "mlflow", "prefect"):
        assert versions[package] == metadata.version(package)


def test_the_commit_is_recorded_in_a_checkout():
    root = Path(settings.__file__).resolve().parent.parent
    if not (root / ".git").exists():
        assert "commit" not in settings.code_version()
        return
    process = subprocess.run(["git", "-C", root, "rev-parse", "HEAD"], capture_output=True, text=True)
    if process.returncode:
        pytest.skip("git can't read this checkout")
    assert settings.code_version()["commit"].removesuffix("-dirty") == process.stdout.strip()


def test_without_git_there_is_no_commit(monkeypatch):
    def refuse(*_, **__):
        raise FileNotFoundError("git")

    monkeypatch.setattr(subprocess, "run", refuse)
    assert "commit" not in settings.code_version()
