"""What comes from outside is read within bounds, and refused in a few words."""

import os
import time
from pathlib import Path

import pytest
import yaml

from softprompt.untrusted import DEEPEST, Unreadable, parse_json, parse_yaml, read_bytes, yaml_values

LAUGH = "\n".join(
    ["a: &a [" + ",".join(["x"] * 9) + "]"]
    + [f"{c}: &{c} [" + ",".join([f"*{p}"] * 9) + "]" for p, c in zip("abcdefgh", "bcdefghi", strict=True)]
)
MERGES = "m0: &m0 {a: 1}\n" + "".join(
    f"m{i}: &m{i} {{<<: [*m{i - 1}, *m{i - 1}, *m{i - 1}, *m{i - 1}]}}\n" for i in range(1, 14)
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (LAUGH, r"more than 40,000 values, with all aliases written out"),
        (MERGES, r"more than 40,000 values, with all aliases written out"),
        ("a: &a [*a]", "an alias inside of what it stands for"),
        ("a: " + "[" * 3000 + "]" * 3000, "nested more than 100 deep"),
        ("a: " + "{b: " * 3000 + "1" + "}" * 3000, "nested more than 100 deep"),
        ("a: 1\na: 2", "the key 'a' stands twice"),
        ("a: {<<: 3}", "expected a mapping or list of mappings for merging"),
        ("a: !!python/object/apply:os.system ['true']", "could not determine a constructor"),
        ("a: !!timestamp 2020-99-99", "could not determine a constructor"),
        ("a: !!binary xx", "could not determine a constructor"),
        ("a: !!int abc", "'abc', which is no int in YAML"),
        ("a: !!float x", "'x', which is no float in YAML"),
        ("a: !!bool maybe", "'maybe', which is no bool in YAML"),
        ('a: "\\ud800"', "half a surrogate pair"),
        ('a: "x\\0"', "the character NUL"),
        ("a: \0", r"the character '\\x00' in YAML"),
        ("a: [1", "invalid YAML"),
        ("a: *nope", "found undefined alias"),
        ("a: 1\n---\nb: 2", "expected a single document"),
        ("{[1]: 2}", "found unhashable key"),
        ("a: " + "9" * 5000, "which is no int in YAML"),
        ("a: [1, .nan]", "'.nan', which is no finite number"),
        ("a: {-.inf: 1}", "'-.inf', which is no finite number"),
        ("a:\n  1.0e+400", "'1.0e\\+400', which is no finite number"),
        ("x" * 600_000, "600,000 characters"),
        ("a: '" + "x" * 200_000 + "'", "a text of 200,000 characters"),
    ],
)
def test_hostile_yaml(text, said):
    began = time.monotonic()
    with pytest.raises(Unreadable, match=said) as caught:
        parse_yaml(text)
    assert len(str(caught.value)) < 400
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    "text",
    [
        "", "3", "a: [1, 2.5, true, no, ~, null, text, '1', \"2\"]", "- a\n- b",
        "a: {b: {c: &x [1, 2]}, d: *x}", "a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}",
        "a: |\n  two\n  lines\nb: >\n  folded", "a: 0x1f\nb: 0b11\nc: 017\nd: 1_000",
        "a: +1\nb: -2.5e+3\nc: .5\nd: 6.02e+23",
    ],
)  # fmt: skip
def test_plain_yaml_is_as_pyyaml_reads_it(text):
    assert str(parse_yaml(text)) == str(yaml.safe_load(text))


@pytest.mark.parametrize(
    "text", ["2026-02-30", "2026-11-29", "2001-12-14t21:59:43.10-05:00", "12:30", "190:20:30.15", "="]
)
def test_what_is_no_plain_value_stays_text(text):
    assert parse_yaml(f"name: {text}") == {"name": text}


def test_depth_counts_from_the_outside():
    assert parse_yaml("[" * (DEEPEST - 1) + "]" * (DEEPEST - 1))
    with pytest.raises(Unreadable, match="nested"):
        parse_yaml("[" * (DEEPEST + 1) + "]" * (DEEPEST + 1))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"a": 1, "a": 2}', "the name 'a' twice in one object"),
        ('{"b": [{"a": 1, "a": 1}]}', "the name 'a' twice in one object"),
        ('{"a": ' + "9" * 5000 + "}", "a number of thousands of digits"),
        ('{"a": ' + "[" * 100_000 + "]" * 100_000 + "}", "nested too deeply"),
        ('{"a": "\\ud800"}', "half a surrogate pair"),
        ('{"\\uDfff": 1}', "half a surrogate pair"),
        ("{'a': 1}", "invalid JSON"),
        ("", "invalid JSON"),
    ],
)
def test_hostile_json(text, said):
    with pytest.raises(Unreadable, match=said):
        parse_json(text)


def test_plain_json():
    assert parse_json('{"a": [1, 2.5, null, true, "\\ud83d\\ude00"], "b": {}}') == {
        "a": [1, 2.5, None, True, "\N{GRINNING FACE}"],
        "b": {},
    }


def test_the_place_is_known():
    with pytest.raises(Unreadable) as caught:
        parse_json('{"a": 1,\n "b" 2}')
    assert (caught.value.line, caught.value.column) == (2, 6)
    with pytest.raises(Unreadable) as caught:
        parse_yaml("a: 1\nb: [1")
    assert caught.value.line == 2


def test_files(tmp_path):
    path = tmp_path / "file"
    for content in (b"", b"abc", b"x" * 3_000_000):
        path.write_bytes(content)
        assert read_bytes(path) == content
    assert read_bytes(path, 3_000_000) == content
    with pytest.raises(Unreadable, match="3,000,000 bytes, more than 2,999,999"):
        read_bytes(path, 2_999_999)
    with pytest.raises(Unreadable, match="no such file or directory"):
        read_bytes(tmp_path / "none")
    with pytest.raises(Unreadable, match=r"is a directory|permission denied"):
        read_bytes(tmp_path)
    with pytest.raises(Unreadable, match="null"):
        read_bytes(tmp_path / "a\0b")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no pipes in folders")
def test_pipes_devices_and_loops(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for name, said in (
        ("pipe", "a pipe or a device"),
        ("zero", "a pipe or a device"),
        ("loop", "too many levels"),
    ):
        with pytest.raises(Unreadable, match=said):
            read_bytes(tmp_path / name)


def test_a_file_larger_than_allowed_is_not_read_whole(tmp_path):
    with open(tmp_path / "sparse", "wb") as file:
        file.truncate(6 << 30)
    began = time.monotonic()
    with pytest.raises(Unreadable, match="more than 1,000,000"):
        read_bytes(tmp_path / "sparse", 1_000_000)
    assert time.monotonic() - began < 2


@pytest.mark.parametrize(
    "text",
    [
        "a:\t1", "a\t: {b: c}", "{a? b: 1}", "[a? b]", "\ufeffa: 1", "a: 1\n\ufeff", "? a\n: b", "a: 'x\ty'",
        "a: |\n  b\n  c", "a: >-\n  b\n  c", "a: é😀", "a: 1\u2028b", "a: \x7f", "- - [1, {a: b}]", "a: b: c",
        "- &a {b: 1}\n- *a", "%YAML 1.1\n---\na: 1", "a: 1\n---\nb: 2", "", "a: 1 # c\n# d",
        f"{'k' * 1100}: 1",
    ],
)  # fmt: skip
def test_both_parsers_read_the_same(text, monkeypatch):
    def read():
        try:
            return repr(parse_yaml(text))
        except Unreadable as error:
            return str(error), error.line, error.column

    quick = read()
    monkeypatch.setattr(yaml_values, "_QuickLoader", None)
    assert read() == quick


def test_both_parsers_read_the_recipes_alike(monkeypatch):
    recipes = (Path(__file__).parents[1] / "recipes").rglob("*.yaml")
    texts = [path.read_text(encoding="utf-8") for path in recipes]
    quick = list(map(parse_yaml, texts))
    monkeypatch.setattr(yaml_values, "_QuickLoader", None)
    assert len(quick) > 40 and quick == list(map(parse_yaml, texts))


def test_half_a_surrogate_pair_in_yaml_is_a_sentence():
    with pytest.raises(Unreadable):
        parse_yaml("a: \ud800")
