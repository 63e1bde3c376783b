"""Data formats of other people: registered from Python, and brought by an installed package."""

import json
from pathlib import Path

import pytest

import softprompt
from softprompt.config import DataSettings
from softprompt.data import FORMATS, Choices, Format, LabelledText, load, read
from softprompt.errors import ConfigError, DataError
from support.fresh_python import python
from support.packages import write_package


def read_lines(path: Path, text: str) -> list[LabelledText]:
    rows = [line.split() for line in path.read_text(encoding="utf-8").splitlines()]
    return [LabelledText(f"{path.name}:{i}", row[int(text)], row[-1]) for i, row in enumerate(rows)]


def test_a_function_becomes_a_format(write) -> None:
    made = softprompt.data_format("lines", LabelledText, "a file of lines", labels=["no", "yes"])(read_lines)
    assert made is read_lines
    path = write("x.txt", "a b yes\nc d no\n")
    settings = DataSettings(format="lines", train=path, text="1", train_per_class=1)
    splits = load(settings)
    assert splits.train == [LabelledText("x.txt:0", "b", "yes"), LabelledText("x.txt:1", "d", "no")]
    with pytest.raises(ConfigError, match=r"data\.second: got 'z' for lines, expected format labelled_jsonl"):
        load(settings.model_copy(update={"second": "z"}))
    with pytest.raises(ConfigError, match=r"data\.text: got 'z' for rte, .*datasets or lines\. Leave it out"):
        read("rte", path, text="z")
    with pytest.raises(DataError, match=r"none: got no such file or folder, expected a file of lines"):
        read("lines", path.parent / "none")


def test_records_of_another_class_are_refused(write) -> None:
    softprompt.data_format("lines", Choices, "a file of lines")(read_lines)
    with pytest.raises(DataError, match=r"x\.txt: got a record that is a LabelledText, expected Choices"):
        read("lines", write("x.txt", "a yes\n"), text="0")


def test_what_is_refused_when_it_is_registered() -> None:
    def of_none() -> list[LabelledText]:
        return []

    def of_more(path: Path, encoding: str) -> list[LabelledText]:
        return []

    for function, got in ((of_none, ""), (of_more, "path, encoding")):
        with pytest.raises(ConfigError, match=rf"data_format 'own': got a function of \({got}\), expected"):
            softprompt.data_format("own", LabelledText, "x")(function)
    with pytest.raises(ConfigError, match=r"data_format 'own': got records of dict, expected one of Record"):
        softprompt.data_format("own", dict, "x")(read_lines)
    with pytest.raises(ConfigError, match=r"data_format 'csv': got a second data_format of this .*read_csv"):
        softprompt.data_format("csv", LabelledText, "x")(read_lines)
    with pytest.raises(ConfigError, match=r"data\.format: got 'own', expected one of"):
        read("own", "x")


TOY = """
import softprompt
from softprompt.data import LabelledText

@softprompt.data_format("lines", LabelledText, "a file of lines")
def lines(path):
    rows = path.read_text(encoding="utf-8").splitlines()
    return [LabelledText(f"{path.name}:{i}", *line.split(" | ")) for i, line in enumerate(rows)]
"""

ASK = """
import json, sys
from softprompt.config import parse_run
from softprompt.data import load
from softprompt.errors import ConfigError

found = {}
for name in sys.argv[2:]:
    raw = {"data": {"format": name, "train": sys.argv[1]}, "training": {"steps": 1}}
    try:
        found[name] = [record.label for record in load(parse_run(raw, "own.yaml").data).train]
    except ConfigError as error:
        found[name] = str(error)
print(json.dumps(found))
"""


def _offer(folder: Path, package: str, source: str, name: str) -> None:
    offers = {"softprompt.data_formats": {name: f"{package}:{name}"}}
    write_package(folder, package, {f"{package}.py": source}, offers)


def test_packages_bring_formats_and_only_those_asked_for_are_imported(tmp_path: Path, write) -> None:
    _offer(tmp_path, "toy", TOY, "lines")
    _offer(tmp_path, "broken_one", "import no_such_module_of_ours", "broken")
    for name in ("first", "second"):
        _offer(tmp_path, name, "", "twice")
    path = write("x.txt", "a | yes\nb | no\n")
    answers = json.loads(python(tmp_path, ASK, path, "lines", "broken", "twice", "linez"))
    assert answers.pop("lines") == ["yes", "no"]
    assert answers.pop("linez").endswith("Did you mean 'lines'?")
    assert answers == {
        "broken": "own.yaml: data.format: 'broken' of broken-one 1.2: got broken_one:broken, which cannot be "
        "imported (ModuleNotFoundError: No module named 'no_such_module_of_ours'), expected an installed "
        "package that works. Mend or uninstall broken-one 1.2.",
        "twice": "own.yaml: data.format: got 'twice', which first 1.2 and second 1.2 offer, expected one "
        "package with a data_format of this name. Uninstall one of them.",
    }


def test_the_page_has_a_row_for_every_format() -> None:
    page = (Path(__file__).parents[2] / "docs" / "extending.md").read_text(encoding="utf-8")
    assert "\n".join(_line(FORMATS[name]) for name in FORMATS) in page


def _line(row: Format) -> str:
    return f"| `{row.name}` | {row.content} | `{row.record.__name__}` | {', '.join(row.takes) or '-'} |"
