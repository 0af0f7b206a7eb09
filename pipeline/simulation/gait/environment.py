"""Velocity tracking as an rsl_rl environment: command and proprioception in, joint targets out, at 50 Hz."""

import dataclasses
from dataclasses import dataclass, field
from typing import Any

import torch
from rsl_rl.env import VecEnv
from tensordict import TensorDict

from embodiments.embodiment import Embodiment, GaitDrive
from embodiments.spaces import DRIVE_HZ
from pipeline.simulation.gait.curriculum import Curriculum
from pipeline.simulation.gait.rewards import CONTACT_N, WEIGHTS, GaitRewards, GaitStep
from pipeline.simulation.physics.dynamics import FACTORS, SHIFT_Y_FACTOR, GaitDynamics, GaitRandomisation
from pipeline.simulation.physics.gait_policy import GaitController, Mirror, is_moving, observation_size
from pipeline.simulation.physics.robot_physics import RobotPhysics

LINEAR_ERROR_TIME_S = 0.25
"""Time constant of the running mean of the velocity error: a walking body sways within half a cycle [s]."""

LIGHTEST = 0.75
"""Smallest factor on the mass of every link in training."""


@dataclass(frozen=True, kw_only=True)
class GaitTask:
    """Commands, episodes and randomisation of gait training."""

    episode_s: float = 20.0
    command_s: tuple[float, float] = (2.0, 6.0)
    """A target holds for a time sampled from this interval; the command ramps to it with the robot's accelerations."""
    margin: float = 1.1
    """Training commands exceed the robot's limits by this factor, so that the limits are not the edge of the data."""
    reverse_mps: float = 0.55
    """Least reverse range: a robot also recovers from a push from ahead by steps back."""
    lateral_mps: float = 0.4
    yaw_rate_radps: float = 1.2
    stand_fraction: float = 0.18
    turn_fraction: float = 0.17
    side_fraction: float = 0.12
    """Sideways only: learned last, because its commands are the smallest."""
    slow_fraction: float = 0.20
    randomisation: GaitRandomisation = field(default_factory=lambda: GaitRandomisation(body_mass_scale=(LIGHTEST, 1.3)))
    """Wider in mass than the usual physics of ``evaluate_gait``, which also tests robots that are a fifth heavier."""
    randomise_every_steps: int = 1500
    """All environments sample new dynamics at once, because writing masses is slow."""
    push_mps: float = 0.7
    """Largest change of speed by a push at the end of the curriculum: more than in ``evaluate_gait``."""
    push_every_s: float = 6.0
    fall_penalty: tuple[float, float] = (2.0, 15.0)
    """Without and with the largest pushes. It grows, because a high penalty at the start teaches only standing."""

    def forward_range_mps(self, embodiment: Embodiment) -> tuple[float, float]:
        """Return the lowest and highest forward command at the end of the curriculum."""
        assert isinstance(embodiment.drive, GaitDrive)
        reverse_mps = max(embodiment.drive.reverse_mps * self.margin, self.reverse_mps)
        return -reverse_mps, embodiment.limits.forward_mps * self.margin


class GaitEnvironment(VecEnv):
    """rsl_rl's contract over ``RobotPhysics``; observation groups ``policy`` (B, O) and ``critic`` (B, C)."""

    def __init__(self, embodiment: Embodiment, *, num_envs: int, task: GaitTask, device: str, seed: int) -> None:
        """Build the scene; the curriculum starts at its easiest."""
        assert isinstance(embodiment.drive, GaitDrive)
        self.embodiment, self.drive, self.task = embodiment, embodiment.drive, task
        self.num_envs, self.num_actions, self.device = num_envs, len(embodiment.drive.joints), device
        self.max_episode_length = round(task.episode_s * DRIVE_HZ)
        self.cfg = dataclasses.asdict(task)
        self.physics = RobotPhysics(embodiment, num_envs=num_envs, device=device, seed=seed, randomisable=True)
        self.controller = GaitController(self.drive, num_envs=num_envs, device=device)
        self.mirror = Mirror(self.drive, device)
        self._generator = torch.Generator(device=device).manual_seed(seed)
        self._rewards = GaitRewards(self.drive, self.physics)
        self.dynamics = GaitDynamics(self.physics, task.randomisation, seed=seed + 1)
        self.curriculum = Curriculum()
        self._steps = 0
        self.episode_length_buf = torch.zeros(num_envs, dtype=torch.long, device=device)
        self.command = torch.zeros(num_envs, 3, device=device)
        self._target = torch.zeros(num_envs, 3, device=device)
        limits = embodiment.limits
        accelerations = (limits.acceleration_mps2, limits.acceleration_mps2, limits.yaw_acceleration_radps2)
        self._command_step = torch.tensor(accelerations, device=device) / DRIVE_HZ
        self._command_left = torch.zeros(num_envs, device=device)
        self._mean_error = torch.zeros(num_envs, 3, device=device)
        self._sums = {name: torch.zeros(num_envs, device=device) for name in WEIGHTS}
        self.last_log: dict[str, torch.Tensor] = {}
        self._everyone = torch.ones(num_envs, dtype=torch.bool, device=device)
        self._reset(self._everyone)
        # Spread over an episode: otherwise all robots would reset in the same step.
        self.episode_length_buf = (self.max_episode_length * self._rand()).long()

    def get_observations(self) -> TensorDict:
        """Return noisy proprioception for the actor and clean, privileged state for the critic."""
        policy = self.controller.observe(self.physics, self.command, noise=self.dynamics.noise())
        clean = self.controller.measure(self.physics, self.command)
        return TensorDict({"policy": policy, "critic": self._privileged(clean)}, batch_size=[self.num_envs])

    def step(self, actions: torch.Tensor) -> tuple[TensorDict, torch.Tensor, torch.Tensor, dict[str, Any]]:
        """Advance by one drive step (20 ms)."""
        previous_action, previous_velocity = self.controller.previous_action, self.physics.joint_velocity
        foot_phase = (self.controller.phase[:, None] + self.controller.foot_phases) % 1.0
        stepping = self.controller.is_stepping(self.command)
        self.dynamics.step(self.controller.act(actions, self.command))
        self._steps += 1
        self.episode_length_buf = self.episode_length_buf + 1
        self._push_and_randomise()
        blend = 1.0 / (LINEAR_ERROR_TIME_S * DRIVE_HZ)
        self._mean_error = self._mean_error + blend * (self.command - self.physics.velocity_b - self._mean_error)
        fallen = self.physics.fallen() | self.physics.broken()
        self.curriculum.update(fallen, self.command, self._mean_error)
        reward = self._reward(
            GaitStep(
                command=self.command,
                moving=stepping,
                mean_error=self._mean_error,
                foot_phase=foot_phase,
                action=self.controller.previous_action,
                previous_action=previous_action,
                previous_joint_velocity=previous_velocity,
                dt_s=1.0 / DRIVE_HZ,
            )
        )
        low, high = self.task.fall_penalty
        reward = reward - (low + (high - low) * self.curriculum.push_fraction) * fallen
        timed_out = (self.episode_length_buf >= self.max_episode_length) & ~fallen
        done = fallen | timed_out
        self.last_log = self._log(done, fallen)
        extras = {"time_outs": timed_out, "log": self.last_log}
        self._reset(done)
        self._resample(self._command_left <= 0.0)
        self._command_left = self._command_left - 1.0 / DRIVE_HZ
        change = (self._target - self.command).clamp(-self._command_step, self._command_step)
        self.command = self.command + change
        return self.get_observations(), reward, done, extras

    def mirrored(
        self, observations: TensorDict | None, actions: torch.Tensor | None
    ) -> tuple[TensorDict | None, torch.Tensor | None]:
        """Append the left-right mirror image of every sample (rsl_rl's symmetry extension)."""
        if observations is not None:
            mirror = {
                "policy": self.mirror.observation(observations["policy"]),
                "critic": self._mirror_privileged(observations["critic"]),
            }
            both = {name: torch.cat([observations[name], mirror[name]]) for name in mirror}
            observations = TensorDict(both, batch_size=[2 * observations.batch_size[0]])
        if actions is not None:
            actions = torch.cat([actions, self.mirror.action(actions)])
        return observations, actions

    def _privileged(self, clean: torch.Tensor) -> torch.Tensor:
        physics = self.physics
        contact = (physics.feet_contact_force > CONTACT_N).float()
        return torch.cat(
            [
                clean,
                contact,
                physics.feet_position_w[..., 2] * 10.0,
                physics.linear_velocity_b * 2.0,
                self._mean_error * 4.0,
                physics.position_w[:, 2:3] * 5.0,
                self.dynamics.factors,
            ],
            dim=-1,
        )

    def _mirror_privileged(self, critic: torch.Tensor) -> torch.Tensor:
        size, feet = observation_size(self.num_actions), len(self.drive.feet)
        clean, contact, height, rest = critic.split([size, feet, feet, critic.shape[-1] - size - 2 * feet], dim=-1)
        swap = [index + 1 if index % 2 == 0 else index - 1 for index in range(feet)]
        sign = torch.ones(rest.shape[-1], device=rest.device)
        # vy; mean errors in vy and yaw rate; centre of mass shift in y
        sign[[1, 4, 5, rest.shape[-1] - FACTORS + SHIFT_Y_FACTOR]] = -1.0
        return torch.cat([self.mirror.observation(clean), contact[:, swap], height[:, swap], rest * sign], dim=-1)

    def _reward(self, step: GaitStep) -> torch.Tensor:
        total = torch.zeros(self.num_envs, device=self.device)
        for name, term in self._rewards.terms(step).items():
            weighted = WEIGHTS[name] * step.dt_s * torch.nan_to_num(term, posinf=0.0, neginf=0.0)
            self._sums[name] = self._sums[name] + weighted
            total = total + weighted
        return total.clamp(min=0.0)  # with negative totals a robot would learn to end the episode by a fall

    def _log(self, done: torch.Tensor, fallen: torch.Tensor) -> dict[str, torch.Tensor]:
        ended = done.float().sum().clamp(min=1.0)
        scale = 1.0 / (ended * self.task.episode_s)
        log = {f"reward/{name}": (value * done).sum() * scale for name, value in self._sums.items()}
        log["level"] = torch.tensor(self.curriculum.level)
        for name, ratio in zip(("forwards", "backwards", "sideways", "turning"), self.curriculum.followed, strict=True):
            log[f"followed/{name}"] = ratio
        log["falls"] = fallen.float().mean() * DRIVE_HZ
        log["error/linear_mps"] = self._mean_error[:, :2].norm(dim=-1).mean()
        log["error/yaw_radps"] = self._mean_error[:, 2].abs().mean()
        still = (~self.controller.is_stepping(self.command)).float()
        speed = self.physics.velocity_b[:, :2].norm(dim=-1)
        log["error/stand_mps"] = (speed * still).sum() / still.sum().clamp(min=1.0)
        return log

    def _reset(self, mask: torch.Tensor) -> None:
        if bool(mask.any()):
            zeros = torch.zeros(self.num_envs, 2, device=self.device)
            self.physics.reset(mask, zeros, zeros[:, 0])
            self.controller.reset(mask, self._rand())
            self.dynamics.hold(mask, self.controller.default_rad.expand(self.num_envs, -1))
            self.episode_length_buf = torch.where(mask, 0, self.episode_length_buf)
            self._sums = {name: torch.where(mask, 0.0, value) for name, value in self._sums.items()}
            self._resample(mask)
            self.command = torch.where(mask[:, None], 0.0, self.command)
            # At rest the error is the whole command. A start at zero would reward repeated falls.
            self._mean_error = torch.where(mask[:, None], self._target, self._mean_error)

    def _resample(self, mask: torch.Tensor) -> None:
        """Sample new commands (B, 3): stand, turn in place, sideways, slow, or anywhere in the range."""
        task = self.task
        kind, unit = self._rand(), self._rand(3)
        lowest_mps, highest_mps = task.forward_range_mps(self.embodiment)
        fraction = self.curriculum.command_fraction
        # Sideways at full range from the start: a third of it hardly changes the reward, and ANYmal C did not learn it.
        turn_radps = fraction * task.yaw_rate_radps
        low = torch.tensor([fraction * lowest_mps, -task.lateral_mps, -turn_radps], device=self.device)
        high = torch.tensor([fraction * highest_mps, task.lateral_mps, turn_radps], device=self.device)
        command = low + (high - low) * unit
        stand = kind < task.stand_fraction
        turn = ~stand & (kind < task.stand_fraction + task.turn_fraction)
        side = kind > 1.0 - task.side_fraction
        slow = ~stand & ~turn & (kind < task.stand_fraction + task.turn_fraction + task.slow_fraction)
        command = torch.where(slow[:, None], command * 0.35, command)
        command = torch.where((self._rand() < 0.3)[:, None], command * command.new_tensor([1.0, 0.0, 1.0]), command)
        command[:, :2] *= ~turn[:, None]
        command = torch.where(side[:, None], high * (2.0 * unit - 1.0) * command.new_tensor([0.0, 1.0, 0.0]), command)
        command = command * (~stand & is_moving(command))[:, None]
        self._target = torch.where(mask[:, None], command, self._target)
        first, last = task.command_s
        self._command_left = torch.where(mask, first + (last - first) * self._rand(), self._command_left)

    def _push_and_randomise(self) -> None:
        task = self.task
        if self._steps % task.randomise_every_steps == 1:
            self.dynamics.resample(self._everyone)
        if self._steps % 25 == 0 and task.push_mps > 0.0:
            pushed = self._rand() < 25.0 / (DRIVE_HZ * task.push_every_s)
            # Uniform over the disc of pushes: half of them have at least 0.7 of the largest speed.
            self.dynamics.push(pushed, task.push_mps * self.curriculum.push_fraction * self._rand().sqrt())

    def _rand(self, *columns: int) -> torch.Tensor:
        return torch.rand(self.num_envs, *columns, generator=self._generator, device=self.device)


def augment(
    env: GaitEnvironment, obs: TensorDict | None, actions: torch.Tensor | None
) -> tuple[TensorDict | None, torch.Tensor | None]:
    """Mirror a batch; the signature is rsl_rl's."""
    return env.mirrored(obs, actions)
