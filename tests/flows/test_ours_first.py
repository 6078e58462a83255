"""A vendor's slow model keeps nobody from the results of our own."""

import pytest
from prefect.states import Completed

from flows import steps


@pytest.fixture
def order(monkeypatch):
    """What a re-evaluation does, in its order, where one model of ours and one from elsewhere have something to score."""
    steps_done: list[str] = []
    missing = ({1: [7]}, {2: [7]})

    def evaluate(model, lists, threads, return_state):
        assert threads >= 1
        steps_done.append(f"score {model}")
        return Completed(data=len(lists))

    monkeypatch.setattr(steps.shown, "call_off_waiting", lambda: None)
    monkeypatch.setattr(steps.shown, "evaluations", lambda: None)
    monkeypatch.setattr(steps.tasks, "freeze", list)
    monkeypatch.setattr(steps.tasks, "missing", lambda study: missing)
    monkeypatch.setattr(steps.tasks, "evaluate", evaluate)
    monkeypatch.setattr(steps.tasks, "widen", lambda: ["study"])
    monkeypatch.setattr(steps, "refresh", lambda studies: steps_done.append("results") or {"study": "folder"})
    return steps_done


def test_results_are_stored_before_a_model_from_elsewhere_scores(order):
    outcome = steps.reevaluate.fn()
    assert order == ["score 1", "results", "score 2", "results"]
    assert outcome == {"evaluations": 2, "studies": ["study"], "notes": []}


def test_without_missing_scores_nothing_is_analysed_twice(order, monkeypatch):
    monkeypatch.setattr(steps.tasks, "missing", lambda study: ({}, {2: [7]}))
    steps.reevaluate.fn()
    assert order == ["score 2", "results"]
    order.clear()
    monkeypatch.setattr(steps.tasks, "missing", lambda study: ({}, {}))
    steps.reevaluate.fn()
    assert order == ["results"], "results may be stale though every picture is scored"
