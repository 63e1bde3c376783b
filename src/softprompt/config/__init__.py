"""The settings of one run, the only thing that a recipe holds."""

from softprompt.config.base import FolderName, Settings
from softprompt.config.data import AUTO, DataSettings
from softprompt.config.data_places import SPLIT_NAME, data_root, found, is_saved, places, settled
from softprompt.config.headed_tasks import (
    ChoiceSettings,
    ClassificationSettings,
    ImageClassificationSettings,
    MultiLabelSettings,
    RegressionSettings,
    SpanSettings,
    TaggingSettings,
)
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
from softprompt.config.packaged import found_recipe, named_recipe, recipe_folder, recipe_names
from softprompt.config.settings import (
    BackboneSettings,
    DecodingSettings,
    RunSettings,
)
from softprompt.config.stored import as_stored
from softprompt.config.task_settings import TaskSettings
from softprompt.config.tasks import ClozeSettings, GenerationSettings, ProbingSettings
from softprompt.config.training import USUAL_RATE, TrainingSettings

__all__ = [
    "AUTO",
    "SPLIT_NAME",
    "USUAL_RATE",
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
    "MultiLabelSettings",
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
    "data_root",
    "explain_all",
    "found",
    "found_recipe",
    "is_saved",
    "load_recipe",
    "load_run",
    "load_stored",
    "named_recipe",
    "parse_as",
    "parse_run",
    "places",
    "put",
    "read_mapping",
    "recipe_folder",
    "recipe_names",
    "settled",
]
