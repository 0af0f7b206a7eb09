"""The whole policy as one graph: observation and state in, admissible command and state out."""

import torch
from torch import Tensor, nn

from distill.generalist import Generalist
from embodiments import limits
from embodiments.observation import Observation
from embodiments.spaces import OBSERVATION_SHAPES
from world_model.base_head import BaseHead
from world_model.base_policy import BasePolicy
from world_model.residual_head import Critic, ResidualHead
from world_model.rssm import WorldModel

STATE_INPUT = "state_input"
STATE_OUTPUT = "state_output"
COMMAND = "command"
VALUE = "value"
INPUT_NAMES = (*OBSERVATION_SHAPES, STATE_INPUT)


class PolicyGraph(nn.Module):
    """Base policy and, by agent, a residual head or the generalist; then scaling to the limits and projection.

    Its command is inside the robot's admissible set; nothing downstream has to know the limits.
    """

    def __init__(
        self,
        world_model: WorldModel,
        base_head: BaseHead,
        *,
        head: ResidualHead | Generalist | None = None,
        critic: Critic | None = None,
    ) -> None:
        """Compose a policy.

        Args:
            head: What corrects the base policy; None for the base policy itself.
            critic: Adds the output ``value``; must see what the policy sees and nothing else.
        """
        super().__init__()
        if critic is not None and critic.config.privileged_size:
            raise ValueError("a critic with privileged inputs cannot be exported; leave it out")
        self.world_model = world_model
        self.base_head = base_head
        self.head = head
        self.critic = critic

    @property
    def output_names(self) -> tuple[str, ...]:
        """Names of the outputs, in order."""
        return output_names(value=self.critic is not None)

    @property
    def state_size(self) -> int:
        """Size S of the recurrent state."""
        return self.base.state_size

    @property
    def base(self) -> BasePolicy:
        """The base policy, of the two networks whose names stand in exported files."""
        return BasePolicy(world_model=self.world_model, head=self.base_head)

    def forward(
        self,
        depth_m: Tensor,
        velocity_b: Tensor,
        previous_command: Tensor,
        route_xy_b_m: Tensor,
        goal_b: Tensor,
        embodiment: Tensor,
        state_input: Tensor,
    ) -> tuple[Tensor, ...]:
        """Return command (B, 3), state_output (B, S) and, with a critic, value (B, 1).

        Args:
            state_input: (B, S), zeros after a reset; the others as ``spaces.OBSERVATION_SHAPES``.
        """
        observation = Observation(
            depth_m=depth_m,
            velocity_b=velocity_b,
            previous_command=previous_command,
            route_xy_b_m=route_xy_b_m,
            goal_b=goal_b,
            descriptor=embodiment,
        )
        return self.step(observation, state_input)[1:]

    def step(self, observation: Observation[Tensor], state: Tensor) -> tuple[Tensor, ...]:
        """Return the action (B, 3) before clipping and projection, and what ``forward`` returns."""
        base_action, features, state = self.base.step(observation, state)
        action, command, *value = answer(
            self.head, self.critic, base_action, features, observation.previous_command, observation.descriptor
        )
        return action, command, state, *value


def output_names(*, value: bool) -> tuple[str, ...]:
    """Return the names of a policy's outputs, in order."""
    return (COMMAND, STATE_OUTPUT, VALUE) if value else (COMMAND, STATE_OUTPUT)


def answer(
    head: ResidualHead | Generalist | None,
    critic: Critic | None,
    base_action: Tensor,
    features: Tensor,
    previous_command: Tensor,
    descriptor: Tensor,
) -> tuple[Tensor, ...]:
    """Return what follows from the base policy's step.

    Returns:
        The action (B, 3) before clipping and projection, the command (B, 3) and, with a critic, the value (B, 1).
    """
    action = base_action
    if isinstance(head, Generalist):
        action = head(features, descriptor)[0]
    elif head is not None:
        action = base_action + head(features)[0]
    command = limits.project(limits.action_to_command(action, descriptor), previous_command, descriptor)
    return (action, command) if critic is None else (action, command, critic(features).unsqueeze(-1))


def example_inputs(state_size: int, *, batch: int, seed: int = 0) -> dict[str, Tensor]:
    """Return plausible inputs, name -> (batch, ...), for tracing and for parity checks.

    Bodies are random within the range of real ones, with and without lateral motion, with and without wheels.
    """
    generator = torch.Generator().manual_seed(seed)

    def uniform(*shape: int, low: float, high: float) -> Tensor:
        return torch.rand(batch, *shape, generator=generator) * (high - low) + low

    depth = uniform(1, 5, 8, low=0.3, high=10.0)
    depth = nn.functional.interpolate(depth, size=OBSERVATION_SHAPES["depth_m"][1:], mode="nearest")
    dropout = uniform(*OBSERVATION_SHAPES["depth_m"], low=0.0, high=1.0) < 0.05
    heading = uniform(low=-torch.pi, high=torch.pi)
    position = uniform(2, low=-4.0, high=7.0)
    along = torch.linspace(0.1, 1.0, OBSERVATION_SHAPES["route_xy_b_m"][0])[None, :, None]
    body = uniform(*OBSERVATION_SHAPES["embodiment"], low=0.3, high=1.2)
    body[::2, limits.LIMIT_FIELDS.index("lateral_mps")] = 0.0
    body[1::2, limits.LIMIT_FIELDS.index("half_track_m")] = 0.0
    return {
        "depth_m": depth.masked_fill(dropout, 0.0),
        "velocity_b": uniform(3, low=-0.3, high=0.5),
        "previous_command": torch.zeros(batch, 3),
        "route_xy_b_m": along * position[:, None],
        "goal_b": torch.cat([position, heading.cos()[:, None], heading.sin()[:, None]], dim=1),
        "embodiment": body,
        STATE_INPUT: torch.zeros(batch, state_size),
    }
