"""The 18 tasks (findings) of the study, in model-output order (protocol §1; the order of torchxrayvision)."""

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
"""Names in output order: position i is output i of every network of the platform."""

TASK_INDEX: Final[dict[str, int]] = {task: index for index, task in enumerate(TASKS)}
"""Task name → output position."""
