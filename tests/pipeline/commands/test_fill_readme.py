"""The README's results come from a finished report and stand between two markers."""

from pathlib import Path

import pytest

from pipeline.commands import fill_readme
from pipeline.commands.fill_readme import BEGIN, END, fill
from pipeline.runs import manifest
from pipeline.runs.provenance import ROOT

TEXT = f"before\n{BEGIN} (note) -->\nold\n{END}\nafter\n"


def test_fills_between_the_markers_and_again() -> None:
    filled = fill(TEXT, "| a |\n\n")
    assert filled == f"before\n{BEGIN} (note) -->\n| a |\n{END}\nafter\n"
    assert fill(filled, "| a |") == filled


@pytest.mark.parametrize("text", ["", BEGIN, f"{END}\n{BEGIN}\n", TEXT + TEXT])
def test_missing_markers_are_named(text: str) -> None:
    with pytest.raises(ValueError, match="results:begin"):
        fill(text, "| a |")


def test_the_readme_has_its_markers() -> None:
    assert "| a |" in fill((ROOT / "README.md").read_text(encoding="utf-8"), "| a |")


def test_only_a_finished_report_is_used(tmp_path: Path) -> None:
    report, readme = tmp_path / "report", tmp_path / "README.md"
    report.mkdir()
    (report / "results.md").write_text("| a |")
    readme.write_text(TEXT)
    config = fill_readme.Config(run=tmp_path, readme=readme)
    with pytest.raises(ValueError, match=r"never finished.*python -m pipeline report"):
        fill_readme.main(config)
    manifest.write(report, {"stage": "report", "key": ""})
    fill_readme.main(config)
    assert "| a |" in readme.read_text()


def test_an_evaluation_on_its_own_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    evaluation, readme = tmp_path / "evaluation", tmp_path / "README.md"
    evaluation.mkdir()
    (evaluation / "summary.json").write_text('{"cells": []}')
    readme.write_text(TEXT)
    config = fill_readme.Config(evaluation=evaluation, readme=readme)
    with pytest.raises(ValueError, match=r"never finished.*evaluate_policy --policy FILE"):
        fill_readme.main(config)
    assert readme.read_text() == TEXT
    manifest.write(evaluation, {"stage": "evaluate_policy", "key": ""})
    monkeypatch.setattr(fill_readme.results, "markdown", lambda summary: f"| {len(summary['cells'])} cells |")
    fill_readme.main(config)
    assert "| 0 cells |" in readme.read_text()
