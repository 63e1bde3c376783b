"""A small valid file of every data format that reads one; written here, not taken from a data set."""

import json
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Sample:
    """A valid file.

    Args:
        name: of the file; its suffix says which notation it is in.
        content: as text.
        options: for `softprompt.data.read`.
        encoding: of the file.
    """

    name: str
    content: str
    options: dict[str, Any] = field(default_factory=dict)
    encoding: str = "utf-8"


def _lines(*objects: Any) -> str:
    return "".join(f"{json.dumps(one, ensure_ascii=False)}\n" for one in objects)


_XML = """<?xml version="1.0" encoding="UTF-8"?>
<benchmark>
  <entries>
    <entry category="Airport" eid="Id1" size="1">
      <originaltripleset><otriple>A | b | C</otriple></originaltripleset>
      <modifiedtripleset><mtriple>Aarhus_Airport | cityServed | "Århus, Denmark"</mtriple></modifiedtripleset>
      <lex comment="good" lid="Id1">The airport serves Århus.</lex>
      <lex comment="bad" lid="Id2">Bad.</lex>
    </entry>
    <entry category="Artist" eid="Id2" size="2">
      <modifiedtripleset><mtriple>X | y | Z</mtriple><mtriple>X | w | V</mtriple></modifiedtripleset>
      <lex comment="good" lid="Id1">X &amp; Z.</lex>
      <lex comment="good" lid="Id2">X has Z.</lex>
    </entry>
  </entries>
</benchmark>
"""

_DART = [
    {"tripleset": [["A", "REL", "b"], ["c", "R", "d"]], "annotations": [{"source": "x", "text": "A rel b."}]},
    {
        "subtree_was_extended": False,
        "tripleset": [["é", "R", "1"]],
        "annotations": [{"text": "One."}, {"text": "Two."}],
    },
]

_SQUAD = {
    "version": "2.0",
    "data": [{"title": "t", "paragraphs": [{"context": "The mill is old. It grinds corn.", "qas": [
        {"id": "1", "question": "What is old?", "answers": [{"text": "The mill", "answer_start": 0}]},
        {"id": "2", "question": "Who?", "is_impossible": True, "answers": []},
    ]}]}],
}  # fmt: skip

_MULTIRC = [
    {"idx": n, "passage": {"text": "Ann rows. Bob sings.", "questions": [
        {"question": "Who rows?", "answers": [{"text": "Ann", "label": 1}, {"text": "Bob", "label": 0}]},
        {"question": "Who sings?", "answers": [{"text": "Bob", "label": 1}]},
    ]}} for n in (0, 1)
]  # fmt: skip

_WSC = [
    {"text": "Ann saw Eve when she left.", "label": False,
     "target": {"span1_text": "Ann", "span1_index": 0, "span2_text": "she", "span2_index": 4}},
    {"text": "Bob fed his dog.", "label": True,
     "target": {"span1_text": "Bob", "span1_index": 0, "span2_text": "his", "span2_index": 2}},
]  # fmt: skip

_WORDS = "-DOCSTART-\tO\n\nAnn\tB-person\nrows\tO\n\nNew\tB-place\nYork\tI-place\n,\tO\nÅrhus\tB-place\n\n"

_ANSWER = {"role": "assistant", "content": "yes"}

_THERE = {"text": ["The mill"], "answer_start": [0]}

SAMPLES: dict[str, tuple[Sample, ...]] = {
    "e2e": (Sample("d.csv", 'mr,ref\n"name[The Mill], area[riverside]",The Mill is by the river.\n'
                   '"name[The Mill], area[riverside]","A ""mill"", by\nthe river."\n"name[Ö]",Ö.\n'),),
    "webnlg": (Sample("d.xml", _XML),),
    "dart": (Sample("d.json", json.dumps(_DART)), Sample("d.json", json.dumps(_DART, indent=1))),
    "scitldr": (Sample("d.jsonl", _lines({"source": ["One.", " ", "Two."], "target": ["Both."]},
                                         {"source": ["Three."], "target": ["A.", "B."], "paper_id": "x"})),),
    "jsonl": (
        Sample("d.jsonl", _lines({"source": "a b", "target": "c"}, {"source": "d\u2028", "target": ["e",
        "f"]})),
        Sample("d.jsonl", _lines({"in": "a", "out": "b", "n": 1.5}) * 3, {"source": "in", "target": "out"}),
    ),
    "csv": (Sample("d.csv", 'source,target\n"a, b",c\nd,"e\nf"\n"a, b",g\n'),),
    "boolq": (Sample("d.jsonl", _lines({"question": "is it", "passage": "It is.", "label": True},
                                       {"question": "was it", "passage": "No.", "label": False})),),
    "cb": (Sample("d.jsonl", _lines({"premise": "A.", "hypothesis": "B.", "label": "neutral"},
                                    {"premise": "C.", "hypothesis": "D.", "label": "entailment"})),),
    "copa": (Sample("d.jsonl", _lines(
        {"premise": "It rained.", "choice1": "Wet.", "choice2": "Dry.", "question": "effect", "label": 0},
        {"premise": "It is wet.", "choice1": "Sun.", "choice2": "Rain.", "question": "cause", "label": 1})),
        ),
    "multirc": (Sample("d.jsonl", _lines(*_MULTIRC)),),
    "rte": (Sample("d.jsonl", _lines({"premise": "A.", "hypothesis": "B.", "label": "entailment", "idx": 0},
                                     {"premise": "C.", "hypothesis": "D.", "label": "not_entailment"})),
            Sample("d.jsonl", _lines({"premise": "A.", "hypothesis": "B."}) * 2)),
    "wic": (Sample("d.jsonl", _lines(
        {"word": "feel", "sentence1": "I feel.", "sentence2": "Feel it.", "label": True},
        {"word": "run", "sentence1": "A run.", "sentence2": "I run.", "label": False})),),
    "wsc": (Sample("d.jsonl", _lines(*_WSC)),),
    "sst2": (Sample("d.tsv", "a fine film\t1\na dull film\t0\n\"quoted\t1\n"),),
    "trec": (Sample("d.label", "LOC:city Where is Århus ?\nNUM:date When ?\n", encoding="latin-1"),),
    "trec_fine": (Sample("d.label", "LOC:city Where is Århus ?\nNUM:date When ?\n", encoding="latin-1"),),
    "trex": (Sample("P17.jsonl", _lines({"sub_label": "Århus", "obj_label": "Denmark", "uuid": "x"},
                                        {"sub_label": "Rome", "obj_label": "Italy"})),),
    "conll": (
        Sample("d.conll", _WORDS),
        Sample("d.txt", "Ann NNP I-PER\nrows VB O\n\nBob NNP I-PER\nEve NNP B-PER\n", {"tagging": "iob1"}),
        Sample("d.conll", _WORDS, {"tag_column": None}),
    ),
    "squad": (Sample("d.json", json.dumps(_SQUAD)), Sample("d.json", json.dumps(_SQUAD, indent=2))),
    "labelled_jsonl": (
        Sample("d.jsonl", _lines({"text": "a", "label": "x"}, {"text": "b", "label": 2}, {"text": "c",
        "label": True})),
        Sample("d.jsonl", _lines({"a": "a", "b": "c"}) * 2, {"text": "a", "second": "b", "label": None}),
    ),
    "labelled_csv": (Sample("d.csv", "text,label\na,x\n\"b\nc\",y\n"),
                     Sample("d.csv", "a,b,c\na,x,0.5\nb,y,1\n", {"text": "a", "second": "b", "label": "c"})),
    "labelled_tsv": (Sample("d.tsv", "text\tlabel\na\tx\nb\ty\n"),
                     Sample("d.tsv", "x\ta\tb\ny\tc\td\n", {"text": 1, "second": 2, "label": 0})),
    "pairs": (
        Sample("d.csv", 'document,summary\n"a, b",c\nd,"e\nf"\n'),
        Sample("d.json", json.dumps([{"instruction": "do", "input": x, "output": "y"} for x in ("", "z")])),
        Sample("d.jsonl", _lines(*[{"messages": [{"role": "user", "content": x}, _ANSWER]} for x in "ab"])),
    ),
    "labelled": (
        Sample("d.csv", "sentence,class\na,x\n\"b\nc\",y\n"),
        Sample("d.tsv", "premise\thypothesis\tgold_label\na\tb\tx\nc\td\ty\n"),
        Sample("d.jsonl", _lines({"text": "a", "label": "x"}, {"text": "b", "label": 2})),
    ),
    "multi_labelled": (
        Sample("d.csv", 'text,labels\na,x;y\n"b\nc",y\nd,\ne,y; x\n', {"label_separator": ";"}),
        Sample("d.csv", "a,x,y\nb,1,0\nc,0,1\n", {"text": "a", "label": ["x", "y"]}),
        Sample("d.jsonl", _lines({"text": "a", "labels": ["x", 2]}, {"text": "b", "labels": []})),
    ),
    "tagged": (
        Sample("d.conll", _WORDS),
        Sample("d.jsonl", _lines({"tokens": ["Ann", "rows"], "tags": ["S-x", "O"]}) * 2),
    ),
    "questions": (
        Sample("d.json", json.dumps(_SQUAD)),
        Sample("d.jsonl", _lines({"question": "What?", "context": "The mill.", "answers": _THERE}) * 2),
    ),
}  # fmt: skip
"""By format; formats that read no file, or a folder of pictures, or the hub, have none."""
