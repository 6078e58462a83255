"""The explorer as a stranger asks it: no address reaches a file or a query, and no other page can send anything."""

import itertools
import random
from collections.abc import Iterator
from urllib.parse import quote

import pytest

from tests.flows.explore.conftest import Explorer

PATHS = (
    "/",
    "/cell",
    "/images",
    "/images.csv",
    "/image/1",
    "/thumbnail/1",
    "/picture/1",
    "/worklists",
    "/worklists/1",
)
NUMBERED = (
    "/image/{}",
    "/thumbnail/{}",
    "/picture/{}",
    "/worklists/{}",
    "/worklists/{}/reads.csv",
    "/worklists/1/picture/{}",
)
WORDS = (
    "../../../../etc/passwd", "..%2f..%2fetc%2fpasswd", "%00", "%ff%fe", "%ed%a0%80", "' or 1=1 --", "%s", "|id", "$(id)",
    "'; drop table image; --", '"; select pg_sleep(9); --', "%(models)s", "{{7*7}}", "${7*7}", "<script>alert(1)</script>",
    "%0d%0aset-cookie:a=b", "\\x00", "nan", "inf", "-1", "0", "1e999", "9" * 30, "9" * 6000, "0x10", "1.0", "１", "٣", "1_0",
    " 1", "+1", "1;2", "null", "true", "a" * 5000, "😀", "%", "[]", "{}", "..", ".", "~", "`id`", "file:///etc/passwd",
    "http://evil.example/", "//evil.example", "2147483648", "99999999999999999999", "1 union select 1",
)  # fmt: skip
NAMES = (
    "model", "dataset", "task", "protocol", "kind", "other", "other_dataset", "label", "view", "sex", "age_from", "age_to",
    "column", "value_from", "t", "prevalence", "limit", "after", "low", "invert", "order", "sql", "__class__", "models[]",
)  # fmt: skip
SAID = {
    ("t", "-1"),
    ("t", "0"),
    ("t", "1.0"),
    ("t", "+1"),
    ("prevalence", "0"),
    ("prevalence", "1.0"),
    ("prevalence", "+1"),
}
SAID |= {(name, value) for name in ("age_from", "age_to", "limit", "low") for value in ("0", "1.0", "+1")} | {
    ("label", "0")
}
"""What is an address after all, where the page has the parameter."""
HOSTS = ("evil.example", "127.0.0.1.evil.example", "localhost@evil.example", "0.0.0.0", "")
METHODS = ("PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND", "HEAD", "POST", "get", "X" * 300)
RAW = (
    "/..", "/../../etc/passwd", "/static/../app.py", "/static/..%2fapp.py", "/static/%2e%2e/app.py", "/static/", "/static",
    "//evil.example/", "/%00", "/image/", "/image", "/image/1/", "/image/1/2", "/admin", "/.git/config", "/?" + "a=1&" * 300,
    "/?model=a&model=b", "/?%", "/cell?;", "/?=", "/openapi.json", "/docs", "/worklists/1/read", "/worklists/1/read?reader=",
    "/worklists/1/reads.csv?x=1", "/report", "/causes", "/readers", "/models", "/checklist", "/reports/tiny/report.html",
    "/worklists/1/read?reader=" + "a" * 61, "/worklists/1/read?reader=a&position=0", "/worklists/1/read?reader=%00",
)  # fmt: skip


def addresses(number: int) -> Iterator[str]:
    """So many hostile addresses, the same ones in each run."""
    yield from RAW
    for form, word in itertools.product(NUMBERED, WORDS):
        yield form.format(word if "%" in word else quote(word, safe=""))
    pairs = [pair for pair in itertools.product(NAMES, WORDS) if pair not in SAID]
    chance = random.Random(19)
    chance.shuffle(pairs)
    for count in range(number):
        name, word = pairs[count % len(pairs)]
        more = f"&{quote(chance.choice(NAMES))}={chance.randrange(10**6)}" if count >= len(pairs) else ""
        value = word if word.startswith("%") else quote(word, safe="")
        if not (name == "value_from" and "column" not in more):
            yield f"{chance.choice(PATHS)}?{quote(name)}={value}{more}"


def check(explorer: Explorer, addresses: Iterator[str]) -> int:
    """Every one is refused in a sentence, and nothing of the machine is told; by GET, some by other methods and hosts."""
    count = 0
    for address in addresses:
        method = METHODS[count % len(METHODS)] if count % 7 == 0 else "GET"
        host = {"host": HOSTS[count % len(HOSTS)]} if count % 11 == 0 else {}
        answer = explorer.ask(address, method, **host)
        assert 400 <= answer.status < 500, (
            f"{method} {address[:300]} {host}: {answer.status}\n{answer.body[:500]}"
        )
        assert "<script>alert" not in answer.body
        assert not any(
            word in answer.body
            for word in ("Traceback", "psycopg2", "root:", "select ", str(explorer.finished.home.path))
        )
        count += 1
    return count


def test_hostile_addresses_are_refused(explorer: Explorer) -> None:
    assert check(explorer, addresses(200)) > 400
    assert explorer.ask("/").status == 200


@pytest.mark.slow
def test_ten_thousand_hostile_addresses_are_refused(explorer: Explorer) -> None:
    assert check(explorer, addresses(10_200)) >= 10_000
    assert explorer.ask("/").status == 200


@pytest.mark.parametrize("host", HOSTS)
def test_requests_to_other_host_names_are_refused(explorer: Explorer, host: str) -> None:
    assert explorer.ask("/", host=host).status == 400


def test_without_the_password_nothing_is_shown(explorer: Explorer) -> None:
    for path in PATHS:
        answer = explorer.ask(path, authorization="Basic YWRtaW46YWRtaW4=")
        assert (answer.status, "tiny" in answer.body) == (401, False)


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {},
        {"origin": "{own}", "sec_fetch_site": "cross-site"},
        {"origin": "{own}", "content_type": "text/plain"},
    ],
)
def test_forms_sent_from_other_sites_are_refused(explorer: Explorer, headers: dict[str, str]) -> None:
    headers_sent = {"content_type": "application/x-www-form-urlencoded", **headers}
    headers_sent = {name: value.replace("{own}", explorer.address) for name, value in headers_sent.items()}
    body = "name=stolen&count=1&model=tiny.tiny-a&dataset=tiny-d&task=Infiltration"
    assert explorer.ask("/worklists", "POST", body, **headers_sent).status in (403, 415)
    assert explorer.finished.ask("select from worklist where name = 'stolen'").empty


@pytest.mark.parametrize("method", METHODS[:6])
def test_other_methods_are_refused(explorer: Explorer, method: str) -> None:
    assert explorer.ask("/cell", method).status == 405


def test_pages_load_nothing_from_elsewhere_and_run_no_inline_scripts(explorer: Explorer) -> None:
    for path in (*PATHS[:5], "/static/explorer.js", "/nowhere"):
        headers = explorer.ask(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert "frame-ancestors 'none'" in policy


@pytest.mark.parametrize(
    "fields",
    [
        {"reader": "a", "position": "1", "answer": "perhaps"},
        {"reader": "", "position": "1", "answer": "yes"},
        {"reader": "a" * 61, "position": "1", "answer": "yes"},
        {"reader": "a", "position": "99999", "answer": "yes"},
        {"reader": "a", "position": "1", "answer": "yes", "comment": "x" * 2001},
        {"reader": "a", "position": "1", "answer": "yes", "worklist_id": "2"},
        {"csv": "position,reader,answer\n1,a,yes\n99999,a,no\n"},
        {"csv": "position,reader\n1,a\n"},
        {"csv": 'position,reader,answer\n1,"a,yes\n'},
        {"csv": ""},
    ],
)
def test_invalid_values_of_a_form_are_not_stored(explorer: Explorer, fields: dict[str, str]) -> None:
    name = "of refusals"
    explorer.send(
        "/worklists", name=name, count="3", model="tiny.tiny-a", dataset="tiny-d", task="Infiltration"
    )
    number = explorer.finished.ask("select id from worklist where name = :name", name=name)["id"][0]
    answer = explorer.send(f"/worklists/{number}/{'import' if 'csv' in fields else 'read'}", **fields)
    assert 400 <= answer.status < 500
    assert explorer.finished.ask("select from worklist_read where worklist_id = :id", id=int(number)).empty


def test_markup_and_formulas_in_names_and_comments_stay_text(explorer: Explorer) -> None:
    name = "<img src=x onerror=alert(1)>"
    explorer.send(
        "/worklists", name=name, count="1", model="tiny.tiny-a", dataset="tiny-d", task="Infiltration"
    )
    number = explorer.finished.ask("select id from worklist where name = :name", name=name)["id"][0]
    explorer.send(f"/worklists/{number}/read", reader="=1+1", position="1", answer="no", comment="@cmd <b>")
    for path in ("/worklists", f"/worklists/{number}", f"/worklists/{number}/read?reader=%3Cb%3E"):
        body = explorer.ask(path).body
        assert "<img src=x" not in body
        assert "<b>" not in body
    lines = explorer.ask(f"/worklists/{number}/reads.csv").body.splitlines()
    assert ",'=1+1,no,'@cmd <b>," in lines[1]


def test_a_list_longer_than_the_limit_of_a_form_is_refused(explorer: Explorer) -> None:
    assert explorer.send("/worklists/1/import", csv="x" * 2**21).status == 413


def test_the_pages_use_a_login_that_can_only_read(explorer: Explorer) -> None:
    """Whatever an injection would reach, had it got through: the pool's login can't write, and its session reads."""
    from xray.explorer.asking import Database

    assert explorer.finished.databases.reader is not None
    database = Database.of(explorer.finished.databases.reader)
    with database.engine.connect() as connection:
        user = connection.exec_driver_sql(
            "select current_user, current_setting('transaction_read_only')"
        ).one()
        assert tuple(user) == ("xray_reader", "on")
    database.close()


def test_every_page_of_a_list_leads_to_the_next_by_a_key(explorer: Explorer) -> None:
    """No offset: a page begins after an image, whose place is looked up; an image of elsewhere is refused."""
    base = "/images?model=tiny.tiny-a&dataset=tiny-d&task=Infiltration"
    total = len(
        explorer.finished.ask(
            "select from predictions where model = 'tiny.tiny-a/1' and test_dataset = 'tiny-d' and task = 'Infiltration'"
        )
    )
    rows = explorer.ask(base.replace("/images", "/images.csv")).body.splitlines()
    assert len(rows) == total + 1
    middle, last = (row.split(",")[0] for row in (rows[total // 2], rows[-1]))
    after = explorer.ask(f"{base}&after={middle}").body
    assert after.count('<img src="/thumbnail/') == total - total // 2
    assert explorer.ask(f"{base}&after={last}").status == 200
    assert explorer.ask(f"{base}&after=1").status == 404
