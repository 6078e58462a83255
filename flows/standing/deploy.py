"""Makes what a Prefect server must know of us: work pools, queues, the deployments of flows/prefect.yaml, automations.

    python -m flows.standing.deploy        with PREFECT_API_URL; running it again changes nothing
"""

import asyncio
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Final


from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.exceptions import ObjectNotFound
from prefect.workers.process import ProcessWorker

FILE: Final = Path(__file__).resolve().parents[1] / "prefect.yaml"
POOLS: Final = {"gpu": "training and inference, one job per GPU", "cpu": "registration and analysis"}
ENDS: Final = ("Completed", "Failed", "Cancelled", "Crashed", "Paused", "Suspended", "AwaitingRetry")
SILENT: Final = timedelta(seconds=150)
"""How long a flow run may be silent: five heartbeats."""
ZOMBIES: Final = "flow runs that fell silent have crashed"


def main() -> int:
    """Make everything; 0 when it is there."""
    asyncio.run(_make_pools())
    command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all", "--prefect-file", str(FILE)]
    done = subprocess.run(command, cwd=FILE.parents[1])
    if done.returncode:
        return done.returncode
    asyncio.run(_order_queues())
    return 0


async def _make_pools() -> None:
    async with get_client() as client:
        for name, description in POOLS.items():
            await _make_pool(client, name, description)
        await _make_automations(client)


async def _make_pool(client: PrefectClient, name: str, description: str) -> None:
    try:
        await client.read_work_pool(name)
    except ObjectNotFound:
        template = ProcessWorker.get_default_base_job_template()
        await client.create_work_pool(
            WorkPoolCreate(name=name, type="process", description=description, base_job_template=template)
        )


async def _order_queues() -> None:
    """What waits to be scored goes before what waits to be trained."""
    async with get_client() as client:
        queue = await client.read_work_queue_by_name("inference", work_pool_name="gpu")
        await client.update_work_queue(queue.id, priority=1)


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
    crashed = ChangeFlowRunState(state=StateType.CRASHED, name="Crashed", message="no heartbeat any more")
    await client.create_automation(AutomationCore(name=ZOMBIES, trigger=silent, actions=[crashed]))


if __name__ == "__main__":
    sys.exit(main())
