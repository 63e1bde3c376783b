"""Every metric by the task that it scores."""

METRICS_BY_TASK: dict[str, tuple[str, ...]] = {
    "generation": ("bleu", "nist", "meteor", "rouge_l", "cider", "ter", "rouge1", "rouge2", "rougeL"),
    "classification": ("accuracy", "f1", "macro_f1", "mcc", "question_em"),
    "tagging": ("entity_f1", "entity_precision", "entity_recall"),
    "spans": ("answer_f1", "exact_match"),
    "choice": ("accuracy",),
    "regression": ("pearson", "spearman", "rmse"),
    "cloze": ("accuracy", "f1", "macro_f1", "mcc"),
    "image_classification": ("accuracy", "top5_accuracy", "class_accuracy", "macro_f1"),
    "probing": ("p_at_1", "p_at_10", "mrr"),
}
"""The first of a task is its default. `rouge_l` is E2E's, `rougeL` is rouge-score's."""

METRICS: tuple[str, ...] = tuple(dict.fromkeys(name for names in METRICS_BY_TASK.values() for name in names))
"""Every metric name once, in the order tables show them."""
