"""Study files: what they ask for, and that each mistake is told with file and key."""

import json
from pathlib import Path

import pytest
from sqlalchemy import text

from xray.configuration import Condition, Configuration
from xray.data.prepare import register_request
from xray.errors import StudyError
from xray.learning.recipe import Recipe
from xray.pixels.augment import Augmentation
from xray.study import KINDS, QUESTION, Study, check_name, read_study
from xray.tasks import TASKS

PROJECT = Path(__file__).resolve().parents[2]
LEAST = 'name = "mine"\n[[datasets]]\nname = "ours"\n'


def study_of(folder: Path, content: str) -> Study:
    file = folder / "study.toml"
    file.write_text(content, encoding="utf-8")
    return read_study(file)


def with_datasets(folder: Path, *sites: tuple[str, str], head: str = "") -> Study:
    tables = "".join(f'[[datasets]]\nname = "{name}"\nsite = "{site}"\n' for name, site in sites)
    return study_of(folder, f'name = "mine"\n{head}\n{tables}')


def datasets_by_name(study: Study) -> dict[str, tuple[str, ...]]:
    return {configuration.name: configuration.datasets for configuration in study.configurations()}


def test_the_least_study_has_the_defaults(tmp_path):
    study = study_of(tmp_path, LEAST)
    assert (study.name, study.title, study.question) == ("mine", "mine", QUESTION)
    assert study.protocol == "corrected"
    assert study.kinds == KINDS
    assert study.seeds == (0, 1, 2)
    assert study.recipe == Recipe()
    (dataset,) = study.datasets
    assert (dataset.name, dataset.site, dataset.source) == ("ours", "ours", "manifest")
    assert (dataset.labels, dataset.images, dataset.phantom) == (None, None, None)


def test_every_key_is_read(tmp_path):
    study = study_of(
        tmp_path,
        """
        name = "every-key"
        title = "A title"
        question = "Why?"
        protocol = "paper"
        configurations = ["all", "each"]
        seeds = [3, 1]
        features = ["read"]
        [[datasets]]
        name = "drawn"
        phantom = { site = "alpha", patients = 10, size = 32, seed = 4 }
        [[datasets]]
        name = "read"
        site = "nih"
        source = "nih"
        labels = "labels.csv"
        images = "pictures"
        [network]
        name = "resnet18"
        image_size = 96
        heads = "per dataset"
        penalty = 0.1
        weights = "start.safetensors"
        [training]
        epochs = 5
        batch_size = 16
        learning_rate = 1e-2
        weight_decay = 0
        epoch_images = 100
        selection = "last epoch"
        precision = "bfloat16"
        compile = true
        [augmentation]
        rotation = 1
        translation = 0.2
        scale = 0.3
        intensity = 0.4
        """,
    )
    assert (study.name, study.title, study.question, study.protocol) == (
        "every-key",
        "A title",
        "Why?",
        "paper",
    )
    assert study.kinds == ("all", "each")
    assert study.seeds == (3, 1)
    assert study.features == ("read",)
    assert study.recipe == Recipe(
        "resnet18",
        96,
        5,
        16,
        0.01,
        0.0,
        100,
        Augmentation(1.0, 0.2, 0.3, 0.4),
        "last epoch",
        "per dataset",
        0.1,
        str(tmp_path / "start.safetensors"),
        "bfloat16",
        True,
    )
    phantom, read = study.datasets
    assert phantom.phantom is not None
    assert (phantom.phantom.site, phantom.phantom.patients, phantom.phantom.size, phantom.phantom.seed) == (
        "alpha",
        10,
        32,
        4,
    )
    assert (read.site, read.source) == ("nih", "nih")
    assert (read.labels, read.images) == (tmp_path / "labels.csv", tmp_path / "pictures")


@pytest.mark.parametrize("file", sorted((PROJECT / "studies").glob("*.toml")), ids=lambda file: file.name)
def test_the_bundled_studies_can_be_read(file):
    study = read_study(file)
    assert study.configurations()
    assert study.name == file.stem


def test_the_demo_has_the_documented_models():
    study = read_study(PROJECT / "studies" / "phantom.toml")
    sites = [dataset.name for dataset in study.datasets]
    assert sites == ["phantom-a", "phantom-b", "phantom-c", "phantom-d"]
    assert list(datasets_by_name(study)) == [*sites, "all", *(f"all-but-{site}" for site in sites)]
    assert len(study.configurations()) * len(study.seeds) == 18


# Paths


def test_paths_are_relative_to_the_study_file(tmp_path, monkeypatch):
    folder, elsewhere = tmp_path / "a study", tmp_path / "elsewhere"
    folder.mkdir()
    elsewhere.mkdir()
    (folder / "study.toml").write_text(
        LEAST + 'manifest = "../labels of ours.csv"\nimages = "pictures"\n', encoding="utf-8"
    )
    monkeypatch.chdir(folder)
    near = read_study(Path("study.toml")).datasets[0]
    monkeypatch.chdir(elsewhere)
    far = read_study(Path("../a study/study.toml")).datasets[0]
    assert near == far
    assert near.labels is not None
    assert near.images is not None
    assert near.labels.resolve() == tmp_path / "labels of ours.csv"
    assert near.images.resolve() == folder / "pictures"


def test_absolute_paths_and_paths_from_the_home_are_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    root = tmp_path / "anywhere.csv"
    (dataset,) = study_of(tmp_path, LEAST + f'manifest = "{root}"\nimages = "~/pictures"\n').datasets
    assert dataset.labels == root
    assert dataset.images == tmp_path / "me" / "pictures"


# Configurations


def test_the_kinds_are_each_dataset_all_and_all_but_one_site(tmp_path):
    study = with_datasets(tmp_path, ("x", "x"), ("y", "y"), ("z", "z"))
    assert datasets_by_name(study) == {
        "x": ("x",),
        "y": ("y",),
        "z": ("z",),
        "all": ("x", "y", "z"),
        "all-but-x": ("y", "z"),
        "all-but-y": ("x", "z"),
        "all-but-z": ("x", "y"),
    }


def test_datasets_of_one_site_are_left_out_together(tmp_path):
    study = with_datasets(tmp_path, ("nih", "nih"), ("google", "nih"), ("openi", "openi"), ("rsna", "nih"))
    assert study.outside("nih") == ("openi",)
    configurations = datasets_by_name(study)
    assert "all-but-google" not in configurations
    assert configurations["all-but-openi"] == ("nih", "google", "rsna")
    # without NIH only openi is left, which is a configuration already
    assert "all-but-nih" not in configurations
    assert configurations["openi"] == ("openi",)
    assert sorted(configurations) == ["all", "all-but-openi", "google", "nih", "openi", "rsna"]


def test_one_set_of_datasets_is_one_configuration_under_its_first_name(tmp_path):
    assert datasets_by_name(with_datasets(tmp_path, ("x", "x"), ("y", "y"))) == {
        "x": ("x",),
        "y": ("y",),
        "all": ("x", "y"),
    }
    assert datasets_by_name(with_datasets(tmp_path, ("x", "x"))) == {"x": ("x",)}
    without = with_datasets(tmp_path, ("x", "x"), ("y", "y"), head='configurations = ["all but one site"]')
    assert datasets_by_name(without) == {"all-but-x": ("y",), "all-but-y": ("x",)}


@pytest.mark.parametrize(
    ("kinds", "names"),
    [
        ('["each"]', ["x", "y", "z"]),
        ('["all"]', ["all"]),
        ('["all but one site"]', ["all-but-x", "all-but-y", "all-but-z"]),
        ('["all", "all"]', ["all"]),
    ],
)
def test_a_study_may_ask_for_some_kinds_only(tmp_path, kinds, names):
    study = with_datasets(tmp_path, ("x", "x"), ("y", "y"), ("z", "z"), head=f"configurations = {kinds}")
    assert list(datasets_by_name(study)) == names


def test_pairs_makes_a_configuration_of_every_two_datasets(tmp_path):
    study = with_datasets(tmp_path, ("x", "x"), ("y", "y"), ("z", "z"), head='configurations = ["pairs"]')
    assert datasets_by_name(study) == {"x-and-y": ("x", "y"), "x-and-z": ("x", "z"), "y-and-z": ("y", "z")}
    every = with_datasets(
        tmp_path, ("x", "x"), ("y", "y"), head='configurations = ["each", "all", "all but one site", "pairs"]'
    )
    assert datasets_by_name(every) == {"x": ("x",), "y": ("y",), "all": ("x", "y")}


NAMED = """
name = "mine"
configurations = []
[[datasets]]
name = "x"
[[datasets]]
name = "y"
[[configuration]]
name = "men"
where = { sex = "M", age = { least = 18, most = 65 }, view = ["PA", "AP"] }
[[configuration]]
name = "effusion"
datasets = ["y"]
tasks = ["Mass", "Effusion"]
"""


def test_configurations_by_name_have_their_conditions_and_tasks(tmp_path):
    men, effusion = study_of(tmp_path, NAMED).configurations()
    conditions = (
        Condition("age", least=18.0, most=65.0),
        Condition("sex", ("M",)),
        Condition("view", ("AP", "PA")),
    )
    assert men == Configuration("men", ("x", "y"), (), conditions)
    assert effusion == Configuration("effusion", ("y",), ("Effusion", "Mass"))
    definition = study_of(tmp_path, NAMED).definition()
    assert [configuration["name"] for configuration in json.loads(json.dumps(definition))["named"]] == [
        "men",
        "effusion",
    ]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            '[[configuration]]\nname = "x-only"\ndatasets = ["x"]\n',
            "x-only: is the same as configuration 'x'",
        ),
        ('[[configuration]]\nname = "x"\ntasks = ["Mass"]\n', "another configuration has this name"),
        ('[[configuration]]\ndatasets = ["x"]\n', "name is missing"),
        ('[[configuration]]\nname = "a"\ndatasets = []\n', "datasets: expected at least one of x, y"),
        ('[[configuration]]\nname = "a"\ndatasets = ["z"]\n', "datasets: expected some of x, y, found 'z'"),
        ('[[configuration]]\nname = "a"\ntasks = ["Effusions"]\n', "tasks: expected some of Atelectasis"),
        ('[[configuration]]\nname = "a"\nwhere = { sex = 3 }\n', "sex: expected a text, a list of texts, or"),
        ('[[configuration]]\nname = "a"\nwhere = { age = {} }\n', r"\[age\]: expected least, most or both"),
        (
            '[[configuration]]\nname = "a"\nwhere = { age = { lest = 3 } }\n',
            "unknown key 'lest'; did you mean 'least'",
        ),
        ('[[configuration]]\nname = "a"\nwho = "M"\n', "unknown key 'who'"),
        ('[[configuration]]\nname = "a"\ndatasets = "x"\n', "datasets: expected a list of texts, found 'x'"),
        (
            '[[configuration]]\nname = "a"\nwhere = { age = { least = -1 } }\n',
            "least: expected a number of 0 or more",
        ),
        ("[network]\npenalty = 0.1\n", 'penalty: needs heads = "per dataset"'),
        ('[network]\nheads = "two"\n', "heads: expected one of shared, per dataset, found 'two'"),
        (
            '[training]\nselection = "worst"\n',
            "selection: expected one of best mean validation AUC, last epoch",
        ),
        ('[training]\nprecision = "float16"\n', "precision: expected one of float32, bfloat16"),
        ("[training]\ncompile = 1\n", "compile: expected true or false, found 1"),
    ],
)
def test_a_mistake_in_a_configuration_is_reported(tmp_path, more, message):
    two = 'name = "mine"\n[[datasets]]\nname = "x"\n[[datasets]]\nname = "y"\n'
    with pytest.raises(StudyError, match=message):
        study_of(tmp_path, two + more)


def test_a_single_site_cannot_be_left_out(tmp_path):
    study = with_datasets(
        tmp_path, ("nih", "nih"), ("google", "nih"), head='configurations = ["all but one site", "all"]'
    )
    assert datasets_by_name(study) == {"all": ("nih", "google")}


@pytest.mark.parametrize("name", ["all", "all-but-y"])
def test_a_dataset_with_the_name_of_another_configuration_is_refused(tmp_path, name):
    with pytest.raises(StudyError, match=f"study.toml: datasets: '{name}' is the name of a configuration"):
        with_datasets(tmp_path, (name, "x"), ("y", "y"), ("z", "z"))


# Mistakes: each message names the file and the key


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("name = ", "not TOML"),
        ("", "name is missing; expected text"),
        ("name = 3", "name: expected text, found 3"),
        ('name = "Mine"', "name: expected lower-case letters"),
        ('name = ""', "name: expected lower-case letters"),
        ('name = "mine"', "datasets is missing; expected one"),
        ('name = "mine"\ndatasets = []', "datasets: expected one"),
        ('name = "mine"\ndatasets = "nih"', "datasets: expected one"),
        ('name = "mine"\ndatasets = ["nih"]', "datasets: expected one"),
        (LEAST + '[[datasets]]\nname = "ours"', "datasets: 'ours' is named twice"),
        (LEAST + '[[datasets]]\nsite = "x"', r"\[\[datasets\]\] 2: name is missing"),
        (LEAST + '[[datasets]]\nname = "Y"', r"\[\[datasets\]\] Y: name: expected lower-case"),
        (LEAST + 'site = "a b"', r"\[\[datasets\]\] ours: site: expected lower-case"),
        (LEAST + 'manifset = "x"', r"\[\[datasets\]\] ours: unknown key 'manifset'; did you mean 'manifest'"),
        (LEAST + "manifest = 3", r"\[\[datasets\]\] ours: manifest: expected text, found 3"),
        (LEAST + 'phantom = "alpha"', r"\[\[datasets\]\] ours: phantom: expected a table"),
        (LEAST + "phantom = {}", r"\[\[datasets\]\] ours: \[phantom\]: site is missing"),
        (
            LEAST + 'phantom = { site = "alpha" }',
            r"\[\[datasets\]\] ours: \[phantom\]: patients is missing; expected a whole number",
        ),
        (
            LEAST + 'phantom = { site = "alpha", patients = 0 }',
            r"\[phantom\]: patients: expected at least 1, found 0",
        ),
        (
            LEAST + 'phantom = { site = "alpha", patients = 3, seed = -1 }',
            r"\[phantom\]: seed: expected at least 0",
        ),
        (
            LEAST + 'phantom = { site = "alpha", patients = 3, sise = 64 }',
            r"\[phantom\]: unknown key 'sise'; did you mean 'size'",
        ),
        (
            LEAST + 'manifest = "x"\nphantom = { site = "alpha", patients = 3 }',
            r"\[\[datasets\]\] ours: expected either phantom or manifest, found both",
        ),
        (LEAST + "[network]\nname = 3", r"\[network\]: name: expected text"),
        (LEAST + "[network]\nimage_size = 7", r"\[network\]: image_size: expected at least 8, found 7"),
        (LEAST + "[network]\nimage_size = 64.0", r"\[network\]: image_size: expected a whole number"),
        (
            LEAST + "[network]\nlayers = 3",
            r"\[network\]: unknown key 'layers'; expected some of heads, image_size",
        ),
        (LEAST + "[training]\nepochs = true", r"\[training\]: epochs: expected a whole number, found True"),
        (LEAST + "[training]\nbatch_size = 1", r"\[training\]: batch_size: expected at least 2"),
        (LEAST + '[training]\nlearning_rate = "1"', r"\[training\]: learning_rate: expected a number"),
        (LEAST + "[training]\nlearning_rate = -1", r"\[training\]: learning_rate: expected a number of 0"),
        (LEAST + "[training]\nweight_decay = nan", r"\[training\]: weight_decay: expected a number of 0"),
        (LEAST + "[training]\nweight_decay = inf", r"\[training\]: weight_decay: expected a number of 0"),
        (LEAST + "[augmentation]\nrotate = 1", r"\[augmentation\]: unknown key 'rotate'"),
        (LEAST + "[augmentation]\nrotation = 181", r"\[augmentation\]: rotation is 181"),
        (LEAST + "[augmentation]\nscale = 0.6", r"\[augmentation\]: scale is 0.6"),
    ],
)
def test_a_mistake_is_reported_with_file_and_key(tmp_path, content, message):
    with pytest.raises(StudyError, match=message) as caught:
        study_of(tmp_path, content)
    assert str(caught.value).startswith(f"{tmp_path / 'study.toml'}: ")
    assert all(line.startswith("  ") for line in str(caught.value).splitlines()[1:])


@pytest.mark.parametrize(
    ("head", "message"),
    [
        ("seeds = []", r"seeds: expected different numbers, found \[\]"),
        ("seeds = [1, 1]", r"seeds: expected different numbers, found \[1, 1\]"),
        ("seeds = [-1]", "seeds: expected whole numbers"),
        ("seeds = [true]", "seeds: expected whole numbers"),
        ("seeds = [0.5]", "seeds: expected whole numbers"),
        ("seeds = [2147483648]", "seeds: expected whole numbers"),
        ("seeds = 3", "seeds: expected a list of whole numbers, found 3"),
        ("configurations = []", "configurations: expected at least one of each, all, all but one site"),
        ('configurations = ["some"]', "configurations: expected some of each, all, .* found 'some'"),
        ('configurations = "all"', "configurations: expected a list of texts"),
        ("title = 3", "title: expected text"),
        ('protocol = "corected"', "protocol: .*no such protocol.*paper, corrected"),
        ('titel = "x"', "unknown key 'titel'; did you mean 'title'"),
        ('reference = "nih"', "reference: expected one of x, found 'nih'"),
        (
            "loss_ratio = 0.5",
            "loss_ratio: a false claim costs as much as so many missed causes: expected 1 to 999",
        ),
        ("loss_ratio = 1000", "loss_ratio: .*found 1000"),
        ("colour = 3", "unknown key 'colour'; expected some of augmentation, configuration, configurations"),
        ("network = 3", "network: expected a table, found 3"),
        ("training = []", "training: expected a table"),
    ],
)
def test_a_mistake_at_the_top_level_is_reported_with_file_and_key(tmp_path, head, message):
    with pytest.raises(StudyError, match=f"study.toml: {message}"):
        with_datasets(tmp_path, ("x", "x"), head=head)


def test_a_missing_or_binary_file_is_reported(tmp_path):
    with pytest.raises(StudyError, match=r"none\.toml: can't be read: No such file"):
        read_study(tmp_path / "none.toml")
    with pytest.raises(StudyError, match="can't be read: Is a directory"):
        read_study(tmp_path)
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(StudyError, match=r"binary\.toml: not TOML"):
        read_study(tmp_path / "binary.toml")


@pytest.mark.parametrize("name", ["a", "phantom-a", "mimic_ch", "0", "a" * 60])
def test_valid_names_are_accepted(name):
    assert check_name("NAME", name) == name


@pytest.mark.parametrize("name", ["", "A", "-a", "_a", "a b", "a/b", "a.b", "é", "a" * 61, "a\n"])
def test_invalid_names_are_refused(name):
    with pytest.raises(StudyError, match="NAME: expected lower-case letters"):
        check_name("NAME", name)


def test_the_definition_is_plain_data_and_holds_what_decides_the_results(tmp_path):
    import json

    study = with_datasets(tmp_path, ("google", "nih"), head="seeds = [4]")
    definition = study.definition()
    assert json.loads(json.dumps(definition))["datasets"] == [{"name": "google", "site": "nih"}]
    assert definition["seeds"] == [4]
    assert definition["protocol"] == "corrected"
    assert definition["recipe"]["augmentation"]["rotation"] == 45.0
    assert definition.pop("file") == str(study.path.resolve())
    assert str(tmp_path) not in json.dumps(definition)


OWN = """
name = "own"
protocol = "{protocol}"
findings = {findings}
[[datasets]]
name = "a"
manifest = "a.csv"
"""


def own(tmp_path, findings, protocol="corrected"):
    (tmp_path / "own.toml").write_text(OWN.format(findings=findings, protocol=protocol))
    return read_study(tmp_path / "own.toml")


def test_a_study_declares_its_findings_by_name(tmp_path):
    study = own(tmp_path, '["TB", "pleural effusion", "Kerley lines"]')
    assert study.findings == ("Tuberculosis", "Effusion", "Kerley lines")
    assert study.datasets[0].findings == study.findings
    assert {configuration.findings for configuration in study.configurations()} == {study.findings}


def test_a_study_without_findings_has_the_default_list(tmp_path):
    study = own(tmp_path, "[]")
    assert study.findings == TASKS
    assert study.datasets[0].findings == ()


def test_paper_means_the_default_list(tmp_path):
    with pytest.raises(
        StudyError, match="findings: protocol paper is about the findings of the default list"
    ):
        own(tmp_path, '["Effusion"]', "paper")
    with pytest.raises(StudyError, match="findings: 'Efusion' is no known finding; did you mean 'Effusion'"):
        own(tmp_path, '["Efusion"]')


MAPPED = 'name = "mine"\nconfigurations = ["each"]\n[[datasets]]\nname = "ward"\n'


def write_mapped(folder: Path) -> None:
    """A table in a hospital's words with two readers, and its mapping file, in a folder beside the study file."""
    (folder / "export").mkdir()
    lines = [
        f"b{k};p{k};{reader};{'ja' if k % 2 else 'nein'}" for k in range(8) for reader in ("Ito", "Weber")
    ]
    (folder / "export/t.csv").write_text("\n".join(["Bild;Patient;Befunder;Erguss", *lines]) + "\n")
    (folder / "export/hospital.toml").write_text(
        'file = "t.csv"\nsite = "clinic"\n[columns]\nimage = "Bild"\nreader = "Befunder"\n'
        '[findings]\nErguss = "Effusion"\n[words]\npositive = ["ja"]\nnegative = ["nein"]\n'
    )


def test_a_study_file_registers_a_dataset_by_a_mapping_file(tmp_path, engine, monkeypatch):
    write_mapped(tmp_path)
    monkeypatch.chdir("/")
    study = study_of(
        tmp_path, MAPPED + 'map = "export/hospital.toml"\nlabels_only = true\nreaders = "Weber"\n'
    )
    (request,) = study.datasets
    assert request.mapping == tmp_path / "export/hospital.toml"
    assert (request.labels, request.images) == (tmp_path / "export/t.csv", None)
    assert (request.site, request.site_stated, request.readers) == ("clinic", True, "Weber")
    registration = register_request(engine, request, study.protocol, home=tmp_path / "home")
    assert (registration.n_images, registration.n_patients) == (8, 8)
    with engine.begin() as connection:
        positive = connection.scalars(
            text(
                "select image from labels where dataset = 'ward' and task = 'Effusion' and state = 'positive'"
            )
        ).all()
        stored = connection.execute(
            text("select mapping, reader_rule from dataset where name = 'ward'")
        ).one()
    assert sorted(positive) == ["b1", "b3", "b5", "b7"]
    assert stored.mapping["findings"] == {"Erguss": "Effusion"}
    assert stored.reader_rule == "Weber"


def test_keys_of_the_study_override_those_of_the_mapping_file(tmp_path):
    write_mapped(tmp_path)
    text_ = (
        MAPPED
        + 'map = "export/hospital.toml"\nmanifest = "other.csv"\nimages = "pictures"\nsite = "ward-site"\n'
    )
    (request,) = study_of(tmp_path, text_).datasets
    assert (request.labels, request.images) == (tmp_path / "other.csv", tmp_path / "pictures")
    assert request.site == "ward-site"


@pytest.mark.parametrize(
    ("more", "content", "message"),
    [
        ('map = "no.toml"\n', "", "map: .*no.toml"),
        (
            'map = "m.toml"\n',
            'fil = "t.csv"\n',
            "map: .*m.toml: fil: there is no such key; did you mean 'file'",
        ),
        ('map = "m.toml"\n', "[columns]\n", "map: m.toml names no table"),
        ('map = "m.toml"\nsource = "nih"\nlabels = "x.csv"\n', "", "map: is for tables of your own"),
        (
            'map = "m.toml"\nphantom = { site = "alpha", patients = 10 }\n',
            "",
            "map: is for tables of your own",
        ),
    ],
)
def test_an_unusable_mapping_file_is_reported_with_file_and_key(tmp_path, more, content, message):
    (tmp_path / "m.toml").write_text(content)
    with pytest.raises(StudyError, match=message):
        study_of(tmp_path, MAPPED + more)


def test_all_mistakes_of_a_study_file_are_reported_at_once(tmp_path):
    path = tmp_path / "study.toml"
    path.write_text(
        """
        name = "mine"
        titel = "x"
        seeds = [0, -1]
        [[datasets]]
        manifset = "x.csv"
        [[datasets]]
        name = "theirs"
        phantom = { site = 3, patients = 0 }
        [network]
        image_size = 7
        heads = "two"
        [training]
        learning_rate = -1
        """,
        encoding="utf-8",
    )
    with pytest.raises(StudyError) as caught:
        read_study(path)
    first, *lines = str(caught.value).splitlines()
    assert first == f"{path}: 9 mistakes"
    assert sorted(line.strip() for line in lines) == sorted(
        [
            "unknown key 'titel'; did you mean 'title'?",
            "seeds: expected whole numbers from 0 to 2147483647, found [0, -1]",
            "[[datasets]] 1: name is missing; expected text",
            "[[datasets]] 1: unknown key 'manifset'; did you mean 'manifest'?",
            "[[datasets]] theirs: [phantom]: site: expected text, found 3",
            "[[datasets]] theirs: [phantom]: patients: expected at least 1, found 0",
            "[network]: image_size: expected at least 8, found 7",
            "[network]: heads: expected one of shared, per dataset, found 'two'",
            "[training]: learning_rate: expected a number of 0 or more, found -1",
        ]
    )
