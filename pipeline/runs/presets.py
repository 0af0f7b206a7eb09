"""Sizes of a run, and the robots of the line. What a preset changes stands in the file of each stage."""

DEFAULT_ROBOTS = ("tiago", "stretch3", "go2", "g1")
"""The robots of ``make all``; others are named with ``--embodiments``."""
EVALUATED_ROBOTS = (*DEFAULT_ROBOTS, "anymal_c")
"""The robots of the results: the last one is an unseen body, on which nothing was trained."""

PRESETS = {
    "smoke": "Every stage and robot at the smallest size that still runs every line; minutes.",
    "laptop": "Two cores, no GPU, sized for two hours. The default, and the defaults of every stage.",
    "workstation": "One GPU, budgets of COMPASS's size.",
}
"""Preset -> what it is for."""
SMOKE_ENVS = 8
"""Environments of every smoke stage; one size, so that the simulator compiles its kernels once per robot."""
