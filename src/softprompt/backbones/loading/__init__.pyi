from .bundled import BUNDLED, BUNDLED_NAMES, bundled_folder, pull_bundled
from .quantization import check_held, float_dtype, is_packed, is_sharded, numbers
from .quiet import without_bars

__all__ = [
    "BUNDLED",
    "BUNDLED_NAMES",
    "bundled_folder",
    "check_held",
    "float_dtype",
    "is_packed",
    "is_sharded",
    "numbers",
    "pull_bundled",
    "without_bars",
]
