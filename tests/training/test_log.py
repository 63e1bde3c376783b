"""The log of a run: a damaged line costs that line alone, and nothing is erased that cannot be read."""

import json

import pytest

from softprompt.config import TrainingSettings
from softprompt.errors import TrainingError
from softprompt.files.json_lines import damaged, ends_line, read_lines
from softprompt.training.run_folder import RunFolder

START = {"kind": "start", "step": 0, "steps": 9}


def step(i):
    return {"kind": "step", "step": i, "loss": 1 / (i + 3)}


def evaluation(i):
    return {"kind": "evaluation", "step": i, "loss": 0.5, "best": True}


LINES = [START, step(1), evaluation(1), step(2), evaluation(2), step(3)]

DAMAGE = {
    "cut": b'{"kind": "step", "st',
    "null bytes": b"\0" * 40,
    "half a character": b'{"kind": "step", "step": 1, "note": "\xc3"}',
    "a byte that is no UTF-8": b'{"kind": "step", "\xff": 1, "step": 1}',
    "a number": b"3",
    "a list": b"[1, 2]",
    "null": b"null",
    "no step": b'{"kind": "step"}',
    "no kind": b'{"step": 3}',
    "a step in words": b'{"kind": "step", "step": "3"}',
    "a truth as a step": b'{"kind": "step", "step": true}',
    "a kind that is no word": b'{"kind": ["step"], "step": 3}',
    "two lines in one": b'{"kind": "step", "step": 1}{"kind": "step", "step": 2}',
    "too deep": b"[" * 100_000,
    "a number of too many digits": b'{"kind": "step", "step": 1, "loss": ' + b"1" * 5000 + b"}",
}


@pytest.fixture
def folder(tmp_path):
    folder = RunFolder(tmp_path)
    for line in LINES:
        folder.append(line)
    return folder


def put(folder, place, raw, end=b"\n"):
    """A raw line before the one at this place."""
    lines = folder.log.read_bytes().splitlines(keepends=True)
    folder.log.write_bytes(b"".join([*lines[:place], raw + end, *lines[place:]]))


@pytest.mark.parametrize("raw", DAMAGE.values(), ids=list(DAMAGE))
@pytest.mark.parametrize("place", [0, 3, 6])
def test_the_other_lines_are_read_and_one_warning_names_it(folder, raw, place):
    put(folder, place, raw)
    with pytest.warns(UserWarning, match="damage") as said:
        assert list(folder.lines()) == LINES
    assert [str(one.message) for one in said] == [
        f"{folder.log.as_posix()}: got damage in line {place + 1}, expected a JSON object on every line, as "
        "the run wrote it. It is passed over, and the other lines are read."
    ]


def test_one_warning_for_all_of_them(folder):
    for place in (6, 3, 3, 3, 0):
        put(folder, place, b"?")
    with pytest.warns(UserWarning, match="damage") as said:
        assert list(folder.lines()) == LINES
    assert len(said) == 1 and "got damage in lines 1, 5-7, 11, expected" in str(said[0].message)


def test_a_last_line_cut_by_a_kill_is_no_damage(folder):
    put(folder, 6, DAMAGE["cut"], end=b"")
    assert list(folder.lines()) == LINES
    folder.append(step(4))
    with pytest.warns(UserWarning, match="damage in line 7"):
        assert list(folder.lines()) == [*LINES, step(4)]


@pytest.mark.parametrize("name", ["null bytes", "half a character", "no step"])
def test_an_end_that_no_kill_leaves_is_damage(folder, name):
    raw = DAMAGE[name]
    put(folder, 6, raw, end=b"")
    if name == "null bytes":
        with pytest.warns(UserWarning, match="damage in line 7"):
            assert list(folder.lines()) == LINES
    else:  # its line end is missing: a kill may have left it
        assert list(folder.lines()) == LINES


def test_a_whole_line_without_its_end_is_read_and_not_continued(folder):
    put(folder, 6, json.dumps(step(4)).encode(), end=b"")
    folder.append(step(5))
    assert list(folder.lines()) == [*LINES, step(4), step(5)]


def test_line_ends_of_windows_and_blank_lines_are_no_damage(folder):
    folder.log.write_bytes(folder.log.read_bytes().replace(b"\n", b"\r\n\r\n  \n"))
    assert list(folder.lines()) == LINES


def test_only_a_line_feed_ends_a_line(tmp_path):
    path = tmp_path / "log"
    value = {"kind": "note\u2028\u0085", "step": 1}
    path.write_text(json.dumps(value, ensure_ascii=False) + "\n", encoding="utf-8")
    assert [line.value for line in read_lines(path)] == [value]


@pytest.mark.parametrize("raw", DAMAGE.values(), ids=list(DAMAGE))
def test_rewinding_keeps_what_stays_and_what_it_cannot_read(folder, raw):
    put(folder, 2, raw)
    whole = folder.log.read_bytes().splitlines(keepends=True)
    with pytest.warns(
        UserWarning, match=r"in line 3, .*\. It is kept in log\.damaged\.jsonl, and the run goes"
    ):
        folder.rewind(2, 1)
    assert folder.log.read_bytes() == b"".join([*whole[:2], *whole[3:5]])
    assert list(folder.lines()) == [START, step(1), evaluation(1), step(2)]
    assert folder.damaged.read_bytes() == raw + b"\n"


def test_what_two_rewindings_cannot_read_is_all_kept(folder):
    for raw in (b"first", b"second"):
        put(folder, 1, raw)
        with pytest.warns(UserWarning, match="damage in line 2"):
            folder.rewind(3, 2)
    assert folder.damaged.read_bytes() == b"first\nsecond\n"
    assert list(folder.lines()) == LINES


def test_rewinding_after_a_kill_says_nothing_and_erases_nothing(folder):
    put(folder, 6, DAMAGE["cut"], end=b"")
    folder.rewind(3, 2)
    assert list(folder.lines()) == LINES and folder.log.read_bytes().endswith(b"\n")
    assert folder.damaged.read_bytes() == DAMAGE["cut"] + b"\n"


def test_a_whole_log_leaves_no_file_of_damage(folder):
    before = folder.log.read_bytes()
    folder.rewind(3, 2)
    assert folder.log.read_bytes() == before and not folder.damaged.exists()


def test_lines_of_a_kind_that_is_not_known_go_by_their_step(folder):
    folder.append({"kind": "note", "step": 2})
    folder.append({"kind": "note", "step": 3})
    folder.rewind(2, 2)
    assert list(folder.lines())[-1] == {"kind": "note", "step": 2}


def test_a_log_that_is_a_folder_is_said(tmp_path):
    (tmp_path / "log.jsonl").mkdir()
    with pytest.raises(TrainingError, match=r"log\.jsonl: got .*, expected a file that can"):
        RunFolder(tmp_path).lines()


def test_no_log_has_no_lines(tmp_path):
    assert list(RunFolder(tmp_path).lines()) == [] and ends_line(tmp_path / "log.jsonl")
    assert damaged(read_lines(tmp_path / "none")) == ""


@pytest.mark.parametrize("other", [False, True])
def test_resuming_removes_states_that_earlier_versions_kept(tmp_path, other):
    settings = TrainingSettings(steps=1)
    RunFolder(tmp_path).begin(settings, settings, resume=False)
    former = tmp_path / "trunk"
    former.mkdir()
    for name in ("a.states", "a.index", *(["notes.txt"] if other else [])):
        (former / name).write_bytes(b"1")
    RunFolder(tmp_path).begin(settings, settings, resume=True)
    assert former.exists() == other
    assert not other or [path.name for path in former.iterdir()] == ["notes.txt"]
