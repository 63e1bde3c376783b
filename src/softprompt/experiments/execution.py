"""One run of a study after another in this process, with one backbone kept loaded."""

import traceback
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from rich.console import Console

from softprompt.config import RunSettings
from softprompt.config.settings import BackboneSettings
from softprompt.errors import SoftpromptError
from softprompt.experiments.cells import Run
from softprompt.training import RunFolder, locked, train

if TYPE_CHECKING:
    from softprompt.backbones import Backbone


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Args:
        error: empty where it succeeded.
        trace: the traceback of an error that is no SoftpromptError.
        interrupted: stopped from outside; it can be resumed.
    """

    error: str = ""
    trace: str = ""
    interrupted: bool = False


class Engine(Protocol):
    """Where the runs of a study are run: here one by one, in local processes, or on a Ray cluster."""

    def run(
        self, runs: Sequence[Run], begun: Callable[[Run], None]
    ) -> Generator[tuple[Run, Outcome], None, None]:
        """Outcomes as they come; closing the generator stops every run at a checkpoint.

        Args:
            begun: called when a run begins, from any thread.
        """
        ...


class InTurn:
    """The engine of one run at a time, in this process."""

    def __init__(self, console: Console | None = None) -> None:
        self._executor, self._console = Executor(), console

    def run(
        self, runs: Sequence[Run], begun: Callable[[Run], None]
    ) -> Generator[tuple[Run, Outcome], None, None]:
        """As `Engine.run`."""
        for one in runs:
            begun(one)
            yield one, self._executor.run(one.settings, self._console)


class Executor:
    """Runs settings one after another; a run that fails tells so and takes nothing with it."""

    def __init__(self) -> None:
        self._backbone: Backbone | None = None
        self._settings: BackboneSettings | None = None

    def run(self, settings: RunSettings, console: Console | None = None) -> Outcome:
        """Run, or resume what an earlier attempt left.

        Raises:
            KeyboardInterrupt: on Ctrl-C or SIGTERM; while training, after a checkpoint.
        """
        try:
            # A worker of a study that was killed may still be leaving its checkpoint there.
            with locked(settings.folder, "lock", wait=True):
                resume = RunFolder(settings.folder).settings.is_file()
                backbone = self._loaded(settings.backbone)
                train(settings, resume=resume, console=console, backbone=backbone)
            outcome = Outcome()
        except SoftpromptError as error:
            outcome = Outcome(str(error))
        except Exception as error:
            self._drop()  # nobody knows what state it is in
            return Outcome(f"{type(error).__name__}: {error}", traceback.format_exc())
        if self._backbone is not None and _changed(self._backbone):
            self._drop()
        return outcome

    def _loaded(self, settings: BackboneSettings) -> "Backbone":
        from softprompt.training import Processes, load_frozen

        if self._backbone is None or self._settings != settings:
            self._drop()  # first, so that two are never held at once
            self._backbone = load_frozen(settings, Processes(settings.device).device)
            self._settings = settings
        return self._backbone

    def _drop(self) -> None:
        self._backbone = self._settings = None


def _changed(backbone: "Backbone") -> bool:
    """Whether a run left the backbone other than it was; the next one must not begin there."""
    from softprompt.backbones.inspection import fingerprint

    model = backbone.model
    thawed = any(parameter.requires_grad for parameter in model.parameters())
    spec = backbone.spec
    return thawed or bool(spec.earlier) or fingerprint(model) != spec.fingerprint
