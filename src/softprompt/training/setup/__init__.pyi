from .before_loading import check_before_loading
from .checks import check_shard
from .components import RunComponents, build_parts, build_run, load_frozen, with_template
from .defaults import with_training_defaults
from .resolved import resolve, resolve_parts

__all__ = [
    "RunComponents",
    "build_parts",
    "build_run",
    "check_before_loading",
    "check_shard",
    "load_frozen",
    "resolve",
    "resolve_parts",
    "with_template",
    "with_training_defaults",
]
