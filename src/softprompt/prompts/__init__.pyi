from .heads import CLASS, PATCH, PROMPT, SPECIAL, head, pool_picture, reads_prompt
from .initializations import find_initialization, initialization
from .inserts import Insert, LayerLinears
from .loading import load_prompt
from .methods import (
    METHODS,
    Method,
    adapter,
    build_prompt,
    fine_tuning,
    head_only,
    in_context,
    lora,
    method,
    n_examples,
    null_prompt,
    p_tuning,
    p_tuning_v2,
    prefix_tuning,
    prompt_tuning,
    visual_prompt_tuning,
)
from .methods.builder import PromptBuilder
from .methods.options import TUNE_FORMS, is_tune
from .placements import AttentionShape, KeyValues, SlotEmbeddings
from .prompt import Prompt
from .start_request import Start, StartRequest
from .visual import (
    LOCATIONS,
    AddedTokens,
    ExtraChannels,
    ImageTokens,
    PictureFacts,
    PixelBorder,
    PixelPatches,
)

__all__ = [
    "CLASS",
    "LOCATIONS",
    "METHODS",
    "PATCH",
    "PROMPT",
    "SPECIAL",
    "TUNE_FORMS",
    "AddedTokens",
    "AttentionShape",
    "ExtraChannels",
    "ImageTokens",
    "Insert",
    "KeyValues",
    "LayerLinears",
    "Method",
    "PictureFacts",
    "PixelBorder",
    "PixelPatches",
    "Prompt",
    "PromptBuilder",
    "SlotEmbeddings",
    "Start",
    "StartRequest",
    "adapter",
    "build_prompt",
    "find_initialization",
    "fine_tuning",
    "head",
    "head_only",
    "in_context",
    "initialization",
    "is_tune",
    "load_prompt",
    "lora",
    "method",
    "n_examples",
    "null_prompt",
    "p_tuning",
    "p_tuning_v2",
    "pool_picture",
    "prefix_tuning",
    "prompt_tuning",
    "reads_prompt",
    "visual_prompt_tuning",
]
