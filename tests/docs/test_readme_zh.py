"""The Chinese README has the commands of README.md: the same blocks in the same order."""

import re

from support.doc_blocks import ROOT, blocks_of

ENGLISH, CHINESE = ROOT / "README.md", ROOT / "README.zh.md"


def code(text: str) -> list[str]:
    """The lines of a block without comments and empty lines."""
    lines = (re.sub(r"(^|\s)#\s.*$", "", line).rstrip() for line in text.splitlines())
    return [" ".join(line.split()) for line in lines if line]


def test_the_same_blocks_in_the_same_order():
    english, chinese = blocks_of(ENGLISH), blocks_of(CHINESE)
    for ours, theirs in zip(english, chinese, strict=False):
        assert code(ours.text) == code(theirs.text), f"{theirs.where}: not the block of {ours.where}"
        assert ours.language == theirs.language
    assert len(english) == len(chinese), "copy the new block into README.zh.md, with its comments translated"


def test_the_comments_are_no_code():
    assert code("a b   # c\n\n# d\nx = '#1'\n") == ["a b", "x = '#1'"]


def test_the_same_extras_and_backbones():
    names = re.compile(r"^\| ((?:`[\w.-]+`[,、 ]*)+)\|", re.MULTILINE)
    of = {
        path: [re.findall(r"`(.*?)`", row) for row in names.findall(path.read_text("utf-8"))]
        for path in (ENGLISH, CHINESE)
    }
    assert len(of[ENGLISH]) > 8
    assert of[ENGLISH] == of[CHINESE]


def test_its_links_lead_to_files():
    links = re.findall(r"\]\(((?!https?:)[^)#]+)", CHINESE.read_text("utf-8"))
    assert len(links) > 10
    assert all((ROOT / link).exists() for link in links)


def test_each_names_the_other():
    assert "(README.zh.md)" in ENGLISH.read_text("utf-8")
    assert "(README.md)" in CHINESE.read_text("utf-8")
