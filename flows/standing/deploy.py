"""Makes what a Prefect server must know of us: work pools, queues, the deployments of flows/prefect.yaml, automations.

    python -m flows.standing.deploy        with PREFECT_API_URL; running it again changes nothing

The same as `prefect deploy --all --prefect-file flows/prefect.yaml` makes, in one process and seconds instead of minutes.
"""

import asyncio
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import yaml
from prefect.cli.deploy._models import (
    ConcurrencyLimitSpec,
    DeploymentConfig,
    PrefectYamlModel,
    RawScheduleConfig,
)
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate, WorkPoolCreate
from prefect.client.schemas.objects import ConcurrencyLimitStrategy, ConcurrencyOptions, StateType
from prefect.client.schemas.schedules import CronSchedule
from prefect.events import DeploymentTriggerTypes
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.exceptions import ObjectNotFound
from prefect.flows import Flow, load_flow_from_entrypoint
from prefect.utilities.callables import parameter_schema
from prefect.workers.process import ProcessWorker
from pydantic import TypeAdapter

from flows import leave_garbage

FILE: Final = Path(__file__).resolve().parents[1] / "prefect.yaml"
POOLS: Final = {"gpu": "training and inference, one job per GPU", "cpu": "registration and analysis"}
ENDS: Final = ("Completed", "Failed", "Cancelled", "Crashed", "Paused", "Suspended", "AwaitingRetry")
SILENT: Final = timedelta(seconds=150)
"""How long a flow run may be silent: five heartbeats."""
ZOMBIES: Final = "flow runs that fell silent have crashed"


def main() -> int:
    """Make everything; 0 when it is there."""
    asyncio.run(_make_all())
    return 0


def read_file() -> PrefectYamlModel:
    """flows/prefect.yaml, checked by Prefect's own model of it."""
    return PrefectYamlModel.model_validate(yaml.safe_load(FILE.read_text(encoding="utf-8")))


async def _make_all() -> None:
    async with get_client() as client:
        for name, description in POOLS.items():
            await _make_pool(client, name, description)
        for deployment in read_file().deployments:
            await _make_deployment(client, deployment)
        queue = await client.read_work_queue_by_name("inference", work_pool_name="gpu")
        await client.update_work_queue(queue.id, priority=1)  # scoring goes before training
        await _make_automations(client)


async def _make_deployment(client: PrefectClient, configuration: DeploymentConfig) -> None:
    assert configuration.entrypoint is not None
    assert configuration.name is not None
    assert configuration.work_pool is not None
    entry: Flow[..., Any] = load_flow_from_entrypoint(configuration.entrypoint)
    limit = configuration.concurrency_limit
    options = None
    if isinstance(limit, ConcurrencyLimitSpec):
        options = ConcurrencyOptions(collision_strategy=ConcurrencyLimitStrategy(limit.collision_strategy))
        limit = limit.limit
    identifier = await client.create_deployment(
        flow_id=await client.create_flow(entry),
        name=configuration.name,
        schedules=[_schedule(schedule) for schedule in configuration.schedules or ()],
        concurrency_limit=limit,
        concurrency_options=options,
        parameters=configuration.parameters,
        description=configuration.description,
        work_pool_name=configuration.work_pool.name,
        work_queue_name=configuration.work_pool.work_queue_name,
        tags=[str(tag) for tag in configuration.tags or ()],
        entrypoint=configuration.entrypoint,
        parameter_openapi_schema=parameter_schema(entry).model_dump(),
        enforce_parameter_schema=True,
        pull_steps=[],
    )
    if configuration.triggers:
        await client.delete_resource_owned_automations(f"prefect.deployment.{identifier}")
        for spec in configuration.triggers:
            trigger = TypeAdapter(DeploymentTriggerTypes).validate_python(spec)
            trigger.set_deployment_id(identifier)
            await client.create_automation(trigger.as_automation())


def _schedule(schedule: object) -> DeploymentScheduleCreate:
    """A schedule of the file; we write them as cron lines only."""
    assert isinstance(schedule, RawScheduleConfig)
    cron = CronSchedule(cron=str(schedule.cron), timezone=schedule.timezone)
    return DeploymentScheduleCreate(schedule=cron, slug=schedule.slug)


async def _make_pool(client: PrefectClient, name: str, description: str) -> None:
    try:
        await client.read_work_pool(name)
    except ObjectNotFound:
        template = ProcessWorker.get_default_base_job_template()
        # said, so that Prefect does not copy a workspace first; `python` is the worker's own, by its PATH
        template["variables"]["properties"]["command"]["default"] = "python -m flows.standing.engine"
        await client.create_work_pool(
            WorkPoolCreate(name=name, type="process", description=description, base_job_template=template)
        )


async def _make_automations(client: PrefectClient) -> None:
    """A flow run that has sent heartbeats and sends none any more has crashed: its slot is free again."""
    if await client.read_automations_by_name(ZOMBIES):
        return
    ends = {f"prefect.flow-run.{state}" for state in ENDS}
    silent = EventTrigger(
        after={"prefect.flow-run.heartbeat"},
        expect={"prefect.flow-run.heartbeat", *ends},
        match={"prefect.resource.id": "prefect.flow-run.*"},
        for_each={"prefect.resource.id"},
        posture=Posture.Proactive,
        threshold=1,
        within=SILENT,
    )
    crashed = ChangeFlowRunState(
        state=StateType.CRASHED, name="Crashed", force=False, message="no heartbeat any more"
    )
    await client.create_automation(AutomationCore(name=ZOMBIES, trigger=silent, actions=[crashed]))


if __name__ == "__main__":
    leave_garbage()
    sys.exit(main())
