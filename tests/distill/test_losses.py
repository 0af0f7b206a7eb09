"""Distance of the generalist from its specialists, checked against torch's distributions and by hand."""

import pytest
import torch

from distill.losses import gaussian_kl, mean_squared_error

ALL = torch.tensor([[True, True, True]])


def test_kl_is_zero_only_for_the_same_gaussian() -> None:
    mean, log_std = torch.randn(8, 3), torch.randn(8, 3) * 0.3
    active = ALL.expand(8, 3)
    assert gaussian_kl(mean, log_std, mean, log_std, active=active).item() == pytest.approx(0.0, abs=1e-6)
    assert gaussian_kl(mean, log_std, mean + 0.1, log_std, active=active) > 0.0
    assert gaussian_kl(mean, log_std, mean, log_std + 0.1, active=active) > 0.0


def test_kl_agrees_with_torch_and_has_the_teacher_first() -> None:
    torch.manual_seed(0)
    teacher_mean, student_mean = torch.randn(16, 3), torch.randn(16, 3)
    teacher_log_std, student_log_std = torch.randn(16, 3) * 0.5, torch.randn(16, 3) * 0.5
    normal = torch.distributions.Normal
    expected = torch.distributions.kl_divergence(
        normal(teacher_mean, teacher_log_std.exp()), normal(student_mean, student_log_std.exp())
    )
    found = gaussian_kl(teacher_mean, teacher_log_std, student_mean, student_log_std, active=ALL.expand(16, 3))
    torch.testing.assert_close(found, expected.sum(dim=1).mean())


def test_kl_by_hand() -> None:
    one = torch.zeros(1, 3)
    shifted = torch.tensor([[1.0, 0.0, 0.0]])
    assert gaussian_kl(shifted, one, one, one, active=ALL).item() == pytest.approx(0.5)


def test_dimensions_that_a_robot_lacks_do_not_count() -> None:
    active = torch.tensor([[True, False, True]])
    teacher, student = torch.zeros(1, 3), torch.tensor([[0.0, 7.0, 0.5]], requires_grad=True)
    log_std = torch.zeros(1, 3)
    assert mean_squared_error(teacher, student, active=active).item() == pytest.approx(0.25)
    loss = gaussian_kl(teacher, log_std, student, log_std, active=active)
    assert loss.item() == pytest.approx(0.125)
    loss.backward()
    assert student.grad is not None and student.grad[0, 1] == 0.0
