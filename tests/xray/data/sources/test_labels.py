"""Labels without pictures: image names and findings; everything else only if it is known."""

import pytest

from xray.data.sources.base import NEGATIVE, NOT_MENTIONED, POSITIVE, UNCERTAIN
from xray.data.sources.labels import read_labels
from xray.errors import ManifestError
from xray.tasks import TASK_INDEX


def write(folder, text):
    file = folder / "labels.csv"
    file.write_text(text)
    return file


def test_a_file_of_image_names_and_findings_is_enough(tmp_path):
    table = read_labels(
        write(tmp_path, "Image ID,pleural thickening,Scanner\na,1,x\nb,0,y\nc,u,\nd,,z\n"), None
    )
    assert table.rows["image"].tolist() == ["a", "b", "c", "d"]
    assert table.rows["patient"].isna().all()
    assert table.notes == ["no column names the patients: every image counts as a patient of its own"]
    states = table.states[:, TASK_INDEX["Pleural_Thickening"]].tolist()
    assert states == [POSITIVE, NEGATIVE, UNCERTAIN, NOT_MENTIONED]
    assert table.rows["Scanner"].tolist() == ["x", "y", "", "z"]


def test_further_columns_about_patients_and_images_are_kept(tmp_path):
    table = read_labels(
        write(tmp_path, "image,Patient,AGE,Sex,view,Mass\na,p,063Y,f,PA,1\na,p,63,f,PA,0\n"), None
    )
    row = table.rows.iloc[0]
    assert (row["patient"], row["age"], row["sex"], row["view"]) == ("p", 63, "F", "PA")
    assert not table.notes
    assert [entry.reason for entry in table.quarantine] == [
        "column 'image': 'a': this image already appears in an earlier row"
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,Mass\na,1\n", "required column 'image_id' is missing"),
        ("image,age\na,1\n", "no column is a finding"),
        ("image,image_id,Mass\na,a,1\n", "columns 'image_id' and 'image' are both image"),
        ("image,Effusions\na,1\n", "did you mean 'Effusion'"),
    ],
)
def test_an_incomplete_file_is_refused_with_the_reason(tmp_path, text, message):
    with pytest.raises(ManifestError, match=message):
        read_labels(write(tmp_path, text), None)
