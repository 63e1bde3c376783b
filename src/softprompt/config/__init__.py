"""The settings of one run, the only thing that a recipe holds."""

from softprompt.config.loading import apply_override, load_recipe, load_run, parse_run, read_mapping
from softprompt.config.methods import (
    METHODS,
    FineTuningSettings,
    HeadOnlySettings,
    MethodSettings,
    NullPromptSettings,
    PrefixTuningSettings,
    PromptTuningSettings,
    PTuningSettings,
    PTuningV2Settings,
    VisualPromptTuningSettings,
)
from softprompt.config.metrics import METRICS, METRICS_BY_TASK
from softprompt.config.mixture import MixtureSettings, PartSettings
from softprompt.config.settings import (
    BackboneSettings,
    DataSettings,
    DecodingSettings,
    RunSettings,
    TrainingSettings,
)
from softprompt.config.tasks import (
    TASKS,
    ChoiceSettings,
    ClassificationSettings,
    GenerationSettings,
    ReadingSettings,
    RegressionSettings,
    SpanSettings,
    TaggingSettings,
    TaskSettings,
)

__all__ = [
    "METHODS",
    "METRICS",
    "METRICS_BY_TASK",
    "TASKS",
    "BackboneSettings",
    "ChoiceSettings",
    "ClassificationSettings",
    "DataSettings",
    "DecodingSettings",
    "FineTuningSettings",
    "GenerationSettings",
    "HeadOnlySettings",
    "MethodSettings",
    "MixtureSettings",
    "NullPromptSettings",
    "PTuningSettings",
    "PTuningV2Settings",
    "PartSettings",
    "PrefixTuningSettings",
    "PromptTuningSettings",
    "ReadingSettings",
    "RegressionSettings",
    "RunSettings",
    "SpanSettings",
    "TaggingSettings",
    "TaskSettings",
    "TrainingSettings",
    "VisualPromptTuningSettings",
    "apply_override",
    "load_recipe",
    "load_run",
    "parse_run",
    "read_mapping",
]
