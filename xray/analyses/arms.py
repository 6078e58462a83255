"""Which configurations are compared on a test cohort, to see what data of its own site are worth (paper, Fig 2)."""

from xray.analyses.stored import StoredStudy


def arms(study: StoredStudy, dataset: str) -> dict[str, str]:
    """Arm → the configuration that plays it for this test dataset; an arm that the study lacks is left out.

    No configuration plays two arms: of a study of one dataset only "own" is left.
    """
    site = study.datasets[dataset]
    datasets_of = {
        "own": (dataset,),
        "all-but-site": tuple(d for d, s in study.own.items() if s != site),
        "all": tuple(study.own),
    }
    names = {arm: study.trained_on_exactly(datasets) for arm, datasets in datasets_of.items()}
    first: dict[str, str] = {}
    for arm, name in names.items():
        if name is not None:
            first.setdefault(name, arm)
    return {arm: name for name, arm in first.items()}
