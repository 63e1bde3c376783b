from .bundled import BUNDLED, BUNDLED_NAMES, bundled_folder, hub_id
from .cached import cached_checkpoint, config_here, tokenizer_here
from .checkpoint import (
    has_two_towers,
    read_config,
    read_model,
    read_processor,
    read_text_processor,
    read_tokenizer,
)
from .pull import pull_bundled
from .quantization import (
    check_weights,
    float_dtype,
    is_packed,
    is_quantised,
    is_sharded,
    numbers,
    quantisation,
    quantised_layers,
)
from .quiet import without_bars
from .terms import agreed_before

__all__ = [
    "BUNDLED",
    "BUNDLED_NAMES",
    "agreed_before",
    "bundled_folder",
    "cached_checkpoint",
    "check_weights",
    "config_here",
    "float_dtype",
    "has_two_towers",
    "hub_id",
    "is_packed",
    "is_quantised",
    "is_sharded",
    "numbers",
    "pull_bundled",
    "quantisation",
    "quantised_layers",
    "read_config",
    "read_model",
    "read_processor",
    "read_text_processor",
    "read_tokenizer",
    "tokenizer_here",
    "without_bars",
]
