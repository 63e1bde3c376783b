"""One run of a study after another in this process, with one backbone kept in memory."""

import os
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING

from rich.console import Console

from softprompt.config import BackboneSettings, RunSettings, parse_run
from softprompt.errors import SoftpromptError
from softprompt.studies.running.worker import Job, Outcome
from softprompt.terminal import Terminal, print_line
from softprompt.training import RunFolder, locked, train

if TYPE_CHECKING:
    from softprompt.backbones import Backbone


class Executor:
    """Runs settings one after another; an error ends its own run alone.

    Args:
        console: where progress is shown; None is silent.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console
        self._backbone: Backbone | None = None
        self._settings: BackboneSettings | None = None

    def run(self, settings: RunSettings) -> Outcome:
        """Run, or resume what an earlier attempt left.

        Raises:
            KeyboardInterrupt: on Ctrl-C or SIGTERM; a run that is training leaves a checkpoint first.
        """
        try:
            # A worker of a study that was killed may still be writing its checkpoint.
            with locked(settings.folder, "lock", wait=True):
                resume = RunFolder(settings.folder).settings.is_file()
                backbone = self._loaded(settings.backbone)
                train(settings, resume=resume, console=self._console, backbone=backbone)
            outcome = Outcome()
        except SoftpromptError as error:
            outcome = Outcome(str(error))
        except Exception as error:
            self._drop()  # its state is unknown after such an error
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


def jobs_in_turn() -> Callable[[Job], Outcome]:
    """The function that a worker process calls with each job; sets the number of torch's threads."""
    import torch

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    console = Terminal(stderr=True)
    executor = Executor(console)

    def work(job: Job) -> Outcome:
        settings = parse_run(dict(job))
        print_line(console, f"== {settings.name}")
        return executor.run(settings)

    return work


def _changed(backbone: "Backbone") -> bool:
    """Whether a run changed the backbone, so that the next run needs a new one."""
    from softprompt.backbones import fingerprint

    model = backbone.model
    thawed = any(parameter.requires_grad for parameter in model.parameters())
    spec = backbone.spec
    return thawed or bool(spec.earlier) or fingerprint(model) != spec.fingerprint
