"""An evaluation's summary for TensorBoard: one run per agent and route, so that agents stand side by side in a plot."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.agents.server_ids import in_file_names
from pipeline.evaluation.report.formatting import is_number

NO_FIGURES = {"seed", "training_seed", "episodes"}
"""Numbers in a cell that are no figures of merit"""


def write_tensorboard(summary: Mapping[str, Sequence[Mapping[str, Any]]], directory: Path) -> None:
    """Write the scalars ``METRIC/ROBOT`` (pooled; ``all`` for all robots) and ``METRIC/ROBOT/SCENE``.

    Args:
        summary: What ``summary.json`` holds; undefined figures are left out.
        directory: Gets one folder per agent and route, ``AGENT.ROUTE``.
    """
    from torch.utils.tensorboard import SummaryWriter  # slow to import

    rows = [*((cell, "") for cell in summary["pooled"]), *((cell, f"/{_place(cell)}") for cell in summary["cells"])]
    for agent, route in dict.fromkeys((cell["agent"], cell["route"]) for cell, _ in rows):
        with SummaryWriter(str(directory / f"{in_file_names(agent)}.{route}")) as board:
            for cell, where in rows:
                if (cell["agent"], cell["route"]) != (agent, route):
                    continue
                for metric, value in cell.items():
                    if is_number(value) and metric not in NO_FIGURES:
                        board.add_scalar(f"{metric}/{cell['embodiment']}{where}", value, 0)


def _place(cell: Mapping[str, Any]) -> str:
    return Path(cell["scene"]).stem
