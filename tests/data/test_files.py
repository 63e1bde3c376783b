import pytest

from softprompt.data.parsing import all_have, csv_rows, json_file, json_objects, read_text, tsv_rows
from softprompt.errors import DataError


def test_text_loses_its_mark_and_keeps_its_line_ends(write):
    assert read_text(write("t.txt", "\ufeffa\r\nb\n")) == "a\r\nb\n"


def test_missing_file(tmp_path):
    with pytest.raises(
        DataError, match=r"none\.txt: got no such file or directory, expected a file that can be read"
    ):
        read_text(tmp_path / "none.txt")


@pytest.mark.parametrize("content", ["", " \n\n", "\ufeff"])
def test_empty_file(write, content):
    with pytest.raises(DataError, match=r"t\.txt: got an empty file, expected at least one record"):
        read_text(write("t.txt", content))


def test_bytes_that_are_not_utf8_name_the_line(write):
    with pytest.raises(
        DataError,
        match=r"t\.txt, line 3: got byte 0xe9, which is not UTF-8, expected .*\. Save the file as UTF-8",
    ):
        read_text(write("t.txt", "é\r\nb\r\n".encode() + "café\r\n".encode("latin-1")))


def _as_it_comes(line, where, values):
    assert where.endswith(f", line {line}")
    return line, values


def test_json_lines_are_cut_at_newlines_only(write):
    path = write("x.jsonl", '{"a": "one\u2028two"}\r\n\r\n{"a": "three"}')
    assert json_objects(path, _as_it_comes) == [(1, {"a": "one\u2028two"}), (3, {"a": "three"})]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"a": 1', r"x\.jsonl, line 3: got invalid JSON \(.*column 8\), expected a JSON object"),
        ("[1]", r"x\.jsonl, line 3: got a list, expected a JSON object"),
        ("[" * 100_000, r"x\.jsonl, line 3: got JSON that is nested too deeply"),
    ],
)
def test_bad_json_lines(write, line, message):
    with pytest.raises(DataError, match=message):
        json_objects(write("x.jsonl", f'{{"a": 1}}\n\n{line}\n'), _as_it_comes)


def test_csv_rows_give_the_line_that_they_start_on(write):
    path = write("x.csv", '\ufeffa,b,c\r\n1,"two\r\nlines, ""quoted""",3\r\n\r\n4,5,6\r\n')
    assert csv_rows(path, ("c", "b"), _as_it_comes) == [(2, ["3", 'two\r\nlines, "quoted"']), (5, ["6", "5"])]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a,b\n1,2\n3\n", r"x\.csv, line 3: got 1 field, expected 2, as in the header"),
        ("a,b\n1,2,3\n", r"x\.csv, line 2: got 3 fields, expected 2"),
        ('a,b\n1,2\n3,"never\nclosed\n', r"x\.csv, line 3: got malformed CSV \(unexpected end of data\)"),
        (
            'a,b\n1,"x"y\n',
            r"x\.csv, line 2: got malformed CSV \(.*\), expected rows of fields separated by commas",
        ),
        ("a,b,a\n1,2,3\n", r"x\.csv, line 1: got the column 'a' 2 times, expected each column once"),
        (
            "a,x\n1,2\n",
            r"x\.csv, line 1: got no column 'b', expected .*\. Choose one of the columns here: a, x",
        ),
    ],
)
def test_bad_csv(write, content, message):
    with pytest.raises(DataError, match=message):
        csv_rows(write("x.csv", content), ("a", "b"), _as_it_comes)


def test_latin_1_takes_any_byte(write):
    assert read_text(write("t.txt", b"caf\xe9\x85\r\n"), "latin-1") == "caf\xe9\x85\r\n"


def test_json_file(write):
    assert json_file(write("x.json", "\ufeff[1,\n2]"), "a list") == [1, 2]
    with pytest.raises(DataError, match=r"x\.json, line 2: got invalid JSON \(.*column 2\), expected a list"):
        json_file(write("x.json", "[1\n 2]"), "a list")
    with pytest.raises(DataError, match=r"x\.json: got JSON that is nested too deeply, expected a list"):
        json_file(write("x.json", "[" * 100_000), "a list")


def test_tsv_rows_by_name_and_by_number(write):
    path = write("x.tsv", 'a\tb\tc\r\n\r\n1\t"two\t\r\n')
    assert tsv_rows(path, ("c", "b"), _as_it_comes) == [(3, ["", '"two'])]
    assert tsv_rows(path, (1, 0), _as_it_comes) == [(1, ["b", "a"]), (3, ['"two', "1"])]


def test_a_field_that_all_have_or_none():
    assert all_have([("one", {"a": 1}), ("two", {"a": 2})], "a")
    assert not all_have([("one", {"b": 1}), ("two", {})], "a")
    with pytest.raises(DataError, match="two: got no field 'a'"):
        all_have([("one", {"a": 1}), ("two", {"b": 2})], "a")
    with pytest.raises(DataError, match=r"two: got no field 'label', expected .*\. Did you mean 'lable'\?"):
        all_have([("one", {}), ("two", {"lable": 2})], "label")
