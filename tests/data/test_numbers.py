"""Labels that are numbers with a decimal comma or signs between the thousands, read as pandas reads them."""

import pandas
import pytest

from softprompt.config import DataSettings
from softprompt.data import LabelledText, check_numbers, load, read
from softprompt.errors import ConfigError, DataError

_FORMS = [
    (["3,50", "-2", "0,125", "1e3"], {"decimal": ","}),
    (["1.037", "300", "12.345.678", "-2.500"], {"decimal": ",", "thousands": "."}),
    (["1.037,50", "300", "0,5"], {"decimal": ",", "thousands": "."}),
    (["1,037.5", "300"], {"thousands": ","}),
    (["1 037", "300"], {"thousands": " "}),
    (["1.037", "300"], {"decimal": "."}),
    (["1.5", ".5", "2."], {}),
]


def _file(folder, values):
    path = folder / "x.csv"
    rows = "".join(f"house {n};{value}\n" for n, value in enumerate(values))
    path.write_text(f"text;price\n{rows}", encoding="utf-8")
    return path


@pytest.mark.parametrize(("values", "settings"), _FORMS)
def test_numbers_are_those_of_pandas(tmp_path, values, settings):
    path = _file(tmp_path, values)
    frame = pandas.read_csv(path, sep=";", **settings)
    splits = load(DataSettings(format="labelled", train=path, label="price", **settings))
    check_numbers(splits)
    assert [
        float(record.label) for record in splits.train if isinstance(record, LabelledText) and record.label
    ] == frame["price"].tolist()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            ["1.037", "300"],
            r"'1\.037' beside '300' in 'price', which may be 1\.037 or 1037.*thousands: \"\.\"",
        ),
        (
            ["1,037", "300"],
            r"which may be 1\.037 or 1037.*Set data\.decimal: \",\", or data\.thousands: \",\"",
        ),
        (["3,50", "2"], r"got '3,50' in 'price'.*Set data\.decimal: \",\""),
        (["1.037,5", "2"], r"got '1\.037,5'.*Set data\.thousands: \"\.\" and data\.decimal: \",\""),
        (["cheap", "2"], r"record x\.csv:2: got the label 'cheap', expected a finite number"),
    ],
)
def test_numbers_of_several_readings_are_refused_by_a_regression(tmp_path, values, message):
    splits = load(DataSettings(format="labelled", train=_file(tmp_path, values), label="price"))
    with pytest.raises(DataError, match=f"(?s){message}"):
        check_numbers(splits)


@pytest.mark.parametrize("values", [["1.037", "0.998", "300"], ["4.000", "3.200"], ["1.25", "300"]])
def test_numbers_of_one_reading_are_taken(tmp_path, values):
    check_numbers(load(DataSettings(format="labelled", train=_file(tmp_path, values), label="price")))


def test_a_number_of_a_json_file_is_what_json_says(tmp_path):
    path = tmp_path / "x.json"
    path.write_text('[{"text": "a", "label": 1.037}, {"text": "b", "label": 300}]')
    check_numbers(load(DataSettings(format="labelled", train=path)))


def test_a_number_that_is_written_otherwise_is_a_bad_row(tmp_path):
    path = _file(tmp_path, ["3,50", "3.5", "n/a", "4,1"])
    with pytest.raises(DataError, match=r"(?s)line 3: got '3\.5' in 'price'.*line 4: got 'n/a'"):
        read("labelled", path, label="price", decimal=",")
    records = read("labelled", path, label="price", decimal=",", on_bad_row="skip")
    assert [record.label for record in records] == ["3.50", "4.1"]
    with pytest.raises(ConfigError, match="the sign before the fraction too"):
        read("labelled", path, label="price", thousands=".")
    with pytest.raises(ConfigError, match=r"data\.decimal"):
        read("pairs", path, source="text", target="price", decimal=",")
