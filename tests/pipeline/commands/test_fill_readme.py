"""The results page and the README's small table come from the shipped policies' card or from an evaluation."""

import json
import re
from pathlib import Path

import pytest

from pipeline.commands.implementation import fill_readme
from pipeline.commands.implementation.fill_readme import BEGIN, END, fill
from pipeline.evaluation.report.table import of_rows, parse
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


def test_only_a_finished_evaluation_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    evaluation, readme, results = tmp_path / "evaluation", tmp_path / "README.md", tmp_path / "results.md"
    evaluation.mkdir()
    (evaluation / "summary.json").write_text(json.dumps({"cells": [{"route": "planned"}]}))
    readme.write_text(TEXT)
    config = fill_readme.Config(evaluation=evaluation, readme=readme, results=results)
    with pytest.raises(ValueError, match=r"never finished.*evaluate_policy --policy FILE"):
        fill_readme.main(config)
    assert readme.read_text() == TEXT and not results.exists()
    manifest.write(evaluation, {"stage": "evaluate_policy", "key": ""})
    success = of_rows("Success in %, planned route", ("robot", "base", "zero"), [("go2", "12.5 [1, 2]", "0.0")])
    monkeypatch.setattr(fill_readme.tables, "of_route", lambda *_, **__: [success])
    fill_readme.main(config)
    assert "| agent | go2 |\n| --- | --: |\n| base | 12.5 |" in readme.read_text()
    assert success.markdown() in results.read_text() and "## Evaluation evaluation" in results.read_text()


def test_the_results_page_is_that_of_the_shipped_policies(tmp_path: Path) -> None:
    readme, page = tmp_path / "README.md", ROOT / "docs" / "results.md"
    readme.write_text(TEXT)
    beside = page.with_name(".results.test.md")  # links are relative to the page
    try:
        fill_readme.main(fill_readme.Config(readme=readme, results=beside))
        assert beside.read_text(encoding="utf-8") == page.read_text(encoding="utf-8")
    finally:
        beside.unlink(missing_ok=True)
    card = (ROOT / "export" / "pretrained" / "README.md").read_text(encoding="utf-8")
    assert all(table.markdown() in page.read_text(encoding="utf-8") for table in parse(card))
    links = re.findall(r"\]\(([^)]*)\)", page.read_text(encoding="utf-8"))
    assert links and all((page.parent / link).exists() for link in links)


def test_every_condition_has_its_small_table_and_nominal_comes_first(tmp_path: Path) -> None:
    """The card is about people; the page beside it is not, and the one of another seed does not count."""
    note = "Protocol compass{}, 2 episodes in each of office (test split), the same for every agent."
    texts = {
        "README.md": ("30.0 [20, 40]", note.format(", conditions field")),
        "benchmark_seed_0.md": ("90.0 [80, 95]", note.format("")),
        "benchmark_seed_1.md": ("10.0 [5, 15]", note.format("")),
    }
    for name, (rate, of_table) in texts.items():
        success = of_rows("Success in %, planned route", ("robot", "planner"), [("go2", rate)], note=of_table)
        (tmp_path / name).write_text(f"# Page\n\n{success.markdown()}")
    (tmp_path / "training.json").write_text(json.dumps({"files": [], "seed": 0}))
    readme = tmp_path / "R.md"
    readme.write_text(TEXT)
    fill_readme.main(fill_readme.Config(shipped=tmp_path, readme=readme, results=tmp_path / "results.md"))
    filled = readme.read_text()
    assert filled.index("conditions nominal") < filled.index("90.0") < filled.index("conditions field")
    assert filled.index("conditions field") < filled.index("30.0") and "10.0" not in filled
