"""How a model is opened: without telemetry, and with an error that names the version which an old onnxruntime lacks."""

import onnxruntime
import pytest

from export.runtime import inference


@pytest.mark.parametrize(
    ("version", "mend"), [("1.17.0", True), ("1.9.1", True), ("1.23.2", False), ("1.32.0", False), ("2.0.0rc1", False)]
)
def test_only_the_error_of_an_old_onnxruntime_names_the_least_version(
    version: str, mend: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnxruntime, "__version__", version)
    with pytest.raises(ValueError, match=f"this onnxruntime \\({version}\\) cannot load it") as refusal:
        inference.open_session(b"no model", where="x.onnx", threads=1)
    assert ("install onnxruntime >= 1.23.2" in str(refusal.value)) == mend
    assert "\n" not in str(refusal.value)


def test_telemetry_is_off_before_a_session_opens(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    monkeypatch.setattr(onnxruntime, "disable_telemetry_events", lambda: calls.append("telemetry off"))
    monkeypatch.setattr(onnxruntime, "InferenceSession", lambda *_, **__: calls.append("session"))
    inference.open_session(b"", where="x.onnx", threads=1)
    assert calls == ["telemetry off", "session"]
