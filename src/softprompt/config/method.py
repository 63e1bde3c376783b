"""The section `method` of a run: which settings it has follows from its name."""

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, ConfigDict, SerializeAsAny

from softprompt.config.base import Settings
from softprompt.config.named import named_settings
from softprompt.errors import SoftpromptError


class MethodSettings(Settings):
    """What every method's settings are; the others are made from the method's signature."""

    # Their texts come from the function's docstring; looking for a class's source takes half of an import.
    model_config = ConfigDict(use_attribute_docstrings=False, validate_default=True)

    name: str

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...

    def __reduce__(self) -> tuple[Any, ...]:
        # Classes made from signatures stand in no module in which pickle could look for them.
        return method_settings, (self.model_dump(exclude_unset=True) | {"name": self.name},)


def method_settings(raw: Any) -> Any:
    """A mapping as the settings of the method that it names; anything else as it is.

    Raises:
        ValueError: every mistake in the mapping, as pydantic wants it of a validator.
    """
    if not isinstance(raw, dict):
        return raw
    # By its name, since methods stand above the settings; they are light until a prompt is built.
    return named_settings("method", import_module("softprompt.prompts").METHODS, raw)


def default_method(name: str) -> Callable[[], MethodSettings]:
    """What gives a method's settings where a run says nothing of it."""
    return lambda: method_settings({"name": name})


def starts_at_examples(name: Any) -> bool:
    """Whether a method's vectors begin at examples by default; False for a name that is no method's."""
    try:
        settings: type[MethodSettings] = import_module("softprompt.prompts").METHODS[str(name)].settings
    except SoftpromptError:
        return False
    initialization = settings.model_fields.get("initialization")
    return initialization is not None and str(initialization.default).startswith("examples:")


AnyMethod = Annotated[SerializeAsAny[MethodSettings], BeforeValidator(method_settings)]
"""The settings of any method, told apart by `name`."""
