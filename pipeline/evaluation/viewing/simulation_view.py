"""Shows the first environment of a simulation in a view, step by step, with what the agent thinks is around it."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from embodiments.spaces import CONTROL_DT_S
from export.runtime.viewing import local_map
from export.runtime.viewing.moment import Anticipated, Moment
from export.runtime.viewing.rerun_viewer import RerunViewer
from export.runtime.viewing.view import View, Viewer, parse
from pipeline.agents.agent import Agent, KeepsCostmap
from pipeline.simulation.navigation.environment import NavigationEnvironment, Step
from world_model import anticipation
from world_model.anticipation import Anticipation
from world_model.local_planner import costmap, planner

_LATER = 2
"""Of the network's horizons the one at 1 s"""


class SimulationView:
    """Shows episodes of the first environment; an error ends the view, never the drive."""

    def __init__(
        self,
        environment: NavigationEnvironment,
        agent: Agent,
        viewer: Viewer,
        *,
        announce: Callable[[str], None] = print,
    ) -> None:
        """Take what drives; ``observe`` every step."""
        self._environment, self._agent = environment, agent
        self._view = View(viewer, announce=announce, waits=True)
        self._pending: Moment | None = None
        self._steps = 0
        self._network: Anticipation | None = None
        if isinstance(agent, KeepsCostmap):
            self._network = agent.anticipation()

    def observe(self, step: Step) -> None:
        """Take note of a step, before the agent acts on it. It is shown with the next one, when the answer is known."""
        if self._view.failure:
            return
        try:
            if self._pending is not None:
                self._view.show(self._answered(self._pending, step))
            self._pending = None if bool(self._environment.idle[0]) else self._seen(step)
        except Exception as error:
            self._view.fail(error)
        self._steps += 1

    def close(self) -> None:
        """Show the last step, which nothing answers, and end the view."""
        if self._pending is not None:
            self._view.show(self._pending)
        self._view.close()

    def _seen(self, step: Step) -> Moment:
        observation = step.observation.rows(0).map(_array)
        xy_w, _, present = self._environment.people()
        return Moment(
            time_s=self._steps * CONTROL_DT_S,
            pose_w=_array(self._environment.pose_w[0]),
            velocity_b=observation.velocity_b,
            command=observation.previous_command,
            depth_m=observation.depth_m[0],
            route_xy_b_m=observation.route_xy_b_m,
            goal_b=observation.goal_b,
            people_xy_w=_array(xy_w[0][present[0]]),
            status=f"episode {int(self._environment.episode[0])}",
        )

    def _answered(self, moment: Moment, step: Step) -> Moment:
        """Return a moment with the command that answered it and what the agent remembered then."""
        answered = replace(moment, command=_array(step.observation.previous_command[0]))
        state = self._agent.costmap_state(0) if isinstance(self._agent, KeepsCostmap) else None
        if state is None:
            return answered
        around = None if self._network is None else anticipated(self._network, state)
        return replace(answered, local_map=local_map.read(state), anticipated=around)


def open_view(option: str, environment: NavigationEnvironment, agent: Agent, *, name: str) -> SimulationView:
    """Return the view that ``--view`` asks for.

    Raises:
        ValueError: If the option or the package is not there.
        OSError: If the file cannot be written or no window can be opened.
    """
    return SimulationView(environment, agent, RerunViewer(parse(option), environment.embodiment, name=name))


@torch.no_grad()
def anticipated(network: Anticipation, state: np.ndarray) -> Anticipated:
    """Return what a network says is around the body, from the state (S,) that ``anticipation.plan`` returned."""
    device = next(network.parameters()).device
    parts = torch.as_tensor(state, device=device)[None].split([planner.STATE_SIZE, anticipation.TRAIL_SIZE], dim=-1)
    measured = costmap.unpack(parts[0])
    square = anticipation.square(measured.evidence, measured.seen, measured.pose, parts[1])
    around = anticipation.surroundings(network(square))
    return Anticipated(
        distance=_array(around.distance_m[0]) / anticipation.FAR_M,
        now=_array(around.moving[0, 0]),
        later=_array(around.moving[0, _LATER]),
        cell_m=anticipation.CELL_M,
        corner_b_m=(-anticipation.BEHIND_M, -anticipation.BESIDE_M),
    )


def _array(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy().copy()
