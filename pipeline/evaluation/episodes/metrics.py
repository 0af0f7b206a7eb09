"""Navigation metrics as pure functions of arrays with one entry per episode.

A metric that is not defined (no episode, no success) is ``nan`` per episode and ``None`` as a summary; it is never 0.
"""

import numpy as np

from embodiments.spaces import STAND_SPEED_MPS, STAND_YAW_RATE_RADPS


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


def jerk_mps3(velocity_w_mps: np.ndarray, *, dt_s: float) -> float | None:
    """Return the mean size of the jerk over an episode: how far from smooth the motion was.

    Args:
        velocity_w_mps: (T, 2) velocity in the world frame at a fixed rate.
        dt_s: time between two rows.

    Returns:
        Mean norm of the velocity's second difference per dt²; None with fewer than three rows.
    """
    velocity = np.asarray(velocity_w_mps, dtype=float)
    if len(velocity) < 3:
        return None
    return float(np.linalg.norm(np.diff(velocity, n=2, axis=0), axis=1).mean() / dt_s**2)


def path_length_m(position_w_m: np.ndarray) -> float:
    """Return the length of the path through positions 1 s apart, so that the sway of a walking body does not count.

    Args:
        position_w_m: (T, 2) where the robot was at the start, after every second, and at the end.
    """
    steps = np.diff(np.asarray(position_w_m, dtype=float), axis=0)
    return float(np.linalg.norm(steps, axis=1).sum())


def stopped_s(velocity_b: np.ndarray, *, dt_s: float) -> float:
    """Return how long the robot stood still: slower than both thresholds below which a command means stand.

    Args:
        velocity_b: (T, 3) vx, vy [m/s] and yaw rate [rad/s], means over ``dt_s``.
    """
    velocity = np.asarray(velocity_b, dtype=float)
    stands = (np.linalg.norm(velocity[:, :2], axis=1) < STAND_SPEED_MPS) & (
        np.abs(velocity[:, 2]) < STAND_YAW_RATE_RADPS
    )
    return float(stands.sum() * dt_s)


def stopped_share(stopped_time_s: np.ndarray, *, time_s: np.ndarray) -> np.ndarray:
    """Return the fraction of each episode's time (N,) in which the robot stood still."""
    return np.asarray(stopped_time_s, dtype=float) / np.asarray(time_s, dtype=float)


def mechanical_work_j(torque_nm: np.ndarray, *, velocity_radps: np.ndarray, dt_s: float) -> float:
    """Return the work of the motors over an episode: braking counts like driving, as no drive here gives energy back.

    Args:
        torque_nm: (T, J) of the driven joints.
        velocity_radps: (T, J) of the same joints at the same times.
        dt_s: time between two rows.
    """
    return float(np.abs(np.asarray(torque_nm, dtype=float) * np.asarray(velocity_radps, dtype=float)).sum() * dt_s)


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
