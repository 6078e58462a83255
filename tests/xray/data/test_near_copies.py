"""Near copies against a plain double loop, and found in the database across sites and parts."""

from pathlib import Path

import hypothesis.strategies as st
import numpy as np
from hypothesis import given, settings
from PIL import Image, ImageFilter
from sqlalchemy import Engine

from xray.data.near_copies import near_copies, near_pairs
from xray.data.prepare import register_request
from xray.data.request import DatasetRequest

HASHES = st.lists(st.integers(0, 2**256 - 1), max_size=8)


@given(HASHES, st.integers(0, 140))
@settings(max_examples=60, deadline=None)
def test_every_pair_within_the_distance_is_found(hashes: list[int], distance: int) -> None:
    hashes = [*hashes, *(value ^ (1 << 255 | 1 << 64 | 1) for value in hashes[:2])]
    expected = [
        (i, j, (hashes[i] ^ hashes[j]).bit_count())
        for i in range(len(hashes))
        for j in range(i + 1, len(hashes))
        if (hashes[i] ^ hashes[j]).bit_count() <= distance
    ]
    pairs = near_pairs([f"{value:064x}" for value in hashes], distance)
    assert sorted(pairs) == sorted(expected)
    assert [bits for *_, bits in pairs] == sorted(bits for *_, bits in expected)


def picture(seed: int) -> Image.Image:
    """A smooth picture: coarse noise, enlarged."""
    coarse = np.random.default_rng(seed).integers(0, 256, (12, 12)).astype(np.uint8)
    return Image.fromarray(coarse).resize((128, 128), Image.Resampling.BICUBIC)


def test_a_smaller_darker_copy_at_another_site_is_found(engine: Engine, tmp_path: Path) -> None:
    for site in ("here", "there"):
        folder = tmp_path / site
        folder.mkdir()
        rows = ["image_id,patient_id,path,Mass"]
        for i in range(30):
            seed = 0 if i == 0 else i + (100 if site == "there" else 0)
            original = picture(seed)
            if (site, i) == ("there", 0):
                original = (
                    original.resize((96, 96)).filter(ImageFilter.GaussianBlur(0.7)).point(lambda v: v * 0.8)
                )
            original.save(folder / f"{i}.png")
            rows.append(f"{site}{i},{site}-p{i},{i}.png,{i % 2}")
        (folder / "labels.csv").write_text("\n".join(rows))
        request = DatasetRequest(site, site, "manifest", folder / "labels.csv", folder, None)
        register_request(engine, request, "corrected")
    with engine.begin() as connection:
        (pair,) = near_copies(connection)
        everything = near_copies(connection, 256)
    assert {pair["image"], pair["other_image"]} == {"here0", "there0"}
    assert {pair["patient"], pair["other_patient"]} == {"here-p0", "there-p0"}
    assert 0 <= pair["bits"] <= 24
    assert len(everything) == 60 * 59 // 2
    crossing = [pair for pair in everything if pair["across"]]
    assert crossing
    assert all(
        "test" in line and line.startswith("corrected: ") for pair in crossing for line in pair["across"]
    )
