"""ROUGE-1, ROUGE-2 and ROUGE-L for summaries."""


def score(names: list[str], hypotheses: list[str], references: list[list[str]]) -> tuple[dict, list[str]]:
    """ROUGE F-measures (0-100), averaged over examples.

    Source: Google's rouge-score with Porter stemming, as Prefix-Tuning reports it; an example
    with several references takes the best F-measure of each kind. Deviation: the plain mean, where the
    package's own aggregator takes the median of bootstrap samples.
    """
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(names, use_stemmer=True)
    rows = [scorer.score_multi(group, text) for text, group in zip(hypotheses, references, strict=True)]
    return {name: 100 * sum(row[name].fmeasure for row in rows) / len(rows) for name in names}, []
