"""`xray sql`: questions are answered as table, JSON or CSV; writes are refused, whatever they hide behind."""

import csv
import io
import json
import resource
import signal
import time
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from flows.cli.sql import table

pytestmark = pytest.mark.timeout(900)

QUESTION = """select trained_on, seed, count(*) as n, avg(logit) as mean_logit, max(label) filter (where false) as nothing
from predictions where task = 'Effusion' and model like 'tiny.tiny-%' group by 1, 2 order by 1"""


@pytest.fixture(scope="module")
def expected(tiny):
    rows = tiny.ask(QUESTION.replace("%", "%%").replace("%%", "%"))
    assert rows["trained_on"].tolist() == ["tiny-a", "tiny-d"]
    return rows


def test_rows_are_printed_as_a_table(tiny, expected):
    process = tiny.home.run("sql", QUESTION)
    head, rule, *rows = process.stdout.splitlines()
    assert head.split() == ["trained_on", "seed", "n", "mean_logit", "nothing"]
    assert set(rule) == {"-", " "}
    assert [row.split() for row in rows] == [
        [row.trained_on, str(row.seed), str(row.n), f"{row.mean_logit:.6g}"] for row in expected.itertuples()
    ]
    assert process.stderr == "(2 rows)\n"


def test_json_prints_an_object_per_row(call, expected):
    rows = [json.loads(line) for line in call("sql", "--json", QUESTION)[1].splitlines()]
    assert [row["mean_logit"] for row in rows] == expected["mean_logit"].tolist()
    assert [row["n"] for row in rows] == expected["n"].tolist()
    assert [row["nothing"] for row in rows] == [None, None]


def test_csv_prints_a_header_and_every_row(call, expected):
    rows = list(csv.DictReader(io.StringIO(call("sql", "--csv", QUESTION)[1])))
    assert [float(row["mean_logit"]) for row in rows] == expected["mean_logit"].tolist()
    assert [row["nothing"] for row in rows] == ["", ""]


def test_text_that_begins_like_a_formula_stays_text_in_csv(call):
    query = """select '=cmd|'' /C calc''!A0' as "=name", '-2' as digits, -1.5 as number, null as nothing, '-x' as dash"""
    names, values = csv.reader(io.StringIO(call("sql", "--csv", query)[1]))
    assert names == ["'=name", "digits", "number", "nothing", "dash"]
    assert values == ["'=cmd|' /C calc'!A0", "-2", "-1.5", "", "'-x"]


def strict(line: str) -> dict[str, object]:
    """JSON as the standard has it, without NaN."""

    def refuse(constant: str) -> None:
        raise ValueError(constant)

    value: dict[str, object] = json.loads(line, parse_constant=refuse)
    return value


def test_json_is_valid_for_all_values(call):
    query = """select 'NaN'::float8 as nan, '-Infinity'::float8 as infinite, 1.5::numeric as exact, true as yes,
    'NaN'::numeric as exact_nan, array[1, 2] as list, '{"a": 1}'::jsonb as document, 'é' as letter,
    timestamptz 'epoch' as time"""
    (line,) = call("sql", "--json", query)[1].splitlines()
    assert strict(line) == {
        "nan": None,
        "infinite": None,
        "exact": 1.5,
        "yes": True,
        "exact_nan": None,
        "list": [1, 2],
        "document": {"a": 1},
        "letter": "é",
        "time": "1970-01-01 00:00:00+00:00",
    }


def test_a_query_without_rows_succeeds(call):
    query = "select image from predictions where false"
    assert call("sql", query) == (0, "image\n-----\n", "(0 rows)\n")
    assert call("sql", "--json", query) == (0, "", "")
    assert call("sql", "--csv", query) == (0, "image\n", "")


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("delete from evaluation", "one statement that returns rows"),
        ("commit; delete from evaluation", "one statement that returns rows"),
        ("rollback; begin; delete from evaluation; commit", "one statement that returns rows"),
        ("select 1; update model set seed = 9; commit", "one statement that returns rows"),
        (
            "with gone as (delete from evaluation returning 1) select * from gone",
            "in a read-only transaction",
        ),
        ("delete from evaluation returning id", "in a read-only transaction"),
        ("explain analyze delete from evaluation", "in a read-only transaction"),
        ("create table mine (x int)", "one statement that returns rows"),
        ("end; drop table analysis cascade", "one statement that returns rows"),
        ("copy (select 1) to program 'touch /tmp/x'", "one statement that returns rows"),
        ("select pg_read_file('/etc/passwd')", "permission denied"),
        ("select * from alembic_version", "permission denied"),
    ],
)
def test_writes_are_refused(tiny, call, query, message):
    before = tiny.counts()
    code, output, printed = call("sql", query)
    (line,) = printed.splitlines()
    assert code == 1
    assert line.startswith("error: ")
    assert message in line
    assert output == ""
    assert tiny.counts() == before


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("selct 1", 'syntax error at or near "selct"'),
        ("select foo\nfrom predictions", 'column "foo" does not exist'),
        ("select trained from predictions", "predictions.trained_on"),
        ("select * from nothing", 'relation "nothing" does not exist'),
        ("select 1/0", "division by zero"),
        ("select '%s', '%(x)s', 100 % 0", "division by zero"),
        ("", "one statement that returns rows"),
        ("set application_name = 'x'", "one statement that returns rows"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_1(call, query, message):
    code, output, printed = call("sql", query)
    (line,) = printed.splitlines()
    assert code == 1
    assert line.startswith("error: ")
    assert message in line
    assert output == ""


def test_a_mistake_ends_the_process_with_one_line(tiny):
    process = tiny.home.run("sql", "selct 1", exit_code=1)
    assert process.stderr == 'error: syntax error at or near "selct" (LINE 1: selct 1)\n'
    assert process.stdout == ""


def test_a_query_that_takes_too_long_is_cancelled(call):
    code, output, printed = call("sql", "--timeout", "0.1", "select pg_sleep(30)")
    assert (code, output) == (1, "")
    assert (
        printed
        == "error: the query took longer than 0.1 s: xray sql --timeout SECONDS allows more, 0 sets no limit\n"
    )
    slow = "select pg_sleep(30) from predictions"
    assert "quicker from prediction_vectors" in call("sql", "--timeout", "0.1", slow)[2]
    assert call("sql", "--timeout", "0", "show statement_timeout")[1].split()[-1] == "0"
    assert call("sql", "show statement_timeout")[1].split()[-1] == "5min"


@pytest.mark.parametrize("query", ["select pg_sleep(600)", "select 1 from generate_series(1, 1000000000)"])
def test_ctrl_c_cancels_the_query_on_the_server(tiny, query):
    working = (
        f"select count(*) from pg_stat_activity where usename = 'xray_reader' and query ~ '{query[:12]}'"
    )
    with tiny.home.start("sql", "--csv", query, stdout=-1, stderr=-1) as process:
        owner = make_url(tiny.databases.xray)
        superuser = owner.set(username="xray", password=password(tiny))
        with create_engine(superuser, isolation_level="AUTOCOMMIT").connect() as connection:
            wait_until(lambda: connection.scalar(text(working)) > 0)
            began = time.monotonic()
            process.send_signal(signal.SIGINT)
            output, messages = process.communicate(timeout=60)
            assert time.monotonic() - began < 10
            wait_until(lambda: connection.scalar(text(working)) == 0)
    assert messages == "interrupted: the query was cancelled\n"
    assert process.returncode == 130
    assert "Traceback" not in output


def password(tiny) -> str:
    return (tiny.home.path / "postgres" / "password").read_text()


def wait_until(holds) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_rows_are_printed_while_they_are_read(tiny):
    """Ten million rows are more than would fit, and the first ones are there at once."""
    query = "select i, repeat('x', 1000) from (select generate_series(1, 10000000) as i) as endless"
    with tiny.home.start("sql", "--csv", query, stdout=-1, stderr=-1) as process:
        lines = [process.stdout.readline() for _ in range(100_000)]
        assert lines[-1].startswith("99999,xxx")
        memory = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1]) * resource.getpagesize()
        assert memory < 300e6
        process.stdout.close()
        process.wait(60)


def test_json_and_csv_together_are_a_usage_error(call):
    code, _, message = call("sql", "--json", "--csv", "select 1")
    assert code == 2
    assert "choose one of --json and --csv" in message


def test_the_queries_in_the_demos_text_run(tiny):
    from flows.cli.demo import NEXT

    question = NEXT.split('sql "')[1].split('"')[0].replace("Infiltration", "Mass")
    rows = tiny.home.sql(question)
    stored = tiny.ask("select * from auc_results where task = 'Mass' and seed = 0")
    aucs = stored.set_index(["trained_on", "test_dataset"])["auc"]
    assert len(rows) == 6
    for row in rows:
        assert row["auc"] == pytest.approx(aucs[row["trained_on"], row["test_dataset"]], abs=1e-12)


def test_a_query_returns_every_models_score_of_one_image(tiny):
    image = tiny.home.sql("select min(image) as image from predictions where test_dataset = 'tiny-a'")[0][
        "image"
    ]
    rows = tiny.home.sql(f"select * from image_predictions('{image}')")
    stored = tiny.ask("select * from predictions where image = :image", image=image)
    assert len(rows) == len(stored) > 10
    logits = stored.set_index(["model", "task"])["logit"]
    assert {(r["model"], r["task"]): r["logit"] for r in rows} == logits.to_dict()


def test_table_aligns_numbers_to_the_right_and_text_to_the_left():
    rows = [("a", 1, Decimal("2.50"), None), ("bcd", 10, Decimal("0.5"), 0.123456789)]
    assert table(("name", "n", "exact", "x"), rows).splitlines() == [
        "name   n  exact         x",
        "----  --  -----  --------",
        "a      1   2.50",
        "bcd   10    0.5  0.123457",
    ]
    assert table(("x",), []) == "x\n-"


def test_a_statement_is_read_from_a_file_or_standard_input(tiny, call, tmp_path, monkeypatch):
    file = tmp_path / "question.sql"
    file.write_text("-- how many\nselect count(*) from predictions;\n")
    expected = tiny.home.run("sql", "select count(*) from predictions").stdout
    assert call("sql", "--file", str(file))[:2] == (0, expected)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(file.read_bytes())))
    assert call("sql", "-")[:2] == (0, expected)
    for refused in (("sql",), ("sql", "select 1", "--file", str(file)), ("sql", "--file", "/dev/null")):
        code, _, words = call(*refused)
        assert code == 2
        assert "Error: " in words
