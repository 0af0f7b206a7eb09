"""Try what the line survives: ``python -m tests.faults``; ``--small`` is what the tests run."""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from tests.faults import shim


def main() -> int:
    """Run the faults asked for, print one table, and return 1 if anything was lost, silent or a traceback."""
    options = _options()
    shim.restart_with_it("tests.faults")
    import torch

    from tests.faults import flips, hostile, io_errors, kills, line, robot, table

    torch.set_num_threads(1)
    rows: list[table.Row] = []
    with tempfile.TemporaryDirectory(prefix="faults-") as folder, line.stand_ins():
        root, steps = Path(folder).resolve() / "runs" / "toy", line.steps()
        references = kills.make_line(root, steps)
        chosen = [step for step in steps if not options.steps or step.name.startswith(tuple(options.steps))]
        parts: dict[str, Callable[[], Iterable[table.Row]]] = {
            "kills": lambda: kills.run(root, chosen, references, kills=options.kills),
            "errors": lambda: io_errors.run(root, chosen, references, share=options.operations),
            "flips": lambda: flips.run(root, steps, references, flips=options.flips),
            "robot": lambda: robot.run(small=options.small),
            "hostile": hostile.run,
        }
        try:
            for name in options.only:
                began_s, before = time.monotonic(), len(rows)
                for row in parts[name]():
                    rows.append(row)
                    print("\n".join([f"{row.test}, {row.what}: {row.trials}", *row.failures]), flush=True)
                trials = sum(row.trials for row in rows[before:])
                print(f"{name}: {trials:,} trials in {time.monotonic() - began_s:.0f} s", flush=True)
        except KeyboardInterrupt:
            print("interrupted; the table of what was finished:")
    print(table.text(rows))
    if options.out:
        _fill(options.out, table.text(rows))
    return 0 if all(row.is_good for row in rows) else 1


PARTS = ("kills", "errors", "flips", "robot", "hostile")
BEGIN, END = "<!-- faults: written by make faults -->\n", "<!-- end of faults -->\n"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--small", action="store_true", help="under a minute")
    parser.add_argument("--kills", type=int, help="default 320, small 12")
    parser.add_argument("--flips", type=int, help="default 1200, small 60")
    parser.add_argument("--operations", type=float, help="share that fails, default 1.0, small 0.004")
    parser.add_argument("--steps", nargs="+", help="of kills and errors, by the beginning of their names")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--out", type=Path, help="Markdown file whose table is replaced")
    options = parser.parse_args()
    options.kills = options.kills if options.kills is not None else 12 if options.small else 320
    options.flips = options.flips if options.flips is not None else 60 if options.small else 1200
    if options.operations is None:
        options.operations = 0.004 if options.small else 1.0
    return options


def _fill(file: Path, text: str) -> None:
    """Replace what is between the marks of a Markdown file."""
    before, _, rest = file.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    file.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
