"""Importing this module registers the navigation task with gymnasium: ``crossbody/Navigation-v0`` and its evaluation.

The project is run from its folder and not installed, so gymnasium cannot find it by itself. ``gymnasium.make_vec`` also
takes ``pipeline.gymnasium_env.register:crossbody/Navigation-v0`` and then imports this module.
"""

import gymnasium

gymnasium.register("crossbody/Navigation-v0", vector_entry_point="pipeline.gymnasium_env.training:make")
gymnasium.register("crossbody/NavigationEvaluation-v0", vector_entry_point="pipeline.gymnasium_env.evaluation:make")
