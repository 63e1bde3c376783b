"""Builds the backbone, task, data and prompt of a run from its settings."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from softprompt.config import BackboneSettings, MixtureSettings, RunSettings
from softprompt.data import FORMATS, MultiLabelledText, Splits, TaggedWords
from softprompt.errors import ConfigError, DataError, SoftpromptError
from softprompt.tasks import Task, build_task, template_of
from softprompt.training.distributed import Processes
from softprompt.training.setup.before_loading import RunData, check_before_loading
from softprompt.training.setup.checks import check_prompt, check_shard
from softprompt.training.setup.start import begin

if TYPE_CHECKING:
    from softprompt.backbones import Backbone
    from softprompt.prompts import Prompt


@dataclass(frozen=True)
class RunComponents:
    """Everything that a run of one task needs, or one task of several, and its settings."""

    backbone: "Backbone"
    task: Task
    prompt: "Prompt"
    splits: Splits
    settings: RunSettings
    left_out: Mapping[str, int] = field(default_factory=dict)
    """Records of each set that the task could not ask about; empty where there are none."""
    draw_losses: Sequence[float] = ()
    """Loss of every draw of examples that the prompt could begin from; empty where there was one draw."""


def build_parts(
    settings: RunSettings | MixtureSettings, processes: Processes, backbone: "Backbone | None" = None
) -> dict[str, RunComponents]:
    """The components of every task of a run, by the name of its part; a single task's name is empty.

    Tasks with a shared prompt take that of the first, each with its own head.

    Args:
        settings: of the run.
        processes: of the run.
        backbone: one already loaded as the settings say; None loads it.

    Raises:
        ConfigError: some parts have a development set and others have none.
        SoftpromptError: as `build_run`; an error of one task of several begins with its name.
    """
    if isinstance(settings, RunSettings):
        return {"": build_run(settings, processes, backbone)}
    check_shard(settings.backbone, processes, backbone)
    runs = {name: settings.part(name) for name in settings.parts}
    data: dict[str, RunData] = {}
    for name, run in runs.items():
        with _inside_part(name):
            data[name] = check_before_loading(run)
    without = [name for name, of_part in data.items() if not of_part.splits.dev]
    if 0 < len(without) < len(data):
        raise ConfigError(
            f"parts.{without[0]}.data",
            "no development set, though other parts have one",
            "one for every part or for none, since the best prompt is picked by it",
            "give data.dev or data.dev_share, or take those of the other parts away",
        )
    backbone = backbone or load_frozen(settings.backbone, processes.device, settings.backbone.shard)
    parts: dict[str, RunComponents] = {}
    for name, run in runs.items():
        with _inside_part(name):
            parts[name] = _assemble(run, data[name], backbone, processes)
    if settings.prompts == "separate":
        return parts
    shared = next(iter(parts.values())).prompt
    return {name: replace(part, prompt=shared.with_head(part.prompt.head)) for name, part in parts.items()}


def build_run(
    settings: RunSettings, processes: Processes, backbone: "Backbone | None" = None
) -> RunComponents:
    """Load the data and the backbone, and build the task and the prompt.

    Args:
        settings: of the run.
        processes: of the run.
        backbone: one already loaded as the settings say; None loads it.

    Raises:
        ConfigError: no training pairs, or a development set is needed and there is none.
        SoftpromptError: any other mistake in settings, data or backbone.
    """
    check_shard(settings.backbone, processes, backbone)
    data = check_before_loading(settings)
    backbone = backbone or load_frozen(settings.backbone, processes.device, settings.backbone.shard)
    return _assemble(settings, data, backbone, processes)


def _assemble(
    settings: RunSettings, data: RunData, backbone: "Backbone", processes: Processes
) -> RunComponents:
    """The task and the prompt of a run on its backbone."""
    splits = data.splits
    records = [*splits.train, *splits.dev, *splits.test]
    settings = with_label_separator(with_class_weights(with_template(settings, records, backbone), data))
    fields = FORMATS[settings.data.format].fields
    task = build_task(backbone, settings.task, settings.decoding, data.labels, fields)
    splits, left_out = _usable(task, splits)
    for records in (splits.train, splits.dev, splits.test):
        task.check(records)
    task.settle(splits.train)
    beginning = begin(backbone, task, settings, splits, processes)
    task, prompt = beginning.task, beginning.prompt
    check_prompt(settings, backbone, task, prompt)
    taken = prompt.card.n_positions
    task.check_positions(splits.train, taken, training=True)
    task.check_positions([*splits.dev, *splits.test], taken, training=False)
    return RunComponents(backbone, task, prompt, splits, settings, left_out, beginning.draw_losses)


@contextmanager
def _inside_part(name: str) -> Iterator[None]:
    """While entered, errors begin with the name of a part."""
    try:
        yield
    except SoftpromptError as error:
        raise error.inside(f"part {name}") from error.__cause__


def with_template(settings: RunSettings, records: Sequence[Any], backbone: "Backbone") -> RunSettings:
    """The settings with the run's one template in the task's place, if the task has templates."""
    if "template" not in type(settings.task).model_fields:
        return settings
    template = template_of(settings, records, backbone.is_causal)
    if template is None:
        return settings
    return settings.model_copy(update={"task": settings.task.model_copy(update={"template": template})})


def with_class_weights(settings: RunSettings, data: RunData) -> RunSettings:
    """The settings with a number for each label in place of `balanced`: n / (labels * records of the label).

    Of tags words are counted in place of records. Of several labels for each text the number is records
    without the label / records with it.

    Source: scikit-learn's `compute_class_weight("balanced")`, after King and Zeng (2001).

    Raises:
        DataError: a label that no training record has.
    """
    if getattr(settings.task, "class_weights", None) != "balanced":
        return settings
    records: Sequence[Any] = data.splits.train
    several = isinstance(records[0], MultiLabelledText)
    sets = [one.labels or () for one in records if isinstance(one, (MultiLabelledText, TaggedWords))]
    if sets:
        counts = Counter(label for labels in sets for label in labels)
    else:
        counts = Counter(next(iter(record.targets), "") for record in records)
    if lacking := [label for label in data.labels if not counts[label]]:
        got = f"'balanced', though no training record has the label '{lacking[0]}'"
        do = "give a weight for each label instead, or leave labels without records out of task.labels"
        raise DataError("task.class_weights", got, "records of every label", do)
    n = len(records) if several else counts.total()
    weights = {label: round(n / (len(data.labels) * counts[label]), 6) for label in data.labels}
    if several:
        # A label that every record has keeps a small weight, since no record is without it.
        weights = {label: round(max(n - counts[label], 1) / counts[label], 6) for label in data.labels}
    return settings.model_copy(update={"task": settings.task.model_copy(update={"class_weights": weights})})


def with_label_separator(settings: RunSettings) -> RunSettings:
    """The settings with the separator of the data's labels as that of predictions, where the task has one."""
    task, separator = settings.task, settings.data.label_separator
    if (
        "label_separator" not in type(task).model_fields
        or getattr(task, "label_separator", None)
        or not separator
    ):
        return settings
    return settings.model_copy(update={"task": task.model_copy(update={"label_separator": separator})})


def _usable(task: Task, splits: Splits) -> tuple[Splits, dict[str, int]]:
    """The records that the task can ask about, and how many of each set it cannot.

    Raises:
        DataError: nothing is left of a set.
    """
    kept = {name: task.usable(getattr(splits, name)) for name in ("train", "dev", "test")}
    left_out = {name: len(getattr(splits, name)) - len(records) for name, records in kept.items()}
    for name, n in left_out.items():
        if n and not kept[name]:
            got = f"{n} records, none of them with an answer in the vocabulary"
            raise DataError(
                f"data.{name}",
                got,
                "at least one record with such an answer",
                "allow more words with task.vocabulary",
            )
    if not any(left_out.values()):
        return splits, {}
    return replace(splits, train=kept["train"], dev=kept["dev"], test=kept["test"]), left_out


def load_frozen(frozen: BackboneSettings, device: Any, shard: bool = False) -> "Backbone":
    """The backbone that the settings name.

    Args:
        frozen: its settings; `shard` below replaces theirs, since a single process may load a backbone that
            several have trained with.
        device: this process's.
        shard: whether its layers are shared out over the processes.
    """
    from softprompt.backbones import load_backbone

    return load_backbone(
        frozen.name,
        dtype=frozen.dtype,
        device=device,
        attention=frozen.attention,
        image_size=frozen.image_size,
        shard=shard,
    )
