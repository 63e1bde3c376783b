"""The lazy front door of a room: a name of its stub is imported when it is first asked for."""

from collections.abc import Callable
from typing import Any

import lazy_loader


def attach(package: str, file: str) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """A room's `__getattr__`, `__dir__` and `__all__`, from the stub beside its `__init__`.

    Args:
        package: the room's `__name__`.
        file: the room's `__file__`.
    """
    imported, directory, names = lazy_loader.attach_stub(package, file)

    def attribute(name: str) -> Any:
        try:
            return imported(name)
        except AttributeError as error:
            if name not in names:
                raise
            # As an AttributeError, Python would take it for a name that the room does not have.
            raise ImportError(f"{package}.{name} cannot be imported: {error}") from error

    return attribute, directory, names
