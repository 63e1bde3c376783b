"""Data sets of the hub: against a stand-in for its package, and against the package where it is installed."""

import hashlib
import importlib
import importlib.util
import sys
from types import ModuleType, SimpleNamespace

import pytest

from softprompt.config import DataSettings
from softprompt.data import LabelledText, load, read
from softprompt.data.formats.hub import saved
from softprompt.errors import ConfigError, DataError
from support.pictures import encoded, picture

needs_package = pytest.mark.skipif(
    importlib.util.find_spec("datasets") is None, reason='needs the package datasets: pip install -e ".[hub]"'
)


class Rows:
    """What the reader asks of a data set: its columns, its features, its rows."""

    def __init__(self, columns: dict[str, list], names: list[str] | None = None):
        self._columns = columns
        self.column_names = list(columns)
        self.features = {name: SimpleNamespace() for name in columns}
        if names is not None:
            self.features["label"] = SimpleNamespace(names=names)

    def select_columns(self, names: list[str]) -> "Rows":
        kept = Rows({name: self._columns[name] for name in names})
        kept.features = {name: self.features[name] for name in names}
        return kept

    def __getitem__(self, name: str) -> list:
        return self._columns[name]

    def __iter__(self):
        return (
            dict(zip(self._columns, row, strict=True)) for row in zip(*self._columns.values(), strict=True)
        )


@pytest.fixture
def hub(monkeypatch):
    """Put a package in place that gives these rows, and note how it was called."""
    calls: list[tuple] = []

    def install(given):
        def load_dataset(name, configuration, split):
            calls.append((name, configuration, split))
            if isinstance(given, Exception):
                raise given
            return given

        module = ModuleType("datasets")
        vars(module)["load_dataset"] = load_dataset
        monkeypatch.setitem(sys.modules, "datasets", module)
        return calls

    return install


def test_class_labels_become_their_names(hub):
    calls = hub(
        Rows({"a": ["one", "two"], "b": ["x", "y"], "label": [1, 0], "picture": [None] * 2}, ["no", "yes"])
    )
    records = read("datasets", "nyu-mll/glue:rte:train", text="a", second="b")
    assert records == [
        LabelledText("nyu-mll/glue:rte:train:0", "one", "yes", "x"),
        LabelledText("nyu-mll/glue:rte:train:1", "two", "no", "y"),
    ]
    assert calls == [("nyu-mll/glue", "rte", "train")]


def test_a_name_without_configuration_through_the_settings(hub, tmp_path, monkeypatch):
    monkeypatch.setenv("SOFTPROMPT_DATA", str(tmp_path))
    (tmp_path / "trec").mkdir()  # a folder of that name, which save_to_disk did not write
    calls = hub(Rows({"text": ["one"], "label": [2.5]}))
    splits = load(DataSettings.model_validate({"format": "datasets", "train": "trec:train[:1]"}))
    assert [(record.source, record.targets) for record in splits.train] == [("one", ("2.5",))]
    assert calls == [("trec", None, "train[:1]")]


def test_rows_that_are_all_unlabelled(hub):
    hub(Rows({"text": ["one", "two"], "label": [-1, -1]}, ["no", "yes"]))
    assert [record.label for record in read("datasets", "x:test")] == [None, None]
    hub(Rows({"text": ["one"], "other": [0]}))
    assert read("datasets", "x:test", label=None) == [LabelledText("x:test:0", "one")]


@pytest.mark.parametrize(
    ("columns", "names", "message"),
    [
        (
            {"txt": ["a"], "label": [0]},
            None,
            r"x:test: got no column 'text', expected .*\. Did you mean 'txt'\?",
        ),
        (
            {"text": ["a"], "gold": [0]},
            None,
            r"x:test: got no column 'label', expected .*\. Choose one of the columns here: text, gold",
        ),
        ({"text": ["a", ""], "label": [0, 0]}, None, r"x:test, row 1: got an empty 'text'"),
        (
            {"text": ["a", None], "label": [0, 0]},
            None,
            r"x:test, row 1: got nothing in 'text', expected a text",
        ),
        (
            {"text": ["a", "b"], "label": [0, None]},
            None,
            r"x:test, row 1: got nothing in 'label', expected a t",
        ),
        (
            {"text": ["a", "b"], "label": [0, -1]},
            ["n", "y"],
            r"row 1: got -1 in 'label', expected 0 to 1, the cl",
        ),
        ({"text": ["a", "b"], "label": [2, 0]}, ["n", "y"], r"row 0: got 2 in 'label', expected 0 to 1"),
    ],
)
def test_bad_rows(hub, columns, names, message):
    hub(Rows(columns, names))
    with pytest.raises(DataError, match=message):
        read("datasets", "x:test")


@pytest.mark.parametrize("name", ["glue", "glue:", ":train"])
def test_names_without_a_split(hub, name):
    hub(Rows({}))
    with pytest.raises(
        ConfigError, match=r"data: got '.*', expected name:split or name:configuration:split, e"
    ):
        read("datasets", name)


def test_package_that_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(
        ConfigError,
        match=r"data\.format: got no module 'datasets', expected the extra 'hub'\. "
        r"Install it: pip install \"softprompt\[hub\]",
    ):
        read("datasets", "x:train")


def test_a_hub_that_cannot_be_reached(hub):
    hub(ConnectionError("Couldn't reach\n'x' on the Hub"))
    with pytest.raises(
        DataError,
        match=r"x:train: got ConnectionError \(Couldn't reach 'x' on the Hub\), expected a data "
        r"set .*. Check the name, or give a folder that datasets' save_to_disk wrote, "
        r"which needs no",
    ):
        read("datasets", "x:train")


def test_columns_by_number_are_refused(hub):
    hub(Rows({}))
    with pytest.raises(
        ConfigError, match=r"data\.text: got the number 0 for datasets, expected a column's name"
    ):
        read("datasets", "x:train", text=0)


@needs_package
def test_what_the_package_saved(tmp_path, monkeypatch):
    datasets = importlib.import_module("datasets")
    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["no", "yes"])}
    )
    rows = datasets.Dataset.from_dict({"text": ["one", "two"], "label": [1, 0]}, features=features)
    datasets.DatasetDict({"train": rows, "test": rows.select([0])}).save_to_disk(tmp_path / "mine")
    monkeypatch.setenv("SOFTPROMPT_DATA", str(tmp_path))
    assert saved(tmp_path / "mine:train")
    splits = load(
        DataSettings.model_validate(
            {"format": "datasets", "train": "mine:train", "test": tmp_path / "mine:test"}
        )
    )
    assert [(record.source, record.targets) for record in splits.train] == [
        ("one", ("yes",)),
        ("two", ("no",)),
    ]
    assert [record.source for record in splits.test] == ["one"]
    with pytest.raises(
        DataError,
        match=r"mine:dev: got no split 'dev', expected .*\. Choose one of the splits here: train, test",
    ):
        read("datasets", tmp_path / "mine:dev")
    with pytest.raises(
        DataError,
        match=r"train:test: got no split 'test', expected .*\. Choose one of the splits here: train",
    ):
        read("datasets", tmp_path / "mine" / "train:test")
    assert len(read("datasets", tmp_path / "mine" / "train:train")) == 2


@needs_package
def test_pictures_that_the_package_saved(tmp_path, monkeypatch):
    datasets = importlib.import_module("datasets")
    files = [encoded(picture((200, 60, 40), seed)) for seed in range(3)]
    (tmp_path / "one.png").write_bytes(files[2])
    features = datasets.Features(
        {
            "img": datasets.Image(),
            "label": datasets.ClassLabel(names=["no", "yes"]),
            "text": datasets.Value("string"),
        }
    )
    cells = [{"bytes": files[0], "path": None}, {"bytes": files[1], "path": "b.png"},
             {"bytes": None, "path": str(tmp_path / "one.png")}]  # fmt: skip
    columns = {"img": cells, "label": [1, 0, 1], "text": ["a", "b", "c"]}
    rows = datasets.Dataset.from_dict(columns, features=features)
    rows.cast_column("img", datasets.Image(decode=False)).cast_column("img", datasets.Image())
    datasets.DatasetDict({"train": rows}).save_to_disk(tmp_path / "mine")
    monkeypatch.setenv("SOFTPROMPT_DATA", str(tmp_path))
    data = {"format": "datasets_images", "train": "mine:train", "image": "img", "train_per_class": 1}
    splits = load(DataSettings.model_validate(data))
    assert sorted(record.targets for record in splits.train) == [("no",), ("yes",)]
    records = read("datasets_images", tmp_path / "mine:train", image="img")
    assert [record.load() for record in records] == files
    assert [record.label for record in records] == ["yes", "no", "yes"]
    assert records[1].digest == hashlib.sha256(files[1]).hexdigest()
    unlabelled = read("datasets_images", tmp_path / "mine:train", image="img", label=None)
    assert all(record.label is None for record in unlabelled)
    with pytest.raises(
        DataError, match=r"got the column 'text' of kind Value, expected a column of pictures"
    ):
        read("datasets_images", tmp_path / "mine:train", image="text")
    with pytest.raises(DataError, match=r"no column 'image'"):
        read("datasets_images", tmp_path / "mine:train")
    none = datasets.Dataset.from_dict({"img": [None]}, features=datasets.Features({"img": datasets.Image()}))
    datasets.DatasetDict({"train": none}).save_to_disk(tmp_path / "none")
    with pytest.raises(DataError, match="row 0: got no picture"):
        read("datasets_images", tmp_path / "none:train", image="img", label=None)
