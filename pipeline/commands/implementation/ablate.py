"""Train every variant with every seed, evaluate it, and set it beside its reference."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from pipeline.commands.ablate import VARIANTS, Config
from pipeline.evaluation.episodes import comparison, statistics
from pipeline.evaluation.episodes.comparison import EPISODE_KEY
from pipeline.evaluation.episodes.statistics import Interval
from pipeline.evaluation.report.formatting import percent, signed
from pipeline.evaluation.report.table import Table, of_rows
from pipeline.runs import processes
from pipeline.runs.discovery import stage, stages, unknown
from world_model import atomic_files


@dataclass(frozen=True, kw_only=True)
class Row:
    """What a variant reached on one route."""

    variant: str
    route: str
    success: tuple[float, ...]
    """By seed"""
    difference: float
    """To the reference, over the same episodes of all seeds"""
    ci95: Interval | None


def main(config: Config) -> None:
    """Train, export, evaluate; print the table and write ``ablations.json``.

    Raises:
        ValueError: If a variant does not exist or its reference is missing, or one failed.
    """
    _check(config)
    for step in ("train", "export_policy", "evaluate_policy"):
        commands = {
            f"{name}_{seed}": _command(config, name, seed, step)
            for name in config.variants
            for seed in range(config.seeds)
        }
        failed = [name for name, status in _run(config, commands).items() if status]
        if failed:
            raise ValueError(f"{step} failed for {', '.join(failed)}; see the lines marked so above, then repeat.")
    rows = _rows(config)
    path = config.run / "ablations" / "ablations.json"
    atomic_files.write_text(path, json.dumps([asdict(row) for row in rows], indent=1) + "\n")
    print(f"{table(rows).markdown()}\nwrote {path}")


def _check(config: Config) -> None:
    for name in config.variants:
        if name not in VARIANTS:
            raise ValueError(unknown("variant", name, tuple(VARIANTS)))
        if VARIANTS[name].reference not in config.variants:
            raise ValueError(f"variant '{name}' is compared with '{VARIANTS[name].reference}': name that too.")
    if config.seeds < 1:
        raise ValueError(f"seeds is {config.seeds}; at least one is needed.")
    for name in config.variants:
        for need in stage(VARIANTS[name].stage).needs:
            if not (config.run / need).is_dir():
                raise ValueError(
                    f"variant '{name}' builds on {config.run / need}, which is not there; make it first: "
                    f"python -m pipeline {need} --run {config.run}"
                )


def _folder(config: Config, name: str, seed: int) -> Path:
    return config.run / "ablations" / f"{name}_{seed}"


def _command(config: Config, name: str, seed: int, step: str) -> list[str]:
    """Return the arguments of one stage of one variant; its folder borrows what the variant does not change."""
    variant, folder = VARIANTS[name], _folder(config, name, seed)
    changed = [variant.stage, "export_policy", "evaluate_policy", "report"]
    folder.mkdir(parents=True, exist_ok=True)
    for borrowed in stages():
        source, link = config.run / borrowed, folder / borrowed
        if borrowed not in changed and source.is_dir() and link.resolve() != source.resolve():
            link.unlink(missing_ok=True)  # of a run that has been moved since
            link.symlink_to(source.resolve())
    common = ["--run", str(folder.resolve()), "--preset", config.preset]
    agents = ["--agents", str(stage(variant.stage).trains)]
    robot = ["--embodiments", config.embodiment] if variant.stage == "train_specialist" else []
    if step == "export_policy":
        return [step, *common, "--seed", str(seed), *robot, *agents]  # which evaluate_policy tells as the training's
    if step == "evaluate_policy":
        robots = robot or ["--embodiments", ",".join(_recorded(config))]
        judged = [*agents, "--split", "val", "--episodes", str(config.episodes)]
        return [step, *common, *robots, *judged, "--workers", "1"]
    if variant.stage == "train_specialist":
        # All of what was learned: a variant is not to be rescued by what was there before.
        budget = ["--ppo.control-steps", str(config.control_steps), "--ppo.trial-episodes", "0"]
    else:
        budget = ["--workers", "1"]
    changes = variant.arguments(control_steps=config.control_steps)
    return [variant.stage, *common, *robot, *budget, "--seed", str(seed), *changes]


def _recorded(config: Config) -> list[str]:
    """Return the robots that have recordings, on all of which a generalist is judged."""
    return sorted(path.name for path in (config.run / "record_specialist").iterdir() if path.name[0] != ".")


def _run(config: Config, commands: Mapping[str, Sequence[str]]) -> Mapping[str, int]:
    return processes.run_side_by_side(commands, workers=config.workers or processes.cores())


def _rows(config: Config) -> list[Row]:
    rows = []
    for name in config.variants:
        reference = VARIANTS[name].reference
        found = {who: [_success(config, who, seed) for seed in range(config.seeds)] for who in (name, reference)}
        for route in found[name][0]:
            mine, other = (np.concatenate([each[route][0] for each in found[who]]) for who in (name, reference))
            clusters = np.concatenate([each[route][1] for each in found[name]])
            difference = statistics.paired_difference(mine, other, clusters=clusters)
            assert difference is not None
            means = tuple(float(each[route][0].mean()) for each in found[name])
            rows.append(Row(variant=name, route=route, success=means, difference=difference[0], ci95=difference[1]))
    return rows


def _success(config: Config, name: str, seed: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return success and scene (N,) of every route, in the same order of episodes for every variant and seed."""
    episodes = comparison.read(_folder(config, name, seed)).episodes.sort_values(EPISODE_KEY)
    scene = episodes["scene"] + " " + episodes["scene_seed"].astype(str)
    routes = episodes["route"]
    return {
        str(route): (
            episodes.loc[routes == route, "success"].to_numpy(dtype=float),
            scene[routes == route].to_numpy(),
        )
        for route in dict.fromkeys(routes)
    }


def table(rows: Sequence[Row]) -> Table:
    """Return the rows as the log shows them."""
    body = []
    for row in rows:
        is_reference = VARIANTS[row.variant].reference == row.variant
        points = signed(row.difference, row.ci95, scale=100.0, digits=1)
        to = "–" if is_reference else f"{points} to {VARIANTS[row.variant].reference}"
        seeds = ", ".join(percent(value) for value in row.success)
        body.append((row.variant, row.route, percent(float(np.mean(row.success))), seeds, to))
    return of_rows(
        "Ablations: success in %, val scenes",
        ("variant", "route", "mean", "by seed", "points"),
        body,
        note="Differences over the same episodes of all seeds. The 95 % intervals, the wider of the "
        "scene-clustered bootstrap's and Newcombe's, hold the training seeds fixed: they do not say how other seeds "
        "would differ.",
    )
