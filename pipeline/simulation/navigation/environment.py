"""The navigation environment: one robot type, many scenes, one batch.

A control step is 0.1 s: five drive steps of 20 ms, after each of which the footprint is checked against the scene.
Episodes end by success, collision, fall, broken physics (terminated) or the time limit (truncated). Autoreset follows
gymnasium's NEXT_STEP: the step after an end ignores its action and returns the first observation of the next episode.
"""

from dataclasses import dataclass

import numpy as np
import torch

from embodiments.embodiment import GaitDrive
from embodiments.limits import action_to_command, bound, project, steer
from embodiments.observation import Observation
from embodiments.spaces import COMMAND_SIZE, CONTROL_DT_S, DRIVE_HZ
from pipeline.agents.truth import Truth
from pipeline.simulation.conditions.crowd import CrowdPlan
from pipeline.simulation.conditions.disturbances import LONGEST_LATENCY_S, Disturbance
from pipeline.simulation.navigation.config import NavigationConfig
from pipeline.simulation.navigation.episode_queue import Assignment
from pipeline.simulation.navigation.episodes import SUCCESS_RADIUS_M
from pipeline.simulation.navigation.reward import StepReward
from pipeline.simulation.navigation.running_fields import RunningFields
from pipeline.simulation.navigation.running_people import RunningPeople
from pipeline.simulation.navigation.task import Task
from pipeline.simulation.navigation.tracker import STOOD_S, EpisodeTracker, Outcome, StepInfo, stands
from pipeline.simulation.physics.body import BodyBatch
from pipeline.simulation.physics.delay import DRIVE_STEPS, DelayLine
from pipeline.simulation.physics.drives import make_drive
from pipeline.simulation.physics.late_randomisation import LateRandomisation
from pipeline.simulation.physics.robot_physics import RobotPhysics
from pipeline.simulation.sensors import ray_caster
from pipeline.simulation.sensors.depth_camera import DepthCamera
from pipeline.simulation.sensors.odometry import Odometry
from pipeline.simulation.sensors.route import planned_route, project_on_route, straight_route
from world_model.local_planner.frames import goal_in_body, to_body, wrap_angle


@dataclass(frozen=True, kw_only=True)
class Step:
    """Result of one control step."""

    observation: Observation[torch.Tensor]
    reward: torch.Tensor
    terminated: torch.Tensor
    truncated: torch.Tensor
    first: torch.Tensor
    """(B,) bool: the observation is the first of an episode; recurrent state must be reset before it is used"""
    outcome: Outcome
    """Valid where ``terminated | truncated``"""


class NavigationEnvironment:
    """Batched environment of one robot type; every environment may hold another scene."""

    def __init__(
        self, task: Task, *, config: NavigationConfig, num_envs: int, device: str = "cpu", seed: int = 0
    ) -> None:
        """Build physics, ray caster and fields, one environment per process; call ``reset`` before the first step."""
        embodiment, episodes = task.embodiment, task.episodes
        self.embodiment, self.config, self.num_envs, self.device = embodiment, config, num_envs, device
        self._generator = torch.Generator(device=device).manual_seed(seed)
        block = config.randomisation
        self.physics = RobotPhysics(
            embodiment,
            num_envs=num_envs,
            device=device,
            seed=seed,
            randomisable=block.physical or config.disturbable,
        )
        self._drive = make_drive(embodiment, self.physics)
        self.body = BodyBatch(embodiment, num_envs=num_envs, block=block, generator=self._generator, device=device)
        raycaster = ray_caster.make(task.scenes, device=device)
        self.camera = DepthCamera(raycaster, self.physics, noise_scale=block.depth_noise, seed=seed)
        self.disturbance: Disturbance | None = None
        if config.disturbable:
            self.disturbance = Disturbance(num_envs, episodes=len(episodes), device=device)
        self._tracker = EpisodeTracker(
            num_envs,
            radius_m=SUCCESS_RADIUS_M[episodes.protocol],
            needs_heading=episodes.protocol == "compass",
            settle_s=config.settle_s,
            device=device,
        )
        self.sees = True
        """Whether depth is rendered; agents that do not look need not wait for it, and get zeros"""
        self._load(task)
        self._allocate()

    def enter(self, task: Task) -> None:
        """Go on with other scenes and episodes of the same protocol; call ``reset`` before the next step."""
        self.camera.set_raycaster(ray_caster.make(task.scenes, device=self.device))
        self._load(task)
        self._allocate()

    def _load(self, task: Task) -> None:
        device, episodes = self.device, task.episodes
        self.episodes = episodes
        self._assignment = Assignment(episodes, num_envs=self.num_envs, generator=self._generator, device=device)
        self._fields = RunningFields(task, assignment=self._assignment, body=self.body, device=device)
        self._people: RunningPeople | None = None
        if self.config.people:
            self._people = RunningPeople(
                num_envs=self.num_envs, assignment=self._assignment, fields=self._fields, device=device
            )

    def _allocate(self) -> None:
        count, device = self.num_envs, self.device
        self._ended: torch.Tensor = torch.ones(count, dtype=torch.bool, device=device)
        self.pose_w: torch.Tensor = torch.zeros(count, 3, device=device)
        self.previous_command: torch.Tensor = torch.zeros(count, COMMAND_SIZE, device=device)
        self._velocity_b: torch.Tensor = torch.zeros(count, COMMAND_SIZE, device=device)
        block = self.config.randomisation
        self._odometry = Odometry(
            count, drift_xy_per_m=block.drift_xy_per_m, drift_yaw_per_m=block.drift_yaw_per_m, device=device
        )
        self._along_m: torch.Tensor = torch.zeros(count, device=device)
        longest_s = max(block.latency_s[1], LONGEST_LATENCY_S if self.disturbance else 0.0)
        self._stood_s: torch.Tensor = torch.zeros(count, device=device)
        self._dynamics = LateRandomisation(self.physics, block, generator=self._generator)
        self._delay = DelayLine(count, longest_s=longest_s, device=device)
        self._reward = StepReward(count, self.config.reward, device=device)

    # -- which episodes run ---------------------------------------------------------------------------------------

    def assign(self, queue: torch.Tensor) -> None:
        """Give every environment its own list of episodes instead of random ones, see ``Assignment.assign``."""
        self._assignment.assign(queue)

    def weigh_episodes(self, weights: torch.Tensor) -> None:
        """Set the relative chance (N,) of every episode when they are drawn at random (curriculum)."""
        self._assignment.weigh(weights)

    @property
    def episode(self) -> torch.Tensor:
        """(B,) int64 number of the running episode, -1 where none is left."""
        return self._assignment.episode

    @property
    def scene_index(self) -> torch.Tensor:
        """(B,) int64 scene of the running episode."""
        return self._now["scene_index"]

    @property
    def idle(self) -> torch.Tensor:
        """(B,) bool: no episode left for this environment."""
        return self._assignment.idle

    def disturb(self, values: np.ndarray, numbers: np.ndarray) -> None:
        """Set what is wrong (N, F) in every episode that begins from now on, see ``Disturbance.load``.

        Raises:
            ValueError: If the environment was not built with ``disturbable=True``.
        """
        if self.disturbance is None:
            raise ValueError("NavigationEnvironment.disturb needs NavigationConfig(disturbable=True)")
        self.disturbance.load(values, numbers)

    def populate(self, plan: CrowdPlan) -> None:
        """Set the people of every episode that begins from now on.

        Raises:
            ValueError: If the environment was not built with ``people=True``, or the plan is for other episodes.
        """
        if self._people is None:
            raise ValueError("NavigationEnvironment.populate needs NavigationConfig(people=True)")
        self._people.plan(plan, episodes=len(self.episodes))

    def settle_for(self, seconds: float) -> None:
        """Let episodes go on after a success for up to so long from here on, whatever ``NavigationConfig`` said."""
        self._tracker.settle_for(seconds)

    def reseed(self, seed: int) -> None:
        """Draw from here on as if the environment had just been built with this seed."""
        self._generator.manual_seed(seed)
        self.camera.reseed(seed)

    # -- stepping -------------------------------------------------------------------------------------------------

    def reset(self) -> Step:
        """Begin a new episode everywhere and return its first observation."""
        self._ended = torch.ones_like(self._ended)
        return self.step_command(torch.zeros(self.num_envs, COMMAND_SIZE, device=self.device))

    def step(self, action: torch.Tensor) -> Step:
        """Run one control step with normalised actions (B, 3); their command is projected here."""
        wanted = action_to_command(action, self.body.descriptor)
        return self._execute(project(wanted, self.previous_command, self.body.descriptor))

    def step_command(self, command: torch.Tensor) -> Step:
        """Run one control step with a command (B, 3) that has been projected; the limits bound any other."""
        heard = command.masked_fill(~torch.isfinite(command), torch.nan)  # no limit makes a command of infinity
        return self._execute(bound(heard, self.previous_command, self.body.descriptor))

    def _execute(self, command: torch.Tensor) -> Step:
        first = self._ended
        self._begin(first)
        running = ~first & ~self.idle
        speechless = ~torch.isfinite(command).all(dim=1)  # a policy that answers NaN: its episode fails, alone
        executed = command.masked_fill(speechless[:, None], 0.0) * running[:, None]
        executed = steer(executed, self.embodiment.turning_radius_m, self.body.descriptor)
        last_command = self.previous_command
        self._delay.send(executed)
        facts = self._advance(running, broken=speechless)
        self.previous_command = executed
        verdict = self._tracker.update(facts, running, self._now["time_limit_s"])
        step_reward = self._reward.after(
            facts,
            cost_to_go_m=self._fields.cost_to_go_at(facts.position_w),
            success=verdict["succeeded"],
            command_change=(executed - last_command) / self.body.forward_mps[:, None],
            forward_mps=self.body.forward_mps,
        )
        self._ended = verdict["ended"]
        return Step(
            observation=self.observe(),
            reward=torch.nan_to_num(step_reward * running),
            terminated=verdict["ended"] & ~verdict["timeout"],
            truncated=verdict["timeout"],
            first=first,
            outcome=self._tracker.outcome(facts, self.episode, verdict["timeout"]),
        )

    def observe(self) -> Observation[torch.Tensor]:
        """Return what the policy sees now; everything privileged stays out."""
        seen_w = self._odometry.believed_w(self.pose_w)  # not the truth
        along = project_on_route(self._now["route_w_m"], self._now["spacing_m"], seen_w[:, :2], self._along_m)
        self._along_m = along
        planned = planned_route(self._now["route_w_m"], self._now["spacing_m"], along)
        route_w = torch.where(self._now["planned"][:, None, None], planned, straight_route(self._now["goal_w"], seen_w))
        depth_m, self._semantic = self.render() if self.sees else self.camera.blank_images()
        return Observation(
            depth_m=depth_m,
            velocity_b=self._velocity_b,
            previous_command=self.previous_command,
            route_xy_b_m=to_body(route_w, seen_w),
            goal_b=goal_in_body(self._now["goal_w"], seen_w),
            descriptor=self.body.descriptor,
        )

    def render(self, camera: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """Return depth (B, 1, H, W) [m] and semantic class (B, H, W) from the robot's camera or other mounts (B, 7)."""
        mount = self.body.camera if camera is None else camera
        person = None if self.disturbance is None else self.disturbance.person
        crowd = None if self._people is None else self._people.crowd
        walkers = [who for who in (person, crowd) if who is not None and bool(who.present.any())]
        cast = walkers[0].cast if walkers else None
        return self.camera.render(mount, self.scene_index, own_body=camera is None, person=cast)

    @property
    def semantic(self) -> torch.Tensor:
        """(B, H, W) uint8 classes of the last observation's pixels; privileged."""
        return self._semantic

    def privileged(self) -> Truth:
        """Return what only the teacher and a privileged critic may see."""
        fields, position = self._fields, self.pose_w[:, :2]
        clearance_m = fields.clearance_at(self.pose_w)
        away_w = torch.zeros_like(position)
        if isinstance(self.embodiment.drive, GaitDrive):  # nobody else can step aside
            away_w = fields.away_xy_w(self.pose_w, clearance_m)
        xy_w, velocity_w, present = self.people()
        return Truth(
            pose_w=self.pose_w,
            goal_w=self._now["goal_w"],
            stop_xy_w=self._now["stop_xy_w_m"],
            descent_xy_b_m=to_body(fields.ahead(position), self.pose_w),
            clearance_m=clearance_m,
            away_xy_b=to_body(position + away_w, self.pose_w),
            geodesic_m=fields.geodesic_at(position),
            clearance_patch=fields.clearance_patch_m(self.pose_w),
            velocity_b=self._velocity_b,
            command=self.previous_command,
            descriptor=self.body.descriptor,
            people_xy_w=xy_w,
            people_velocity_w=velocity_w,
            people_present=present,
            distance_at=fields.distance_at,
            clearance_at=fields.clearance_at,
            cost_to_go_at=fields.cost_to_go_at,
            gap_at=self.body.gap_m,
        )

    def distance_at(self, xy_w: torch.Tensor) -> torch.Tensor:
        """Return the distance (B, Q) of points (B, Q, 2) to the nearest obstacle of the body's layers [m]."""
        return self._fields.distance_at(xy_w)

    def people(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return where people are (B, K, 2), how fast they walk (B, K, 2), and who is there (B, K)."""
        if self._people is None:
            nobody = torch.zeros(self.num_envs, 0, 2, device=self.device)
            return nobody, nobody, torch.zeros(self.num_envs, 0, dtype=torch.bool, device=self.device)
        crowd = self._people.crowd
        return crowd.xy_w, crowd.velocity_w, crowd.present

    # -- inside ---------------------------------------------------------------------------------------------------

    @property
    def _now(self) -> dict[str, torch.Tensor]:
        return self._assignment.now

    def _begin(self, mask: torch.Tensor) -> None:
        if not bool(mask.any()):
            return
        self._assignment.begin(mask)
        start_w = self._now["start_w"]
        self.physics.reset(mask, start_w[:, :2], start_w[:, 2])
        self._drive.reset(mask)
        self.body.resample(mask)
        block = self.config.randomisation
        self._dynamics.begin(mask)
        low, high = block.latency_s
        drawn = low + (high - low) * torch.rand(self.num_envs, generator=self._generator, device=self.device)
        self._delay.begin(mask, drawn)
        self._odometry.begin(mask)
        for state in (self.previous_command, self._along_m):
            state[mask] = 0.0
        self.pose_w = torch.where(mask[:, None], start_w, self.pose_w)
        self._tracker.begin(mask, self.pose_w[:, :2])
        self._stood_s[mask] = 0.0
        self._begin_disturbed(mask)
        if self._people is not None:
            self._people.begin(mask)

    def _begin_disturbed(self, mask: torch.Tensor) -> None:
        """Let what is wrong in the new episodes begin."""
        now = self.disturbance
        if now is None:
            return
        now.begin(mask, self.episode)
        self.physics.variation.set(
            friction=now.factor("friction"), mass_scale=now.factor("mass"), motor_strength=now.factor("motor_strength")
        )
        self._delay.begin(mask, now.factor("latency"))
        self._odometry.begin(mask, now.pose_bias)
        self.body.camera = torch.where(mask[:, None], self.body.camera + now.camera_error, self.body.camera)
        self.camera.noise_factor, self.camera.dropout = now.factor("depth_noise"), now.factor("depth_dropout")
        self.camera.flying = now.factor("flying_pixels")
        now.person.begin(
            mask,
            speed_mps=now.factor("person"),
            phase=now.phase,
            route_w_m=self._now["route_w_m"],
            clearance=self._fields.lowest_distance_at,
        )

    def _advance(self, running: torch.Tensor, *, broken: torch.Tensor) -> StepInfo:
        """Run the drive steps; return what happened."""
        poses_w, velocities_b, start_xy = [], [], self.pose_w[:, :2]
        scale = running.float() if self.disturbance is None else running * self.disturbance.factor("speed_scale")
        work_j = torch.full_like(self._along_m, 0.0 if self.config.measures_energy else torch.nan)
        for drive_step in range(DRIVE_STEPS):
            self._drive.step(self._delay.arrived(drive_step) * scale[:, None])
            poses_w.append(torch.cat([self.physics.position_w[:, :2], self.physics.yaw_w[:, None]], dim=1))
            velocities_b.append(self.physics.velocity_b)
            if self.config.measures_energy:
                work_j = work_j + torch.nan_to_num(self.physics.mechanical_power_w) / DRIVE_HZ
        passed_w = torch.nan_to_num(torch.stack(poses_w))  # (DRIVE_STEPS, B, 3)
        clearance = self._fields.clearance_at(passed_w).amin(dim=0)
        if self.disturbance is not None:
            clearance = torch.minimum(clearance, self.disturbance.person.advance(self.body, passed_w))
        person_gap_m = torch.full_like(self._along_m, torch.inf)
        if self._people is not None:
            person_gap_m = self._people.walk(self.body, passed_w)
        touched = person_gap_m < 0.0
        bumped = touched & (self._stood_s >= STOOD_S)
        velocity_b, pose_w = torch.nan_to_num(torch.stack(velocities_b)).mean(dim=0), passed_w[-1]
        self._velocity_b, self.pose_w = velocity_b, pose_w
        self._stood_s = torch.where(stands(velocity_b), self._stood_s + CONTROL_DT_S, 0.0)
        self._odometry.travel(
            (pose_w[:, :2] - start_xy).norm(dim=1),
            generator=self._generator,
            extra_rates=None if self.disturbance is None else self.disturbance.drift_rates,
        )
        offset = self._now["goal_w"][:, :2] - pose_w[:, :2]
        return StepInfo(
            position_w=pose_w[:, :2],
            velocity_b=velocity_b,
            velocity_w=(pose_w[:, :2] - start_xy) / CONTROL_DT_S,
            distance_m=offset.norm(dim=1),
            heading_error_rad=wrap_angle(self._now["goal_w"][:, 2] - pose_w[:, 2]),
            geodesic_m=self._fields.geodesic_at(pose_w[:, :2]),
            clearance_m=torch.minimum(clearance, person_gap_m),
            person_gap_m=person_gap_m,
            person_bumped=bumped & running,
            collision=((clearance < 0.0) | (touched & ~bumped)) & running,
            fall=self.physics.fallen() & running,
            broken=(self.physics.broken() | broken) & running,
            work_j=work_j,
        )
