"""The blocks of docs/from-what-you-have.md are read by the code that they are meant for."""

import tomllib

from xray.data.mapping.model import mapping_of
from xray.data.sources.manifest import read_manifest
from xray.tasks import TASK_INDEX

PAGE = "docs/from-what-you-have.md"


def test_the_manifest_of_the_page_is_read(blocks, tmp_path):
    (block,) = blocks(PAGE, "csv")
    (tmp_path / "labels.csv").write_text(block.text)
    table = read_manifest(tmp_path / "labels.csv", None)
    assert table.states[:, TASK_INDEX["Effusion"]].tolist() == [1, 0]


def test_every_mapping_of_the_page_reads_its_table(blocks):
    mappings = [mapping_of(tomllib.loads(block.text), PAGE) for block in blocks(PAGE, "toml")]
    assert len(mappings) == 5
    assert mappings[0].words.positive == ("ja",)
