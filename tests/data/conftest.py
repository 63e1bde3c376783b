import json
from collections.abc import Callable
from pathlib import Path

import pytest

from softprompt.data import data_root


@pytest.fixture
def real() -> Callable[[str], Path]:
    """A path below the folder of real data; skips the test where it is absent."""

    def find(name: str) -> Path:
        path = (data_root() / name).resolve()
        if not path.exists():
            pytest.skip(f"needs real data: no {path} (set SOFTPROMPT_DATA)")
        return path

    return find


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write a file of text, bytes or JSON-lines objects and give its path."""

    def make(name: str, content: str | bytes | list[object]) -> Path:
        path = tmp_path / name
        if isinstance(content, list):
            content = "".join(json.dumps(item) + "\n" for item in content)
        path.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
        return path

    return make
