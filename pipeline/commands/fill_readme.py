"""Write the tables of a finished report into the README, between its markers, so that no figure is typed by hand."""

import json
from dataclasses import dataclass
from pathlib import Path

from pipeline.evaluation.report import tables
from pipeline.runs import atomic_files, manifest
from pipeline.runs.provenance import ROOT

BEGIN, END = "<!-- results:begin", "<!-- results:end -->"
TABLES = "tables.md"


@dataclass(frozen=True, kw_only=True)
class Config:
    """Which run, and where its tables go."""

    run: Path = Path("runs/laptop")
    """Its ``report`` must be finished"""
    evaluation: Path | None = None
    """Instead of a run: an evaluation on its own, such as that of the shipped files which ``ship_policy`` was given"""
    readme: Path = ROOT / "README.md"


def main(config: Config) -> None:
    """Replace what stands between the markers."""
    text = config.readme.read_text(encoding="utf-8")
    filled = fill(text, _tables(config))
    atomic_files.write_text(config.readme, filled)
    shown = config.evaluation or config.run
    print(f"{config.readme} shows the results of {shown}" if filled != text else "the README is up to date")


def _tables(config: Config) -> str:
    if config.evaluation is not None:
        folder, stage = config.evaluation, "evaluate_policy"
        command = f"python -m pipeline evaluate_policy --policy FILE.onnx --out {folder}"
    else:
        folder, stage = config.run / "report", "report"
        command = f"python -m pipeline report --run {config.run}"
    try:
        manifest.verify(folder, stage=stage)
    except manifest.ManifestError as error:
        raise ValueError(f"{error}. Make it with: {command}.") from None
    if stage == "report":
        return (folder / TABLES).read_text(encoding="utf-8")
    return tables.markdown(json.loads((folder / "summary.json").read_text(encoding="utf-8")))


def fill(text: str, tables: str) -> str:
    """Return ``text`` with ``tables`` between its markers.

    Raises:
        ValueError: If the markers are not there, each once and in order.
    """
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise ValueError(f"the README needs one line beginning with '{BEGIN}' and after it one '{END}'.")
    head, _, rest = text.partition(BEGIN)
    marker, _, rest = rest.partition("\n")
    tail = rest[rest.index(END) :]
    return f"{head}{BEGIN}{marker}\n{tables.strip()}\n{tail}"
