from .atomic import sync_folder, write_atomically, write_synced, writing
from .hub import fetch_prompt, own_readme, pull_folder, push_folder, push_prompt
from .hub_names import is_hub_id, names_repository
from .json_lines import Line, damaged, ends_line, json_line, json_text, objects, read_lines, warn_of_damage
from .model_card import readme_of
from .prompt_card import (
    Activation,
    AdapterPlacement,
    AdaptersCard,
    BackboneCard,
    BackboneRecord,
    Depth,
    HeadCard,
    HeadKind,
    InsertsCard,
    Location,
    LoraCard,
    PicturePooling,
    PromptCard,
    TextPooling,
)
from .prompt_folder import TENSORS, is_prompt_folder, read_card, read_prompt, write_prompt
from .readme_file import MODEL_CARD, check_no_other, write_model_card
from .recognition import Held, difference
from .shipping import without_folders
from .spreadsheet import as_cell, from_cell
from .tensor_file import Shapes, read_foreign_tensors, serialised
from .tensor_kinds import kinds_of_tensors

__all__ = [
    "MODEL_CARD",
    "TENSORS",
    "Activation",
    "AdapterPlacement",
    "AdaptersCard",
    "BackboneCard",
    "BackboneRecord",
    "Depth",
    "HeadCard",
    "HeadKind",
    "Held",
    "InsertsCard",
    "Line",
    "Location",
    "LoraCard",
    "PicturePooling",
    "PromptCard",
    "Shapes",
    "TextPooling",
    "as_cell",
    "check_no_other",
    "damaged",
    "difference",
    "ends_line",
    "fetch_prompt",
    "from_cell",
    "is_hub_id",
    "is_prompt_folder",
    "json_line",
    "json_text",
    "kinds_of_tensors",
    "names_repository",
    "objects",
    "own_readme",
    "pull_folder",
    "push_folder",
    "push_prompt",
    "read_card",
    "read_foreign_tensors",
    "read_lines",
    "read_prompt",
    "readme_of",
    "serialised",
    "sync_folder",
    "warn_of_damage",
    "without_folders",
    "write_atomically",
    "write_model_card",
    "write_prompt",
    "write_synced",
    "writing",
]
