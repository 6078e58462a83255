"""What flows/prefect.yaml says, made from the study files where it repeats.

python -m flows.deployments > flows/prefect.yaml
"""

import json
import sys
from collections.abc import Iterator
from typing import Any, Final

import yaml

from flows import events
from flows.studies import bundled_studies, study_file
from xray.study import Study, read_study

HEAD: Final = """\
# Deployments of xray, made by `python -m flows.deployments > flows/prefect.yaml`; a test holds the two together.
# `xray up` registers them. By hand: prefect --no-prompt deploy --all --prefect-file flows/prefect.yaml
"""
FIRST: Final = ("paper", "phantom")
"""Studies whose configurations have the short names; others are train/STUDY-CONFIGURATION where a name is taken."""
NIGHTLY: Final = "30 2 * * *"
TOGETHER: Final = 3
"""Seconds: registrations within them are one run, which begins when they are over."""
INFERENCE: Final = {"name": "gpu", "work_queue_name": "inference"}


def contents() -> dict[str, Any]:
    """The whole file as plain data."""
    return {
        "name": "xray",
        "pull": [],
        "deployments": [*_trainings(), *_studies(), *_others()],
    }


def _trainings() -> Iterator[dict[str, Any]]:
    names: set[str] = set()
    for study in _in_order():
        for configuration in study.configurations():
            name = (
                configuration.name
                if configuration.name not in names
                else f"{study.name}-{configuration.name}"
            )
            names.add(name)
            trained_on = ", ".join(configuration.datasets)
            yield {
                "name": name,
                "entrypoint": "flows.steps.train",
                "description": f"Train the models of study {study.name} on {trained_on}.",
                "tags": ["train", study.name],
                "parameters": {"study": study.path.stem, "configuration": configuration.name},
                "work_pool": {"name": "gpu"},
            }


def _studies() -> Iterator[dict[str, Any]]:
    for study in _in_order():
        yield {
            "name": study.name,
            "entrypoint": "flows.study.run_study",
            "description": f"{study.title}: from data to report, doing only what is missing.",
            "tags": ["study", study.name],
            "parameters": {"study": study.path.stem},
            "work_pool": {"name": "gpu"},
            "concurrency_limit": {"limit": 1, "collision_strategy": "ENQUEUE"},
        }


def _others() -> Iterator[dict[str, Any]]:
    yield {
        "name": "missing",
        "entrypoint": "flows.steps.predict",
        "description": "Score what the view missing_evaluations shows, of one study or of everything.",
        "tags": ["predict"],
        "parameters": {},
        "work_pool": INFERENCE,
    }
    yield {
        "name": "all",
        "entrypoint": "flows.steps.analyse",
        "description": "Bring the results, figures and pages of one study or of all up to date.",
        "tags": ["analyse"],
        "parameters": {},
        "work_pool": {"name": "cpu"},
    }
    yield {
        "name": "default",
        "entrypoint": "flows.steps.add_dataset",
        "description": "Register a dataset; without parameters, a small synthetic one as a trial.",
        "tags": ["data"],
        "parameters": {},
        "work_pool": {"name": "cpu"},
    }
    yield {
        "name": "missing",
        "entrypoint": "flows.steps.reevaluate",
        "description": "Score and analyse all that is missing or stale; runs by itself when something is registered.",
        "tags": ["predict", "analyse"],
        "parameters": {},
        "work_pool": INFERENCE,
        "concurrency_limit": {"limit": 1, "collision_strategy": "ENQUEUE"},
        "schedules": [{"cron": NIGHTLY, "timezone": "UTC", "slug": "nightly"}],
        "triggers": [
            {
                "name": "something was registered",
                "type": "event",
                "enabled": True,
                "expect": list(events.REGISTERED),
                "posture": "Reactive",
                "threshold": 1,
                "within": TOGETHER,
                "schedule_after": TOGETHER,
                "parameters": {},
            }
        ],
    }


def _in_order() -> list[Study]:
    names = [*FIRST, *(name for name in bundled_studies() if name not in FIRST)]
    return [read_study(study_file(name)) for name in names]


def as_yaml() -> str:
    """The file as text."""
    plain = json.loads(json.dumps(contents()))  # nothing twice, so that YAML needs no anchors
    return HEAD + yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=110)


if __name__ == "__main__":
    sys.stdout.write(as_yaml())
