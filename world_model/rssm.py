"""The world model: a recurrent state-space model over depth, velocity, camera parameters and executed commands.

Source: Hafner et al. 2019, "Learning Latent Dynamics for Planning from Pixels", section 3; Gaussian latent.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from embodiments.observation import Observation
from embodiments.spaces import COMMAND_SIZE
from world_model import anticipation, collision_risk
from world_model.anticipation import Anticipation
from world_model.collision_risk import CollisionRisk
from world_model.config import AnticipationConfig, CollisionRiskConfig, WorldModelConfig
from world_model.descriptor import CAMERA_SIZE, normalise_camera
from world_model.image import ImageDecoder, ImageEncoder, depth_from_log
from world_model.local_planner import planner
from world_model.local_planner.planner import LocalPlan


class Gaussians(NamedTuple):
    """Diagonal Gaussians."""

    mean: Tensor
    std: Tensor


class Sequence(NamedTuple):
    """Latents of a sequence, and the Gaussians they come from."""

    dynamic: Tensor
    """(T, B, D)"""
    latent: Tensor
    """(T, B, L)"""
    posterior: Gaussians
    """(T, B, stochastic)"""
    prior: Gaussians
    """(T, B, stochastic)"""


class Prediction(NamedTuple):
    """Images and velocities decoded from history and sample."""

    depth_log: Tensor
    """(N, 40, 64) log depth, scaled to [0, 1]."""
    invalid_logit: Tensor
    """(N, 40, 64)"""
    semantic_logits: Tensor
    """(N, 7, 40, 64)"""
    velocity_b: Tensor
    """(N, 3) vx, vy [m/s], yaw rate [rad/s]."""

    def depth_m(self) -> Tensor:
        """Return planar depth (N, 40, 64) [m], 0 where the pixel is predicted invalid."""
        return self.anywhere_m() * (self.invalid_logit < 0.0)

    def anywhere_m(self) -> Tensor:
        """Return planar depth (N, 40, 64) [m], also for pixels that are predicted invalid."""
        return depth_from_log(self.depth_log.float())


class WorldModel(nn.Module):
    """Recurrent state-space model.

    What it learns is the history and a Gaussian sample, (B, D) together: decoders and imagination use nothing else. Its
    recurrent state, one flat (B, S) tensor, zero after a reset, holds them and the costmap. The latent (B, L), which
    the heads see, is them and the features of the local plan. Small obstacles, and those seen long ago, are lost in
    what is learned; the costmap remembers them. The plan is made on the anticipated map, if there is an anticipation
    network, and slowed down by what a collision risk network says; both are trained apart, see ``anticipation`` and
    ``collision_risk``.
    """

    Config = WorldModelConfig

    def __init__(self, config: WorldModelConfig) -> None:
        super().__init__()
        self.config = config
        self.image_encoder = ImageEncoder(channels=config.encoder_channels, output_size=config.hidden)
        self.recurrent_input = nn.Linear(config.stochastic + COMMAND_SIZE + CAMERA_SIZE, config.hidden)
        self.recurrent = nn.GRUCell(config.hidden, config.deterministic)
        self.prior_head = nn.Sequential(
            nn.Linear(config.deterministic, config.hidden), nn.SiLU(), nn.Linear(config.hidden, 2 * config.stochastic)
        )
        self.posterior_head = nn.Sequential(
            nn.Linear(config.deterministic + config.hidden + COMMAND_SIZE + CAMERA_SIZE, config.hidden),
            nn.SiLU(),
            nn.Linear(config.hidden, 2 * config.stochastic),
        )
        self.image_decoder = ImageDecoder(input_size=self.dynamic_size + CAMERA_SIZE, channels=config.decoder_channels)
        self.velocity_decoder = nn.Linear(self.dynamic_size, COMMAND_SIZE)
        channels = config.anticipation
        self.anticipation = Anticipation(AnticipationConfig(channels=channels)) if channels else None
        channels = config.collision_risk
        self.collision_risk = CollisionRisk(CollisionRiskConfig(channels=channels)) if channels else None
        if self.collision_risk is not None and self.anticipation is None:
            raise ValueError("a collision risk network sees an anticipated map: set WorldModelConfig.anticipation, too")

    @property
    def latent_size(self) -> int:
        """Size L of the latent."""
        return self.dynamic_size + planner.FEATURE_SIZE

    @property
    def dynamic_size(self) -> int:
        """Size D of history and sample."""
        return self.config.deterministic + self.config.stochastic

    @property
    def state_size(self) -> int:
        """Size S of the recurrent state."""
        return self.dynamic_size + (planner.STATE_SIZE if self.anticipation is None else anticipation.STATE_SIZE)

    def initial_state(self, batch: int) -> Tensor:
        """Return the state (B, S) after a reset: zeros."""
        return next(self.parameters()).new_zeros(batch, self.state_size)

    def map_pose(self, state: Tensor) -> Tensor:
        """Return the pose (B, 3) that a state (B, S) reckons on its costmap."""
        return state[:, self.dynamic_size : self.dynamic_size + 3]

    def observe_step(self, observation: Observation[Tensor], state: Tensor) -> tuple[Tensor, Tensor]:
        """Take in one observation, deterministically (mean of the posterior).

        Args:
            observation: Only the local planner uses its route and goal, which must lie on the costmap
                (``map_edge.hold_goal``).
            state: (B, S); zeros after a reset.

        Returns:
            The next state (B, S) and the latent (B, L).
        """
        camera = normalise_camera(observation.descriptor)
        dynamic, surroundings = state[:, : self.dynamic_size], state[:, self.dynamic_size :]
        history = self._advance(dynamic, observation.previous_command, camera)
        embedding = torch.cat([self.image_encoder(observation.depth_m), observation.velocity_b, camera], dim=-1)
        sample = self._gaussian(self.posterior_head(torch.cat([history, embedding], dim=-1))).mean
        plan, surroundings = self._plan(observation, surroundings)
        dynamic = torch.cat([history, sample], dim=-1)
        return torch.cat([dynamic, surroundings], dim=-1), torch.cat([dynamic, plan.features()], dim=-1)

    def observe_sequence(self, observation: Observation[Tensor], plan_features: Tensor, *, first: Tensor) -> Sequence:
        """Take in sequences for training, with gradients through time; latents are sampled in training mode.

        Args:
            observation: (T, B, ...); route and goal are not used, the recorded plan stands for them.
            plan_features: (T, B, FEATURE_SIZE) as recorded: their costmap began with the episode, not with the window.
            first: (T, B) bool; True where an episode begins, which resets the state.
        """
        steps, batch = first.shape
        camera = normalise_camera(observation.descriptor)
        image = self.image_encoder(observation.depth_m.flatten(0, 1)).unflatten(0, (steps, batch))
        with torch.autocast(image.device.type, enabled=False):  # only images are worth a lower precision
            embedding = torch.cat([image.float(), observation.velocity_b, camera], dim=-1)  # (T, B, ...)
            keep = (~first).to(embedding.dtype).unsqueeze(-1)  # (T, B, 1)
            dynamic, dynamics, posteriors = embedding.new_zeros(batch, self.dynamic_size), [], []
            for t in range(steps):
                history = self._advance(dynamic * keep[t], observation.previous_command[t], camera[t])
                posterior = self._gaussian(self.posterior_head(torch.cat([history, embedding[t]], dim=-1)))
                dynamic = torch.cat([history, self._sample(posterior)], dim=-1)
                dynamics.append(dynamic)
                posteriors.append(posterior)
            whole = torch.stack(dynamics)
            prior = self._gaussian(self.prior_head(whole[..., : self.config.deterministic]))
        stacked = Gaussians(torch.stack([p.mean for p in posteriors]), torch.stack([p.std for p in posteriors]))
        return Sequence(whole, torch.cat([whole, plan_features], dim=-1), stacked, prior)

    def imagine(self, dynamic: Tensor, commands: Tensor, descriptor: Tensor) -> Tensor:
        """Predict (K, B, D) what follows ``dynamic`` (B, D) under ``commands`` (K, B, 3), without observations."""
        camera, dynamics = normalise_camera(descriptor), []
        for command in commands:
            history = self._advance(dynamic, command, camera)
            dynamic = torch.cat([history, self._gaussian(self.prior_head(history)).mean], dim=-1)
            dynamics.append(dynamic)
        return torch.stack(dynamics)

    def decode(self, dynamic: Tensor, descriptor: Tensor) -> Prediction:
        """Decode histories and samples (N, D), seen through the cameras of descriptors (N, E)."""
        image = self.image_decoder(torch.cat([dynamic, normalise_camera(descriptor)], dim=-1))
        depth_log, invalid_logit, semantic_logits = image
        return Prediction(depth_log, invalid_logit, semantic_logits, self.velocity_decoder(dynamic))

    def expected_velocity(self, dynamic: Tensor) -> Tensor:
        """Return the velocity (N, 3) predicted from the history in (N, D) and the last command alone."""
        history = dynamic[..., : self.config.deterministic]
        mean = self._gaussian(self.prior_head(history)).mean
        velocity: Tensor = self.velocity_decoder(torch.cat([history, mean], dim=-1))
        return velocity

    def _plan(self, observation: Observation[Tensor], state: Tensor) -> tuple[LocalPlan, Tensor]:
        if self.anticipation is None:
            return planner.step(observation, state)
        return collision_risk.plan(self.anticipation, self.collision_risk, observation, state)

    def _advance(self, dynamic: Tensor, command: Tensor, camera: Tensor) -> Tensor:
        history, sample = dynamic.split([self.config.deterministic, self.config.stochastic], dim=-1)
        if not self.config.recurrent:
            history = torch.zeros_like(history)
        moved = functional.silu(self.recurrent_input(torch.cat([sample, command, camera], dim=-1)))
        advanced: Tensor = self.recurrent(moved, history)
        return advanced

    def _gaussian(self, raw: Tensor) -> Gaussians:
        mean, spread = raw.float().chunk(2, dim=-1)
        return Gaussians(mean, functional.softplus(spread) + self.config.min_std)

    def _sample(self, gaussian: Gaussians) -> Tensor:
        if not self.training:
            return gaussian.mean
        return gaussian.mean + gaussian.std * torch.randn_like(gaussian.std)
