"""A run's numbers in TensorBoard or Weights & Biases, through accelerate; off by default."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from softprompt.errors import ConfigError
from softprompt.extras import require
from softprompt.tasks import ScoreRow

PROJECT = "softprompt"
"""Where Weights & Biases lists the runs."""

_OF_STEPS = ("loss", "lr", "grad_norm", "tokens_per_s")


def check_trackers(names: Sequence[str]) -> None:
    """Raises ConfigError where the package of a tracker is not installed."""
    for name in names:
        require(name, "training.trackers", error=ConfigError)


class Trackers:
    """Sends a run's log to every tracker that its settings name; leaving the context closes the trackers.

    Args:
        names: `tensorboard`, `wandb`; empty does nothing. Only the main process may name any.
        name: the run's.
        folder: the run's; TensorBoard's files go to its subfolder `tensorboard`.
    """

    def __init__(self, names: Sequence[str], name: str, folder: Path) -> None:
        self._names, self._name, self._folder = tuple(dict.fromkeys(names)), name, folder
        self._trackers: list[Any] = []

    def __enter__(self) -> "Trackers":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for tracker in self._trackers:
            tracker.finish()

    def begin(self, settings: Mapping[str, Any], step: int) -> None:
        """Open the trackers.

        Args:
            settings: of the run, by dotted key.
            step: the last one that is already logged; TensorBoard drops its entries after that step.
        """
        if not self._names:
            return
        from accelerate import Accelerator
        from accelerate.tracking import GeneralTracker, TensorBoardTracker, WandBTracker

        asked: list[GeneralTracker] = []
        if "tensorboard" in self._names:
            asked.append(TensorBoardTracker("tensorboard", self._folder, purge_step=step + 1))
        if "wandb" in self._names:
            asked.append(WandBTracker(PROJECT, name=self._name, dir=str(self._folder)))
        # Its end_training is not used, since it would also end the processes of the run.
        accelerator = Accelerator(mixed_precision="no", log_with=asked)  # type: ignore[arg-type]
        accelerator.init_trackers(PROJECT)
        self._trackers = list(accelerator.trackers)
        plain = {
            key: value if isinstance(value, bool | int | float) else str(value)
            for key, value in settings.items()
        }
        for tracker in self._trackers:
            if tracker.name == "wandb":  # TensorBoard's would be a second run in its list
                tracker.store_init_configuration(plain)

    def line(self, line: Mapping[str, Any]) -> None:
        """A line of the run's log."""
        if line["kind"] == "step":
            self._log({f"training/{key}": line[key] for key in _OF_STEPS}, line["step"])
        elif line["kind"] == "evaluation":
            values = {k: v for k, v in line.items() if isinstance(v, float)}
            self._log({f"development/{key}": value for key, value in values.items()}, line["step"])

    def scores(self, rows: Sequence[ScoreRow], step: int, part: str = "") -> None:
        """The test scores.

        Args:
            part: of a run over several tasks.
        """
        for row in rows:
            where = "/".join(word for word in ("test", part, row["group"]) if word not in ("", "all"))
            self._log({f"{where}/{name}": float(value) for name, value in row["values"].items()}, step)

    def _log(self, values: Mapping[str, float], step: int) -> None:
        for tracker in self._trackers:
            tracker.log(dict(values), step=step)
