"""Stage: write the base policy, every specialist and the generalist as ONNX files that prove to compute the same.

Each file is sealed with its own SHA-256 and carries its contract; one whose commands differ from the network's by more
than 1e-4 over a recurrent roll-out fails the stage.
"""

from dataclasses import dataclass, replace
from typing import Literal

from pipeline.runs.discovery import stage
from pipeline.runs.stage import Later, Stage

NEEDS = ("pretrain_world_model", "train_specialist", "distill_generalist")


@dataclass(frozen=True, kw_only=True)
class Config:
    """What to export."""

    agents: tuple[Literal["base", "specialist", "generalist"], ...] = ("base", "specialist", "generalist")
    """Which kinds of files"""
    embodiments: tuple[str, ...] = ()
    """Specialists to export; by default all that are trained"""
    licence: str = "Apache-2.0"
    """SPDX id of the weights: this project's own, they were trained on its own data alone"""
    parity_steps: int = 200
    """Length of the roll-out that both sides are compared over"""
    seed: int = 0

    @property
    def does_without(self) -> tuple[str, ...]:
        """Stages whose networks are in none of the files asked for."""
        return tuple(name for name in NEEDS if stage(name).trains not in (None, *self.agents))


def _smoke(config: Config) -> Config:
    return replace(config, parity_steps=20)


STAGE = Stage(
    config=Config,
    run=Later("pipeline.stages.implementation.export_policy", "run"),
    needs=NEEDS,
    presets={"smoke": _smoke},
)
