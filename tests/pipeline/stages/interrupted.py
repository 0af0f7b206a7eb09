"""A training that somebody stops once."""

from typing import Any

import pytest

from pipeline.stages.implementation import supervised_training


def stop_once(monkeypatch: pytest.MonkeyPatch, *, at: int) -> list[int]:
    """Let the update of this number raise KeyboardInterrupt; return a list that gets an entry per update."""
    update, calls = supervised_training.update, []

    def counted(*arguments: Any, **named: Any) -> float:
        calls.append(1)
        if len(calls) == at:
            raise KeyboardInterrupt
        return update(*arguments, **named)

    monkeypatch.setattr(supervised_training, "update", counted)
    return calls
