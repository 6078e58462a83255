"""A result whose models saw its test patients in training says so, in the database, on the terminal and on the page."""

from pathlib import Path

from sqlalchemy import text

from xray.analyses import results
from xray.analyses.report import write_report
from xray.analyses.run import run_all
from xray.data import leakage
from xray.report.text import auc_table

SAID = "0 of 60 y test rows show an image, 1 a patient of x train"


def leak(engine) -> None:
    """Let the first test patient of y be a training patient of x, and look for overlaps."""
    with engine.begin() as connection:
        connection.execute(
            text(
                "update image set patient_id = (select patient_id from image where name = 'x-train0')"
                " where name = 'y-test0'"
            )
        )
        leakage.record(connection, connection.execute(text("select id from protocol")).scalar_one())


def test_results_without_a_leak_carry_no_warning(two_sites):
    run_all(two_sites.engine, "test")
    with two_sites.engine.begin() as connection:
        leakage.record(connection, connection.execute(text("select id from protocol")).scalar_one())
        for frame in (results.performance, results.comparison, results.agreement):
            assert frame(connection, "test")["warning"].isna().all()
        assert "!" not in auc_table(results.performance(connection, "test"))


def test_every_result_of_a_leaking_evaluation_carries_the_warning(two_sites):
    leak(two_sites.engine)
    run_all(two_sites.engine, "test")
    with two_sites.engine.begin() as connection:
        auc = results.performance(connection, "test")
        compared = results.comparison(connection, "test")
        kappa = results.agreement(connection, "test")
    knows = auc["trained_on"].isin(["x", "all"]) & (auc["test_dataset"] == "y")
    assert knows.sum() == 2 * 3 * 3
    assert (auc.loc[knows, "warning"] == SAID).all()
    assert auc.loc[~knows, "warning"].isna().all()
    at_y = compared["test_dataset"] == "y"
    assert 0 < at_y.sum() < len(at_y)
    # every pair of arms at y has one that saw x: "own" is compared with "all-but-site" (trained on x) and with "all"
    assert (compared.loc[at_y, "warning"] == SAID).all()
    assert compared.loc[~at_y, "warning"].isna().all()
    marked = (kappa["test_dataset"] == "y") & (kappa["trained_on"] != "y")
    assert marked.any()
    assert (kappa.loc[marked, "warning"] == SAID).all()
    assert kappa.loc[~marked, "warning"].isna().all()


def test_the_warning_appears_in_table_and_page(two_sites, tmp_path: Path, study_file):
    leak(two_sites.engine)
    run_all(two_sites.engine, "test")
    with two_sites.engine.begin() as connection:
        table = auc_table(results.performance(connection, "test"))
        page = write_report(connection, study_file(tmp_path), tmp_path, []).read_text()
    block = table.split("Effusion\n")[1].split("\n\n")[0].splitlines()
    cells = {line.split()[0]: line for line in block[1:]}
    assert [name for name, line in cells.items() if "!(" in line] == ["x", "all"]
    assert SAID in table.splitlines()
    assert SAID in page
    sections = page.split("<section ")
    sentences = [s.split('"')[1] for s in sections if "can't be trusted" in s or "can&#39;t be trusted" in s]
    rest_on_it = {
        "auc",
        "leave-one-site-out",
        "agreement",
        "images-or-labels",
        "mean-auc",
        "threshold-transfer",
    }
    assert rest_on_it <= set(sentences)
    assert page.count("leaks from training") > 2
    assert 'class="leaks"' in page
    assert SAID in (tmp_path / "auc.csv").read_text()
