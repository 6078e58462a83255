from dataclasses import replace
from pathlib import Path

import pytest

from xray.data.phantom.sites import (
    FINDINGS,
    PHANTOM_TASKS,
    REFERENCE_PREVALENCE,
    Images,
    Labelling,
    PhantomSite,
    load_sites,
)
from xray.errors import StudyError
from xray.tasks import TASK_INDEX


def read(tmp_path: Path, text: str) -> dict[str, PhantomSite]:
    file = tmp_path / "sites.toml"
    file.write_text(text, encoding="utf-8")
    return load_sites(file)


def test_the_packaged_sites_differ_from_alpha_as_described():
    sites = load_sites()
    assert list(sites) == ["alpha", "bravo", "charlie", "delta", "echo", "foxtrot"]
    assert sites["alpha"] == PhantomSite("alpha")
    assert replace(sites["bravo"], images=Images()) == PhantomSite("bravo")
    assert sites["bravo"].images != Images()
    assert sites["bravo"].images.ap_fraction == 0
    assert replace(sites["delta"], labelling=Labelling()) == PhantomSite("delta")
    assert sites["delta"].labelling.redefined == {"Infiltration": "Reticular_Pattern"}
    assert sites["delta"].labelling.inverted == ("Mass",)
    charlie = sites["charlie"]
    assert charlie.images == Images(ap_fraction=0.5)
    assert charlie.labelling.unlabelled == ("Nodule",)
    assert charlie.prevalence_of("Cardiomegaly") > sites["alpha"].prevalence_of("Cardiomegaly")
    echo, foxtrot = sites["echo"], sites["foxtrot"]
    assert replace(echo, images=Images()) == PhantomSite("echo")
    assert echo.images.contrast < sites["bravo"].images.contrast < 1
    assert replace(foxtrot, prevalence={}) == PhantomSite("foxtrot")
    assert sum(foxtrot.prevalence_of(f) != REFERENCE_PREVALENCE for f in PHANTOM_TASKS) == 5


def test_phantom_tasks_are_tasks_in_output_order():
    assert list(PHANTOM_TASKS) == sorted(PHANTOM_TASKS, key=TASK_INDEX.__getitem__)
    assert len(FINDINGS) == len(PHANTOM_TASKS) + 1


def test_a_site_file_may_state_only_its_differences(tmp_path):
    sites = read(
        tmp_path, "[here]\n[there.prevalence]\nMass = 0.5\nReticular_Pattern = 0\n[there.images]\ngamma = 2\n"
    )
    assert sites["here"] == PhantomSite("here")
    assert sites["there"] == PhantomSite("there", Images(gamma=2.0), {"Mass": 0.5, "Reticular_Pattern": 0.0})
    assert isinstance(sites["there"].images.gamma, float)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("", "names no site"),
        ("[a", "not TOML"),
        ("gamma = 1", "gamma: must be a table"),
        ("[Alpha]", "site name 'Alpha'"),
        ("['../up']", "site name '../up'"),
        ("[a.pictures]", "a.pictures: no such key"),
        ("[a]\nimages = 3", "a.images: must be a table"),
        ("[a.images]\ngama = 1", "a.images.gama: no such key"),
        ("[a.images]\ngamma = 'high'", "a.images.gamma: must be a number"),
        ("[a.images]\nap_fraction = true", "a.images.ap_fraction: must be a number"),
        ("[a.images]\nnoise = -0.1", "a.images.noise: must lie between"),
        ("[a.images]\nnoise = nan", "a.images.noise: must be a number"),
        ("[a.prevalence]\nMass = 1.5", "a.prevalence.Mass: must lie between"),
        ("[a.prevalence]\nHernia = 0.5", "a.prevalence.Hernia: no such key"),
        ("[a.labelling]\nthreshold = 0.5", "a.labelling.threshold: no such key"),
        ("[a.labelling]\ncardiothoracic_threshold = 50", "a.labelling.cardiothoracic_threshold: must lie"),
        ("[a.labelling]\ninverted = 'Mass'", "a.labelling.inverted: must be a list"),
        ("[a.labelling]\ninverted = ['Hernia']", "a.labelling.inverted: 'Hernia' is no task"),
        ("[a.labelling]\nunlabelled = [1]", "a.labelling.unlabelled: 1 is no task"),
        ("[a.labelling]\nunlabelled = [['Mass']]", r"a.labelling.unlabelled: \['Mass'\] is no task"),
        ("[a.labelling.flipped]\nMass = 2", "a.labelling.flipped.Mass: must lie between"),
        ("[a.labelling.redefined]\nMass = 'Tumour'", "a.labelling.redefined.Mass: 'Tumour' is no finding"),
        ("[a.labelling.redefined]\nMass = []", "a.labelling.redefined.Mass:"),
        ("[a.labelling]\nunlabelled = ['Mass']\ninverted = ['Mass']", "a.labelling.unlabelled: Mass can't"),
    ],
)
def test_a_wrong_file_is_refused_by_file_and_key(tmp_path, text, key):
    with pytest.raises(StudyError, match=key) as refused:
        read(tmp_path, text)
    assert "sites.toml" in str(refused.value)


def test_a_missing_or_binary_file_is_refused(tmp_path):
    with pytest.raises(StudyError, match=r"nowhere\.toml: can't be read"):
        load_sites(tmp_path / "nowhere.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(StudyError, match=r"binary\.toml: not TOML"):
        load_sites(tmp_path / "binary.toml")
