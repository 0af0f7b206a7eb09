"""From the outcomes of gait trials to the figures of ``gait.json`` and their picture."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from pipeline.evaluation.episodes import statistics

FALL_MINUTES = 30.0
"""Falls are counted per this much walking."""
LOWER_IS_BETTER = ("rms_velocity_mps", "rms_yaw_radps", "stop_drift_m")
DRIFT_QUANTILE = 0.99


def tracking(command: np.ndarray, velocity: np.ndarray) -> dict[str, Any]:
    """Return root mean square errors with 95 % intervals, and the mean velocity of every command.

    Args:
        command: (N, 3) vx, vy [m/s], yaw rate [rad/s], body frame.
        velocity: (N, 3) measured, nan where the robot fell.
    """
    upright = np.isfinite(velocity).all(axis=1)
    error = velocity[upright] - command[upright]
    linear, yaw = (error[:, :2] ** 2).sum(axis=1), error[:, 2] ** 2
    kinds, index = np.unique(command, axis=0, return_inverse=True)
    # Robots of one command err alike, so they are resampled together.
    clusters = index.reshape(-1)[upright]
    return {
        "rms_velocity_mps": _root(linear.mean()),
        "rms_velocity_ci95": _roots(statistics.mean_interval(linear, clusters=clusters)),
        "rms_yaw_radps": _root(yaw.mean()),
        "rms_yaw_ci95": _roots(statistics.mean_interval(yaw, clusters=clusters)),
        "rms_vx_mps": _root((error[:, 0] ** 2).mean()),
        "rms_vy_mps": _root((error[:, 1] ** 2).mean()),
        "tracking_trials": len(command),
        "tracking_fell_share": float(1.0 - upright.mean()),
        "by_command": [
            {"command": _rounded(kind), "measured": _rounded(velocity[upright & (index.reshape(-1) == number)].mean(0))}
            for number, kind in enumerate(kinds)
            if (upright & (index.reshape(-1) == number)).any()
        ],
    }


def falling(*, falls: int, minutes: float, broken: int) -> dict[str, Any]:
    """Return falls per half an hour with the exact upper 95 % bound."""
    periods = minutes / FALL_MINUTES
    return {
        "minutes": minutes,
        "falls": falls,
        "broken": broken,
        "falls_per_30min": falls / periods,
        "falls_per_30min_upper95": statistics.poisson_upper(falls) / periods,
    }


def stopping(*, stopped: np.ndarray, drift_m: np.ndarray, quiet_share: np.ndarray) -> dict[str, Any]:
    """Return how surely a robot comes to rest and how still it stands; drift is the 99 % quantile over trials.

    Args:
        stopped: (N,) bool.
        drift_m: (N,) nan where the robot fell.
        quiet_share: (N,) fraction of the time in which it stood still.
    """
    stood = np.isfinite(drift_m)
    return {
        "stop_trials": len(stopped),
        "stop_share": float(stopped.mean()),
        "stop_share_ci95": statistics.wilson(int(stopped.sum()), total=len(stopped)),
        "stop_drift_m": float(np.quantile(drift_m[stood], DRIFT_QUANTILE)) if stood.any() else None,
        "stop_drift_mean_m": float(drift_m[stood].mean()) if stood.any() else None,
        "stop_drift_below_10cm_share": float((drift_m[stood] < 0.1).sum() / len(drift_m)),
        "stop_quiet_share": float(quiet_share[stood].mean()) if stood.any() else None,
    }


def robustness(usual: Mapping[str, Any], changed: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the figures under changed physics, and the fraction lost: 0.2 = a fifth worse.

    Args:
        usual: Figures with the default physics.
        changed: Name of a change -> the same figures under it.
    """
    report = {}
    for name, figures in changed.items():
        lost = {key: figures[key] / usual[key] - 1.0 for key in LOWER_IS_BETTER if usual.get(key) and figures.get(key)}
        if usual["stop_share"]:
            lost["stop_share"] = 1.0 - figures["stop_share"] / usual["stop_share"]
        report[name] = {key: value for key, value in figures.items() if key != "by_command"} | {"lost_share": lost}
    return report


def picture(robots: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Return commanded against measured velocity, a row per robot, one panel per axis."""
    figure, axes = plt.subplots(len(robots), 3, figsize=(9.0, 2.9 * len(robots)), squeeze=False)
    names = ("forward [m/s]", "left [m/s]", "turn [rad/s]")
    for row, (robot, figures) in zip(axes, robots.items(), strict=True):
        table = np.asarray([(entry["command"], entry["measured"]) for entry in figures["by_command"]])  # (G, 2, 3)
        for axis, (panel, name) in enumerate(zip(row, names, strict=True)):
            _panel(panel, table[:, 0, axis], table[:, 1, axis])
            panel.set_xlabel(f"commanded {name}")
        row[0].set_ylabel(f"{robot}: measured")
        row[1].set_title(_headline(figures), fontsize=9)
    figure.tight_layout()
    return figure


def _panel(panel: Any, commanded: np.ndarray, measured: np.ndarray) -> None:
    """Draw every command as a dot, spread a little where values coincide, and the line of perfect tracking."""
    ends = np.asarray([commanded.min(), commanded.max()])
    panel.plot(ends, ends, color="#b8b8b8", linewidth=1)
    step = np.diff(np.unique(commanded)).min()
    spread = np.linspace(-0.15, 0.15, len(commanded)) * step
    panel.scatter(commanded + spread, measured, s=5, color="#2b59c3", alpha=0.6, linewidths=0)
    panel.grid(alpha=0.3)


def _headline(figures: Mapping[str, Any]) -> str:
    return (
        f"rms {figures['rms_velocity_mps']:.3f} m/s, {figures['rms_yaw_radps']:.3f} rad/s; "
        f"{figures['falls']} falls in {figures['minutes']:.0f} min; stops {100.0 * figures['stop_share']:.1f} %"
    )


def _root(value: float) -> float:
    return float(np.sqrt(value))


def _roots(interval: Sequence[float] | None) -> tuple[float, float] | None:
    return None if interval is None else (_root(interval[0]), _root(interval[1]))


def _rounded(values: np.ndarray) -> list[float]:
    return [round(float(value), 3) for value in values]
