"""A folder is what its manifest says, to the last bit and to the last file."""

import json
import random
from pathlib import Path

import pytest

from pipeline.runs import manifest
from pipeline.runs.manifest import ManifestError

BODY = {"stage": "make", "key": "k", "config": {"rate": 1.5e-05, "text": "grün"}, "metrics": {"success": 0.9}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "made" / "sub").mkdir(parents=True)
    (tmp_path / "made" / "train_0.h5").write_text("one")
    (tmp_path / "made" / "sub" / "val_0.h5").write_text("two")
    manifest.write(tmp_path / "made", BODY)
    return tmp_path / "made"


def test_a_whole_folder_is_accepted_and_names_its_files(folder: Path) -> None:
    found = manifest.verify(folder, stage="make")
    assert found.body["metrics"] == {"success": 0.9}
    assert set(found.outputs) == {"sub/val_0.h5", "train_0.h5"}


def test_every_flipped_bit_of_the_manifest_is_noticed(folder: Path) -> None:
    path = folder / manifest.NAME
    whole = path.read_bytes()
    for bit in random.Random(0).sample(range(8 * len(whole)), 600):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        with pytest.raises(ManifestError):
            manifest.read(folder)


@pytest.mark.parametrize("name", ["train_9.h5", ".hidden", "sub/more.txt"])
def test_a_file_that_is_not_in_the_manifest_is_refused(folder: Path, name: str) -> None:
    (folder / name).write_text("more")
    with pytest.raises(ManifestError, match="is not in the folder's manifest"):
        manifest.verify(folder)


def test_a_link_that_is_not_in_the_manifest_is_refused(folder: Path, tmp_path: Path) -> None:
    (folder / "link").symlink_to(tmp_path, target_is_directory=True)
    with pytest.raises(ManifestError, match="link is not in the folder's manifest"):
        manifest.verify(folder)


@pytest.mark.parametrize("name", ["../outside.txt", "/outside.txt", "sub/../../outside.txt", "./train_0.h5"])
def test_a_name_that_leaves_the_folder_is_refused(folder: Path, name: str) -> None:
    """Also where the manifest's own hash fits."""
    (folder.parent / "outside.txt").write_text("one")
    path = folder / manifest.NAME
    renamed = path.read_text().replace('"train_0.h5"', json.dumps(name))
    path.write_text(_sealed(renamed))
    with pytest.raises(ManifestError, match="does not lie in its folder"):
        manifest.verify(folder)


def _sealed(text: str) -> str:
    import hashlib
    import re

    zeroed = re.sub(r'("manifest_sha256": ")[0-9a-f]{64}', rf"\g<1>{'0' * 64}", text)
    return zeroed.replace("0" * 64, hashlib.sha256(zeroed.encode()).hexdigest())
