"""`xray demo`: the main job on four synthetic sites."""

from pathlib import Path

import click

NEXT = """
The platform is in {home}. What to try next:

  Every model with its metrics and weights, in the MLflow UI:
    {xray} ui mlflow

  Every score of every image, by SQL (the sites' labels disagree on Infiltration and Mass: see it in the numbers):
    {xray} sql "select trained_on, test_dataset, auc(array_agg(logit), array_agg(label)) as auc
      from predictions where task = 'Infiltration' and seed = 0 group by 1, 2 order by 1, 2"

  A study of your own hospital's images: copy {example}, put in your CSV (README, "A study of your own"), then
    {xray} study run my_study.toml
"""


@click.command()
def demo() -> None:
    """From nothing to figures: four synthetic sites, 18 models, one report."""
    from flows.cli.study import run_file
    from xray import settings

    folder = Path(__file__).resolve().parents[2] / "studies"
    xray = ".venv/bin/xray" if Path(".venv/bin/xray").exists() else "xray"
    hints = NEXT.format(home=settings.home(), xray=xray, example="studies/pneumonia.toml")
    run_file(folder / "phantom.toml", hints=hints)
