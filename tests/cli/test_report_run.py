"""The page of one run, for every kind of task."""

import json
import re
import shutil

import pytest

from support.pictures import encoded, picture
from support.tasks import KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_shows_what_the_run_left(kind, readers, softprompt, tmp_path):
    run = readers / "runs" / kind
    result = softprompt("report", run, "--output", tmp_path)
    assert result.code == 0 and "report.html" in result.out
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    facts = json.loads((run / "result.json").read_text(encoding="utf-8"))
    for row in facts["scores"]:
        for value in row["values"].values():
            assert f"<td>{value:.2f}</td>" in page
    if (run / "confusion.json").is_file():
        confusion = json.loads((run / "confusion.json").read_text(encoding="utf-8"))
        for label, of_class in confusion["classes"].items():
            assert re.search(
                rf'<th scope="row">{re.escape(label)}</th>\s*<td>{of_class["precision"]:.2f}', page
            )
        assert "Confusion" in page and "expected calibration error" in page
    if kind in ("pair", "single", "tagging"):
        assert (run / "confusion.json").is_file() and (run / "errors.jsonl").is_file()
    assert "method.name" in page and "backbone" in page
    # nothing is loaded from elsewhere
    assert not re.findall(r'(?:src|href)="(?!data:|#)', page)
    assert str(readers) not in page


def test_the_page_says_what_was_found_while_reading(readers, softprompt, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(readers / "runs" / "single", run)
    facts = json.loads((run / "result.json").read_text(encoding="utf-8"))
    facts["counts"]["skipped_rows"] = 17
    facts["reading"] = ["/data/of ann/x.csv: 17 bad rows were left out", "/data/x.csv: text from 'body'"]
    (run / "result.json").write_text(json.dumps(facts), encoding="utf-8")
    assert softprompt("report", run).code == 0
    page = (run / "report" / "report.html").read_text(encoding="utf-8")
    assert "17 bad rows were left out" in page and re.search(r"skipped rows</th>\s*<td>17", page)
    assert "Reading: x.csv: text from" in page


def test_drawings_on_white_are_turned_on_a_dark_page(readers, softprompt, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(readers / "runs" / "pair", run)
    (run / "curves.png").write_bytes(encoded(picture((200, 30, 30), 0), "PNG"))
    assert softprompt("report", run).code == 0
    page = (run / "report" / "report.html").read_text(encoding="utf-8")
    assert page.count("<img ") == page.count('<img class="drawn" ') > 0
    light, *dark = re.findall(r"color-scheme: \w+;.*?--drawn: ([^;]*);", page, re.DOTALL)
    assert light == "none" and dark == ["invert(1) hue-rotate(180deg)"] * 2
    assert ".drawn { filter: var(--drawn);" in page


def test_pages_of_texts_escape_them(readers, softprompt, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(readers / "runs" / "pair", run)
    line = {"id": "1", "source": "<script>x</script>", "right": "财经", "said": "&", "confidence": 0.91234}
    (run / "errors.jsonl").write_text(json.dumps(line, ensure_ascii=False) + "\n", encoding="utf-8")
    assert softprompt("report", run).code == 0
    page = (run / "report" / "report.html").read_text(encoding="utf-8")
    assert "<script>x" not in page and "&lt;script&gt;x" in page and "91.2% sure" in page and "财经" in page


def test_options_of_studies_are_refused_for_a_run(readers, softprompt):
    result = softprompt("report", readers / "runs" / "pair", "--set", "training.steps=3")
    assert result.code == 2 and "the run folder alone" in result.err


def test_a_damaged_file_is_named(readers, softprompt, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(readers / "runs" / "pair", run)
    (run / "confusion.json").write_text("{", encoding="utf-8")
    result = softprompt("report", run)
    assert result.code == 1 or result.code == 2
    assert "confusion.json" in result.err and "Traceback" not in result.err
