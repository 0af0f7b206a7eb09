"""Presets replace fields, nested ones too, and nothing else."""

from dataclasses import dataclass, field

import pytest

from pipeline.runs import presets


@dataclass(frozen=True, kw_only=True)
class Inner:
    rate: float = 0.1
    steps: int = 100


@dataclass(frozen=True, kw_only=True)
class Config:
    inner: Inner = field(default_factory=Inner)
    seed: int = 0


def test_nested_fields_are_replaced_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presets, "_SMOKE", {"stage": {"inner": {"steps": 2}}})
    assert presets.apply("smoke", "stage", Config(seed=3)) == Config(inner=Inner(steps=2), seed=3)
    assert presets.apply("smoke", "other", Config()) == Config()
    assert presets.apply("laptop", "stage", Config()) == Config()


def test_a_field_that_does_not_exist_is_a_bug_that_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presets, "_SMOKE", {"stage": {"sead": 1}})
    with pytest.raises(TypeError, match="sead"):
        presets.apply("smoke", "stage", Config())


def test_unknown_preset_names_the_nearest() -> None:
    with pytest.raises(ValueError, match="no preset 'somke'; did you mean 'smoke'"):
        presets.apply("somke", "stage", Config())


def test_every_preset_is_described() -> None:
    assert set(presets.SUMMARIES) == set(presets.PRESETS)
