"""Names that other packages offer: found when they are asked for, refused where two say the same."""

import sys
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from softprompt.errors import ConfigError
from softprompt.registry import Registry
from support.packages import write_package

GROUP = "softprompt.tests"

THING = """
from the_table import Row, table

def thing(): ...

table.add("own", Row(thing), thing)
"""


@dataclass(frozen=True)
class Row:
    function: Any


def here() -> None: ...


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Registry[Row]:
    """A table that packages below the folder can import and add to."""
    made: Registry[Row] = Registry("thing", "thing.name", GROUP)
    monkeypatch.setitem(sys.modules, "the_table", SimpleNamespace(table=made, Row=Row))
    monkeypatch.syspath_prepend(tmp_path)
    return made


def offer(folder: Path, package: str, code: str = THING, attribute: str = "thing") -> None:
    """A package that offers `own`."""
    write_package(folder, package, {f"{package}.py": code}, {GROUP: {"own": f"{package}:{attribute}"}})


def test_rows_by_name(table: Registry[Row]):
    row = Row(here)
    table.add("mine", row, here)
    assert table["mine"] is row and "mine" in table and list(table) == ["mine"]
    assert table.get("other") is None and table.package("mine") is None
    table.add("mine", Row(here), here)  # as when a notebook's cell runs twice
    assert table["mine"] is not row
    with pytest.raises(ConfigError, match=r"thing\.name: got 'mien', expected one of 'mine'\. Did you mean"):
        table["mien"]
    with pytest.raises(ConfigError, match=r"expected one of 'mine'\. Install the package that offers this"):
        table["theirs"]
    with pytest.raises(ConfigError, match=r"thing: got 'a b', expected a name in letters, digits and '_'"):
        table.add("a b", row, here)


def test_two_functions_of_one_name_are_refused(table: Registry[Row]):
    def other() -> None: ...

    table.add("mine", Row(here), here)
    expected = r"got a second thing of this name, .*other, expected one, which is .*:here\. Choose another"
    with pytest.raises(ConfigError, match=f"thing 'mine': {expected}"):
        table.add("mine", Row(other), other)


def test_a_package_is_imported_when_its_name_is_asked_for(table: Registry[Row], tmp_path: Path):
    offer(tmp_path, "asked_for")
    assert list(table) == ["own"] and "own" in table
    assert table.get("own") is None and "asked_for" not in sys.modules
    assert table["own"].function is sys.modules["asked_for"].thing
    package = table.package("own")
    assert package is not None and (package.name, package.version) == ("asked-for", "1.2")


def test_a_package_that_was_imported_before_is_no_second_one(table: Registry[Row], tmp_path: Path):
    offer(tmp_path, "imported_before")
    __import__("imported_before")
    assert table["own"].function.__module__ == "imported_before"


@pytest.mark.parametrize(
    ("package", "code", "attribute", "message"),
    [
        (
            "unfinished", "import no_such_module", "thing",
            r"thing\.name: 'own' of unfinished 1\.2: got unfinished:thing, which cannot be imported "
            r"\(ModuleNotFoundError: No module named 'no_such_module'\), expected an installed package that "
            r"works\. Mend or uninstall unfinished 1\.2\.",
        ),
        ("without_it", THING, "nothing", r"got without_it:nothing, which cannot be imported \(Attr"),
        (
            "undecorated", "def thing(): ...", "thing",
            r"got undecorated:thing, which is not the thing of this name, expected a function under "
            r"@softprompt\.thing\('own'\)",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_package_is_told(
    table: Registry[Row], tmp_path: Path, package: str, code: str, attribute: str, message: str
):
    offer(tmp_path, package, code, attribute)
    with pytest.raises(ConfigError, match=message):
        table["own"]


def test_two_packages_of_one_name_are_refused(table: Registry[Row], tmp_path: Path):
    offer(tmp_path, "one_of_two")
    offer(tmp_path, "two_of_two")
    message = r"thing\.name: got 'own', which one-of-two 1\.2 and two-of-two 1\.2 offer, expected one package"
    with pytest.raises(ConfigError, match=message):
        table["own"]


def test_a_package_that_takes_a_name_of_the_house_is_refused(table: Registry[Row], tmp_path: Path):
    table.add("own", Row(here), here)
    offer(tmp_path, "takes_it")
    message = r"thing\.name: 'own' of takes-it 1\.2: thing 'own': got a second thing of this name"
    with pytest.raises(ConfigError, match=message):
        table["own"]
