"""`xray doctor` names what is wrong with a machine or a home, tells no secret, and changes nothing."""

import json
import os
import time

import pytest
from click.testing import CliRunner
from sqlalchemy import text

from db.connection import databases, owned
from flows.cli.doctor import doctor
from flows.doctor import QUESTIONS, examine


@pytest.fixture
def home(tmp_path):
    folder = tmp_path / "home of a patient man"
    folder.mkdir(mode=0o700)
    return folder


def state(home, code):
    return next(finding for finding in examine(home) if finding.code == code)


def test_every_question_has_an_answer(home):
    findings = list(examine(home))
    assert [finding.code for finding in findings] == list(QUESTIONS)
    assert {finding.code for finding in findings if finding.state == "fault"} == set()
    assert all(finding.detail for finding in findings)


def test_a_home_that_is_open_to_others_is_a_fault(home):
    assert state(home, "home").state == "ok"
    home.chmod(0o755)
    finding = state(home, "home")
    assert finding.state == "fault"
    assert "0755" in finding.detail
    assert finding.advice == f"chmod go= {home}"


def test_a_home_that_is_a_file_is_a_fault(tmp_path):
    (tmp_path / "file").write_text("")
    assert state(tmp_path / "file", "home").state == "fault"


def test_a_missing_home_is_not_created(tmp_path):
    finding = state(tmp_path / "deep" / "home", "home")
    assert (finding.state, "does not exist yet" in finding.detail) == ("ok", True)
    assert list(tmp_path.iterdir()) == []


def test_a_password_that_others_may_read_is_a_fault(home):
    (home / "stack").mkdir()
    secret = home / "stack" / "secrets.json"
    secret.write_text("{}")
    secret.chmod(0o600)
    assert state(home, "secrets").state == "ok"
    secret.chmod(0o640)
    assert state(home, "secrets").state == "fault"
    assert str(secret) in state(home, "secrets").detail


def test_a_clock_earlier_than_the_homes_files_is_a_fault(home):
    (home / "pixels").mkdir()
    assert state(home, "clock").state == "ok"
    os.utime(home / "pixels", (time.time(), time.time() + 86400))
    assert state(home, "clock").state == "fault"


def test_missing_programs_are_a_fault(home, monkeypatch):
    monkeypatch.setattr("db.embedded.cluster.installations", lambda: iter(()))
    assert state(home, "postgresql").state == "fault"


def test_a_question_that_fails_does_not_hide_the_others(home, monkeypatch):
    def broken(_):
        raise RuntimeError("no such machine")

    monkeypatch.setitem(QUESTIONS, "system", broken)
    findings = {finding.code: finding for finding in examine(home)}
    assert findings["system"].state == "note"
    assert "no such machine" in findings["system"].detail
    assert list(findings) == list(QUESTIONS)


def test_the_output_contains_no_secret(home, monkeypatch):
    secret = "hunter2-is-not-here"
    monkeypatch.setenv("XRAY_DATABASE_URL", f"postgresql://me:{secret}@db.example/xray")
    monkeypatch.setenv("PGPASSWORD", secret)
    monkeypatch.setenv("https_proxy", f"http://me:{secret}@proxy:3128")
    monkeypatch.setenv("XRAY_HOME", str(home))
    for arguments in ([], ["--json"]):
        answer = CliRunner().invoke(doctor, arguments)
        assert secret not in answer.output
        assert "PGPASSWORD" in answer.output


def test_the_exit_code_says_whether_something_is_at_fault(home, monkeypatch):
    monkeypatch.setenv("XRAY_HOME", str(home))
    assert CliRunner().invoke(doctor, []).exit_code == 0
    home.chmod(0o777)
    answer = CliRunner().invoke(doctor, ["--json"])
    assert answer.exit_code == 1
    faults = [row["code"] for row in map(json.loads, answer.output.splitlines()) if row["state"] == "fault"]
    assert faults == ["home"]


def test_the_roles_of_a_running_server_are_checked(home, monkeypatch):
    monkeypatch.delenv("XRAY_DATABASE_URL", raising=False)
    assert "server is not running" in state(home, "roles").detail
    with databases(home):
        finding = state(home, "roles")
        assert (finding.state, "least privilege hold" in finding.detail) == ("ok", True)
        with owned(home) as owner, owner.engine().begin() as connection:
            connection.execute(text("grant create on schema public to xray_writer"))
        finding = state(home, "roles")
    assert finding.state == "fault"
    assert "the writer makes no tables: no" in finding.detail
