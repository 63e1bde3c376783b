"""The settings of one run: frozen, nested like the rooms, unknown keys refused.

A run is one YAML file plus `--set key=value` overrides. Every mistake is reported at once, each
with its path in the file and the nearest known name.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from softprompt.errors import ConfigError, nearest, problem


class Settings(BaseModel):
    """Frozen settings that refuse unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)


class BackboneSettings(Settings):
    name: str = "smollm2-135m"
    """A bundled name, a folder, or a hub id."""
    dtype: Literal["float32", "bfloat16", "float16"] | None = None
    """Precision of the frozen weights; None keeps what the files hold."""
    device: str | None = None
    """A torch device; None takes the best one that is there."""
    attention: Literal["sdpa", "eager"] | None = None
    """Attention kernel; None keeps the model's own default."""


class PrefixTuningSettings(Settings):
    name: Literal["prefix_tuning"] = "prefix_tuning"
    length: int | None = Field(default=None, ge=1)
    """Prompt vectors per layer; None is 10, or what the text of the initialization gives."""
    layers: str | list[int] = "all"
    """`all`, `first:k`, `last:k` or a list of layer numbers."""
    sites: list[Literal["encoder", "decoder", "cross"]] | None = None
    """Which attentions get a prefix; None is every one that the backbone has."""
    reparameterization: Literal["mlp"] | None = "mlp"
    """`mlp` is the paper's; None trains keys and values directly."""
    width: int = Field(default=512, ge=1)
    """Hidden width of the reparameterisation."""
    depth: int = Field(default=1, ge=1)
    """Hidden layers of the reparameterisation."""
    initialization: str = "examples:4"
    """`examples:k`, `text: ...`, `vocabulary`, `random`, `zero` or `prompt: FOLDER`."""
    positions: Literal["shifted", "unshifted"] | None = None
    """Whether the text's positions start behind the prompt; None is the method's default."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout on the prompt itself while training (0 in the paper)."""


class PromptTuningSettings(Settings):
    name: Literal["prompt_tuning"] = "prompt_tuning"
    length: int | None = Field(default=None, ge=1)
    """Soft tokens; None is 20, or what the text of the initialization gives."""
    reparameterization: Literal["mlp"] | None = None
    """`mlp` sends the vectors through an MLP (Prefix-Tuning's embedding-only ablation)."""
    width: int = Field(default=512, ge=1)
    """Hidden width of the reparameterisation."""
    depth: int = Field(default=1, ge=1)
    """Hidden layers of the reparameterisation."""
    initialization: str = "vocabulary"
    """`examples:k`, `text: ...`, `vocabulary`, `random`, `zero` or `prompt: FOLDER`."""
    positions: Literal["shifted", "unshifted"] | None = None
    """Whether the text's positions start behind the prompt; None is the method's default."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout on the prompt itself while training."""


MethodSettings = PrefixTuningSettings | PromptTuningSettings


class DataSettings(Settings):
    format: Literal["e2e", "webnlg", "dart", "scitldr", "jsonl", "csv", "restaurants"]
    """How the files are read; `restaurants` is generated (synthetic) and reads no file."""
    train: Path | None = None
    """File or folder, relative to the data folder (`SOFTPROMPT_DATA`) unless absolute."""
    dev: Path | None = None
    test: Path | None = None
    source: str = "source"
    """Name of the source column (jsonl and csv only)."""
    target: str = "target"
    """Name of the target column (jsonl and csv only)."""
    train_size: int | None = Field(default=None, ge=1)
    """How many training pairs to draw; None takes all."""
    dev_size: int | None = Field(default=None, ge=1)
    """How many development records to draw; None takes all."""
    test_size: int | None = Field(default=None, ge=1)
    """How many test records to draw; None takes all."""
    dev_share: float = Field(default=0.0, ge=0, lt=1)
    """Share of the drawn training pairs set aside as development set (0.3 in the paper's low-data runs)."""
    subsample: int = Field(default=0, ge=0)
    """Which subsample: the seed of the draw."""
    extrapolation: Literal["seen"] | None = None
    """`seen` keeps only the categories marked seen for training (WebNLG's seen -> unseen split)."""


class TaskSettings(Settings):
    name: Literal["generation"] = "generation"
    separator: str | None = None
    """Text between source and target; None is the tokenizer's BOS, as in the paper."""
    max_source_tokens: int = Field(default=512, ge=1)
    """Longer sources are cut at the end, and counted in the log."""
    max_target_tokens: int = Field(default=256, ge=1)
    """Longer targets are cut at the end, and counted in the log (training only)."""


class DecodingSettings(Settings):
    strategy: Literal["greedy", "beam", "sample"] = "beam"
    beams: int = Field(default=5, ge=1)
    """Beams (beam search only)."""
    max_new_tokens: int = Field(default=100, ge=1)
    min_new_tokens: int = Field(default=0, ge=0)
    length_penalty: float = 1.0
    """Beam search only; 1.0 divides by length."""
    no_repeat_ngram: int = Field(default=0, ge=0)
    """0 allows repeats."""
    temperature: float = Field(default=1.0, gt=0)
    """Sampling only."""
    top_p: float = Field(default=1.0, gt=0, le=1)
    """Sampling only."""
    ban_newlines: bool = True
    """Newline tokens are never generated (the paper's table-to-text setting)."""
    batch_size: int = Field(default=16, ge=1)
    """Records decoded together."""


class TrainingSettings(Settings):
    steps: int | None = Field(default=None, ge=1)
    """Optimizer steps; give this or `epochs`."""
    epochs: int | None = Field(default=None, ge=1)
    """Passes over the training pairs; give this or `steps`."""
    batch_size: int = Field(default=16, ge=1)
    """Pairs in an optimizer step."""
    accumulation: int = Field(default=1, ge=1)
    """Parts that a step is computed in; the result is the same, the memory smaller."""
    learning_rate: float = Field(default=1e-2, gt=0)
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    warmup_steps: int = Field(default=0, ge=0)
    weight_decay: float = Field(default=0.0, ge=0)
    clip_norm: float | None = Field(default=1.0, gt=0)
    """Largest gradient norm; None does not clip."""
    loss: Literal["token_mean", "sequence_sum"] = "token_mean"
    """Mean over target tokens, or the paper's code: sum over a sequence, mean over the batch."""
    by_length: bool = True
    """Batches of similar lengths (less padding); False is a plain shuffle."""
    backbone_dropout: bool = False
    """Whether the frozen backbone's own dropout is on while training."""
    gradient_checkpointing: bool = False
    evaluate_every: int | None = Field(default=None, ge=1)
    """Steps between evaluations on the development set; None is once per epoch."""
    select: str = "loss"
    """Development metric that picks the best checkpoint: `loss`, or one of `metrics`."""
    patience: int | None = Field(default=None, ge=1)
    """Evaluations without improvement before stopping; None never stops early."""
    checkpoint_every: int = Field(default=50, ge=1)
    """Steps between checkpoints."""
    seed: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _steps_or_epochs(self) -> "TrainingSettings":
        if (self.steps is None) == (self.epochs is None):
            raise ValueError("give exactly one of training.steps and training.epochs")
        return self


METRICS = ("bleu", "nist", "meteor", "rouge_l", "cider", "ter", "rouge1", "rouge2", "rougeL")
"""Every metric name, in the order tables show them. `rouge_l` is E2E's, `rougeL` is rouge-score's."""


class RunSettings(Settings):
    """Everything that decides one run."""

    name: str = "run"
    """Names the run folder below `output`."""
    output: Path = Path("runs")
    backbone: BackboneSettings = BackboneSettings()
    method: MethodSettings = Field(default=PrefixTuningSettings(), discriminator="name")
    data: DataSettings
    task: TaskSettings = TaskSettings()
    decoding: DecodingSettings = DecodingSettings()
    metrics: list[Literal[METRICS]] = ["bleu"]  # type: ignore[valid-type]
    training: TrainingSettings

    @model_validator(mode="after")
    def _select_among_metrics(self) -> "RunSettings":
        if self.training.select not in ("loss", *self.metrics):
            known = ", ".join(("loss", *self.metrics))
            where, got = "training.select", repr(self.training.select)
            raise ValueError(problem(where, got, f"one of {known}", "choose one, or add it to metrics"))
        return self

    @property
    def folder(self) -> Path:
        """Where the run keeps its files."""
        return self.output / self.name


def load_run(path: Path | str, overrides: list[str] | tuple[str, ...] = ()) -> RunSettings:
    """Read one run's YAML and apply `key=value` overrides (`training.learning_rate=1e-3`).

    Raises:
        ConfigError: every mistake at once, a line each.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(str(path), error.strerror, "a YAML file with one run's settings") from None
    try:
        raw = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(str(path), f"invalid YAML ({error})", "a mapping of settings") from None
    if not isinstance(raw, dict):
        got = "an empty file" if raw is None else f"a {type(raw).__name__}"
        raise ConfigError(str(path), got, "a mapping of settings")
    for override in overrides:
        apply_override(raw, override)
    return parse_run(raw, where=str(path))


def parse_run(raw: dict[str, Any], where: str = "settings") -> RunSettings:
    """Check a mapping of settings; raises ConfigError with every mistake, a line each."""
    try:
        return RunSettings.model_validate(raw)
    except ValidationError as error:
        raise ConfigError.several([f"{where}: {line}" for line in _explain_all(error.errors())]) from None


def apply_override(raw: dict[str, Any], override: str) -> None:
    key, sep, value = override.partition("=")
    *parents, last = key.strip().split(".")
    if not sep or not all((*parents, last)):
        raise ConfigError("--set", repr(override), "key=value, e.g. training.learning_rate=1e-3")
    try:
        parsed = yaml.safe_load(value)
    except yaml.YAMLError:
        raise ConfigError(
            "--set", repr(override), "a value as in YAML, e.g. 3, true, text or [1, 2]"
        ) from None
    node = raw
    for parent in parents:
        # A section that is named in the file and left empty reads as None.
        node[parent] = {} if node.get(parent) is None else node[parent]
        node = node[parent]
        if not isinstance(node, dict):
            raise ConfigError("--set", repr(override), f"'{parent}' to hold settings, and it holds a value")
    node[last] = parsed


# What pydantic's kinds of mistakes are called here; {names} are filled from the mistake's context.
_EXPECTED = {
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_parsing": "a number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "string_type": "a text",
    "path_type": "a path",
    "list_type": "a list",
    "model_type": "a mapping of settings",
    "model_attributes_type": "a mapping of settings",
    "greater_than": "more than {gt:g}",
    "greater_than_equal": "at least {ge:g}",
    "less_than": "less than {lt:g}",
    "less_than_equal": "at most {le:g}",
}

_METHODS: dict[str, type[Settings]] = {
    "prefix_tuning": PrefixTuningSettings,
    "prompt_tuning": PromptTuningSettings,
}


def _explain_all(items: Sequence[Any]) -> list[str]:
    lines: dict[str, str] = {}
    unions: dict[str, list[str]] = {}
    for item in items:
        path, known = _place(item["loc"])
        expected = _expected(item)
        if expected is None:
            lines[f"{path} {item['type']}"] = _explain(item, path, known)
        else:
            # Every member of a union reports for itself; together they are one line.
            unions.setdefault(path, []).append(expected)
            lines[path] = problem(path, repr(item["input"]), " or ".join(unions[path]))
    return list(lines.values())


def _expected(item: Any) -> str | None:
    wanted = _EXPECTED.get(item["type"])
    return None if wanted is None else wanted.format(**item.get("ctx", {}))


def _explain(item: Any, path: str, known: Sequence[str]) -> str:
    kind = item["type"]
    if kind == "extra_forbidden":
        hint = nearest(str(item["loc"][-1]), known) or f"known here: {', '.join(sorted(known))}"
        return problem(path, "an unknown setting", do=hint)
    if kind == "missing":
        return problem(path, "nothing", "a value")
    if kind == "union_tag_not_found":
        return problem(f"{path}.name", "nothing", f"one of {', '.join(map(repr, _METHODS))}")
    if kind == "union_tag_invalid":
        tag = item["ctx"]["tag"]
        expected = f"one of {', '.join(map(repr, _METHODS))}"
        return problem(f"{path}.name", repr(tag), expected, nearest(tag, _METHODS))
    if kind == "literal_error":
        wanted = item["ctx"]["expected"]
        names = [part.strip("' ") for part in wanted.replace(" or ", ", ").split(",")]
        return problem(path, repr(item["input"]), f"one of {wanted}", nearest(str(item["input"]), names))
    if kind == "value_error":
        message = str(item["ctx"]["error"])
        return problem(path, do=message) if path else message
    return problem(path, repr(item["input"]), item["msg"][0].lower() + item["msg"][1:])


def _place(loc: Sequence[str | int]) -> tuple[str, list[str]]:
    """The path as the user writes it, and the settings known where it ends.

    pydantic puts the chosen member of a union into its locations; those parts are dropped.
    """
    path: list[str] = []
    model: Any = RunSettings
    for i, part in enumerate(loc):
        if path == ["method"] and part in _METHODS:
            model = _METHODS[str(part)]
        elif isinstance(part, int) or (model is not None and part in model.model_fields):
            path.append(str(part))
            field = None if model is None else model.model_fields.get(str(part))
            annotation = None if field is None else field.annotation
            inner = isinstance(annotation, type) and issubclass(annotation, BaseModel)
            if i + 1 < len(loc):
                model = annotation if inner else None
        elif model is not None and i + 1 == len(loc):
            path.append(str(part))
    return ".".join(path), list(model.model_fields) if model is not None else []
