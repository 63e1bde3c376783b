"""A run's trunk cache: made as the settings say, in use while the run trains, told of in its result."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from softprompt.backbones.activation_cache import ActivationCache, DiskStates, MemoryStates
from softprompt.config import TrainingSettings
from softprompt.errors import BackboneError, ConfigError, PromptError
from softprompt.training.progress import RunProgress, clock

if TYPE_CHECKING:
    from softprompt.backbones import Backbone
    from softprompt.prompts.prompt import Prompt


class RunTrunk:
    """Enter it around training; without `training.trunk_cache` it does nothing.

    Args:
        training: settings.
        backbone: the frozen model.
        prompts: all that are trained.
        folder: where states lie on a disk that have no folder of their own.
        progress: told when the cache is full, and of what it did.

    Raises:
        ConfigError: prompts or a backbone that have no trunk, with the reason.
    """

    def __init__(
        self,
        training: TrainingSettings,
        backbone: "Backbone",
        prompts: Sequence["Prompt"],
        folder: Path,
        progress: RunProgress,
    ):
        self._settings = settings = training.trunk_cache
        self._backbone, self._progress = backbone, progress
        self._cache: ActivationCache | None = None
        self._states: MemoryStates | DiskStates | None = None
        self._facts: dict[str, Any] | None = None
        self._undo = ExitStack()
        if settings is None:
            return
        limit = settings.limit_bytes
        try:
            if settings.store == "memory":
                self._states = MemoryStates(limit)
            else:
                self._states = DiskStates(settings.folder or folder, limit, backbone.dtype)
            self._cache = ActivationCache(backbone, prompts, self._states, self._say_full)
        except (PromptError, BackboneError) as error:
            named = "training.trunk_cache" + ("" if error.where == "trunk cache" else f": {error.where}")
            raise ConfigError(named, error.got, error.expected, error.hint) from None

    def __enter__(self) -> "RunTrunk":
        if self._cache is not None:
            self._undo.enter_context(self._backbone.cached(self._cache))
        return self

    def __exit__(self, kind: type[BaseException] | None, *exception: object) -> None:
        self._undo.close()
        if self._cache is None or self._states is None or self._settings is None:
            return
        self._facts = self._tell(self._cache)
        # A run that was stopped may go on, and finds its files again.
        if isinstance(self._states, DiskStates) and self._settings.folder is None and kind is None:
            self._states.delete()
        else:
            self._states.close()

    @property
    def facts(self) -> dict[str, Any]:
        """What a result says of it, once training is over: nothing without a cache."""
        return {} if self._facts is None else {"trunk_cache": self._facts}

    def _tell(self, cache: ActivationCache) -> dict[str, Any]:
        assert self._settings is not None
        counts, states = cache.counts, cache.states
        saved = counts.seconds_saved
        read = counts.found + counts.computed
        if read:
            self._progress.say(
                f"trunk cache: layers below {cache.n_below} of {cache.n_layers}, {states.n_rows:,} rows in "
                f"{states.n_bytes / 1e6:,.1f} MB; {counts.found:,} of {read:,} rows were found there"
                + ("" if saved is None or saved < 0 else f", about {clock(saved)} saved")
            )
        return {
            "layers_below": cache.n_below,
            "layers": cache.n_layers,
            "store": self._settings.store,
            "limit_bytes": states.limit_bytes,
            "kept_bytes": states.n_bytes,
            "kept_rows": states.n_rows,
            "rows_found": counts.found,
            "rows_computed": counts.computed,
            "rows_not_kept": counts.unkept,
            "seconds_computing": round(counts.seconds_computed, 3),
            "seconds_finding": round(counts.seconds_found, 3),
            "seconds_saved": None if saved is None else round(saved, 3),
        }

    def _say_full(self) -> None:
        assert self._states is not None
        self._progress.say(
            f"trunk cache: full with {self._states.n_rows:,} rows in {self._states.n_bytes / 1e6:,.1f} MB "
            f"of {self._states.limit_bytes / 1e6:,.1f}; rows that are not in it are computed every time"
        )
