"""A trace is kept until something that it depends on changes, and what is not whole is traced anew."""

from pathlib import Path

import onnx
import pytest

from export import kept_traces
from export.kept_traces import kept


class Tracer:
    """Counts how often it traces."""

    def __init__(self, name: str = "traced") -> None:
        self.name, self.times = name, 0

    def __call__(self) -> onnx.ModelProto:
        self.times += 1
        return onnx.ModelProto(producer_name=self.name)


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "crossbody" / "traces"


def test_what_was_traced_is_read_the_next_time(folder: Path) -> None:
    trace = Tracer()
    assert kept("small", trace) == kept("small", trace) == Tracer()()
    assert trace.times == 1


def test_another_architecture_and_other_code_are_traced(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trace = Tracer()
    kept("small", trace)
    kept("large", trace)
    monkeypatch.setattr(kept_traces, "_made_by", lambda: "another version")
    kept("small", trace)
    assert trace.times == 3 and len(list(folder.iterdir())) == 3


@pytest.mark.parametrize("damage", [b"", b"x" * 100], ids=["empty", "other bytes"])
def test_a_damaged_file_is_traced_anew(folder: Path, damage: bytes) -> None:
    trace = Tracer()
    kept("small", trace)
    (path,) = folder.iterdir()
    whole = path.read_bytes()
    path.write_bytes(damage + whole[len(damage) :][: -1 if damage else 0])
    assert kept("small", trace) == Tracer()() and trace.times == 2
    assert path.read_bytes() == whole


def test_a_folder_that_cannot_be_written_costs_only_time(folder: Path) -> None:
    folder.parent.parent.mkdir(parents=True, exist_ok=True)
    folder.parent.write_text("a file where a folder should be")
    trace = Tracer()
    assert kept("small", trace) == kept("small", trace)
    assert trace.times == 2


def test_only_the_newest_are_kept(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_traces, "_MOST", 2)
    for number in range(4):
        kept(str(number), Tracer())
    trace = Tracer()
    kept("3", trace)
    assert trace.times == 0 and len(list(folder.iterdir())) == 2


def test_the_digest_covers_the_code_that_is_traced() -> None:
    root = Path(kept_traces.__file__).parents[1]
    names = {name for package in kept_traces._CODE for name in (p.name for p in (root / package).rglob("*.py"))}
    assert {"base_policy.py", "costmap.py", "generalist.py", "spaces.py", "template.py"} <= names
