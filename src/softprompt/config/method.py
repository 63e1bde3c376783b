"""The section `method` of a run, whose settings follow from the method's name."""

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, ConfigDict, SerializeAsAny

from softprompt.config.base import Settings
from softprompt.config.named import named_settings
from softprompt.errors import SoftpromptError


class MethodSettings(Settings):
    """The base class of a method's settings; the fields are made from the method's signature."""

    # Descriptions come from the function's docstring; a search for the class's source would be slow.
    model_config = ConfigDict(use_attribute_docstrings=False, validate_default=True)

    name: str

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...

    def __reduce__(self) -> tuple[Any, ...]:
        # pickle finds no class that was made from a signature.
        return method_settings, (self.model_dump(exclude_unset=True) | {"name": self.name},)


def method_settings(raw: Any) -> Any:
    """The settings of the method that a mapping names; any other value is returned unchanged.

    Raises:
        ValueError: every mistake in the mapping; pydantic needs this class from a validator.
    """
    if not isinstance(raw, dict):
        return raw
    # Imported by name, since methods are a higher layer; they import torch only to build a prompt.
    return named_settings("method", import_module("softprompt.prompts").METHODS, raw)


def default_method(name: str) -> Callable[[], MethodSettings]:
    """The factory of a method's settings for a run without the section `method`."""
    return lambda: method_settings({"name": name})


def starts_at_examples(name: Any) -> bool:
    """Whether a method begins at examples by default; False for an unknown method."""
    try:
        settings: type[MethodSettings] = import_module("softprompt.prompts").METHODS[str(name)].settings
    except SoftpromptError:
        return False
    initialization = settings.model_fields.get("initialization")
    return initialization is not None and str(initialization.default).startswith("examples:")


AnyMethod = Annotated[SerializeAsAny[MethodSettings], BeforeValidator(method_settings)]
"""The settings of any method, told apart by `name`."""
