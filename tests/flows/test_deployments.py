"""flows/prefect.yaml: made from the studies, valid for Prefect, and with every deployment that is promised."""

from datetime import timedelta

import pytest
from prefect.events import DeploymentTriggerTypes
from prefect.flows import load_flow_from_entrypoint
from prefect.utilities.callables import parameter_schema
from pydantic import TypeAdapter

from flows.deployments import as_yaml
from flows.standing.deploy import FILE, read_file
from flows.studies import study_file
from xray.errors import StudyError
from xray.study import read_study

ALL = read_file().deployments


def deployments_of(flow):
    return {
        deployment.name: deployment
        for deployment in ALL
        if load_flow_from_entrypoint(deployment.entrypoint).name == flow
    }


def test_the_file_is_generated_from_the_studies():
    assert FILE.read_text(encoding="utf-8") == as_yaml(), "python -m flows.deployments > flows/prefect.yaml"


def test_every_documented_deployment_exists():
    sites = ("nih-cc", "san-juan-alicante", "stanford", "bidmc", "indiana")
    trainings = {"nih", "padchest", "chexpert", "mimic_ch", "mimic_nb", "openi", "google", "rsna", "all"}
    trainings |= {f"all-but-{site}" for site in sites} | {f"phantom-{letter}" for letter in "abcd"}
    assert trainings <= deployments_of("train").keys()
    assert deployments_of("study").keys() == {"paper", "paper-heads", "phantom", "phantom-heads", "pneumonia"}
    for flow, name in (
        ("predict", "missing"),
        ("analyse", "all"),
        ("add-dataset", "default"),
        ("reevaluate", "missing"),
    ):
        assert name in deployments_of(flow)


@pytest.mark.parametrize(
    "deployment", ALL, ids=lambda deployment: f"{deployment.entrypoint}/{deployment.name}"
)
def test_parameters_of_deployments_are_valid_for_their_flow(deployment):
    flow = load_flow_from_entrypoint(deployment.entrypoint)
    assert flow.validate_parameters(dict(deployment.parameters)) is not None
    schema = parameter_schema(flow)
    assert schema.required == []
    assert all(prop.get("description") for prop in schema.properties.values())
    assert deployment.tags
    assert deployment.description
    assert deployment.work_pool.name in ("gpu", "cpu")
    if flow.name == "train":
        study = read_study(study_file(deployment.parameters["study"]))
        assert deployment.parameters["configuration"] in {
            configuration.name for configuration in study.configurations()
        }


def test_registrations_and_nights_start_a_re_evaluation():
    deployment = deployments_of("reevaluate")["missing"]
    (trigger,) = (
        TypeAdapter(DeploymentTriggerTypes).validate_python(trigger_of) for trigger_of in deployment.triggers
    )
    assert trigger.expect == {f"xray.{kind}.registered" for kind in ("dataset", "cohort", "model")}
    # what comes while registrations are gathered starts no run of its own: the run must not look before that is over
    assert trigger.within <= trigger.schedule_after <= timedelta(seconds=5)
    assert deployment.schedules[0].cron
    assert deployment.concurrency_limit.limit == 1


def test_a_study_is_found_by_name_or_path(tmp_path):
    assert study_file("phantom").name == "phantom.toml"
    with pytest.raises(
        StudyError, match=r"there is no study 'phantum'; give the path of a \.toml file, or one of paper"
    ):
        study_file("phantum")
