"""Reference agents on a kinematic body: they do what they say, batched, seeded, and only through the observation."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch

from embodiments import registry
from embodiments.limits import action_to_command, project
from embodiments.observation import Observation, from_inputs
from embodiments.spaces import CONTROL_DT_S, DESCRIPTOR_SIZE, LIMIT_FIELDS, OBSERVATION_SHAPES
from pipeline.agents import go_straight, mppi, oracle_map, planner, random, teacher, zero
from pipeline.agents import registry as agents
from pipeline.agents.agent import Agent
from pipeline.agents.truth import PERSON_RADIUS_M, Truth
from world_model.anticipation import FAR_M, HORIZONS_S, SIDE, STILL_M, cells_b

LIMITS = {
    # forward, lateral, yaw rate, reverse, acceleration, yaw acceleration, wheel speed, half track; lag of the drive [s]
    "fast_wheels": ((1.0, 0.0, 1.5, 0.2, 1.0, 2.0, 1.2, 0.2), 0.05),
    "slow_wheels": ((0.3, 0.0, 0.6, 0.2, 0.3, 0.6, 0.3, 0.158), 0.1),
    "gait": ((1.0, 0.3, 1.0, 0.2, 1.5, 2.0, 1.2, 0.0), 0.3),
}


@dataclass
class Body:
    """A unicycle whose velocity follows the projected command with a first-order lag."""

    descriptor: torch.Tensor
    lag_s: float
    pose_w: torch.Tensor
    goal_w: torch.Tensor

    def __post_init__(self) -> None:
        self.velocity_b = torch.zeros(len(self.pose_w), 3)
        self.command = torch.zeros(len(self.pose_w), 3)

    def observe(self) -> Observation[torch.Tensor]:
        offset = self.goal_w[:, :2] - self.pose_w[:, :2]
        cos, sin = self.pose_w[:, 2].cos(), self.pose_w[:, 2].sin()
        relative = self.goal_w[:, 2] - self.pose_w[:, 2]
        goal_b = torch.stack(
            [
                cos * offset[:, 0] + sin * offset[:, 1],
                cos * offset[:, 1] - sin * offset[:, 0],
                relative.cos(),
                relative.sin(),
            ],
            dim=1,
        )
        batch = len(self.pose_w)
        fields = {name: torch.zeros(batch, *shape) for name, shape in OBSERVATION_SHAPES.items()}
        fields |= {
            "goal_b": goal_b,
            "embodiment": self.descriptor,
            "velocity_b": self.velocity_b,
            "previous_command": self.command,
        }
        return from_inputs(fields)

    def step(self, share: torch.Tensor) -> None:
        self.command = project(action_to_command(share, self.descriptor), self.command, self.descriptor)
        for _ in range(5):
            dt_s = CONTROL_DT_S / 5
            self.velocity_b += (self.command - self.velocity_b) * min(1.0, dt_s / self.lag_s)
            heading = self.pose_w[:, 2]
            forward = torch.stack([heading.cos(), heading.sin()], dim=1)
            left = torch.stack([-heading.sin(), heading.cos()], dim=1)
            self.pose_w[:, :2] += (forward * self.velocity_b[:, :1] + left * self.velocity_b[:, 1:2]) * dt_s
            self.pose_w[:, 2] += self.velocity_b[:, 2] * dt_s

    def succeeded(self) -> torch.Tensor:
        goal_b = self.observe().goal_b
        near = torch.linalg.vector_norm(goal_b[:, :2], dim=1) < 0.5
        still = (torch.linalg.vector_norm(self.velocity_b[:, :2], dim=1) < 0.1) & (self.velocity_b[:, 2].abs() < 0.1)
        return near & still & (torch.atan2(goal_b[:, 3], goal_b[:, 2]).abs() < 0.1)


def privileged() -> Truth:
    raise AssertionError("this agent must not look at what no robot sees")


def descriptor_of(body: str, *, batch: int) -> torch.Tensor:
    limits, _ = LIMITS[body]
    descriptor = torch.zeros(batch, DESCRIPTOR_SIZE)
    descriptor[:, : len(LIMIT_FIELDS)] = torch.tensor(limits)
    return descriptor


@pytest.fixture
def body_with_random_goals() -> Callable[[str], Body]:
    def build(name: str) -> Body:
        generator = torch.Generator().manual_seed(0)
        batch = 64
        goal_w = torch.rand(batch, 3, generator=generator) * 2.0 - 1.0
        goal_w[:, :2] *= 5.0
        goal_w[:, 2] *= torch.pi
        goal_w[0] = torch.tensor([-3.0, 0.0, 3.0])  # exactly behind
        pose_w = torch.zeros(batch, 3)
        return Body(descriptor=descriptor_of(name, batch=batch), lag_s=LIMITS[name][1], pose_w=pose_w, goal_w=goal_w)

    return build


@pytest.mark.parametrize("name", LIMITS)
def test_go_straight_reaches_every_goal_in_the_open(name: str, body_with_random_goals: Callable[[str], Body]) -> None:
    body = body_with_random_goals(name)
    agent = go_straight.GoStraightAgent(num_envs=64, device="cpu", seed=0)
    agent.reset(torch.ones(64, dtype=torch.bool))
    limit_s = 25.6 * max(1.0, 1.0 / LIMITS[name][0][0])
    reached = torch.zeros(64, dtype=torch.bool)
    for _ in range(int(limit_s / CONTROL_DT_S)):
        body.step(agent.act(body.observe(), privileged))
        reached |= body.succeeded()
    assert reached.all(), f"not reached: {body.goal_w[~reached]}"
    # It stays there: the success is a stop at the goal, not a passage.
    assert body.succeeded().all()


def test_who_is_driven_once_for_all_routes_does_not_look_at_them(body_with_random_goals: Callable[[str], Body]) -> None:
    seen = body_with_random_goals("fast_wheels").observe()
    around = seen.goal_b[:, None, :2].repeat(1, 10, 1)
    around[:, :5] += torch.tensor([1.5, 1.5])
    bent = dataclasses.replace(seen, route_xy_b_m=around)
    for name in agents.without_weights():
        if agents.get(name).kind == "privileged":  # they know more than the observation
            continue
        shares = []
        for observation in (seen, bent):
            torch.manual_seed(0)
            agent = agents.make(name, registry.get("tiago"), num_envs=64, device="cpu", seed=0)
            agent.reset(torch.ones(64, dtype=torch.bool))
            for _ in range(10):
                share = agent.act(observation, privileged)
            shares.append(share)
        assert torch.equal(*shares) == (not agents.get(name).uses_route), name


def test_the_planner_drives_straight_where_it_sees_nothing(body_with_random_goals: Callable[[str], Body]) -> None:
    body = body_with_random_goals("fast_wheels")
    agent = planner.PlannerAgent(num_envs=64, device="cpu", seed=0)
    agent.reset(torch.ones(64, dtype=torch.bool))
    reached = torch.zeros(64, dtype=torch.bool)
    for _ in range(200):
        body.step(agent.act(body.observe(), privileged))
        reached |= body.succeeded()
    assert reached.float().mean() > 0.95  # a goal just behind is turned to late: the map's directions are coarse


@pytest.mark.parametrize("name", LIMITS)
def test_mppi_stops_at_goals_in_the_open(name: str) -> None:
    goal_w = torch.tensor([[2.0, 0.5, 1.0], [1.0, -1.5, -2.0], [-1.5, 0.5, 0.0], [1.5, 1.0, 3.0]])
    body = Body(descriptor_of(name, batch=4), LIMITS[name][1], torch.zeros(4, 3), goal_w)
    agent = mppi.MppiAgent(num_envs=4, device="cpu", seed=0)
    agent.reset(torch.ones(4, dtype=torch.bool))
    reached = torch.zeros(4, dtype=torch.bool)
    for _ in range(300):
        body.step(agent.act(body.observe(), privileged))
        reached |= body.succeeded()
        if reached.all():
            break
    assert reached.all(), f"not reached: {goal_w[~reached]}"


def wall_ahead(distance_m: float) -> torch.Tensor:
    """Return a depth image (1, 1, 40, 64) of a level camera, 1 m up, before a wall that fills its view."""
    return torch.full((1, 1, *OBSERVATION_SHAPES["depth_m"][1:]), distance_m)


def test_mppi_does_not_drive_into_what_it_sees() -> None:
    descriptor = torch.from_numpy(registry.get("tiago").descriptor())[None]
    closest_m = {}
    for distance_m in (1.2, 10.0):
        body = Body(descriptor, 0.05, torch.zeros(1, 3), torch.tensor([[4.0, 0.0, 0.0]]))
        agent = mppi.MppiAgent(num_envs=1, device="cpu", seed=0)
        agent.reset(torch.ones(1, dtype=torch.bool))
        for _ in range(40):
            ahead_m = distance_m - float(body.pose_w[0, 0])
            sees = body.pose_w[0, 2].abs() < 0.4  # turned away, it sees nothing
            depth = wall_ahead(max(ahead_m, 0.3) if sees else 10.0)
            body.step(agent.act(dataclasses.replace(body.observe(), depth_m=depth), privileged))
        closest_m[distance_m] = distance_m - float(body.pose_w[0, 0])
    assert closest_m[1.2] > 0.3  # the body's radius
    assert closest_m[10.0] < 8.0


def test_mppi_begins_anew_where_everybody_does() -> None:
    agent = mppi.MppiAgent(num_envs=2, device="cpu", seed=0)
    first, second = [], []
    for shares in (first, second):
        body = Body(descriptor_of("gait", batch=2), 0.05, torch.zeros(2, 3), torch.full((2, 3), 3.0))
        agent.reset(torch.ones(2, dtype=torch.bool))
        for _ in range(3):
            shares.append(agent.act(body.observe(), privileged))
            body.step(shares[-1])
    assert torch.equal(torch.stack(first), torch.stack(second))


def test_mppi_forgets_only_where_an_episode_begins() -> None:
    body = Body(descriptor_of("fast_wheels", batch=2), 0.05, torch.zeros(2, 3), torch.full((2, 3), 3.0))
    agent = mppi.MppiAgent(num_envs=2, device="cpu", seed=0)
    for _ in range(5):
        body.step(agent.act(body.observe(), privileged))
    agent.reset(torch.tensor([True, False]))
    assert not agent._mppi.U[0].any() and agent._mppi.U[1].any()
    assert not agent._map[0].any() and agent._map[1].any()


def test_zero_never_moves() -> None:
    body = Body(descriptor_of("gait", batch=3), 0.1, torch.zeros(3, 3), torch.ones(3, 3))
    assert torch.equal(
        zero.ZeroAgent(num_envs=3, device="cpu", seed=0).act(body.observe(), privileged), torch.zeros(3, 3)
    )


def test_random_is_seeded_bounded_and_held_for_a_second() -> None:
    def roll_out(seed: int) -> torch.Tensor:
        body = Body(descriptor_of("gait", batch=4), 0.1, torch.zeros(4, 3), torch.ones(4, 3))
        agent: Agent = random.RandomAgent(num_envs=4, device="cpu", seed=seed)
        agent.reset(torch.ones(4, dtype=torch.bool))
        return torch.stack([agent.act(body.observe(), privileged).clone() for _ in range(20)])

    shares = roll_out(1)  # (T, B, 3)
    assert torch.equal(shares, roll_out(1)) and not torch.equal(shares, roll_out(2))
    assert shares.abs().max() <= 1.0
    assert torch.equal(shares[0], shares[9]) and not torch.equal(shares[9], shares[10])


def truth_of(
    body: str,
    *,
    clearance_m: float = 1.0,
    goal_w: tuple[float, ...] = (3.0, 0.0, 0.0),
    stop_xy_w: tuple[float, ...] = (3.0, 0.0),
    person: tuple[float, ...] = (),
) -> Truth:
    """Return what the teacher may know of one body at the origin, with something near on its right.

    Args:
        person: x, y, vx, vy of somebody in an open place; nobody by default.
    """
    goal, rest = torch.tensor([goal_w]), torch.tensor([stop_xy_w])
    people = torch.tensor(person).view(1, -1, 4)
    nothing = torch.zeros(1)
    return Truth(
        pose_w=torch.zeros(1, 3),
        goal_w=goal,
        stop_xy_w=rest,
        descent_xy_b_m=goal[:, :2],
        clearance_m=torch.tensor([clearance_m]),
        away_xy_b=torch.tensor([[0.0, 1.0]]),
        geodesic_m=nothing,
        clearance_patch=torch.zeros(1, 64),
        velocity_b=torch.zeros(1, 3),
        command=torch.zeros(1, 3),
        descriptor=descriptor_of(body, batch=1),
        people_xy_w=people[..., :2],
        people_velocity_w=people[..., 2:],
        people_present=torch.ones(people.shape[:2], dtype=torch.bool),
        distance_at=lambda xy_w: torch.ones(xy_w.shape[:-1]),
        clearance_at=lambda poses_w: torch.ones(poses_w.shape[:-1]),
        cost_to_go_at=lambda xy_w: (xy_w - goal[:, :2]).norm(dim=-1),
        gap_at=lambda xy_w, poses_w: (xy_w - poses_w[..., :2]).norm(dim=-1) - 0.25,
    )


def teach(body: str, truth: Truth) -> torch.Tensor:
    """Return the share (3,) that a fresh teacher chooses."""
    agent = teacher.TeacherAgent(num_envs=1, device="cpu", seed=0)
    observation = Body(truth.descriptor, 0.1, truth.pose_w, truth.goal_w).observe()
    return agent.act(observation, lambda: truth)[0]


def test_the_teacher_waits_for_who_crosses_and_not_for_who_has_passed() -> None:
    alone = teach("fast_wheels", truth_of("fast_wheels"))
    crossing = teach("fast_wheels", truth_of("fast_wheels", person=(1.0, -0.8, 0.0, 0.8)))
    passed = teach("fast_wheels", truth_of("fast_wheels", person=(1.0, 1.2, 0.0, 0.8)))
    assert alone[0] > 0.5
    assert crossing[0] < 0.5 * alone[0]
    assert torch.equal(passed, alone)


def test_the_teacher_does_not_drive_towards_who_walks_into_it() -> None:
    assert teach("fast_wheels", truth_of("fast_wheels", person=(0.9, 0.0, -0.5, 0.0)))[0] <= 0.0


def test_a_walker_rests_where_there_is_room_and_a_wheeled_body_at_the_goal() -> None:
    goal_w, stop_xy_w = (0.6, 0.0, 0.0), (0.6, 0.2)
    walker, wheels = (
        teach(body, truth_of(body, goal_w=goal_w, stop_xy_w=stop_xy_w)) for body in ("gait", "fast_wheels")
    )
    assert walker[2] > 0.0 == wheels[2]


def test_a_walker_steps_aside_while_it_moves_and_stands_still_at_rest() -> None:
    near, roomy, wheels = (
        teach(body, truth_of(body, clearance_m=clearance_m))
        for body, clearance_m in (("gait", 0.05), ("gait", 0.5), ("fast_wheels", 0.05))
    )
    assert near[1] > 0.0 and roomy[1] == 0.0 and wheels[1] == 0.0
    here = truth_of("gait", clearance_m=0.02, goal_w=(0.0, 0.0, 0.0), stop_xy_w=(0.0, 0.0))
    assert (teach("gait", here) == 0.0).all()


def test_the_oracle_knows_what_is_behind_and_where_people_are() -> None:
    truth = truth_of("fast_wheels", person=(2.0, 1.0, 0.0, 0.0))
    truth = dataclasses.replace(truth, distance_at=lambda xy_w: (xy_w[..., 0] + 2.0).abs())  # a wall 2 m behind
    truth = dataclasses.replace(truth, people_velocity_w=torch.tensor([[[0.0, 1.0]]]))
    around = oracle_map.true_surroundings(truth)
    ahead, left = cells_b(truth.pose_w).view(SIDE, SIDE, 2).unbind(dim=-1)
    torch.testing.assert_close(around.distance_m[0], (ahead + 2.0).abs().clip(max=FAR_M))
    assert (around.still[0] > 0.5).equal((ahead + 2.0).abs() < STILL_M)
    for horizon, later_s in enumerate(HORIZONS_S):
        gap_m = torch.hypot(ahead - 2.0, left - 1.0 - later_s) - PERSON_RADIUS_M
        assert (around.moving[0, horizon] > 0.5).equal(gap_m < STILL_M)
