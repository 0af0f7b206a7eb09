"""Navigation metrics as pure functions of arrays with one entry per episode.

A metric that is not defined (no episode, no success) is ``nan`` per episode and ``None`` as a summary; it is never 0.
"""

import numpy as np


def spl(success: np.ndarray, *, geodesic_m: np.ndarray, path_m: np.ndarray) -> np.ndarray:
    """Return success weighted by path length, per episode (N,).

    Args:
        success: (N,) bool.
        geodesic_m: (N,) shortest collision-free path from the start to the goal.
        path_m: (N,) length of the path that the robot took.

    Source: Anderson et al. 2018, "On Evaluation of Embodied Navigation Agents", section 3.
    """
    return np.asarray(success, dtype=float) * _path_efficiency(geodesic_m, path_m)


def soft_spl(*, end_geodesic_m: np.ndarray, initial_geodesic_m: np.ndarray, path_m: np.ndarray) -> np.ndarray:
    """Return the progress made, weighted by path length, per episode (N,); success plays no part in it.

    Args:
        end_geodesic_m: (N,) geodesic distance to the goal where the episode ended; inf counts as no progress.
        initial_geodesic_m: (N,) geodesic distance to the goal at the start, positive.
        path_m: (N,) length of the path that the robot took.

    Source: Habitat (``SoftSPL``); Datta et al. 2020, "Integrating Egocentric Localization".
    """
    progress = 1.0 - np.asarray(end_geodesic_m, dtype=float) / np.asarray(initial_geodesic_m, dtype=float)
    return progress.clip(min=0.0) * _path_efficiency(initial_geodesic_m, path_m)


def sct(success: np.ndarray, *, fastest_time_s: np.ndarray, time_s: np.ndarray) -> np.ndarray:
    """Return success weighted by completion time, per episode (N,).

    Args:
        success: (N,) bool.
        fastest_time_s: (N,) time of the fastest feasible trajectory for this body, positive.
        time_s: (N,) time that the robot took.

    Source: Yokoyama et al. 2021, "Success Weighted by Completion Time", equation 2.
    """
    fastest = np.asarray(fastest_time_s, dtype=float)
    return np.asarray(success, dtype=float) * fastest / np.maximum(np.asarray(time_s, dtype=float), fastest)


def wtt_s(success: np.ndarray, *, time_s: np.ndarray) -> float | None:
    """Return COMPASS's weighted travel time: the number of episodes times the mean time of the successful ones.

    COMPASS defines it as the summed time of the successes over the success rate. The success rate cancels, so failures
    do not show in it: quote it beside success only.

    Args:
        success: (N,) bool.
        time_s: (N,) time that the robot took.

    Returns:
        Seconds; None without a success.

    Source: COMPASS (arXiv 2502.16372), main table.
    """
    reached = np.asarray(success, dtype=bool)
    return float(len(reached) * np.asarray(time_s, dtype=float)[reached].mean()) if reached.any() else None


def stopped_share(stopped_time_s: np.ndarray, *, time_s: np.ndarray) -> np.ndarray:
    """Return the fraction of each episode's time (N,) in which the robot stood still."""
    return np.asarray(stopped_time_s, dtype=float) / np.asarray(time_s, dtype=float)


def energy_j_per_m(energy_j: np.ndarray, *, path_m: np.ndarray) -> float | None:
    """Return the energy per metre over several episodes: their summed energy divided by their summed path.

    Args:
        energy_j: (N,) nan where it is not defined; such episodes are left out.
        path_m: (N,) length of the path that the robot took.

    Returns:
        Joules per metre; None where no episode is defined or no path was driven.
    """
    energy, path = np.asarray(energy_j, dtype=float), np.asarray(path_m, dtype=float)
    defined = np.isfinite(energy)
    total_m = float(path[defined].sum())
    return float(energy[defined].sum() / total_m) if total_m > 0.0 else None


def _path_efficiency(geodesic_m: np.ndarray, path_m: np.ndarray) -> np.ndarray:
    geodesic = np.asarray(geodesic_m, dtype=float)
    longer = np.maximum(np.asarray(path_m, dtype=float), geodesic)
    # Start on the goal and no step: the shortest path was taken.
    return np.divide(geodesic, longer, out=np.ones_like(longer), where=longer > 0.0)
