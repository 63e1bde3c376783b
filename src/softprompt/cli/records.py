"""The records to score: a whole set, or some spread evenly over it."""

from typing import TYPE_CHECKING, Any

_NAMES = {"test": "test", "dev": "development"}

if TYPE_CHECKING:
    from softprompt.config import RunSettings
    from softprompt.data import AnyRecord


def records_of(
    settings: "RunSettings", split: str, limit: int | None
) -> tuple[list["AnyRecord"], list["AnyRecord"], str]:
    """The records to score, the training pairs, and the fingerprint of both.

    Args:
        settings: of the run.
        split: `test` or `dev`.
        limit: how many to take, evenly from the whole set (whole questions where records are scored
            together); None takes all.

    Raises:
        ConfigError: an empty set, or a limit below the records of one question.
    """
    from softprompt.data import FORMATS, load
    from softprompt.errors import ConfigError

    splits = load(settings.data)
    records: list[AnyRecord] = getattr(splits, split)
    if not records:
        do, other = (
            f"name a file in data.{split}: --set data.{split}=FILE",
            {"test": "dev", "dev": "test"}[split],
        )
        if getattr(splits, other):
            do += f"; or score the {_NAMES[other]} set: --split {other}"
        raise ConfigError(f"data.{split}", "no records", "records to score", do)
    if limit is None or limit >= len(records):
        return records, splits.train, splits.fingerprint
    if FORMATS[settings.data.format].grouped:
        return _whole_questions(records, limit), splits.train, splits.fingerprint
    return _evenly(records, limit), splits.train, splits.fingerprint


def _evenly(items: list[Any], n: int) -> list[Any]:
    # Not the first ones, as files are sorted: WebNLG's test set begins with the seen categories.
    return [items[i * len(items) // n] for i in range(n)]


def _whole_questions(records: list[Any], limit: int) -> list[Any]:
    """As many questions as have at most `limit` records together, each with all of its records."""
    from softprompt.errors import ConfigError

    questions: dict[str, list[Any]] = {}
    for record in records:
        questions.setdefault(record.tags["question"], []).append(record)
    for n in range(len(questions), 0, -1):
        taken = [record for question in _evenly(list(questions), n) for record in questions[question]]
        if len(taken) <= limit:
            return taken
    n_first = len(next(iter(questions.values())))
    raise ConfigError(
        "--limit", limit, f"at least {n_first}, since records of one question are scored together", "raise it"
    )
