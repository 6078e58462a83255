"""`xray db` on a home where a study ran: well, measured, backed up, and restored elsewhere with the same results."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from db.connection import DATABASES, Databases, databases, owned
from db.embedded import acquire, status, stop
from db.embedded.cluster import installations
from db.store import read_logits
from db.upkeep.dump import content, engine_of
from tests.flows.conftest import FinishedRun
from tests.homes import Home
from xray.learning.evaluate import evaluate
from xray.learning.tracking import Tracker
from xray.pixels.cache import PIXELS
from xray.tasks import TASKS
from xray.upkeep import manifest

pytestmark = pytest.mark.timeout(900)

VIEWS = "select viewname from pg_views where schemaname = 'public' order by 1"


@dataclass(frozen=True)
class Restored:
    """The home that a backup was restored into, and its databases, held open."""

    home: Home
    databases: Databases

    def engine(self):
        """As the superuser, who may plant what the guards refuse."""
        with acquire(self.home.path) as server:
            return create_engine(server.url("xray"), poolclass=NullPool)


@pytest.fixture(scope="module")
def backup(tiny: FinishedRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backup of the tiny study's home."""
    folder = tmp_path_factory.mktemp("backups") / "a backup"
    output = tiny.home.run("db", "backup", folder).stdout
    assert "not included: pictures outside the home" in output
    assert f"XRAY_HOME=NEW xray db restore {folder}" in output
    return folder


@pytest.fixture(scope="module")
def restored(backup: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Restored]:
    home = Home(tmp_path_factory.mktemp("elsewhere") / "restored home")
    home.run("db", "restore", backup)
    home.run("dataset", "list")  # the first command finds that the home is elsewhere
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("XRAY_DATABASE_URL", raising=False)
        with databases(home.path) as urls:
            yield Restored(home, urls)


@pytest.fixture
def copied(backup: Path, tmp_path: Path) -> Path:
    """A copy of the backup, to be damaged."""
    return shutil.copytree(backup, tmp_path / "damaged")


def views(urls: Databases) -> dict[str, list[str]]:
    """View → its rows, as text."""
    with engine_of(urls.xray).connect() as connection:
        return {
            name: sorted(connection.scalars(text(f'select t::text from "{name}" as t')).all())
            for name in connection.scalars(text(VIEWS)).all()
        }


def test_a_home_with_a_study_passes_every_check(call):
    code, out, err = call("db", "check")
    assert (code, err) == (0, "")
    assert out.rstrip().endswith("checks: nothing found")
    code, out, _ = call("db", "check", "--json")
    answer = json.loads(out)
    assert (code, answer["clean"]) == (0, True)
    assert {"schema", "orphans", "patients_in_two_parts", "models_in_mlflow"} <= {
        check["name"] for check in answer["checks"]
    }
    assert all(check["rows"] == [] and check["finds"] and check["then"] for check in answer["checks"])


def flip(path: Path) -> None:
    """Turn the bits of two bytes in the middle of a file; once more, and it is as it was."""
    middle = path.stat().st_size // 2
    with path.open("r+b") as file:
        file.seek(middle)
        two = file.read(2)
        file.seek(middle)
        file.write(bytes(byte ^ 0xFF for byte in two))


def test_two_flipped_bytes_in_weights_and_in_prepared_pictures_are_named(call, tiny):
    damaged = [
        min((tiny.home.path / "mlflow").rglob("*.safetensors")),
        min((tiny.home.path / "pixels").rglob(PIXELS)),
    ]
    for path in damaged:
        flip(path)
    try:
        code, out, _ = call("db", "check", "--json")
    finally:
        for path in damaged:
            flip(path)
    faults = {check["name"]: check["rows"] for check in json.loads(out)["checks"] if check["rows"]}
    assert code == 1
    assert {name: len(rows) for name, rows in faults.items()} == {"weights": 1, "prepared_pictures": 1}
    assert faults["weights"][0]["model"].startswith("tiny.")
    assert "picture" in faults["prepared_pictures"][0]["fault"]


def test_size_reports_what_postgresql_and_the_disk_say(call, tiny):
    code, out, _ = call("db", "size", "--json")
    answer = json.loads(out)
    assert code == 0
    assert answer["scores"] == tiny.ask("select sum(cardinality(logits)) as n from prediction")["n"][0]
    exact = tiny.ask("select pg_total_relation_size('prediction') as n")["n"][0]
    assert answer["bytes_per_score"] == pytest.approx(exact / answer["scores"])
    assert set(answer["databases"]) == set(DATABASES)
    assert answer["folders"]["mlflow"] >= sum(
        p.stat().st_size for p in (tiny.home.path / "mlflow").rglob("*") if p.is_file()
    )
    rows = {table["table_name"]: table["bytes"] for table in answer["tables"]}
    assert rows["prediction"] == exact
    assert sorted(rows.values(), reverse=True) == list(rows.values())
    assert "bytes each" in call("db", "size")[1]


def test_a_restored_home_has_the_same_rows_and_results(tiny, restored):
    """Every table and every view of the three databases, but for where the home is."""
    for name in DATABASES:
        with (
            engine_of(tiny.databases.of(name)).connect() as one,
            engine_of(restored.databases.of(name)).connect() as other,
        ):
            first, second = content(one), content(other)
            assert first.keys() == second.keys()
            assert sum(table.rows for table in first.values()) > 100
            if name == "xray":
                # where it is, and that paths were written anew
                for table in ("public.home", "public.change"):
                    del first[table], second[table]
                assert first == second
    before, after = views(tiny.databases), views(restored.databases)
    assert before.keys() == after.keys()
    for view in before:
        assert before[view] == after[view], view
    assert len(before["predictions"]) > 1000
    for file in sorted((tiny.home.path / "reports" / "tiny").iterdir()):
        assert (restored.home.path / "reports" / "tiny" / file.name).read_bytes() == file.read_bytes()


def test_a_restored_home_passes_every_check(restored, typed):
    assert "nothing found" in typed(restored.home, "db", "check")[1]


def test_a_restored_model_scores_as_before(tiny, restored, monkeypatch):
    """To the last bit, with the weights and the pictures of the restored home."""
    home = restored.home.path
    monkeypatch.setenv("XRAY_HOME", str(home))
    engine = restored.engine()
    with engine.begin() as connection:
        model, images, former = connection.execute(
            text("select model_id, image_list_id, id from evaluation order by id limit 1")
        ).one()
        connection.execute(text("delete from evaluation where id = :id"), {"id": former})
    tracker = Tracker(restored.databases.mlflow, home / "mlflow" / "artifacts")
    with engine.connect() as connection:
        model_name, version = connection.execute(
            text("select mlflow_model, mlflow_version from model where id = :id"), {"id": model}
        ).one()
    assert home in tracker.weights(model_name, version).parents
    assert evaluate(engine, tracker, home, model, [images]) == 1
    with engine.connect() as connection:
        number = connection.scalar(text("select max(id) from evaluation"))
        again = read_logits(connection, number, range(len(TASKS)))
    with engine_of(tiny.databases.xray).connect() as connection:
        first = read_logits(connection, former, range(len(TASKS)))
    assert again.tobytes() == first.tobytes()
    with engine.begin() as connection:  # as it was, for the other tests
        connection.execute(text("set local session_replication_role = replica"))
        for table, column in (("evaluation", "id"), ("prediction", "evaluation_id")):
            statement = f"update {table} set {column} = :former where {column} = :number"
            connection.execute(text(statement), {"former": former, "number": number})


def test_the_restored_home_has_passwords_of_its_own_and_none_is_in_the_backup(tiny, backup, restored):
    secrets = {path.read_text().strip() for path in (tiny.home.path / "postgres").glob("*password*")}
    assert secrets
    assert secrets.isdisjoint(
        path.read_text().strip() for path in (restored.home.path / "postgres").glob("*password*")
    )
    restore = next(installations()).program("pg_restore")
    for name in DATABASES:
        sql = subprocess.run(
            [restore, "--file=-", backup / f"{name}.dump"], capture_output=True, check=True
        ).stdout
        assert len(sql) > 10_000
        assert not [secret for secret in secrets if secret.encode() in sql]
        assert b"SCRAM-SHA-256" not in sql
        assert not re.search(rb"^(CREATE|ALTER) ROLE", sql, re.M)
    for path in backup.rglob("*"):
        assert not path.is_file() or not [s for s in secrets if s.encode() in path.read_bytes()], path


def test_only_its_owner_can_read_a_backup(backup):
    assert backup.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in backup.rglob("*")} <= {0o700, 0o600}


def test_check_names_faults_of_the_database_and_of_mlflow(restored):
    """One in the database, one in MLflow: exit code 1, and what to do."""
    engine = restored.engine()
    with engine.begin() as connection:
        connection.execute(text("set local session_replication_role = replica"))
        connection.execute(text("update cohort_label set n_pos = n_pos + 1 where cohort_id = 1"))
        model, version, name = connection.execute(
            text("select mlflow_model, mlflow_version, name from model order by id limit 1")
        ).one()
    with engine_of(restored.databases.mlflow).begin() as connection:
        parameters = {"name": model, "version": version}
        connection.execute(
            text("update model_versions set run_id = 'another' where name = :name and version = :version"),
            parameters,
        )
    output = restored.home.run("db", "check", exit_code=1).stdout
    assert re.search(r"^cohort_label_length +\d+ ", output, re.M)
    assert f"model {name}, " in output
    assert "is of run another" in output
    assert output.count("then: ") == 2
    assert output.rstrip().endswith("2 found something")


@pytest.mark.parametrize("damage", ["flip", "cut", "lose", "dump", "manifest", "no manifest"])
def test_an_incomplete_or_damaged_backup_is_refused(copied: Path, new_home: Home, damage: str):
    weights = max(copied.rglob("*.safetensors"), key=lambda path: path.stat().st_size)
    file = {"dump": copied / "mlflow.dump"}.get(
        damage, copied / manifest.NAME if "manifest" in damage else weights
    )
    content = bytearray(file.read_bytes())
    if damage in ("lose", "no manifest"):
        file.unlink()
    elif damage == "cut":
        file.write_bytes(content[:-1])
    elif damage == "manifest":
        file.write_bytes(bytes(content).replace(b'"rows": 2', b'"rows": 3', 1))
    else:
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
    error = new_home.run("db", "restore", copied, exit_code=1).stderr
    assert next(line for line in error.splitlines() if " | INFO " not in line).startswith("error: ")
    assert "Traceback" not in error
    assert str(file) in error or "no manifest.json" in error
    assert not new_home.path.exists() or list(new_home.path.iterdir()) == []


def test_a_restore_that_fails_late_leaves_an_empty_home(copied: Path, new_home: Home):
    """The manifest says that all is whole, but PostgreSQL can't read the last dump."""
    whole = manifest.read(copied)
    (copied / "prefect.dump").write_bytes(b"nothing like a dump")
    files = {**whole.files, "prefect.dump": manifest.digest(copied / "prefect.dump")}
    (copied / manifest.NAME).unlink()
    manifest.write(copied, manifest.Manifest(**{**vars(whole), "files": files}))
    error = new_home.run("db", "restore", copied, exit_code=1).stderr
    assert "pg_restore" in error
    assert list(new_home.path.iterdir()) == []
    assert status(new_home.path) is None


@pytest.mark.parametrize(
    "name", ["home/postgres/data/postgresql.auto.conf", "home/mlflow/artifacts/../../../outside"]
)
def test_a_backup_with_a_foreign_file_is_refused(copied: Path, new_home: Home, name: str):
    """Not even where the manifest was made anew for it."""
    whole = manifest.read(copied)
    (copied / name).parent.mkdir(parents=True, exist_ok=True)
    (copied / name).write_text("archive_command = 'touch /tmp/ran'")
    files = {**whole.files, name: manifest.digest(copied / name)}
    (copied / manifest.NAME).unlink()
    manifest.write(copied, manifest.Manifest(**{**vars(whole), "files": files}))
    error = new_home.run("db", "restore", copied, exit_code=1).stderr
    assert f"names a file that no backup of xray has: {name}" in error
    assert list(new_home.path.iterdir()) == []


def test_a_killed_restore_can_be_started_again(backup: Path, new_home: Home):
    """Killed while rows are loaded: the home has nothing that looks like a home, and the next restore ends well."""
    with new_home.start("db", "restore", backup, stderr=subprocess.PIPE) as process:
        for line in process.stderr:
            if "xray.upkeep.restore - xray: " in line:
                break
        process.kill()
    assert [path.name for path in new_home.path.iterdir()] == [".restoring"]
    new_home.run("db", "restore", backup)
    assert not (new_home.path / ".restoring").exists()
    assert new_home.sql("select count(*) as n from predictions")[0]["n"] > 1000


def test_a_home_that_is_not_empty_is_refused(backup: Path, new_home: Home):
    new_home.path.mkdir(parents=True)
    (new_home.path / "mine").write_text("kept")
    assert (
        "is not empty: restore into a new home" in new_home.run("db", "restore", backup, exit_code=1).stderr
    )
    assert [path.name for path in new_home.path.iterdir()] == ["mine"]


def test_an_unsuitable_folder_for_a_backup_is_refused(call, tiny, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("kept")
    (tmp_path / "file").write_text("kept")
    for folder, why in (
        (tmp_path / "full", "is not empty"),
        (tmp_path / "file", "is a file"),
        (tiny.home.path / "backup", "is in the home"),
    ):
        code, _, err = call("db", "backup", str(folder))
        assert (code, why in err) == (1, True), err
    assert (tmp_path / "full" / "mine").read_text() == "kept"
    assert not (tiny.home.path / "backup").exists()


def test_a_backup_that_fails_leaves_nothing(call, tmp_path, monkeypatch):
    """The second database can't be dumped; the folder, made for it, goes."""
    from xray.upkeep import backup

    def full(source: Path, target: Path):
        raise OSError(28, os.strerror(28), str(target))

    monkeypatch.setattr(backup.manifest, "copy", full)
    code, _, err = call("db", "backup", str(tmp_path / "new"))
    assert code == 1
    assert "No space left on device; no backup was made" in err
    assert not (tmp_path / "new").exists()


def test_vacuum_gives_room_back(restored):
    with owned(restored.home.path) as owner, owner.engine().begin() as connection:
        connection.execute(
            text(
                "create table heap as select n, repeat('x', 500) as filling from generate_series(1, 20000) as n"
            )
        )
        connection.execute(text("delete from heap"))
    output = restored.home.run("db", "vacuum", "--full").stdout
    assert [line.split(":")[0] for line in output.splitlines()] == list(DATABASES)
    with owned(restored.home.path) as owner, owner.engine().begin() as connection:
        assert connection.scalar(text("select pg_relation_size('heap')")) == 0
        connection.execute(text("drop table heap"))


def test_a_server_of_the_user_is_not_upgraded(call):
    code, _, err = call("db", "upgrade")
    assert (code, "ask its administrator to upgrade it" in err) == (1, True)


def test_an_upgrade_without_a_newer_postgresql_does_nothing(new_home):
    assert "nothing to do" in new_home.run("db", "upgrade").stdout
    stop(new_home.path)
