"""Gait training resumes after a kill, from files that cannot run code, and notices damage."""

import hashlib
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from embodiments.registry import GAITS_FOLDER
from pipeline.commands import train_gait
from pipeline.runs import lock
from pipeline.simulation.gait import ppo
from tests.separate_process import call


class Bomb:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self._trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self._trace,)


def runner(*, width: int = 4) -> Any:
    """Return what a checkpoint needs of rsl_rl's runner, after one step of learning."""
    torch.manual_seed(0)
    actor, critic = torch.nn.Linear(3, width), torch.nn.Linear(3, 1)
    optimiser = torch.optim.Adam([*actor.parameters(), *critic.parameters()], lr=3e-4)
    alg = SimpleNamespace(actor=actor, critic=critic, optimizer=optimiser, learning_rate=3e-4)
    made = SimpleNamespace(alg=alg, current_learning_iteration=5)
    learn(made)
    return made


def learn(made: Any) -> None:
    made.alg.optimizer.zero_grad()
    (made.alg.actor(torch.ones(1, 3)).sum() + made.alg.critic(torch.ones(1, 3)).sum()).square().backward()
    made.alg.optimizer.step()


def weights(made: Any) -> torch.Tensor:
    return torch.cat([made.alg.actor.weight.flatten(), made.alg.critic.weight.flatten()]).detach().clone()


def test_a_resumed_training_goes_on_exactly(tmp_path: Path) -> None:
    straight, resumed = runner(), runner(width=4)
    for _ in range(3):
        learn(straight)
    straight.alg.learning_rate = straight.alg.optimizer.param_groups[0]["lr"] = 1e-4
    ppo.save_checkpoint(straight, tmp_path, ppo.Progress(steps=100, seconds=2.5, level=0.25))
    assert ppo.load_checkpoint(resumed, tmp_path) == ppo.Progress(steps=100, seconds=2.5, level=0.25)
    assert (resumed.alg.learning_rate, resumed.current_learning_iteration) == (1e-4, 5)
    for each in (straight, resumed):
        learn(each)  # moments and learning rate of the optimiser count here
    assert torch.equal(weights(straight), weights(resumed))


def test_a_new_folder_has_nothing_to_resume(tmp_path: Path) -> None:
    assert ppo.load_checkpoint(runner(), tmp_path / "new") is None


def test_a_flipped_bit_falls_back_to_the_generation_before_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = runner()
    ppo.save_checkpoint(made, tmp_path, ppo.Progress(steps=100))
    earlier = weights(made)
    learn(made)
    ppo.save_checkpoint(made, tmp_path, ppo.Progress(steps=200))
    newest = max(tmp_path.glob("*.safetensors"))
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes(content)
    resumed = runner()
    progress = ppo.load_checkpoint(resumed, tmp_path)
    assert progress is not None and progress.steps == 100
    assert torch.equal(weights(resumed), earlier)
    assert f"{newest} is damaged" in capsys.readouterr().out


def test_two_generations_stay(tmp_path: Path) -> None:
    made = runner()
    for steps in (100, 200, 300):
        ppo.save_checkpoint(made, tmp_path, ppo.Progress(steps=steps))
    assert [path.name[:14] for path in sorted(tmp_path.iterdir())] == ["step-000000200", "step-000000300"]


def test_a_pickle_does_not_run(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    data = pickle.dumps({"actor_state_dict": Bomb(trace), "infos": Bomb(trace)})
    pickle.loads(data)
    assert trace.exists()  # the bomb is one
    trace.unlink()
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    ppo.save_checkpoint(runner(), folder, ppo.Progress(steps=100))
    digest = hashlib.sha256(data).hexdigest()[:16]
    for name in ("checkpoint.pt", f"step-000000200-{digest}.safetensors"):
        (folder / name).write_bytes(data)
    progress = ppo.load_checkpoint(runner(), folder)
    assert progress is not None and progress.steps == 100
    assert not trace.exists()


def test_a_checkpoint_of_another_network_is_an_error_with_a_mend(tmp_path: Path) -> None:
    ppo.save_checkpoint(runner(width=5), tmp_path, ppo.Progress(steps=100))
    with pytest.raises(ValueError, match="are of another gait; delete the folder"):
        ppo.load_checkpoint(runner(), tmp_path)


def test_one_training_per_folder(tmp_path: Path) -> None:
    with lock.held(tmp_path / "go2" / "checkpoints" / "lock"), pytest.raises(ValueError, match="in use by process"):
        train_gait.main(train_gait.Config(embodiments=("go2",), out=tmp_path))


def test_one_gait_does_not_start_several(tmp_path: Path) -> None:
    config = train_gait.Config(
        embodiments=("go2", "anymal_c"), out=tmp_path, start_from=GAITS_FOLDER / "go2.safetensors"
    )
    with pytest.raises(ValueError, match="one robot's gait"):
        train_gait.main(config)


def train_on(directory: str, steps: int) -> dict[str, np.ndarray]:
    """Train Go2's shipped gait further, five iterations at a time; return the first layer."""
    train_gait.MEASURE_MINUTES = 0.01
    train_gait._film = lambda name, folder: None
    start = GAITS_FOLDER / "go2.safetensors"
    config = train_gait.Config(embodiments=("go2",), steps=steps, num_envs=4, out=Path(directory), start_from=start)
    train_gait.main(config)
    return {"weights": load_file(Path(directory) / "go2" / "go2.safetensors")["0.weight"].numpy()}


@pytest.mark.slow  # builds two simulations: 1 min
def test_a_gait_that_starts_from_weights_changes_only_after_its_critic_has_learned(tmp_path: Path) -> None:
    shipped = load_file(GAITS_FOLDER / "go2.safetensors")["0.weight"].numpy()
    np.testing.assert_array_equal(call(train_on, str(tmp_path), 1)["weights"], shipped)
    later = call(train_on, str(tmp_path), 4 * 5 * ppo.ROLLOUT_STEPS + 1)["weights"]
    assert 0.0 < np.abs(later - shipped).max() < 0.5
    assert not list(tmp_path.rglob("*.pt"))  # rsl_rl's own checkpoints are pickles


@pytest.mark.slow  # builds two simulations: 1 min
def test_a_killed_training_resumes(tmp_path: Path) -> None:
    folder = tmp_path / "go2" / "checkpoints"
    options = ("--embodiments", "go2", "--num-envs", "4", "--out", str(tmp_path))
    command = [sys.executable, "-m", "pipeline", "train_gait", *options]
    root = Path(__file__).parents[4]
    with subprocess.Popen([*command, "--steps", "1000000"], cwd=root, start_new_session=True) as process:
        deadline = time.monotonic() + 300.0
        while len(list(folder.glob("step-*.safetensors"))) < 2 and time.monotonic() < deadline:
            assert process.poll() is None
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGKILL)
    steps = int(max(folder.glob("step-*.safetensors")).name[5:14])
    assert steps >= 2 * 5 * 4 * ppo.ROLLOUT_STEPS
    again = subprocess.run(
        [sys.executable, "-c", _FINISH, str(tmp_path), str(steps + 1)], cwd=root, capture_output=True, text=True
    )
    assert again.returncode == 0, again.stderr
    assert f"resuming go2 at {steps / 1e6:.1f} M steps" in again.stdout
    assert int(max(folder.glob("step-*.safetensors")).name[5:14]) == steps + 5 * 4 * ppo.ROLLOUT_STEPS


_FINISH = """
import sys
from pathlib import Path
from pipeline.commands import train_gait
train_gait.MEASURE_MINUTES = 0.01
train_gait._film = lambda name, folder: None
train_gait.main(train_gait.Config(embodiments=("go2",), steps=int(sys.argv[2]), num_envs=4, out=Path(sys.argv[1])))
"""
