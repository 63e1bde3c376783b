"""The runs of a cell, from a recipe and what the cell changes in it."""

import copy
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from softprompt.config import RunSettings, apply_override, parse_run, put
from softprompt.data import check_splits
from softprompt.studies.definition.cells import Option, Run
from softprompt.studies.definition.measures import metric_of
from softprompt.studies.definition.settings import SUBSAMPLE, Candidate, StudySettings
from softprompt.studies.reading.mistakes import Mistakes


@dataclass(frozen=True)
class ChangedRecipe:
    """A recipe as a cell, or one of the cell's candidates, changes it.

    Args:
        name: of the cell or candidate, for messages.
        stem: the beginning of the names of the run folders.
        recipe: the recipe's own settings.
        changes: by dotted key.
        show: the metrics that the column names; none are the study's.
    """

    name: str
    stem: str
    recipe: Mapping[str, Any]
    changes: Mapping[str, Any]
    show: Sequence[str]


class RunMaker:
    """Makes the runs of cells and of candidates.

    Args:
        overrides: `key=value` for all runs.
        folder: the study's.
        mistakes: takes those of every run; a method that finds one returns nothing.
    """

    def __init__(
        self, study: StudySettings, overrides: Sequence[str], folder: Path, mistakes: Mistakes
    ) -> None:
        self._study, self._overrides, self._folder, self._mistakes = study, overrides, folder, mistakes

    def runs(self, changed: ChangedRecipe) -> tuple[Run, ...]:
        """A run for each subsample and seed."""
        study, runs = self._study, []
        for subsample in study.subsamples or [None]:
            draw = {} if subsample is None else {SUBSAMPLE: subsample}
            for seed in study.seeds or [None]:
                seeds = {} if seed is None else dict.fromkeys(study.seed_keys, seed)
                settings = self._settings(changed, {**draw, **seeds})
                if settings is None:
                    return ()
                with self._mistakes.gathered(changed.name):
                    check_splits(settings.data)
                seed = settings.training.seed if seed is None else seed
                words = [f"subsample {subsample}"] * (subsample is not None) + [f"seed {seed}"]
                name = "--".join([changed.stem, *map(slug, words)])
                settings = settings.model_copy(update={"name": name, "output": self._folder})
                runs.append(Run(", ".join([changed.name, *words]), seed, settings))
        return tuple(runs)

    def option(self, cell: ChangedRecipe, candidate: Candidate) -> Option:
        """A candidate with its runs; some are missing where there is a mistake."""
        changed = replace(
            cell,
            name=f"{cell.name}, {candidate.name}",
            stem=f"{cell.stem}--{folder_part(candidate.name)}",
            changes={**cell.changes, **candidate.set},
        )
        runs = self.runs(changed)
        return Option(candidate.name, candidate.set, self._folds(changed) if runs else (), runs)

    def metrics(self, settings: RunSettings, show: Sequence[str]) -> tuple[str, ...]:
        """What the table shows of a cell; an empty text where its runs have no metric."""
        return tuple(show) or (self._study.metric or next(iter(settings.metrics), ""),)

    def _folds(self, changed: ChangedRecipe) -> tuple[Run, ...]:
        """A run for each fold, or one with the development set; all without a test set."""
        choose, name = self._study.choose, changed.name
        assert choose is not None
        by_dev = {"data.join_dev": False} if choose.folds is None else {}
        settings = self._settings(changed, {**by_dev, **dict.fromkeys(self._study.seed_keys, choose.seed)})
        if settings is None:
            return ()
        data, by = settings.data, choose.metric or metric_of(self.metrics(settings, changed.show)[0])
        add = self._mistakes.add
        if data.folds is not None:
            got = f"both data.folds ({data.folds}) and choose"
            add(name, "data.folds", got, "choose alone, which says how many folds there are", "leave it out")
        if choose.folds is None and not (data.dev or data.dev_share or data.dev_per_class):
            expected = "records by which candidates can be chosen"
            add(name, "data.dev", "no development records", expected, "give data.dev or choose.folds")
        if by not in ("loss", *settings.metrics):
            expected = f"loss or a metric of the run ({', '.join(settings.metrics)})"
            add(name, "choose.metric", repr(by), expected)
        runs = []
        # A choice must not depend on the test set, be it a file, a share of the records or generated.
        cut: dict[str, Any] = {"test": None, "test_size": None if data.test is not None else 0}
        for fold in range(choose.folds or 1):
            if choose.folds is not None:
                cut |= {"folds": choose.folds, "fold": fold}
            of_fold = {
                "name": f"{changed.stem}--fold-{fold}" if choose.folds else f"{changed.stem}--dev",
                "output": self._folder / "folds",
                "data": data.model_copy(update=cut),
                "training": settings.training.model_copy(update={"select": by}),
            }
            label = f"{name}, fold {fold + 1} of {choose.folds}" if choose.folds else f"{name}, to choose"
            runs.append(Run(label, choose.seed, settings.model_copy(update=of_fold), of_choice=True))
        with self._mistakes.gathered(name):
            check_splits(runs[0].settings.data)
        return tuple(runs)

    def _settings(self, changed: ChangedRecipe, changes: Mapping[str, Any]) -> RunSettings | None:
        """The settings of a run, which has changes beside those of its cell."""
        raw = copy.deepcopy(dict(changed.recipe))
        with self._mistakes.gathered(changed.name):
            for key, value in {**changed.changes, **changes}.items():
                put(raw, key, copy.deepcopy(value))
            for override in self._overrides:
                apply_override(raw, override)
            return parse_run(raw, where="")
        return None


def folder_part(name: str) -> str:
    """The part of a folder's name that a row, column or candidate gives, in its own script if not Latin."""
    plain = slug(name)
    own = re.sub(r"[^\w.]+", "-", unicodedata.normalize("NFC", name).casefold()).strip("-._")
    return own if plain == "unnamed" and own else plain


def slug(name: str) -> str:
    """A name that every file system takes, e.g. `p-tuning-v2` for `P-Tuning v2`."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9.]+", "-", plain).strip("-.") or "unnamed"
