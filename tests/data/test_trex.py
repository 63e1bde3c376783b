"""T-REx: facts of a relation, its objects and its pattern."""

import pytest

from softprompt.data import data_root, read
from softprompt.data.formats.trex import RELATIONS, pattern, read_objects, read_trex
from softprompt.errors import ConfigError, DataError
from softprompt.text import Template

LINE = '{"sub_label": "Alan Turing", "obj_label": "logic", "uuid": "7"}\n'


def test_a_fact_is_its_subject_labelled_with_its_object(tmp_path):
    (tmp_path / "P101.jsonl").write_text(LINE + LINE.replace("logic", "art"), encoding="utf-8")
    records = read_trex(tmp_path / "P101.jsonl")
    assert [(r.id, r.text, r.label, r.second) for r in records] == [
        ("P101.jsonl:1", "Alan Turing", "logic", None),
        ("P101.jsonl:2", "Alan Turing", "art", None),
    ]
    assert all(record.tags == {"relation": "P101"} for record in records)
    assert read("trex", tmp_path / "P101.jsonl") == records
    (tmp_path / "P36.jsonl").write_text(LINE, encoding="utf-8")
    assert read_objects(tmp_path) == ["logic", "art"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"obj_label": "logic"}', r"line 1: got .*sub_label"),
        ('{"sub_label": " ", "obj_label": "logic"}', "line 1: got an empty 'sub_label'"),
        ('{"sub_label": "Alan", "obj_label": 3}', "line 1: got a number in 'obj_label'"),
    ],
)
def test_a_broken_line_is_named(tmp_path, line, message):
    path = tmp_path / "P1.jsonl"
    path.write_text(line, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        read_trex(path)


def test_an_empty_folder_has_no_objects(tmp_path):
    with pytest.raises(DataError, match=r"no \.jsonl file"):
        read_objects(tmp_path)


def test_every_relation_has_a_pattern_for_both_kinds_of_models():
    assert len(RELATIONS) == 41
    for relation in RELATIONS:
        both = Template.parse(pattern(relation, causal=False))
        causal = Template.parse(pattern(relation, causal=True))
        assert both.fields == causal.fields == ("subject",) and not both.n_slots
        assert str(causal).endswith(" [blank]") and str(both).endswith(".")
    assert pattern("P36", causal=True) == "The capital of {subject} is [blank]"
    assert pattern("P27", causal=False) == "{subject} is [blank] citizen ."
    with pytest.raises(ConfigError, match=r"'manual' for 'P999', expected one of the 41 relations"):
        pattern("P999", causal=True)


def test_the_published_files_are_these_relations():
    folder = data_root() / "trex"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there (SOFTPROMPT_DATA names the data folder)")
    assert {path.stem for path in folder.glob("*.jsonl")} == set(RELATIONS)
    assert sum(len(read_trex(path)) for path in folder.glob("*.jsonl")) == 29411
