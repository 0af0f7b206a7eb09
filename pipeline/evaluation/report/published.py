"""What COMPASS reports of itself, to stand beside our table: other robots, other scenes, another simulator.

Source: Liu et al., COMPASS (arXiv 2502.16372, ICRA 2026), main table on the project page: success in % and WTT in s,
each over 640 episodes per cell, straight route. WTT / 640 is the mean time of a success.
"""

EPISODES = 640
SCENES = ("warehouse_single", "warehouse_multi", "office", "combined")
"""COMPASS's scenes under the names of our kinds that are meant to be alike."""
AGENTS = {"base": "X-Mobility", "specialist": "Specialist", "generalist": "Generalist"}
"""Our agent id -> what COMPASS calls the same step."""

Row = tuple[tuple[float, float], ...]
"""(success %, WTT s) per scene of ``SCENES``"""

TABLE: dict[str, dict[str, Row]] = {
    "Carter": {
        "base": ((42.3, 8039), (37.9, 9351), (50.6, 5508), (50.3, 5319)),
        "specialist": ((91.5, 2282), (91.8, 2283), (72.0, 2340), (85.4, 2442)),
        "generalist": ((90.6, 2241), (91.9, 2361), (73.4, 2504), (85.3, 2527)),
    },
    "H1": {
        "base": ((17.5, 12588), (9.2, 12234), (25.6, 10791), (22.0, 11519)),
        "specialist": ((94.5, 4123), (87.9, 4283), (66.7, 3300), (82.8, 3698)),
        "generalist": ((93.4, 4129), (88.9, 4319), (66.2, 3260), (84.4, 3802)),
    },
    "Spot": {
        "base": ((5.7, 13320), (4.5, 12007), (6.1, 7740), (11.7, 11426)),
        "specialist": ((84.5, 3183), (93.5, 3204), (76.2, 3587), (77.1, 3490)),
        "generalist": ((84.7, 3207), (93.2, 3255), (74.8, 3512), (77.9, 3485)),
    },
    "G1": {
        "base": ((3.6, 13913), (1.8, 13781), (2.8, 13276), (10.0, 11865)),
        "specialist": ((95.6, 4667), (93.7, 5254), (77.0, 3960), (90.0, 3968)),
        "generalist": ((95.7, 4717), (94.5, 5360), (76.7, 4031), (90.6, 3991)),
    },
}


def mean_success(robot: str, agent: str) -> float:
    """Return the mean success rate (0 to 1) over the four scenes."""
    return sum(success for success, _ in TABLE[robot][agent]) / len(SCENES) / 100.0


def mean_time_s(robot: str, agent: str) -> float:
    """Return the mean time of a success [s] over the four scenes."""
    return sum(wtt for _, wtt in TABLE[robot][agent]) / len(SCENES) / EPISODES
