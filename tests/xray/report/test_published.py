from pathlib import Path

import pytest

from xray.errors import AnalysisError
from xray.report import published
from xray.tasks import TASKS

SHARED = Path(__file__).parents[4] / "shared" / "reference" / "published.csv"


def test_published_values_are_read_by_metric(tmp_path: Path) -> None:
    file = tmp_path / "published.csv"
    file.write_text(
        "figure,metric,trained_on,tested_on,task,value\n"
        f"Fig 1,{published.AUC},PC,NIH,Mass,0.71\n"
        f"Fig 1,{published.AUC},Elsewhere,CheX,Mass,.5\n"
        "Fig 3,other,PC,NIH,Mass,.1\n"
    )
    frame = published.read(file, published.AUC)
    assert frame.to_dict("list") == {
        "trained_on": ["padchest", "Elsewhere"],
        "test_dataset": ["nih", "chexpert"],
        "task": ["Mass", "Mass"],
        "value": [0.71, 0.5],
    }
    with pytest.raises(AnalysisError, match="holds no values of 'nothing'; it has: AUC"):
        published.read(file, "nothing")
    file.write_text("metric,task\n")
    with pytest.raises(AnalysisError, match="lacks the columns trained_on, tested_on, value"):
        published.read(file, published.AUC)


@pytest.mark.skipif(not SHARED.exists(), reason="the published values are not here")
@pytest.mark.parametrize(("metric", "count"), [(published.AUC, 416), (published.KAPPA, 246)])
def test_the_published_file_is_complete_and_valid(metric: str, count: int) -> None:
    frame = published.read(SHARED, metric)
    assert len(frame) == count
    assert set(frame["task"]) <= set(TASKS)
    assert set(frame["trained_on"]) | set(frame["test_dataset"]) <= set(published.DATASETS.values())
    assert not frame.duplicated(["trained_on", "test_dataset", "task"]).any()
