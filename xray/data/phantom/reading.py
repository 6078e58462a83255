"""What a site's reader writes down about what is truly in the pictures."""

import numpy as np

from xray.data.phantom.patients import Cases
from xray.data.phantom.sites import FINDINGS, PHANTOM_TASKS, PhantomSite
from xray.data.phantom.streams import FloatArray, uniforms


def read_labels(site: PhantomSite, cases: Cases, seed: int) -> FloatArray:
    """(n, n_phantom_tasks) 1, 0 or NaN: the label of each case and task of `PHANTOM_TASKS`.

    A finding is called by the site's definition, then flipped where the site inverts the task, then where
    a label is flipped at random; a task that the site doesn't label is NaN.
    """
    rule = site.labelling
    draws = uniforms("label", seed, site.name, cases.patient, cases.image, 2 + len(PHANTOM_TASKS))
    misreading = np.sqrt(-2 * np.log1p(-draws[:, 0])) * np.cos(2 * np.pi * draws[:, 1])
    measured_ratio = cases.size_of("Cardiomegaly") + rule.reading_error * misreading
    labels = np.empty((len(draws), len(PHANTOM_TASKS)))
    for column, task in enumerate(PHANTOM_TASKS):
        if task in rule.unlabelled:
            labels[:, column] = np.nan
            continue
        if task == "Cardiomegaly" and task not in rule.redefined:
            positive = measured_ratio > rule.cardiothoracic_threshold
        else:
            positive = cases.present[:, FINDINGS.index(rule.redefined.get(task, task))]
        flipped = (task in rule.inverted) ^ (draws[:, 2 + column] < rule.flipped.get(task, 0.0))
        labels[:, column] = positive ^ flipped
    return labels
