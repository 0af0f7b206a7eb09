"""The last image moved along: against the same walls drawn anew, from where the body has got to."""

import math

import pytest
import torch

from embodiments import registry
from embodiments.spaces import DEPTH_FOCAL_PX, DEPTH_HEIGHT_PX, DEPTH_RANGE_M, DEPTH_WIDTH_PX
from tests.world_model.test_world_model import SMALL
from world_model.local_planner.frames import moved
from world_model.open_loop_prediction import predict_open_loop
from world_model.reprojection import seen_from
from world_model.rssm import WorldModel

# Walls as (normal x, normal y, distance from the body [m]): ahead, to the left, to the right and behind.
ROOM = ((1.0, 0.0, 3.0), (0.0, 1.0, 1.5), (-0.6, -0.8, 2.0))
MOTIONS = [(0.0, 0.0, 0.0), (0.4, 0.0, 0.0), (0.0, 0.2, 0.0), (0.0, 0.0, 0.3), (0.5, -0.1, -0.4)]


def body(name: str) -> torch.Tensor:
    """Return the descriptor (1, E) of a robot."""
    return torch.from_numpy(registry.get(name).descriptor())[None]


def view(name: str, motion: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> torch.Tensor:
    """Return depth (1, 40, 64) of ground and ``ROOM`` after a motion (x, y [m], yaw [rad]), pixel by pixel."""
    camera, (x, y, yaw) = registry.get(name).camera, motion
    cos, sin = math.cos(camera.pitch_rad), math.sin(camera.pitch_rad)
    depth = torch.full((1, DEPTH_HEIGHT_PX, DEPTH_WIDTH_PX), DEPTH_RANGE_M)
    for row in range(DEPTH_HEIGHT_PX):
        up = (DEPTH_HEIGHT_PX / 2 - row - 0.5) / DEPTH_FOCAL_PX
        ahead, upward = cos + sin * up, cos * up - sin  # per metre along the optical axis
        for column in range(DEPTH_WIDTH_PX):
            left = (DEPTH_WIDTH_PX / 2 - column - 0.5) / DEPTH_FOCAL_PX
            hits = [DEPTH_RANGE_M] + ([camera.z_m / -upward] if upward < 0.0 else [])
            for normal_x, normal_y, away in ROOM:
                across = math.cos(yaw) * normal_x + math.sin(yaw) * normal_y
                along = math.cos(yaw) * normal_y - math.sin(yaw) * normal_x
                towards = across * ahead + along * left
                if towards > 0.0:
                    hits.append((away - normal_x * x - normal_y * y - across * camera.x_m) / towards)
            depth[0, row, column] = min(hits)
    return depth


@pytest.mark.parametrize("name", ["tiago", "g1"])
@pytest.mark.parametrize("motion", MOTIONS)
def test_what_was_seen_is_where_it_stands_after_any_motion(name: str, motion: tuple[float, float, float]) -> None:
    before, after = view(name), view(name, motion)
    seen = seen_from(before, torch.tensor([motion]), body(name)).depth_m
    told = seen > 0.0
    error = (seen - after).abs()[told]
    assert told.float().mean() > 0.6
    assert error.mean() < 0.03 and error.quantile(0.99) < 0.3  # pixels are wider than that
    if any(motion):
        assert error.mean() < 0.6 * (before - after).abs()[told].mean()


def test_without_motion_the_image_stays_itself() -> None:
    image = view("tiago")
    still = seen_from(image, torch.zeros(1, 3), body("tiago"))
    assert torch.equal(still.source.flatten(), torch.arange(image.numel()))
    assert torch.allclose(still.depth_m, image, atol=1e-3)


def test_turning_left_moves_what_is_ahead_to_the_right_and_opens_the_left_edge() -> None:
    wall, post = torch.full((1, DEPTH_HEIGHT_PX, DEPTH_WIDTH_PX), 2.0), torch.zeros(1, 40, 64, dtype=torch.int64)
    post[:, :, 31:33] = 1
    turned = seen_from(wall, torch.tensor([[0.0, 0.0, 0.2]]), body("go2"))
    classes = turned.moved(post, torch.full_like(post, 5))
    columns = (classes[0, 20] == 1).nonzero().float()
    camera_x_m = registry.get("go2").camera.x_m
    slope = (camera_x_m + 2.0) * math.sin(0.2) / ((camera_x_m + 2.0) * math.cos(0.2) - camera_x_m)
    assert columns.mean().item() + 0.5 == pytest.approx(32.0 + DEPTH_FOCAL_PX * slope, abs=0.6)
    assert (turned.depth_m[0, :, 0] == 0.0).all() and (classes[0, :, 0] == 5).all()


def test_what_is_nearer_hides_what_is_behind_it() -> None:
    image = torch.full((1, DEPTH_HEIGHT_PX, DEPTH_WIDTH_PX), 6.0)
    image[:, :, 30:34] = 1.0
    aside = seen_from(image, torch.tensor([[0.0, 0.2, 0.0]]), body("go2"))  # to the left: things move to the right
    by = round(DEPTH_FOCAL_PX * 0.2)
    assert aside.depth_m[0, 20, 30 + by : 34 + by].tolist() == pytest.approx([1.0] * 4, abs=1e-3)
    assert aside.depth_m[0, 20, 44] == pytest.approx(6.0, abs=1e-3)


def test_invalid_pixels_tell_nothing_and_what_is_out_of_range_stays_so() -> None:
    image = torch.full((1, DEPTH_HEIGHT_PX, DEPTH_WIDTH_PX), DEPTH_RANGE_M)
    image[:, :20] = 0.0
    ahead = seen_from(image, torch.tensor([[0.5, 0.0, 0.0]]), body("go2"))
    assert (ahead.depth_m[0, :15] == 0.0).all() and (ahead.source[0, :15] == -1).all()
    assert (ahead.depth_m[ahead.depth_m > 0.0] == DEPTH_RANGE_M).all()


@torch.no_grad()
def test_a_model_that_knows_its_speed_foresees_what_it_has_seen() -> None:
    torch.manual_seed(0)
    world_model = WorldModel(SMALL).eval()
    world_model.velocity_decoder.weight.zero_()
    speed = torch.tensor([0.5, 0.0, 0.3])
    world_model.velocity_decoder.bias.copy_(speed)
    seen, start, commands = view("tiago"), torch.zeros(1, 40), torch.zeros(5, 1, 3)
    future = predict_open_loop(world_model, start, seen, commands, body("tiago"))
    motion = torch.zeros(1, 3)
    for _ in commands:
        motion = moved(motion, speed)
    truth = view("tiago", tuple(motion[0].tolist()))
    told = seen_from(seen, motion, body("tiago")).depth_m > 0.0
    guess = world_model.decode(world_model.imagine(start, commands, body("tiago"))[-1], body("tiago")).anywhere_m()
    assert len(future) == 5 and future[-1].semantic.shape == truth.shape
    assert (future[-1].depth_m - truth).abs()[told].mean() < 0.3 * (seen - truth).abs()[told].mean()
    assert torch.equal(future[-1].depth_m[~told], guess[~told])
