"""The tasks are the contract between labels, networks and tables."""

from sqlalchemy import text

from xray.tasks import TASK_INDEX, TASKS

PUBLISHED = """Atelectasis, Consolidation, Infiltration, Pneumothorax, Edema, Emphysema, Fibrosis, Effusion, Pneumonia,
Pleural_Thickening, Cardiomegaly, Nodule, Mass, Hernia, Lung Lesion, Fracture, Lung Opacity, Enlarged Cardiomediastinum"""


def test_names_and_order_equal_torchxrayvision():
    assert list(TASKS) == [name.strip() for name in PUBLISHED.replace("\n", " ").split(",")]


def test_the_index_is_the_position():
    assert {task: position for position, task in enumerate(TASKS)} == TASK_INDEX
    assert len(TASK_INDEX) == 18


def test_the_database_has_the_same_tasks_under_the_same_numbers(engine):
    with engine.begin() as connection:
        stored = connection.execute(text("select id, name from task order by id")).all()
    assert [tuple(row) for row in stored] == list(enumerate(TASKS))
