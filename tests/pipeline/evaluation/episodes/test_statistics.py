"""Intervals against published values, hand-made cases and coverage."""

import numpy as np
import pytest

from pipeline.evaluation.episodes import statistics


def test_wilson_against_the_closed_form() -> None:
    # 10 of 20: centre 0.5, half width z sqrt(0.25 / 20 + z^2 / (4 * 400)) / (1 + z^2 / 20)
    low, high = statistics.wilson(10, total=20) or (0.0, 0.0)
    z = 1.959964
    half = z * np.sqrt(0.25 / 20 + z**2 / 1600) / (1 + z**2 / 20)
    assert (low, high) == pytest.approx((0.5 - half, 0.5 + half), abs=1e-6)


def test_wilson_at_the_borders() -> None:
    low, high = statistics.wilson(0, total=64) or (1.0, 1.0)
    assert low == 0.0 and high == pytest.approx(0.0566, abs=1e-3)
    assert statistics.wilson(0, total=0) is None


def test_mean_interval_of_identical_clusters_has_no_width() -> None:
    values = np.tile([0.0, 1.0], 8)
    assert statistics.mean_interval(values, clusters=np.repeat(np.arange(8), 2)) == pytest.approx((0.5, 0.5))


def test_clusters_widen_the_interval() -> None:
    rng = np.random.default_rng(0)
    scene = np.repeat(np.arange(16), 8)
    values = np.repeat(rng.random(16) < 0.5, 8).astype(float)  # all episodes of a scene end alike
    clustered = statistics.mean_interval(values, clusters=scene)
    independent = statistics.mean_interval(values, clusters=np.arange(len(values)))
    assert clustered is not None and independent is not None
    assert clustered[1] - clustered[0] > 2.0 * (independent[1] - independent[0])


def test_mean_interval_covers_the_truth() -> None:
    rng = np.random.default_rng(1)
    inside = 0
    for trial in range(100):
        scene_mean = rng.normal(1.0, 0.3, size=40)
        values = np.repeat(scene_mean, 4) + rng.normal(0.0, 0.2, size=160)
        interval = statistics.mean_interval(values, clusters=np.repeat(np.arange(40), 4), seed=trial)
        inside += interval is not None and interval[0] <= 1.0 <= interval[1]
    assert inside >= 88


def test_undefined_values_are_left_out() -> None:
    values = np.array([1.0, np.nan, 1.0, np.nan])
    assert statistics.mean_interval(values, clusters=np.arange(4)) == pytest.approx((1.0, 1.0))
    assert statistics.mean_interval(np.full(4, np.nan), clusters=np.arange(4)) is None
    assert statistics.mean_interval(np.ones(4), clusters=np.zeros(4)) is None


def test_paired_difference_by_hand() -> None:
    first = np.array([1.0, 1.0, 0.0, 1.0])
    second = np.array([0.0, 1.0, 0.0, 0.0])
    difference, interval = statistics.paired_difference(first, second, clusters=np.arange(4)) or (0.0, None)
    assert difference == pytest.approx(0.5)
    assert interval is not None and interval[0] <= 0.5 <= interval[1]


def test_pairing_removes_what_the_agents_share() -> None:
    rng = np.random.default_rng(2)
    hardness = rng.normal(size=64)
    difference, interval = statistics.paired_difference(hardness + 0.1, hardness, clusters=np.arange(64)) or (0, None)
    assert difference == pytest.approx(0.1)
    assert interval == pytest.approx((0.1, 0.1))


def test_paired_difference_refuses_different_episodes() -> None:
    with pytest.raises(ValueError, match="found 3 and 4"):
        statistics.paired_difference(np.ones(3), np.ones(4), clusters=np.arange(4))


def test_same_seed_same_interval() -> None:
    values = np.random.default_rng(3).random(50)
    first = statistics.mean_interval(values, clusters=np.arange(50), seed=5)
    assert first == statistics.mean_interval(values, clusters=np.arange(50), seed=5)


def test_newcombe_against_the_published_example() -> None:
    # Newcombe 1998, table II, case a, method 10: 56/70 - 48/80 = 0.2, interval 0.0524 to 0.3339
    assert statistics.rate_difference(56, 48, totals=(70, 80)) == pytest.approx((0.0524, 0.3339), abs=5e-5)
    assert statistics.rate_difference(0, 0, totals=(0, 10)) is None


def test_few_different_episodes_leave_more_open_than_resampling_them_shows() -> None:
    alike = np.ones(256)
    one = alike.copy()
    one[0] = 0.0
    for first, second in ((alike, alike), (alike, one)):
        found = statistics.paired_difference(first, second, clusters=np.arange(256))
        assert found is not None and found[1] is not None
        low, high = found[1]
        assert -0.02 < low < 0.0 < found[0] + 0.004 < high < 0.03


def test_paired_rates_cover_the_truth() -> None:
    rng = np.random.default_rng(0)
    for won, lost in ((0.004, 0.0), (0.004, 0.002), (0.01, 0.004), (0.05, 0.03)):
        inside = 0
        for _ in range(200):
            place = rng.random(256)
            both = place < 0.85
            first, second = both | (place > 1.0 - won), both | ((place > 0.9) & (place < 0.9 + lost))
            low, high = statistics.paired_rate_difference(first, second)
            inside += low <= won - lost <= high
        assert inside >= 184, (won, lost, inside)


def test_paired_rates_by_hand() -> None:
    # 2 x 2 table 36, 12, 2, 0: the correlation is not positive, so it enters uncorrected: phi = -24 / sqrt(48*2*38*12)
    first = np.repeat([1.0, 1.0, 0.0], [36, 12, 2])
    second = np.repeat([1.0, 0.0, 1.0], [36, 12, 2])
    phi = -24.0 / np.sqrt(48 * 2 * 38 * 12)
    (low_1, high_1), (low_2, high_2) = (statistics.wilson(count, total=50) or (0.0, 0.0) for count in (48, 38))
    below = np.sqrt((0.96 - low_1) ** 2 - 2 * phi * (0.96 - low_1) * (high_2 - 0.76) + (high_2 - 0.76) ** 2)
    above = np.sqrt((high_1 - 0.96) ** 2 - 2 * phi * (high_1 - 0.96) * (0.76 - low_2) + (0.76 - low_2) ** 2)
    assert statistics.paired_rate_difference(first, second) == pytest.approx((0.2 - below, 0.2 + above))


def test_independent_difference_is_centred_and_wider_than_a_paired_one() -> None:
    rng = np.random.default_rng(0)
    scene = np.arange(200)
    first = rng.normal(size=200)
    second = first - 0.5
    interval = statistics.independent_difference(first, second, clusters=(scene, scene))
    paired = statistics.paired_difference(first, second, clusters=scene)
    assert interval is not None and paired is not None and paired[1] is not None
    assert interval[0] < 0.5 < interval[1]
    # two independent means of 200 values with unit spread: 2 x 1.96 x sqrt(2 / 200)
    assert interval[1] - interval[0] == pytest.approx(2 * 1.96 * np.sqrt(2 / 200), rel=0.15)
    assert paired[1][1] - paired[1][0] < 1e-6
    assert statistics.independent_difference(first, second, clusters=(scene, 0 * scene)) is None


def test_a_paired_ratio_by_hand() -> None:
    first, second = np.asarray([1, 0, 0, 1, 0, 0]), np.asarray([1, 1, 0, 1, 1, 0])
    ratio, interval = statistics.paired_ratio(first, second, clusters=np.asarray([0, 0, 1, 1, 2, 2]))
    assert ratio == pytest.approx(0.5)
    # Scenes give 1/2, 1/1 and 0/1: resampled scenes reach from 0 to 1.
    assert interval == (0.0, 1.0)


def test_a_ratio_to_itself_is_one_and_to_nothing_is_undefined() -> None:
    values, clusters = np.asarray([1.0, 0.0, 1.0, 1.0]), np.arange(4)
    assert statistics.paired_ratio(values, values, clusters=clusters) == (1.0, (1.0, 1.0))
    assert statistics.paired_ratio(values, np.zeros(4), clusters=clusters) is None
    assert statistics.paired_ratio(values, values, clusters=np.zeros(4)) == (1.0, None)
    with pytest.raises(ValueError, match="the same episodes"):
        statistics.paired_ratio(values, values[:3], clusters=clusters)


def test_within_one_scene_the_paired_rates_alone_are_left() -> None:
    first, second = np.asarray([1.0, 1.0, 0.0, 1.0]), np.asarray([1.0, 0.0, 0.0, 0.0])
    found = statistics.paired_difference(first, second, clusters=np.zeros(4))
    assert found == (0.5, statistics.paired_rate_difference(first, second))
    assert statistics.paired_difference(3.0 * first, second, clusters=np.zeros(4)) == (2.0, None)
