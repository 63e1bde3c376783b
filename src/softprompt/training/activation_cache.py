"""The activation cache of a run: built from the settings, used in training, described in the result."""

from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from softprompt.backbones import ActivationCache, ActivationStore
from softprompt.config import TrainingSettings
from softprompt.errors import BackboneError, ConfigError, PromptError, counted
from softprompt.training.progress import RunProgress, clock

if TYPE_CHECKING:
    from softprompt.backbones import Backbone
    from softprompt.prompts import Prompt


class RunActivationCache:
    """Enter it around training; without `training.trunk_cache` it does nothing.

    Args:
        training: settings.
        backbone: the frozen model.
        prompts: all that are trained.
        progress: prints when the cache is full, and at the end what it saved.

    Raises:
        ConfigError: prompts or a backbone that have no trunk, with the reason.
    """

    def __init__(
        self,
        training: TrainingSettings,
        backbone: "Backbone",
        prompts: Sequence["Prompt"],
        progress: RunProgress,
    ):
        settings = training.trunk_cache
        self._backbone, self._progress = backbone, progress
        self._cache: ActivationCache | None = None
        self._facts: dict[str, Any] | None = None
        self._undo = ExitStack()
        if settings is None:
            return
        states = ActivationStore(settings.limit_bytes)
        try:
            self._cache = ActivationCache(backbone, prompts, states, lambda: self._say_full(states))
        except (PromptError, BackboneError) as error:
            named = "training.trunk_cache" + ("" if error.where == "trunk cache" else f": {error.where}")
            raise ConfigError(named, error.got, error.expected, error.hint) from None

    def __enter__(self) -> "RunActivationCache":
        if self._cache is not None:
            self._undo.enter_context(self._backbone.cached(self._cache))
        return self

    def __exit__(self, *exception: object) -> None:
        self._undo.close()
        if self._cache is not None:
            self._facts = self._summary(self._cache)
            self._cache.states.close()

    @property
    def facts(self) -> dict[str, Any]:
        """The result's entry on the cache, once training is over; empty without a cache."""
        return {} if self._facts is None else {"trunk_cache": self._facts}

    def _summary(self, cache: ActivationCache) -> dict[str, Any]:
        """Print what the cache saved, and return the result's entry."""
        counts, states = cache.counts, cache.states
        saved = counts.seconds_saved
        read = counts.found + counts.computed
        if read:
            self._progress.say(
                f"trunk cache: layers below {cache.n_below} of {cache.n_layers}, "
                f"{counted(states.n_rows, 'row')} in {states.n_bytes / 1e6:,.1f} MB; "
                f"{counts.found:,} of {counted(read, 'row')} were found there"
                + ("" if saved is None or saved < 0 else f", about {clock(saved)} saved")
            )
        return {
            "layers_below": cache.n_below,
            "layers": cache.n_layers,
            "store": "memory",
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

    def _say_full(self, states: ActivationStore) -> None:
        self._progress.say(
            f"trunk cache: full with {counted(states.n_rows, 'row')} in {states.n_bytes / 1e6:,.1f} MB "
            f"of {states.limit_bytes / 1e6:,.1f}; other rows are computed in every step"
        )
