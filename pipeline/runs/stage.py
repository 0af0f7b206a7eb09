"""What a stage or a command says about itself: its file defines ``STAGE`` or ``COMMAND``, and its name is the file's.

The files are imported to list them and to show their ``--help``. So they import neither torch nor a simulator at their
top level; what needs those is in ``implementation/`` beside them, and ``Later`` imports it when it runs.
"""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from pipeline.runs.run_folder import StageRun

C = TypeVar("C")


@dataclass(frozen=True)
class Later:
    """A function of a module that is imported when the function is called."""

    module: str
    name: str

    def load(self) -> Callable[..., Any]:
        """Import the module and return the function."""
        found: Callable[..., Any] = getattr(importlib.import_module(self.module), self.name)
        return found

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Import and call it."""
        return self.load()(*arguments, **named)


@dataclass(frozen=True, kw_only=True)
class Stage(Generic[C]):
    """One stage of the line."""

    config: type[C]
    """Frozen dataclass. It may have a property ``does_without``: those of ``needs`` that it does not read"""
    run: Callable[[C, "StageRun"], None]
    """Does the work; with ``per_robot`` for the robot ``config.embodiment``"""
    check: Callable[[C], None] | None = None
    """Refuses a user's files before ``run`` imports what takes seconds and half a gigabyte"""
    digests: Callable[[C], Mapping[str, str]] | None = None
    """Hashes by name of what it reads that is neither a stage, a file nor a robot; with one changed it is made again"""
    run_many: Callable[..., None] | None = None
    """``run_many(configs, runs, workers=)``: several robots in one process"""
    needs: tuple[str, ...] = ()
    """Stages that it reads"""
    reads_if_there: tuple[str, ...] = ()
    """Stages that it reads where they are finished"""
    reads_files_if_there: tuple[str, ...] = ()
    """Files of the run that no stage makes, read where they exist"""
    per_robot: bool = False
    """Whether it has one folder per robot"""
    needs_disk_gb: float = 1.0
    trains: str | None = None
    """The agent whose network it trains"""
    budget: str | None = None
    """Dotted path of a number in the config, of which an interrupted run may be given more"""
    not_in_key: tuple[str, ...] = ()
    """Dotted paths of values in the config that do not change what it makes"""
    presets: Mapping[str, Callable[[C], C]] = field(default_factory=dict)
    """Preset -> the config in its sizes. The defaults of ``config`` are those of laptop"""
    name: str = ""
    """Filled in by ``discovery``, as is ``summary``"""
    summary: str = ""

    @property
    def after(self) -> tuple[str, ...]:
        """Stages that come before this one in a run."""
        return self.needs + self.reads_if_there

    def sized(self, preset: str) -> C:
        """Return the config in the sizes of a preset."""
        config = self.config()
        return self.presets[preset](config) if preset in self.presets else config


@dataclass(frozen=True, kw_only=True)
class Command(Generic[C]):
    """What a person calls besides the stages."""

    config: type[C]
    main: Callable[[C], Any]
    is_internal: bool = False
    """Whether other commands start it; it is not listed then"""
    name: str = ""
    summary: str = ""
