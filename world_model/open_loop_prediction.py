"""What the robot will see if it goes on so: what it saw last, moved, and the world model's guess where that ends."""

from typing import NamedTuple

import torch
from torch import Tensor

from world_model.local_planner.frames import moved
from world_model.reprojection import seen_from
from world_model.rssm import Prediction, WorldModel


class OpenLoopPrediction(NamedTuple):
    """One predicted image."""

    depth_m: Tensor
    """(N, 40, 64) planar depth [m], also where the real sensor would see nothing"""
    semantic: Tensor
    """(N, 40, 64) int64 class"""
    decoded: Prediction
    """What history and sample alone tell of it"""


def predict_open_loop(
    world_model: WorldModel, dynamic: Tensor, depth_m: Tensor, commands: Tensor, descriptor: Tensor
) -> list[OpenLoopPrediction]:
    """Predict the images after the last one under K commands; nothing of them has been seen.

    The sample is too small for what a whole image tells, so a decoder alone is blurred from the first step on. How the
    body will move the model tells well: what the last image showed moves with it, geometry at rest.

    Args:
        dynamic: (N, D) history and sample after the last image.
        depth_m: (N, 40, 64) the last image [m], 0 = invalid.
        commands: (K, N, 3) executed after it.
        descriptor: (N, E).
    """
    semantic = world_model.decode(dynamic, descriptor).semantic_logits.argmax(dim=1)
    motion, images = depth_m.new_zeros(len(depth_m), 3), []
    for state in world_model.imagine(dynamic, commands, descriptor):
        decoded = world_model.decode(state, descriptor)
        motion = moved(motion, decoded.velocity_b)
        last = seen_from(depth_m, motion, descriptor)
        depth = torch.where(last.depth_m > 0.0, last.depth_m, decoded.anywhere_m())
        classes = last.moved(semantic, decoded.semantic_logits.argmax(dim=1))
        images.append(OpenLoopPrediction(depth, classes, decoded))
    return images
