"""The world model: a recurrent state-space model over depth, velocity, camera parameters and executed commands.

Source: Hafner et al. 2019, "Learning Latent Dynamics for Planning from Pixels", section 3; Gaussian latent.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from embodiments.spaces import COMMAND_SIZE
from world_model.descriptor import CAMERA_SIZE, normalise_camera
from world_model.image import ImageDecoder, ImageEncoder, depth_from_log


@dataclass(frozen=True, kw_only=True)
class WorldModelConfig:
    """Sizes of the world model."""

    deterministic: int = 256
    """Width of the GRU: enough to remember what left a narrow field of view; 64 steps stay below 8 ms on one core."""
    stochastic: int = 32
    """Dimensions of the Gaussian latent."""
    hidden: int = 256
    encoder_channels: tuple[int, int, int] = (16, 32, 48)
    decoder_channels: tuple[int, int, int] = (48, 24, 16)
    min_std: float = 0.1
    """Floor of the latent's standard deviation, as in PlaNet."""


class Gaussians(NamedTuple):
    """Diagonal Gaussians."""

    mean: Tensor
    std: Tensor


class Sequence(NamedTuple):
    """What the world model made of a sequence."""

    latent: Tensor
    """(T, B, L)"""
    posterior: Gaussians
    """(T, B, stochastic)"""
    prior: Gaussians
    """(T, B, stochastic)"""


class Prediction(NamedTuple):
    """What the decoders see in a latent."""

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
        """Return planar depth (N, 40, 64) [m], also where the real sensor is predicted to see nothing."""
        return depth_from_log(self.depth_log.float())


class WorldModel(nn.Module):
    """Recurrent state-space model; its state is one flat (B, S) tensor, zero after a reset, and also the latent."""

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
        self.image_decoder = ImageDecoder(input_size=self.latent_size + CAMERA_SIZE, channels=config.decoder_channels)
        self.velocity_decoder = nn.Linear(self.latent_size, COMMAND_SIZE)

    @property
    def latent_size(self) -> int:
        """Size L of the latent."""
        return self.config.deterministic + self.config.stochastic

    @property
    def state_size(self) -> int:
        """Size S of the recurrent state."""
        return self.latent_size

    def initial_state(self, batch: int) -> Tensor:
        """Return the state (B, S) after a reset: zeros."""
        return next(self.parameters()).new_zeros(batch, self.state_size)

    def observe_step(
        self, depth_m: Tensor, velocity_b: Tensor, previous_command: Tensor, embodiment: Tensor, state: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Take in one observation, deterministically (mean of the posterior).

        Args:
            depth_m: (B, 1, 40, 64) [m], 0 = invalid.
            velocity_b: (B, 3) measured vx, vy [m/s], yaw rate [rad/s].
            previous_command: (B, 3) the command executed since the last observation.
            embodiment: (B, E) descriptor, SI units; only the camera parameters are read.
            state: (B, S); zeros after a reset.

        Returns:
            The next state (B, S) and the latent (B, L).
        """
        camera = normalise_camera(embodiment)
        history = self._advance(state, previous_command, camera)
        embedding = torch.cat([self.image_encoder(depth_m), velocity_b, camera], dim=-1)
        sample = self._gaussian(self.posterior_head(torch.cat([history, embedding], dim=-1))).mean
        state = torch.cat([history, sample], dim=-1)  # (B, S)
        return state, state

    def observe_sequence(
        self, depth_m: Tensor, velocity_b: Tensor, previous_command: Tensor, embodiment: Tensor, *, first: Tensor
    ) -> Sequence:
        """Take in sequences for training, with gradients through time; latents are sampled in training mode.

        Args:
            depth_m: (T, B, 1, 40, 64), others (T, B, ...) as in ``observe_step``.
            first: (T, B) bool; True where an episode begins, which resets the state.
        """
        steps, batch = first.shape
        camera = normalise_camera(embodiment)
        image = self.image_encoder(depth_m.flatten(0, 1)).unflatten(0, (steps, batch))
        with torch.autocast(depth_m.device.type, enabled=False):  # only images are worth a lower precision
            embedding = torch.cat([image.float(), velocity_b, camera], dim=-1)  # (T, B, ...)
            keep = (~first).to(embedding.dtype).unsqueeze(-1)  # (T, B, 1)
            state, latents, posteriors = self.initial_state(batch), [], []
            for t in range(steps):
                history = self._advance(state * keep[t], previous_command[t], camera[t])
                posterior = self._gaussian(self.posterior_head(torch.cat([history, embedding[t]], dim=-1)))
                state = torch.cat([history, self._sample(posterior)], dim=-1)
                latents.append(state)
                posteriors.append(posterior)
            latent = torch.stack(latents)
            prior = self._gaussian(self.prior_head(latent[..., : self.config.deterministic]))
        stacked = Gaussians(torch.stack([p.mean for p in posteriors]), torch.stack([p.std for p in posteriors]))
        return Sequence(latent, stacked, prior)

    def imagine(self, state: Tensor, commands: Tensor, embodiment: Tensor) -> Tensor:
        """Predict the latents (K, B, L) that follow ``state`` (B, S) under ``commands`` (K, B, 3), unseen."""
        camera, latents = normalise_camera(embodiment), []
        for command in commands:
            history = self._advance(state, command, camera)
            state = torch.cat([history, self._gaussian(self.prior_head(history)).mean], dim=-1)
            latents.append(state)
        return torch.stack(latents)

    def decode(self, latent: Tensor, embodiment: Tensor) -> Prediction:
        """Decode latents (N, L), seen through the cameras of descriptors (N, E)."""
        image = self.image_decoder(torch.cat([latent, normalise_camera(embodiment)], dim=-1))
        depth_log, invalid_logit, semantic_logits = image
        return Prediction(depth_log, invalid_logit, semantic_logits, self.velocity_decoder(latent))

    def expected_velocity(self, latent: Tensor) -> Tensor:
        """Return the velocity (N, 3) that the history in latents (N, L) and the last command let expect, unmeasured."""
        history = latent[..., : self.config.deterministic]
        mean = self._gaussian(self.prior_head(history)).mean
        velocity: Tensor = self.velocity_decoder(torch.cat([history, mean], dim=-1))
        return velocity

    def _advance(self, state: Tensor, command: Tensor, camera: Tensor) -> Tensor:
        history, sample = state.split([self.config.deterministic, self.config.stochastic], dim=-1)
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
