"""The scalars of a training, in one place: TensorBoard always, other loggers if ``CROSSBODY_LOGGERS`` asks for them."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from pipeline.runs import external_loggers
from pipeline.runs.external_loggers import Logger, RunIdentity
from pipeline.runs.run_folder import TENSORBOARD


class MetricsLogger:
    """Writes scalars; use it in a ``with`` statement.

    A logger other than TensorBoard that fails is reported in one line and left out from then on: the training goes on.
    """

    def __init__(self, work: Path, identity: RunIdentity, *, step: int | None) -> None:
        """Begin, or go on with what was written into the same work folder.

        Args:
            work: Folder that survives a kill; gets ``tensorboard/``.
            step: Events of this step and later ones are void: an interrupted training logged them and does so again.
                None keeps all.
        """
        from torch.utils.tensorboard import SummaryWriter  # slow to import

        self._board = SummaryWriter(str(work / TENSORBOARD), purge_step=step)
        self._loggers: dict[str, Logger] = {}
        for name in identity.loggers:
            self._try(name, lambda name=name: self._start(name, identity, work))  # type: ignore[misc]

    def log(self, figures: Mapping[str, Any], step: int) -> None:
        """Write figures of one step, by name; "/" in a name makes groups."""
        values = {name: float(value) for name, value in figures.items()}
        for name, value in values.items():
            self._board.add_scalar(name, value, step)
        for name, logger in list(self._loggers.items()):
            self._try(name, lambda logger=logger: logger.log(values, step))  # type: ignore[misc]

    def add_scalar(self, name: str, value: Any, step: int) -> None:
        """Write one figure, as TensorBoard's own writer does: rsl_rl calls it."""
        self.log({name: value}, step)

    def close(self, *, finished: bool = True) -> None:
        """Write what is waiting and end the runs in other loggers."""
        self._board.close()
        for name, logger in list(self._loggers.items()):
            self._try(name, lambda logger=logger: logger.close(finished=finished))  # type: ignore[misc]
        self._loggers = {}

    def __enter__(self) -> "MetricsLogger":
        """Return itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        """Close."""
        self.close(finished=kind is None)

    def _start(self, name: str, identity: RunIdentity, work: Path) -> None:
        self._loggers[name] = external_loggers.start(name, identity, work=work)

    def _try(self, name: str, action: Callable[[], None]) -> None:
        """Do something with a logger; without it from then on, if that fails, whatever the library raises."""
        try:
            action()
        except Exception as error:
            self._loggers.pop(name, None)
            reason = " ".join(str(error).split()) or type(error).__name__
            print(f"{name} gets no figures from here on, TensorBoard has them all: {reason}", flush=True)
