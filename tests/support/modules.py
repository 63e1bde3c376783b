"""What stands on a model's modules beside its tensors: forwards, hooks and settings."""

from typing import Any

from torch import nn


def standing_on(model: nn.Module) -> dict[str, Any]:
    """What stands on every module, by name; collections (of hooks, for one) as they are now."""
    return {
        f"{name}.{key}": dict(value) if isinstance(value, dict) else value
        for name, module in model.named_modules()
        for key, value in {**vars(module), "__class__": type(module)}.items()
        if key not in ("_parameters", "_buffers", "_modules")
    }


def assert_nothing_moved(before: dict[str, Any], after: dict[str, Any]) -> None:
    """The same things stand on the same modules, none of them by another of its kind."""
    assert after.keys() == before.keys()
    for name, value in before.items():
        assert after[name] == value if isinstance(value, dict) else after[name] is value, name
