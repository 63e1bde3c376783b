"""The settings of one run, the only thing that a recipe holds."""

from softprompt.config.base import FolderName, Settings
from softprompt.config.loading import (
    apply_override,
    load_recipe,
    load_run,
    load_stored,
    parse_as,
    parse_run,
    put,
    read_mapping,
)
from softprompt.config.method import MethodSettings
from softprompt.config.mistakes import explain_all
from softprompt.config.mixture import MixtureSettings, PartSettings
from softprompt.config.settings import (
    BackboneSettings,
    DataSettings,
    DecodingSettings,
    RunSettings,
)
from softprompt.config.stored import as_stored
from softprompt.config.tasks import (
    ChoiceSettings,
    ClassificationSettings,
    ClozeSettings,
    GenerationSettings,
    ImageClassificationSettings,
    ProbingSettings,
    RegressionSettings,
    SpanSettings,
    TaggingSettings,
    TaskSettings,
)
from softprompt.config.training import TrainingSettings

__all__ = [
    "BackboneSettings",
    "ChoiceSettings",
    "ClassificationSettings",
    "ClozeSettings",
    "DataSettings",
    "DecodingSettings",
    "FolderName",
    "GenerationSettings",
    "ImageClassificationSettings",
    "MethodSettings",
    "MixtureSettings",
    "PartSettings",
    "ProbingSettings",
    "RegressionSettings",
    "RunSettings",
    "Settings",
    "SpanSettings",
    "TaggingSettings",
    "TaskSettings",
    "TrainingSettings",
    "apply_override",
    "as_stored",
    "explain_all",
    "load_recipe",
    "load_run",
    "load_stored",
    "parse_as",
    "parse_run",
    "put",
    "read_mapping",
]
