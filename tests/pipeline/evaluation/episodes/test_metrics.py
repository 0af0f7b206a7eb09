"""Metrics against values worked out by hand."""

import numpy as np
import pytest

from embodiments.limits import fastest_time_s
from pipeline.evaluation.episodes import metrics


def test_spl_by_hand() -> None:
    # shortest path; detour of twice the length; failure; path measured shorter than the geodesic counts as 1
    value = metrics.spl(
        np.array([True, True, False, True]),
        geodesic_m=np.array([4.0, 4.0, 4.0, 4.0]),
        path_m=np.array([4.0, 8.0, 4.0, 3.5]),
    )
    np.testing.assert_allclose(value, [1.0, 0.5, 0.0, 1.0])


def test_soft_spl_by_hand() -> None:
    # half the way on a straight path: 0.5; half the way on a path of 8 m: 0.25; driven away: 0; goal cut off: 0
    value = metrics.soft_spl(
        end_geodesic_m=np.array([2.0, 2.0, 6.0, np.inf]),
        initial_geodesic_m=np.array([4.0, 4.0, 4.0, 4.0]),
        path_m=np.array([2.0, 8.0, 2.0, 2.0]),
    )
    np.testing.assert_allclose(value, [0.5, 0.25, 0.0, 0.0])


def test_path_efficiency_of_an_episode_that_starts_on_the_goal() -> None:
    np.testing.assert_allclose(metrics.spl(np.array([True]), geodesic_m=np.zeros(1), path_m=np.zeros(1)), [1.0])


def test_sct_by_hand() -> None:
    value = metrics.sct(
        np.array([True, True, False]), fastest_time_s=np.array([5.0, 5.0, 5.0]), time_s=np.array([10.0, 4.0, 5.0])
    )
    np.testing.assert_allclose(value, [0.5, 1.0, 0.0])


def test_wtt_cancels_the_success_rate() -> None:
    success = np.array([True, False, True, False])
    time_s = np.array([4.0, 25.6, 6.0, 25.6])
    # COMPASS: total time of the successes (10 s) over the success rate (0.5) = 20 s = 4 episodes x 5 s
    assert metrics.wtt_s(success, time_s=time_s) == pytest.approx(20.0)


def test_wtt_is_undefined_without_success() -> None:
    assert metrics.wtt_s(np.array([False, False]), time_s=np.array([1.0, 2.0])) is None
    assert metrics.wtt_s(np.array([], dtype=bool), time_s=np.array([])) is None


def test_fastest_time_of_a_trapezoid_and_a_triangle() -> None:
    value = fastest_time_s(np.array([4.5, 1.0, 0.3]), tolerance_m=0.5, speed_mps=1.0, acceleration_mps2=0.5)
    # 4 m: 2 s up over 1 m, 2 s at 1 m/s, 2 s down over 1 m; 0.5 m: 1 s up, 1 s down; within the tolerance: 0
    np.testing.assert_allclose(value, [6.0, 2.0, 0.0])


def test_fastest_time_is_continuous_where_the_profile_changes() -> None:
    edge = 1.0**2 / 0.5
    below, above = fastest_time_s(
        np.array([edge - 1e-9, edge + 1e-9]), tolerance_m=0.0, speed_mps=1.0, acceleration_mps2=0.5
    )
    assert below == pytest.approx(above, abs=1e-6)


def test_fraction_of_the_time_stopped_by_hand() -> None:
    np.testing.assert_allclose(metrics.stopped_share(np.array([0.3, 0.0]), time_s=np.array([0.5, 8.0])), [0.6, 0.0])


def test_energy_per_metre_leaves_out_what_is_undefined() -> None:
    # (30 J + 10 J) over (2 m + 3 m); the mean of the quotients would be 9.2
    energy, path = np.array([30.0, np.nan, 10.0]), np.array([2.0, 100.0, 3.0])
    assert metrics.energy_j_per_m(energy, path_m=path) == pytest.approx(8.0)
    assert metrics.energy_j_per_m(np.array([np.nan]), path_m=np.array([1.0])) is None
    assert metrics.energy_j_per_m(np.array([5.0]), path_m=np.array([0.0])) is None
