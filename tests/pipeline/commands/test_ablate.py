"""Ablations: a variant borrows what it does not change; its figures are of the reference's episodes."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.commands.ablate import VARIANTS, Config
from pipeline.commands.implementation import ablate


def test_every_variant_names_options_that_exist() -> None:
    from pipeline.runs.command_line import parse
    from pipeline.runs.discovery import stage

    default_steps = Config().control_steps
    for name, variant in VARIANTS.items():
        default = stage(variant.stage).config()
        changed = parse(type(default), variant.arguments(control_steps=default_steps), prog=name)
        assert (changed == default) == (variant.reference == name)
        assert VARIANTS[variant.reference].stage == variant.stage


def test_lessons_take_half_of_the_steps() -> None:
    assert VARIANTS["lessons"].arguments(control_steps=1000)[-1] == "500"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"variants": ("mss",)}, "no variant 'mss'; did you mean 'mse'"),
        ({"variants": ("mse",)}, "variant 'mse' is compared with 'generalist': name that too"),
        ({"variants": ("generalist",), "seeds": 0}, "seeds is 0"),
        ({"variants": ("generalist",)}, "builds on .*make it first: python -m pipeline make_scenes"),
    ],
)
def test_what_cannot_be_compared_is_refused(given: dict, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        ablate.main(Config(run=tmp_path, **given))


def test_variants_borrow_stages_and_are_compared_episode_by_episode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for stage in ("make_scenes", "pretrain_world_model", "train_specialist", "record_specialist"):
        (tmp_path / stage).mkdir()
    for robot in ("go2", "g1"):
        (tmp_path / "record_specialist" / robot).mkdir()
    asked: dict[str, list[str]] = {}

    def run(commands: dict[str, list[str]], *, workers: int) -> dict[str, int]:
        asked.update({f"{name} {command[0]}": command for name, command in commands.items()})
        return dict.fromkeys(commands, 0)

    def read(folder: Path) -> object:
        """Half of the reference's four episodes succeed; the variant reaches one more."""
        reached = [True, True, folder.name.startswith("mse"), False]
        rows = [
            {"embodiment": "go2", "scene": "office", "scene_seed": i, "episode": 0, "route": "straight", "success": s}
            for i, s in enumerate(reached)
        ]
        frame = pd.DataFrame(rows)
        return type("Evaluation", (), {"episodes": frame if folder.name.endswith("0") else frame[::-1]})

    monkeypatch.setattr(ablate.processes, "run_side_by_side", run)
    monkeypatch.setattr(ablate.comparison, "read", read)
    ablate.main(Config(run=tmp_path, variants=("generalist", "mse"), seeds=2))
    folder = tmp_path / "ablations" / "mse_1"
    assert sorted(path.name for path in folder.iterdir()) == [
        "make_scenes",
        "pretrain_world_model",
        "record_specialist",
        "train_specialist",
    ]
    assert all(path.is_symlink() for path in folder.iterdir())
    train = asked["mse_1 distill_generalist"]
    assert train[train.index("--seed") + 1] == "1" and train[-2:] == ["--fit.loss", "mse"]
    exported = asked["mse_1 export_policy"]
    assert exported[-2:] == ["--agents", "generalist"] and exported[exported.index("--seed") + 1] == "1"
    judged = asked["mse_1 evaluate_policy"]
    assert judged[-2:] == ["--workers", "1"] and judged[judged.index("--embodiments") + 1] == "g1,go2"
    (reference, changed) = (row for row in ablate._rows(Config(run=tmp_path, variants=("generalist", "mse"), seeds=2)))
    assert reference.difference == 0.0 and changed.success == (0.75, 0.75)
    assert np.isclose(changed.difference, 0.25) and changed.ci95 is not None
    printed = capsys.readouterr().out
    assert "| mse | straight | 75.0 | 75.0, 75.0 | +25.0" in printed and "hold the training seeds fixed" in printed


def test_specialists_need_no_recordings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for stage in ("make_scenes", "pretrain_world_model"):
        (tmp_path / stage).mkdir()
    asked: list[str] = []

    def run(commands: dict[str, list[str]], *, workers: int) -> dict[str, int]:
        asked.extend(command[0] for command in commands.values())
        return dict.fromkeys(commands, 1)

    monkeypatch.setattr(ablate.processes, "run_side_by_side", run)
    with pytest.raises(ValueError, match="train failed for specialist_0"):
        ablate.main(Config(run=tmp_path, variants=("specialist",), seeds=1))
    assert asked == ["train_specialist"]
    judged = ablate._command(Config(run=tmp_path), "specialist", 0, "evaluate_policy")
    assert judged[judged.index("--embodiments") + 1] == "go2"
