"""The default list of findings: the 18 of the paper, in the order of torchxrayvision (protocol §1)."""

from typing import Final

TASKS: Final[tuple[str, ...]] = (
    "Atelectasis",
    "Consolidation",
    "Infiltration",
    "Pneumothorax",
    "Edema",
    "Emphysema",
    "Fibrosis",
    "Effusion",
    "Pneumonia",
    "Pleural_Thickening",
    "Cardiomegaly",
    "Nodule",
    "Mass",
    "Hernia",
    "Lung Lesion",
    "Fracture",
    "Lung Opacity",
    "Enlarged Cardiomediastinum",
)
"""In order. Studies, datasets and models that say nothing of their own have these."""

TASK_INDEX: Final[dict[str, int]] = {task: index for index, task in enumerate(TASKS)}
"""Name → place in this list; only for what is about this very list."""
