import inspect

import pytest

from softprompt.config import DataSettings
from softprompt.data import FORMATS, read
from softprompt.errors import ConfigError, DataError

NO_FILES = ("webnlg", "restaurants", "datasets", "image_folder", "datasets_images", "pictures")
FILES = [name for name in FORMATS if name not in NO_FILES]


def test_every_format_is_one_of_the_settings():
    assert [DataSettings(format=name).format for name in FORMATS] == list(FORMATS)


def test_what_a_format_takes_is_what_its_reader_names():
    of_cells = ("delimiter", "header", "quoted", "sheet")
    assert FORMATS["csv"].takes == ("source", "target", *of_cells)
    assert FORMATS["labelled_tsv"].takes == ("text", "second", "label", *of_cells)
    assert FORMATS["datasets"].takes == FORMATS["labelled_jsonl"].takes == ("text", "second", "label")
    assert FORMATS["conll"].takes == ("word_column", "tag_column", "tagging", "delimiter")
    assert FORMATS["datasets_images"].takes == ("image", "label")
    assert FORMATS["rte"].takes == FORMATS["image_folder"].takes == ()
    assert [name for name in FORMATS if FORMATS[name].generated] == ["restaurants"]


def test_defaults_are_those_of_the_settings():
    for name, parameter in inspect.signature(read).parameters.items():
        if name not in ("format", "path", "split"):
            assert parameter.default == DataSettings.model_fields[name].default


def test_declared_labels_are_distinct_texts():
    for format in map(FORMATS.__getitem__, FORMATS):
        assert format.labels is None or len(set(format.labels)) == len(format.labels) > 1
    assert len(FORMATS["trec_fine"].labels) == 50


def test_read_hands_the_columns_on(write):
    path = write("x.csv", "q,a\none,two\n")
    (record,) = read("csv", str(path), source="q", target="a")
    assert (record.source, record.targets) == ("one", ("two",))


def test_unknown_format():
    with pytest.raises(
        ConfigError, match=r"data\.format: got 'webnl', expected one of e2e, .*. Did you mean 'webnlg'\?"
    ):
        read("webnl", "x")


@pytest.mark.parametrize(
    ("format", "publisher"),
    [
        ("e2e", "tuetschek/e2e-dataset"),
        ("webnlg", "the WebNLG challenge 2017"),
        ("dart", "Yale-LILY/dart"),
        ("scitldr", "allenai/scitldr"),
        ("rte", "SuperGLUE"),
        ("copa", "SuperGLUE"),
        ("squad", "rajpurkar/SQuAD-explorer"),
    ],
)
def test_missing_set_names_the_set_the_folder_and_the_publisher(tmp_path, format, publisher):
    with pytest.raises(DataError) as caught:
        read(format, tmp_path / "none")
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'none'}: got no such file or folder, expected ")
    assert f"(published by {publisher})" in message
    assert message.endswith("Put it there, or set SOFTPROMPT_DATA to the folder of data sets.")


@pytest.mark.parametrize("format", FILES)
def test_folder_in_place_of_a_file(tmp_path, format):
    with pytest.raises(DataError, match="expected a file that can be read"):
        read(format, tmp_path)


@pytest.mark.parametrize("format", ["webnlg", *FILES])
def test_empty_file(write, format):
    with pytest.raises(DataError, match=r"empty: got an empty file"):
        read(format, write("empty", ""))


@pytest.mark.parametrize(
    ("format", "header"),
    [
        ("e2e", "mr,ref\n"),
        ("csv", "source,target\n"),
        ("labelled_csv", "text,label\n"),
        ("labelled_tsv", "text\tlabel\n"),
    ],
)
def test_header_alone_is_no_data(write, format, header):
    with pytest.raises(DataError, match=r"x\.csv: got no records, expected "):
        read(format, write("x.csv", header))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"format": "e2e", "source": "q"},
            r"^data\.source: got 'q' for e2e, expected format jsonl, csv, pictured_jsonl or pictured_csv\. "
            r"Leave it out\.$",
        ),
        (
            {"format": "rte", "text": "premise", "label": None},
            r"data\.text: got 'premise' for rte, expected .*\n.*data\.label: got None for rte, "
            r"expected format labelled_jsonl, labelled_csv, labelled_tsv, datasets or "
            r"datasets_images\. Leave",
        ),
        (
            {"format": "squad", "word_column": 1, "tagging": "iob1"},
            r"data\.word_column: got 1 for squad, expected format conll\. .*\n"
            r"data\.tagging: got 'iob1' for squad",
        ),
        ({"format": "labelled_csv", "source": "q"}, r"data\.source: got 'q' for labelled_csv"),
        ({"format": "jsonl", "tag_column": 0}, r"data\.tag_column: got 0 for jsonl"),
        (
            {"format": "restaurants", "split": "test"},
            r"data: got the path x for restaurants, expected .*reads no file",
        ),
        (
            {"format": "e2e", "split": "test"},
            r"split: got 'test' for e2e, expected .*restaurants', which alone takes .*\. Give the path",
        ),
    ],
)
def test_arguments_that_a_format_does_not_take(arguments, message):
    with pytest.raises(ConfigError, match=message):
        read(path="x", **arguments)


def test_no_path():
    with pytest.raises(ConfigError, match=r"data: got no path for e2e, expected E2E NLG's CSV"):
        read("e2e")


def test_source_that_is_the_target(write):
    with pytest.raises(
        ConfigError, match=r"data\.target: got 'a', which is the source too, expected another column"
    ):
        read("csv", write("x.csv", "a\nb\n"), source="a", target="a")
