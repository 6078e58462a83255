"""The flow of `xray intervene run`: pictures changed and scored again, one task for each model and pair of sites."""

from typing import Any

from prefect import flow

from flows import shown, tasks
from flows.platform import storage
from flows.pool import process_pool, run_each
from flows.steps import refresh


@flow(name="intervene", task_runner=process_pool(), on_cancellation=[shown.tidy], on_crashed=[shown.tidy])
def intervene(
    study: str,
    model: str = "",
    from_dataset: str = "",
    to_dataset: str = "",
    kinds: list[str] | None = None,
    images: int | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Score test images again, changed to look like another site's, what is missing of it, and bring the study up to date.

    Args:
        study: Name of a stored study.
        model: Only this configuration or model from elsewhere.
        from_dataset: Only images of this dataset.
        to_dataset: Only changed to look like this dataset's.
        kinds: What is changed: histogram, resolution, noise, borders, all of them together. Default: each of these.
        images: How many images of a test cohort, drawn by the seed. Default: all.
        seed: Of what is drawn: images, noise, borders.
    """
    from xray.analyses.intervene_plan import Asking, steps
    from xray.pixels.changes import KINDS

    asking = Asking(model, from_dataset, to_dataset, tuple(kinds or KINDS), images, seed)
    with storage() as databases, databases.engine().begin() as connection:
        plan = steps(connection, study, asking)
    calls = [(step.evaluation_id, step.target_list_id, list(step.kinds), images, seed) for step in plan]
    count = sum(run_each("scoring changed images", tasks.intervene, calls)) if calls else 0
    return {"study": study, "interventions": count, "folder": refresh([study])[study]}
