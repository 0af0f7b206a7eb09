"""A gait's film has the promised frames, the robot walks in it, and what cannot be filmed is named."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.commands import film_gait
from tests.separate_process import call


def test_a_robot_on_wheels_has_no_gait_to_film(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="robot 'tiago' has no gait to film"):
        film_gait.main(film_gait.Config(embodiment="tiago", out=tmp_path / "film.mp4"))


def short_film(out: Path) -> None:
    """Film a quarter of a second of every command of the film of a Go2. Runs in a process of its own."""
    from pipeline.evaluation.video import gait_film

    gait_film.COMMAND_S = 0.24
    film_gait.main(film_gait.Config(embodiment="go2", out=out))


@pytest.mark.slow  # builds a simulated scene
def test_a_film_shows_a_robot_that_moves(tmp_path: Path) -> None:
    import imageio.v2 as imageio

    out = tmp_path / "films" / "go2.mp4"
    call(short_film, out)
    below_the_text = [np.asarray(frame)[80:] for frame in imageio.get_reader(out)]  # type: ignore[attr-defined]
    assert len(below_the_text) == 8 * 6  # eight commands of twelve drive steps, every other one
    assert min(frame.std() for frame in below_the_text) > 5.0  # nowhere one colour
    assert np.abs(below_the_text[-1].astype(int) - below_the_text[0]).mean() > 1.0
