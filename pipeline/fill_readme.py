"""Write the tables of a finished report into the README, between its markers, so that no figure is typed by hand."""

from dataclasses import dataclass
from pathlib import Path

from pipeline import manifest, whole_file
from pipeline.provenance import ROOT

BEGIN, END = "<!-- results:begin", "<!-- results:end -->"
TABLES = "results.md"


@dataclass(frozen=True, kw_only=True)
class Config:
    """Which run, and where its tables go."""

    run: Path = Path("runs/laptop")
    """Its ``report`` must be finished"""
    readme: Path = ROOT / "README.md"


def main(config: Config) -> None:
    """Replace what stands between the markers."""
    folder = config.run / "report"
    try:
        manifest.verify(folder, stage="report")
    except manifest.ManifestError as error:
        raise ValueError(f"{error}. Make it with: python -m pipeline report --run {config.run}.") from None
    text = config.readme.read_text(encoding="utf-8")
    filled = fill(text, (folder / TABLES).read_text(encoding="utf-8"))
    whole_file.write_text(config.readme, filled)
    print(f"{config.readme} shows the results of {config.run}" if filled != text else "the README is up to date")


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
