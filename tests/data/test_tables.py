import gzip
import io
import json
import zipfile

import openpyxl
import pandas
import pyarrow
import pytest
from pyarrow import parquet

from softprompt.config import DataSettings
from softprompt.data import load, read_table
from softprompt.errors import DataError

ROWS = [{"text": 'he said "hi", and\tleft', "label": "1"}, {"text": "好\nfilm", "label": "0"}]


def _values(table):
    return [dict(row.values) for row in table.rows]


def _written(kind, folder):
    """The rows as pandas (or pyarrow, openpyxl) writes them."""
    path, frame = folder / f"x.{kind}", pandas.DataFrame(ROWS)
    if kind in ("csv", "tsv"):
        frame.to_csv(path, index=False, sep="\t" if kind == "tsv" else ",")
    elif kind == "xlsx":
        frame.to_excel(path, index=False)
    elif kind == "parquet":
        parquet.write_table(pyarrow.table(frame), path)
    else:
        frame.to_json(path, orient="records", lines=kind == "jsonl")
    return path


@pytest.mark.parametrize("kind", ["csv", "tsv", "json", "jsonl", "parquet", "xlsx"])
def test_what_other_libraries_write_is_read_as_it_was(kind, tmp_path):
    path = _written(kind, tmp_path)
    table = read_table(path)
    assert (table.kind, table.columns, _values(table)) == (kind, ("text", "label"), ROWS)
    packed = tmp_path / f"y.{kind}.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()[:9]) + gzip.compress(path.read_bytes()[9:]))
    assert _values(read_table(packed)) == ROWS
    assert _values(read_table(io.BytesIO(path.read_bytes()), kind=kind)) == ROWS


@pytest.mark.parametrize(
    ("delimiter", "content"),
    [
        (",", "text,label\ngood; film|x,1\nbad,0\n"),
        (";", "text;label\ngood, film;1\n"),
        ("\t", "text\tlabel\ngood, film\t1\n"),
        ("|", "text|label\ngood, film|1\n"),
        (";", "a,b;label\n1;2\n"),
        (";", "sep=;\na,b;c\nx,y;z\n"),
        (",", '"a;b",c\n1,2\n'),
        (",", "text\ngood; film\n"),
    ],
)
def test_the_delimiter_is_found(write, delimiter, content):
    assert read_table(write("x.csv", content)).delimiter == delimiter


@pytest.mark.parametrize(
    ("quoted", "content"),
    [
        (True, 'text\tlabel\n"he said ""hi"""\t1\n'),
        (True, 'text\tlabel\n"two\nlines"\t1\n'),
        (True, '"text"\t"label"\n"a"\t1\n'),
        (False, 'text\tlabel\n"foo" bar\t1\n"a"\t0\n'),
        (False, 'text\tlabel\n"never closed\t1\nb\t0\n'),
        (False, 'text\tlabel\nhe said "hi"\t1\n'),
    ],
)
def test_a_tsv_is_unquoted_only_where_it_shows_its_quotes(write, quoted, content):
    path = write("x.tsv", content)
    expected = pandas.read_csv(path, sep="\t", dtype=str, quoting=0 if quoted else 3)
    assert [row.values["text"] for row in read_table(path).rows] == list(expected["text"])


def test_a_tsv_that_may_be_read_either_way_is_refused(write):
    path = write("x.tsv", 'text\tlabel\n"good"\t1\nbad\t0\n')
    with pytest.raises(DataError, match=r"x\.tsv, line 2: got cells in quotes.*data\.quoted: true"):
        read_table(path)
    assert [read_table(path, quoted=quoted).rows[0].values["text"] for quoted in (True, False)] == [
        "good",
        '"good"',
    ]


@pytest.mark.parametrize("name", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_mark_says_the_encoding(write, name):
    assert _values(read_table(write("x.csv", "text,label\n好,1\n".encode(name)))) == [
        {"text": "好", "label": "1"}
    ]


@pytest.mark.parametrize(("name", "text"), [("gb18030", "这部电影很好"), ("cp1252", "café — déjà")])
def test_another_encoding_is_refused_with_the_setting(write, name, text):
    path = write("x.csv", f"text,label\n{text},1\n".encode(name))
    with pytest.raises(DataError, match=rf"x\.csv, line 2: got byte .* not UTF-8.*data\.encoding: {name}"):
        read_table(path)
    assert read_table(path, encoding=name).rows[0].values["text"] == text
    with pytest.raises(DataError, match=r"data\.encoding: got 'gb1803', expected.*Did you mean 'gb18030'\?"):
        read_table(path, encoding="gb1803")


@pytest.mark.parametrize(("end", "lines"), [("\r", (2, 3)), ("\r\n", (2, 3)), ("\n", (2, 3))])
@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl"])
def test_any_line_end(write, end, lines, kind):
    sign = "\t" if kind == "tsv" else ","
    rows = [f"text{sign}label", f"a{sign}1", f"b{sign}0"]
    if kind == "jsonl":
        rows = [" ", *(json.dumps({"text": text}) for text in "ab")]
    table = read_table(write(f"x.{kind}", end.join([*rows, ""])))
    assert [(row.line, row.values["text"]) for row in table.rows] == list(zip(lines, "ab", strict=True))


def test_rows_that_cannot_be_read_stay_in_their_place(write):
    table = read_table(write("x.csv", "text,label\n\na,1\nb\nc,2,3\n,\nd,4\n"), keep_blank=True)
    assert [(row.line, row.blank, bool(row.problem)) for row in table.rows] == [
        (2, True, False), (3, False, False), (4, False, True),
        (5, False, True), (6, True, False), (7, False, False),
    ]  # fmt: skip
    assert str(table.rows[2].problem).endswith("line 4: got 1 field, expected 2, as in the header.")
    table = read_table(write("x.jsonl", '{"text": "a"}\n{"text": "b"},\n[1]\n\n{"text": "c"}\n'))
    assert [(row.line, bool(row.problem)) for row in table.rows] == [
        (1, False),
        (2, True),
        (3, True),
        (5, False),
    ]


def test_a_quote_that_never_closes_is_said(write):
    table = read_table(write("x.csv", 'text,label\na,1\n"b,0\nc,1\n'))
    assert [row.line for row in table.rows] == [2]
    assert "line 3: got malformed CSV" in str(table.broken)


def test_no_header_and_columns_of_one_name(write):
    path = write("x.csv", '"3","Wall St.","a, b"\n"4","Google","c"\n')
    table = read_table(path, header=False)
    assert (table.columns, table.rows[0].values["2"]) == (("0", "1", "2"), "a, b")
    table = read_table(write("y.csv", "text , label,label\na,1,2\n"))
    assert (table.columns, set(table.repeated)) == (("text", "label", "label (2)"), {"label"})


@pytest.mark.parametrize(
    "content",
    ['[{"text": "a"}, {"text": "b"}]', '{"data": [{"text": "a"}, {"text": "b"}]}',
     '{"text": "a"}\n{"text": "b"}\n', '{"text": {"0": "a", "1": "b"}}', '{"text": ["a", "b"]}'],
)  # fmt: skip
def test_json_in_each_of_its_forms(write, content):
    assert _values(read_table(write("x.json", content))) == [{"text": "a"}, {"text": "b"}]


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        ('{"text": "a", "label": "x"}', [{"text": "a", "label": "x"}]),
        ('\n{"source": "a", "target": ["b", "c"]}\n', [{"source": "a", "target": ["b", "c"]}]),
        ('{"messages": [{"role": "user", "content": "a"}]}',
         [{"messages": [{"role": "user", "content": "a"}]}]),
        ('{"tokens": ["a", "b"], "tags": ["O", "O"]}', [{"tokens": ["a", "b"], "tags": ["O", "O"]}]),
        ('{"text": "a", "entities": [{"start": 0}]}', [{"text": "a", "entities": [{"start": 0}]}]),
        ('{"version": 1, "rows": [{"text": "a"}]}', [{"text": "a"}]),
        ('{"sentences": [{"text": "a"}, {"text": "b"}]}', [{"text": "a"}, {"text": "b"}]),
        ('{"a1": {"text": "a", "label": "x"}, "a2": {"text": "b"}}',
         [{"text": "a", "label": "x"}, {"text": "b"}]),
        *((pandas.DataFrame(ROWS).to_json(orient=orient), ROWS)
          for orient in ("records", "columns", "index", "split", "table")),
    ],
)  # fmt: skip
def test_one_json_value_is_a_row_or_holds_rows(write, content, rows):
    made = _values(read_table(write("x.json", content)))
    assert [{name: value for name, value in row.items() if name != "index"} for row in made] == rows


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"text": "a", "label": "x", "data": [{"a": 1}]}', r"its list 'data', or which may be one row with"),
        ('{"id": 3, "entities": [{"start": 0}]}', r"its list 'entities', or which may be one row with 'id'"),
        ('{"train": [{"text": "a"}], "test": [{"text": "b"}]}', r"several lists of objects, 'train' and 'te"),
        ('{"data": {"a": {"text": "x"}, "b": {"text": "y"}}}', r"an object of objects, 'data'"),
        ('{"train": {"text": {"0": "a"}, "label": {"0": "x"}}}', r"an object of objects, 'train'"),
    ],
)
def test_json_that_may_be_read_in_several_ways_is_refused(write, content, message):
    with pytest.raises(DataError, match=message):
        read_table(write("x.json", content))


def test_what_a_json_object_was_taken_for_is_said(write):
    path = write("x.json", '{"info": "v1", "examples": [{"text": "a", "label": "x"}]}')
    settings = DataSettings(format="labelled", train=path)
    assert f"{path}: its rows are the list 'examples'" in load(settings).notes


def test_txt_is_lines_or_cells(write):
    assert _values(read_table(write("x.txt", "a, b\n\nc"))) == [{"text": "a, b"}, {"text": "c"}]
    assert _values(read_table(write("x.txt", "a||b\nc||d\n"), delimiter="||", header=False)) == [
        {"0": "a", "1": "b"}, {"0": "c", "1": "d"},
    ]  # fmt: skip


def test_a_workbook_of_several_sheets_asks_which(tmp_path):
    book = openpyxl.Workbook()
    book.active.append(["text", "label", None])
    book.active.append(["a", 1, None])
    book.create_sheet("empty")
    book.save(tmp_path / "x.xlsx")
    assert _values(read_table(tmp_path / "x.xlsx")) == [{"text": "a", "label": 1}]
    book.create_sheet("more").append(["x"])
    book.save(tmp_path / "x.xlsx")
    with pytest.raises(DataError, match=r"got 2 filled sheets \(Sheet, more\).*data\.sheet: Sheet"):
        read_table(tmp_path / "x.xlsx")
    assert read_table(tmp_path / "x.xlsx", sheet="Sheet").columns == ("text", "label")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.csv", b"PAR1" + bytes(40), r"a Parquet file.*let the file end in \.parquet"),
        ("x.csv", b"PK\x03\x04" + bytes(40), r"got an Excel file, or another that is zipped"),
        ("x.xlsx", b"PK\x03\x04" + bytes(range(200)), r"openpyxl cannot read"),
        ("x.parquet", b"PAR1" + bytes(range(200)), r"pyarrow cannot read"),
        ("x.parquet", b"text,label\n", r"does not begin as one of kind parquet"),
        ("x.csv.gz", gzip.compress(b"text,label\na,1\n", mtime=0)[:-12], r"breaks off"),
        ("x.csv.gz", b"\x1f\x8b" + bytes(40), r"a damaged gzip file"),
        ("x.csv", b"text,label\ngo\0od,1\n", r"line 2: got the character NUL"),
        ("x.csv", b"", r"an empty file"),
        ("x.csv", b"text;a,label\n1;2,3\n", r"separated by a comma and a semicolon.*data\.delimiter"),
        ("x.json", b"{}", r"an empty object"),
        ("x.dat", b"text", r"no suffix that says what the file is"),
    ],
)
def test_files_that_are_refused(write, name, content, message):
    with pytest.raises(DataError, match=f"(?i){message}"):
        read_table(write(name, content))


def test_a_zip_that_unpacks_too_far_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr("softprompt.data.workbooks.MOST_BYTES", 1000)
    monkeypatch.setattr("softprompt.data.contents.MOST_BYTES", 1000)
    with zipfile.ZipFile(tmp_path / "x.xlsx", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("xl/workbook.xml", " " * 5000)
    (tmp_path / "x.csv.gz").write_bytes(gzip.compress(b"a" * 5000, mtime=0))
    for name in ("x.xlsx", "x.csv.gz"):
        with pytest.raises(DataError, match="bytes once unpacked"):
            read_table(tmp_path / name)


def test_a_long_cell(write):
    text = "word " * 40_000
    assert read_table(write("x.csv", f'text,label\n"{text}",1\n')).rows[0].values["text"] == text
