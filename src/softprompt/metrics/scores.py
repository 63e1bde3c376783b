"""What every metric gives, and the one call for generated texts: checks, scorers, figures and notes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from softprompt.config.metrics import METRICS, METRICS_BY_TASK
from softprompt.errors import ConfigError, DataError, kind_of, listed, nearest
from softprompt.metrics import captions, edits, mteval, summaries

HIGHER_IS_BETTER: dict[str, bool] = {name: name not in ("ter", "rmse") for name in METRICS}
"""Whether a larger figure is a better one; translation edit rate and rmse measure errors."""

LABELS: dict[str, str] = {
    "bleu": "BLEU",
    "nist": "NIST",
    "meteor": "METEOR",
    "rouge_l": "ROUGE-L",
    "cider": "CIDEr",
    "ter": "TER",
    "rouge1": "R-1",
    "rouge2": "R-2",
    "rougeL": "R-L",
    "accuracy": "accuracy",
    "f1": "F1",
    "macro_f1": "macro F1",
    "mcc": "MCC",
    "question_em": "question EM",
    "entity_f1": "entity F1",
    "entity_precision": "entity P",
    "entity_recall": "entity R",
    "answer_f1": "answer F1",
    "exact_match": "EM",
    "pearson": "Pearson",
    "spearman": "Spearman",
    "rmse": "RMSE",
    "p_at_1": "P@1",
    "p_at_10": "P@10",
    "mrr": "MRR",
    "top5_accuracy": "top-5 accuracy",
    "class_accuracy": "mean class accuracy",
}
"""Column heads for tables."""

Figures = tuple[dict[str, float], list[str]]
Scorer = Callable[[list[str], list[str], list[list[str]]], Figures]

# scorers that share a tokenisation run once for all the names they cover
_FAMILIES: tuple[tuple[tuple[str, ...], Scorer], ...] = (
    (("bleu", "nist"), mteval.score),
    (("meteor", "rouge_l", "cider"), captions.score),
    (("ter",), edits.score),
    (("rouge1", "rouge2", "rougeL"), summaries.score),
)


@dataclass(frozen=True)
class Scores:
    """Figures by metric name, and what a reader should know about them."""

    values: dict[str, float]
    """In the order asked for; a metric that could not be computed is absent, and a note says why."""
    notes: tuple[str, ...] = ()


def score(names: Sequence[str], hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> Scores:
    """Score generated texts against one or more references each.

    Source: `bleu`, `nist`, `meteor`, `rouge_l` and `cider` follow the official scorer of the E2E NLG
    challenge (tuetschek/e2e-metrics); `ter` the preparation of the WebNLG 2017 challenge; `rouge1`, `rouge2`
    and `rougeL` are Google's rouge-score with stemming. Deviations: runs of white space, line breaks
    among them, count as one space, and empty references are dropped, because the official file
    formats cannot hold either.

    Args:
        names: Metrics of the task `generation`.
        hypotheses: One generated text per example; an empty text scores as a miss.
        references: One or more reference texts per example.

    Returns:
        Percent (0-100) for all but `nist` and `cider`, which are raw (about 0-12 and 0-10), and
        `ter`, which may pass 100.

    Raises:
        ConfigError: a metric is unknown.
        DataError: nothing to score, lengths that differ, or an example without a reference.
    """
    check_names(names, "generation")
    texts = [_clean(text, f"hypotheses[{i}]") for i, text in enumerate(hypotheses)]
    golds = _check(texts, references)

    found: dict[str, float] = {}
    notes: list[str] = []
    for family, scorer in _FAMILIES:
        wanted = [name for name in family if name in names]
        if wanted:
            values, remarks = scorer(wanted, texts, golds)
            found.update(values)
            notes.extend(remarks)
    return Scores({name: float(found[name]) for name in names if name in found}, tuple(notes))


def check_names(names: Sequence[str], *tasks: str) -> None:
    """Refuse a metric that scores none of the tasks (keys of `METRICS_BY_TASK`).

    Raises:
        ConfigError: naming the metric, and what it scores or the nearest that would do.
    """
    known = list(dict.fromkeys(name for task in tasks for name in METRICS_BY_TASK[task]))
    for name in names:
        if name not in known:
            others = [task for task, scored in METRICS_BY_TASK.items() if name in scored]
            hint = f"use it for {listed(others)}" if others else nearest(str(name), known)
            raise ConfigError("metrics", repr(name), f"some of {', '.join(known)}", hint)


def check_lengths(outputs: Sequence[object], references: Sequence[object]) -> None:
    """Refuse nothing to score, and sides of different lengths.

    Raises:
        DataError: with both lengths.
    """
    if len(outputs) != len(references):
        got = f"{len(outputs)} outputs and {len(references)} references"
        raise DataError("metrics", got, "as many outputs as references")
    if not outputs:
        raise DataError("metrics", "no outputs", "at least one output")


def _check(texts: list[str], references: Sequence[Sequence[str]]) -> list[list[str]]:
    if not texts:
        raise DataError("metrics", "no hypotheses", "at least one text")
    if len(texts) != len(references):
        raise DataError(
            "metrics",
            f"{len(texts)} hypotheses and {len(references)} lists of references",
            "a list of references for each hypothesis",
        )
    golds = []
    for i, group in enumerate(references):
        if isinstance(group, str):
            raise DataError(f"references[{i}]", "a single text", "a list of texts", "put it into a list")
        kept = [clean for text in group if (clean := _clean(text, f"references[{i}]"))]
        if not kept:
            raise DataError(f"references[{i}]", "no reference text", "at least one text")
        golds.append(kept)
    return golds


def _clean(text: str, where: str) -> str:
    if not isinstance(text, str):
        raise DataError(where, kind_of(text), "a text")
    return " ".join(text.split())
