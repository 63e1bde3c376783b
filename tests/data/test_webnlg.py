from collections import Counter

import pytest

from softprompt.data import pairs
from softprompt.data.formats.table_to_text import SEEN_CATEGORIES, read_webnlg
from softprompt.errors import DataError

TRIPLE = "<mtriple>Ann | birthPlace | &quot;Ulm, Germany&quot;</mtriple>"
LEX = '<lex comment="good" lid="Id1">Ann is from Ulm.</lex>'


def document(*entries: str) -> str:
    return f"<benchmark>\n<entries>\n{''.join(entries)}</entries>\n</benchmark>\n"


def entry(lex: str = LEX, triples: str = TRIPLE, category: str = "Airport", eid: str = "Id1") -> str:
    return (
        f'<entry category="{category}" eid="{eid}" size="1"><originaltripleset><otriple>x | y | z</otriple>'
        f"</originaltripleset><modifiedtripleset>{triples}</modifiedtripleset>{lex}</entry>\n"
    )


def test_form_has_a_leading_bar_and_keeps_values_as_published(write):
    both = TRIPLE + "<mtriple>Ann_(artist) | field | Op_art</mtriple>"
    (record,) = read_webnlg(write("w.xml", document(entry(triples=both))))
    assert record.source == ' | Ann : birthPlace : "Ulm, Germany" | Ann_(artist) : field : Op_art'
    assert record.targets == ("Ann is from Ulm.",)
    assert (record.id, record.tags) == ("Airport/1/Id1", {"category": "Airport", "seen": "seen"})


def test_only_good_texts_count_and_entries_without_one_are_left_out(write):
    bad = '<lex comment="toFix" lid="Id2">Ann Ulm.</lex>'
    path = write("w.xml", document(entry(bad + LEX), entry(bad, eid="Id2"), entry(category="Artist")))
    first, second = read_webnlg(path)
    assert first.targets == ("Ann is from Ulm.",)
    assert second.tags == {"category": "Artist", "seen": "unseen"}


def test_folder_is_read_in_the_order_of_names(tmp_path):
    for name, eid in [("2triples/a.xml", "Id3"), ("1triples/b.xml", "Id2"), ("1triples/a.xml", "Id1")]:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(document(entry(eid=eid)), encoding="utf-8")
    assert [record.id for record in read_webnlg(tmp_path)] == [f"Airport/1/Id{n}" for n in (1, 2, 3)]


def test_byte_order_mark_and_windows_line_ends(write):
    path = write("w.xml", ("\ufeff" + document(entry())).replace("\n", "\r\n"))
    assert read_webnlg(path)[0].targets == ("Ann is from Ulm.",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            document(entry()).replace("</entries>", ""),
            r"w\.xml, line 5: got malformed XML \(mismatched tag, column 2\)",
        ),
        (
            document(entry()).encode().replace(b"Ann is", b"\xe9nn is"),
            r"w\.xml, line 3: got malformed XML .*UTF-8",
        ),
        ("", r"w\.xml: got an empty file, expected WebNLG's XML"),
        ('<?xml version="1.0" encoding="nonsense"?><a/>', r"w\.xml.*: got malformed XML"),
        (document(), r"w\.xml: got no lexicalisation with comment=\"good\""),
        (
            document(entry(lex="")),
            r"entry Id1 \(Airport, 1 triples\): got no lexicalisation, expected .*with references",
        ),
        (document(entry(triples="")), r"entry Id1 .*: got no triple, expected at least one <mtriple>"),
        (
            document(entry(triples="<mtriple>a | b</mtriple>")),
            r"got the triple 'a \| b', expected subject \| rel",
        ),
        (document(entry(lex='<lex comment="good"> </lex>')), r"entry Id1 .*: got an empty 'lex'"),
        (document(entry().replace(' eid="Id1"', "")), r"got an entry without category or eid"),
    ],
)
def test_bad_files(write, content, message):
    with pytest.raises(DataError, match=message):
        read_webnlg(write("w.xml", content))


def test_folder_without_xml(tmp_path):
    with pytest.raises(
        DataError, match=r"got a folder without XML files, expected WebNLG's files \(\*\.xml\)"
    ):
        read_webnlg(tmp_path)


# 5 of the 6,940 training entries and 1 of the 872 development entries have no good text.
@pytest.mark.parametrize(("name", "records", "n_pairs"), [("train", 6935, 18025), ("dev", 871, 2258)])
def test_published_folders(real, name, records, n_pairs):
    read = read_webnlg(real("webnlg") / name)
    assert (len(read), len(pairs(read))) == (records, n_pairs)
    assert {record.tags["category"] for record in read} == SEEN_CATEGORIES
    assert len({record.id for record in read}) == records


def test_published_test_set_has_seen_and_unseen(real):
    read = read_webnlg(real("webnlg") / "test" / "testdata_with_lex.xml")
    assert Counter(record.tags["seen"] for record in read) == {"seen": 971, "unseen": 891}
    assert len(pairs(read)) == 4928
    unseen = read_webnlg(real("webnlg") / "test" / "testdata_unseen_with_lex.xml")
    by_source = {record.source: record.targets for record in read if record.tags["seen"] == "unseen"}
    assert by_source == {record.source: record.targets for record in unseen}
    assert {record.tags["category"] for record in unseen} == {
        "Artist",
        "Athlete",
        "CelestialBody",
        "MeanOfTransportation",
        "Politician",
    }
    assert read[0].source == " | Abilene_Regional_Airport : cityServed : Abilene,_Texas"


def test_published_test_set_without_texts_is_refused(real):
    with pytest.raises(DataError, match=r"testdata_no_lex\.xml, entry Id1 .*: got no lexicalisation"):
        read_webnlg(real("webnlg") / "test" / "testdata_no_lex.xml")
