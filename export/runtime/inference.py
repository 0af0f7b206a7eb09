"""Opens a verified model in onnxruntime: fixed options, CPU only, no telemetry."""

import onnxruntime

LEAST_ONNXRUNTIME = "1.23.2"
"""Oldest version that exported policies are tested with; the newest for the robot's Python 3.10."""


def open_session(model: bytes, *, where: str, threads: int) -> onnxruntime.InferenceSession:
    """Return a session for a model whose bytes were checked before.

    Args:
        model: Serialised ONNX model.
        where: Name of the model in an error.
        threads: Threads within an operator; one is fastest for a single robot.

    Raises:
        ValueError: If this onnxruntime cannot load the model; the error for an old one names the least version.
    """
    onnxruntime.disable_telemetry_events()  # official Windows builds send usage events by default
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.load_model_format", "ONNX")  # never a format that was not checked
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has exceptions of its own, of no common base
        reason = " ".join(str(error).split())
        found = onnxruntime.__version__
        mend = f"; install onnxruntime >= {LEAST_ONNXRUNTIME}" if _is_old(found) else ""
        raise ValueError(f"{where}: this onnxruntime ({found}) cannot load it: {reason}{mend}") from None


def _is_old(version: str) -> bool:
    return _numbers(version) < _numbers(LEAST_ONNXRUNTIME)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:3] if part.isdigit())
