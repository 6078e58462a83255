"""Images, prevalence or labels? Evidence from stored scores and labels of two sites → a verdict, or "cannot tell".

For each finding, A the training site and B the target:
1. Did anything change? Six tests: transfer, intrinsic (`xray.stats.transfer`), the meaning of scores, companions of
   the label (`xray.stats.concept`), observed prevalence, and that against the one which the scores imply. The smallest
   p times six, adjusted over all cells of a study (Benjamini and Hochberg). Nothing shown: "none" where a drop above the
   margin is excluded, else "cannot tell".
2. Did the images change beyond what prevalences explain (`xray.stats.tilting`)?
3. Is the finding hit, or all findings of the pair?
Each verdict says on what assumption it rests, and "cannot tell" what would resolve it.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from scipy.special import ndtr

from xray.stats.concept import companions_changed, meaning_changed
from xray.stats.estimates import DEFINED, FloatArray, IntArray, undefined
from xray.stats.multiplicity import benjamini_hochberg
from xray.stats.tilting import Tilting, tilt
from xray.stats.transfer import Decomposition, Patients, SiteScores, influences

MARGIN: Final = 0.10
"""A drop of AUC that matters: "none" says that a larger one is excluded."""
SAME_LABELLER: Final = 0.8
"""Cohen's kappa of two labellers on the same images from which on their labels count as the same."""
LEAST_LOSS: Final = 0.01
"""A change of AUC that is not worth a cause."""
HETEROGENEITY: Final = 0.6
"""How differently one image shift may hit findings: standard deviation of their losses, in units of the loss itself."""
FEWEST: Final = 10
"""Positives, and negatives, that each site must have before a cause is named: with fewer no test here can be trusted."""
FALSE_DISCOVERIES: Final = 0.05
"""Share of false claims among the cells in which something is said to have changed."""

IMAGE: Final = "image"
PREVALENCE: Final = "prevalence"
LABEL: Final = "label"


@dataclass(frozen=True)
class Evidence:
    """All that speaks on one finding between two sites. Numbers are floats, NaN where undefined; z = estimate / se.

    drop_limit: upper bound of the drop, one-sided at 95 %. p_changed: of "nothing changed", before adjustment.
    z_prevalence: observed prevalence, B minus A. implied_a, implied_observed: z of the prevalence that B's scores
    imply minus A's, and minus the one observed at B. fewest: positives or negatives, of the site that has fewest.
    kappa_lower, kappa_upper: interval of the agreement of both labellers on images that both labelled.
    """

    drop: float
    drop_limit: float
    transfer: float
    transfer_p: float
    intrinsic: float
    intrinsic_p: float
    others_transfer: float
    others_transfer_p: float
    others_intrinsic: float
    others_intrinsic_p: float
    excess_transfer: float
    excess_transfer_se: float
    excess_transfer_z: float
    excess_intrinsic: float
    excess_intrinsic_z: float
    auc_away: float
    auc_away_se: float
    meaning_p: float
    companions_p: float
    z_prevalence: float
    prevalence_p: float
    images_p: float
    images_all_p: float
    implied_a: float
    implied_observed: float
    p_changed: float
    fewest: int
    kappa_lower: float = np.nan
    kappa_upper: float = np.nan


Gathered = tuple[Decomposition, Tilting | None, dict[int, Evidence]]
"""The parts of the drop, what the scores say of images and prevalences, and the evidence per task."""


@dataclass(frozen=True)
class _OfLabels:
    """What labels and the scores that go with them say, per task, (n_tasks,): p as in `concept`, and z of the observed
    prevalence, B minus A.
    """

    meaning: FloatArray
    companions: FloatArray
    z_prevalence: FloatArray


def gather(a: SiteScores, b: SiteScores) -> Gathered:
    """Evidence per task, for the tasks that both sites label and both models were trained on."""
    joint = influences(a, b)
    return _gathered(a, b, joint.decompose(), _of_labels(a, b, joint.tasks))


def gather_both(a: SiteScores, b: SiteScores) -> tuple[Gathered, Gathered]:
    """As `gather`, of A's model at B and of B's model at A; what is symmetric is computed once."""
    joint = influences(a, b)
    labels = _of_labels(a, b, joint.tasks)
    forward = _gathered(a, b, joint.decompose(), labels)
    a, b = (SiteScores(site.labels, site.of_b, site.of_a, site.patients) for site in (b, a))
    return forward, _gathered(
        a, b, joint.reversed().decompose(), replace(labels, z_prevalence=-labels.z_prevalence)
    )


def _of_labels(a: SiteScores, b: SiteScores, tasks: IntArray) -> _OfLabels:
    return _OfLabels(meaning_changed(a, b, tasks), companions_changed(a, b, tasks), prevalence_z(a, b, tasks))


def _gathered(a: SiteScores, b: SiteScores, parts: Decomposition, labels: _OfLabels) -> Gathered:
    tasks = np.flatnonzero(parts.reason == DEFINED)
    if not tasks.size:
        return parts, None, {}
    tilting = tilt(a, b, tasks)
    return parts, tilting, {int(task): _evidence(parts, tilting, labels, int(task)) for task in tasks}


def _evidence(parts: Decomposition, tilting: Tilting, labels: _OfLabels, task: int) -> Evidence:
    meaning, companions = float(labels.meaning[task]), float(labels.companions[task])
    z_prevalence = float(labels.z_prevalence[task])
    p_prevalence = float(2 * ndtr(-abs(z_prevalence)))
    z_observed = tilting.observed_gap[task] / tilting.observed_gap_se[task]
    p_observed = float(2 * ndtr(-abs(z_observed)))
    tests = [parts.transfer.p[task], parts.intrinsic.p[task], meaning, companions, p_prevalence, p_observed]
    p_values = [p for p in tests if not np.isnan(p)]
    t, i = parts.beyond_transfer, parts.beyond_intrinsic
    return Evidence(
        drop=parts.drop.value[task],
        drop_limit=parts.drop_limit[task],
        transfer=parts.transfer.value[task],
        transfer_p=parts.transfer.p[task],
        intrinsic=parts.intrinsic.value[task],
        intrinsic_p=parts.intrinsic.p[task],
        others_transfer=t.others.value[task],
        others_transfer_p=t.others.p[task],
        others_intrinsic=i.others.value[task],
        others_intrinsic_p=i.others.p[task],
        excess_transfer=t.excess.value[task],
        excess_transfer_se=t.excess.se[task],
        excess_transfer_z=t.excess.value[task] / np.hypot(t.excess.se[task], t.spread[task]),
        excess_intrinsic=i.excess.value[task],
        excess_intrinsic_z=i.excess.value[task] / np.hypot(i.excess.se[task], i.spread[task]),
        auc_away=parts.auc[task, 0, 1],
        auc_away_se=parts.auc_se[task, 0, 1],
        meaning_p=meaning,
        companions_p=companions,
        z_prevalence=z_prevalence,
        prevalence_p=p_prevalence,
        images_p=tilting.p[task],
        images_all_p=tilting.p_all,
        implied_a=tilting.a_gap[task] / tilting.a_gap_se[task],
        implied_observed=z_observed,
        p_changed=min(1.0, len(p_values) * min(p_values)),
        fewest=int(min(parts.n_pos[task].min(), parts.n_neg[task].min())),
    )


def prevalence_z(a: SiteScores, b: SiteScores, tasks: IntArray) -> FloatArray:
    """z of the observed prevalence, B minus A, patients as units. (n_tasks,), NaN but for the given columns."""
    z = undefined((a.labels.shape[1],))
    shares, variances = np.zeros((2, 2, len(tasks)))
    for index, site in enumerate((a, b)):
        patients = Patients(site.patients)
        for column, task in enumerate(tasks):
            y = site.labels[:, task]
            labelled = ~np.isnan(y)
            n, share = int(labelled.sum()), float(y[labelled].mean())
            residuals = patients.sums(np.where(labelled, y - share, 0))
            shares[index, column], variances[index, column] = share, residuals @ residuals / n**2
    z[tasks] = (shares[1] - shares[0]) / np.sqrt(variances.sum(axis=0))
    return z


@dataclass(frozen=True)
class Verdict:
    """causes: what is claimed, empty for "none"; None for "cannot tell". p_adjusted: of "nothing changed" in this cell.

    basis: why. assumption: what the verdict rests on. resolve: what would settle the matter ("" where it is settled).
    """

    causes: frozenset[str] | None
    p_adjusted: float
    basis: str
    assumption: str
    resolve: str

    @property
    def code(self) -> str:
        """`none`, `cannot tell`, or the causes in a fixed order joined by " + "."""
        if self.causes is None:
            return CANNOT_TELL
        return " + ".join(cause for cause in (IMAGE, PREVALENCE, LABEL) if cause in self.causes) or NONE


NONE: Final = "none"
CANNOT_TELL: Final = "cannot tell"

RELABEL: Final = "have about 200 images of B labelled again by A's rules"
SAME_IMAGES: Final = "have the same images labelled by both sites"
PIPELINE: Final = "send A's pictures through B's pipeline"
MORE: Final = "test more positives"
MORE_OF_EITHER: Final = "test more of the rarer class"
SPREAD: Final = "image shifts that hurt also change the spread or shape of the scores"
ALIKE: Final = "an image shift hurts the findings of a site about alike"
SAME_CUT: Final = "both sites call the finding from the same severity on"
SAME_LOOK: Final = "positives and negatives look the same at both sites"


def judge(cells: list[Evidence], margin: float = MARGIN, q: float = FALSE_DISCOVERIES) -> list[Verdict]:
    """A verdict per cell; `cells` is the family over which false discoveries are controlled: all cells of a study."""
    adjusted = benjamini_hochberg([cell.p_changed for cell in cells])
    return [_judge(cell, float(p), margin, q) for cell, p in zip(cells, adjusted, strict=True)]


def _judge(e: Evidence, p: float, margin: float, q: float) -> Verdict:
    def say(causes: set[str] | None, basis: str, assumption: str = "", resolve: str = "") -> Verdict:
        return Verdict(None if causes is None else frozenset(causes), p, basis, assumption, resolve)

    if e.kappa_upper < SAME_LABELLER:
        return say({LABEL}, "both labelled some of the same images, and do not agree on them")
    if e.fewest < FEWEST:
        return say(None, f"a site has only {e.fewest} of one class", "", MORE_OF_EITHER)
    if not p < q:
        if e.drop_limit < margin:
            return say(set(), f"no change is shown, and a drop of AUC above {margin:g} is excluded")
        return say(None, f"no change is shown, but a drop of AUC above {margin:g} is not excluded", "", MORE)
    images = e.images_all_p < 0.005 or e.images_p < 0.005
    verdict = _images_changed(e, say, margin) if images else _images_unchanged(e, say)
    if verdict.causes and LABEL in verdict.causes and e.kappa_lower > SAME_LABELLER:
        return say(
            None, "it looks like labels, but both agree on the images that both labelled", "", PIPELINE
        )
    return verdict


def _images_changed(e: Evidence, say: Callable[..., Verdict], margin: float) -> Verdict:
    others_hit = (e.others_transfer_p < 0.005 and e.others_transfer > 0.01) or (
        e.others_intrinsic_p < 0.005 and e.others_intrinsic > 0.02
    )
    has_loss = _lost(e) or (e.intrinsic_p < 0.01 and e.intrinsic > 0)
    beyond = e.excess_transfer / np.hypot(e.excess_transfer_se, HETEROGENEITY * max(e.others_transfer, 0.0))
    is_alone = np.isnan(e.others_transfer)
    upside_down = e.auc_away + 2.6 * e.auc_away_se < 0.5
    far_beyond = (beyond > 3 and e.excess_transfer > 0.05) or (beyond > 2.2 and e.excess_transfer > 0.1)
    if not is_alone and (upside_down or far_beyond):
        if others_hit:
            return say(
                {IMAGE, LABEL}, "all findings lose, and this one far more than the others", ALIKE, SAME_IMAGES
            )
        if upside_down or e.companions_p < 0.002 or (beyond > 4 and e.excess_transfer > 0.1):
            return say({LABEL}, "this finding alone loses, and much", ALIKE, SAME_IMAGES)
        return say(None, "this finding alone loses, and the images changed", "", f"{RELABEL}, or {PIPELINE}")
    if not has_loss:
        return _images_without_loss(e, say, margin)
    if is_alone:
        return say(
            None,
            "the images changed, and there are too few other findings to compare with",
            "",
            f"{RELABEL}, or {PIPELINE}",
        )
    if not others_hit:
        return say(
            None, "the images changed, but the other findings do not lose", "", f"{RELABEL}, or {PIPELINE}"
        )
    as_others = beyond < 1.5 and not e.excess_intrinsic_z > 2.5
    if e.prevalence_p < 0.003 and as_others:
        return say(
            {IMAGE, PREVALENCE},
            "the images changed, this finding loses as the others do, and it is labelled more or less often",
            f"{ALIKE}; {SAME_CUT}",
            RELABEL,
        )
    if as_others:
        return say({IMAGE}, "the images changed, and this finding loses as the others do", ALIKE)
    return say(
        {IMAGE}, "the images changed; whether more than that, this finding's loss leaves open", ALIKE, RELABEL
    )


def _images_without_loss(e: Evidence, say: Callable[..., Verdict], margin: float) -> Verdict:
    if not e.drop_limit < margin:
        return say(
            None, "the images changed, but no loss of this finding is shown", "", f"{MORE}, or {RELABEL}"
        )
    if _prevalence_explains(e):
        return say(
            {PREVALENCE},
            "the images changed, without harm; B's scores imply about the prevalence that B observes",
            SAME_CUT,
        )
    if e.prevalence_p < 0.003:
        return say(
            None, "the images changed, without harm, and the label is more or less common", "", RELABEL
        )
    return say(set(), f"the images changed, but a drop of AUC above {margin:g} is excluded")


def _images_unchanged(e: Evidence, say: Callable[..., Verdict]) -> Verdict:
    to_a = abs(e.implied_a)
    prevalence_explains = _prevalence_explains(e)
    others_hit = (e.others_transfer_p < 0.001 and e.others_transfer > 0.02) or (
        e.others_intrinsic_p < 0.001 and e.others_intrinsic > 0.03
    )
    harder = e.intrinsic_p < 0.005 and e.intrinsic > 0.03 and e.excess_intrinsic_z > 2.5
    if _lost(e) or (harder and not prevalence_explains):
        if others_hit and e.excess_transfer_z < 3 and e.excess_intrinsic_z < 3:
            return say(
                None, "all findings lose, yet the scores look unchanged", "", f"{RELABEL}, or {PIPELINE}"
            )
        if to_a > 3 or (to_a > 2.6 and e.implied_a * e.z_prevalence > 0):
            return say(
                {PREVALENCE, LABEL},
                "the same scores mean something else, the images look unchanged, and the scores imply another prevalence",
                f"{SPREAD}; {SAME_LOOK}",
                "",
            )
        return say({LABEL}, "the same scores mean something else, and the images look unchanged", SPREAD, "")
    if prevalence_explains:
        return say({PREVALENCE}, "B's scores imply about the prevalence that B observes", SAME_LOOK)
    if e.prevalence_p < 0.02 and _favours(e.implied_a, e.implied_observed):
        return say({LABEL}, "B's scores imply about A's prevalence, but B's labels say another", SAME_LOOK)
    return say(None, "something changed, but no cause is shown", "", f"{MORE}, or {RELABEL}")


def _prevalence_explains(e: Evidence) -> bool:
    """Whether B's label is more or less common, and B's scores imply so too."""
    return e.prevalence_p < 0.02 and _favours(e.implied_observed, e.implied_a)


def _favours(one: float, other: float) -> bool:
    """Whether an estimate that lies so many standard errors from one value, and from another, speaks for the one: by a
    likelihood ratio of e² at least, and does not lie far from it too.
    """
    near, far = abs(one), abs(other)
    return far**2 - near**2 > 4 and (near < 2.5 or near < far / 2)


def _lost(e: Evidence) -> bool:
    """Whether the finding is ranked worse away from home, or the same scores mean something else, and it matters at all."""
    if max(e.transfer, abs(e.intrinsic)) < LEAST_LOSS:
        return False
    ranked_worse = e.transfer_p < 0.01 and e.transfer > 0
    return (
        ranked_worse
        or e.meaning_p < 0.001
        or (e.meaning_p < 0.01 and e.intrinsic_p < 0.05 and e.intrinsic > 0)
    )
