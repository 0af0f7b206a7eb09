"""Shows a drive: what the driver reported, what the policy answered, and the costmap that it remembers."""

import copy
from typing import Protocol

import numpy as np

from export.runtime.driver.messages import Order, Report
from export.runtime.route import Route
from export.runtime.viewing.local_map import STATE_SIZE, LocalMap, read
from export.runtime.viewing.moment import Moment
from export.runtime.viewing.view import View


class RememberingPolicy(Protocol):
    """A policy whose recurrent state can be looked at; ``export.runtime.policy.Policy`` is one."""

    @property
    def state(self) -> np.ndarray | None:
        """(B, S) after the last step; None before the first."""


class DriveView:
    """Hands reports and orders to a view. What cannot be shown ends the view, never the drive."""

    def __init__(self, view: View, policy: RememberingPolicy, *, map_at: int | None) -> None:
        """Take a view.

        Args:
            map_at: Where the local planner's state begins in the policy's, see ``local_map.begins_at``.
        """
        self._view, self._policy, self._map_at = view, policy, map_at

    def add(self, report: Report, order: Order, route: Route | None) -> None:
        """Show one cycle.

        Args:
            route: What the policy follows now, if there is a goal.
        """
        if self._view.failure:
            return
        try:
            self._view.show(self._moment(report, order, route))
        except Exception as error:
            self._view.fail(error)

    def close(self) -> None:
        """End the view."""
        self._view.close()

    def _moment(self, report: Report, order: Order, route: Route | None) -> Moment:
        pose, route = np.asarray(report.pose), copy.copy(route)  # asking it moves its place on the path
        return Moment(
            time_s=report.time_s,
            pose_w=pose,
            velocity_b=np.asarray(report.velocity_b),
            command=np.asarray(report.command),
            asked=np.asarray(order.command),
            depth_m=report.depth_m,
            route_xy_b_m=None if route is None else route.ahead_b(pose),
            goal_b=None if route is None else route.goal_b(pose),
            local_map=self._local_map(),
            status=report.latched or report.gate,
        )

    def _local_map(self) -> LocalMap | None:
        state = self._policy.state
        if state is None or self._map_at is None or state.shape[1] < self._map_at + STATE_SIZE:
            return None
        return read(state[0, self._map_at :])
