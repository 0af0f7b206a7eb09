"""Train with one thing changed at a time, several seeds each, and say what the change cost or gained (val scenes).

Every variant is a run folder of its own, ``RUN/ablations/VARIANT_SEED``, which borrows what comes before the change as
links. Finished stages are skipped: repeat the command to go on, or to add variants and seeds.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from pipeline.runs.stage import Command, Later


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One change of the recipe."""

    stage: str
    """Which trains"""
    reference: str
    """The variant without the change; its own name for a reference"""
    options: tuple[str, ...] = ()
    """``{half}`` stands for half of the specialist's control steps"""

    def arguments(self, *, control_steps: int) -> list[str]:
        """Return the options for a specialist of so many control steps."""
        return [option.format(half=control_steps // 2) for option in self.options]


VARIANTS: Mapping[str, Variant] = {
    "specialist": Variant(stage="train_specialist", reference="specialist"),
    "lessons": Variant(
        stage="train_specialist", reference="specialist", options=("--ppo.dagger.control-steps", "{half}")
    ),
    "from_scratch": Variant(stage="train_specialist", reference="specialist", options=("--from-scratch",)),
    "curriculum": Variant(stage="train_specialist", reference="specialist", options=("--curriculum",)),
    "symmetric_critic": Variant(stage="train_specialist", reference="specialist", options=("--no-privileged-critic",)),
    "generalist": Variant(stage="distill_generalist", reference="generalist"),
    "mse": Variant(stage="distill_generalist", reference="generalist", options=("--fit.loss", "mse")),
    "one_hot": Variant(stage="distill_generalist", reference="generalist", options=("--one-hot",)),
    "failures_dropped": Variant(stage="distill_generalist", reference="generalist", options=("--drop-failures",)),
}


@dataclass(frozen=True, kw_only=True)
class Config:
    """What is changed, and how often it is repeated."""

    run: Path = Path("runs/laptop")
    """Whose scenes and base policy, and for the generalist specialists and recordings, are used"""
    variants: tuple[str, ...] = tuple(VARIANTS)
    """Each needs its reference beside it"""
    seeds: int = 3
    embodiment: Annotated[str, arg(name="embodiments")] = "go2"
    """The robot of the specialists; generalists are trained and judged on all recorded robots"""
    control_steps: int = 250_000
    """Of a specialist"""
    episodes: int = 64
    """Per robot, scene kind and route"""
    preset: str = "laptop"
    workers: int = 0
    """Trainings at once; 0 = one per core"""


COMMAND = Command(config=Config, main=Later("pipeline.commands.implementation.ablate", "main"))
