"""Every data format, a row each."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

from softprompt.config import AUTO
from softprompt.data.formats import (
    columns,
    conll,
    hub,
    images,
    rows,
    sentences,
    several_labels,
    squad,
    structured,
    summarization,
    superglue,
    synthetic,
    table_to_text,
    trex,
)
from softprompt.data.records import (
    Choices,
    LabelledPicture,
    LabelledText,
    MultiLabelledText,
    PicturedText,
    Question,
    Record,
    TaggedWords,
)
from softprompt.data.tables import TableSettings
from softprompt.errors import ConfigError, DataError, kind_of
from softprompt.registry import Registry, check_parameters

COLUMNS = ("text", "second", "label")
NUMBERED = ("source", "target", *COLUMNS)
"""Columns that may be given by number."""

OPTIONS = (
    "source", "target", *COLUMNS, "word_column", "tag_column", "tagging", "image", "words", "tags",
    "question", "context", "answers", "messages", "language", "decimal", "thousands", "label_separator",
)  # fmt: skip
"""The settings of `data` that say what the columns of a file are."""

OF_TABLES = ("delimiter", "header", "quoted", "sheet")
"""The settings of `data` that say how a table is read; readers get them as one argument, `table`."""

FIXED: Mapping[str, Any] = {
    "source": "source", "target": "target", "text": "text", "second": None, "label": "label",
    "image": "image",
}  # fmt: skip
"""The columns that readers with fixed names take where none are given."""

_KINDS = (
    Record, PicturedText, LabelledText, MultiLabelledText, LabelledPicture, Choices, TaggedWords, Question,
)  # fmt: skip

Reader = Callable[..., Sequence[Any]]
"""A function of a path and of those settings of `data` that it names; of a split where it reads no file."""

_Reader = TypeVar("_Reader", bound=Reader)


@dataclass(frozen=True)
class Format:
    """How one kind of data is read.

    Args:
        name: in settings.
        function: the reader.
        content: what the file holds and who publishes it, for messages.
        record: the class of its records.
        labels: the labels it declares, in the order of their indices; the second of two is the
            positive one. None where they follow from the data.
        fields: what templates may call the record's text, and its second text.
        grouped: whether records belong together (tag `question`) and are scored together, so that
            drawing some of them would change what the score means.
        named: whether the path is a name that need not be a file.
        universal: whether it reads any table, and finds the columns that are not given.
    """

    name: str
    function: Reader
    content: str
    record: type = Record
    labels: tuple[str, ...] | None = None
    fields: tuple[str, ...] = ()
    grouped: bool = False
    named: bool = False
    universal: bool = False

    @cached_property
    def takes(self) -> tuple[str, ...]:
        """The settings that say how to read a file of this kind: those that the reader names."""
        names = inspect.signature(self.function).parameters
        columns = tuple(name for name in names if name in OPTIONS)
        extra = OF_TABLES if "table" in names else ("delimiter",) if "delimiter" in names else ()
        return (*columns, *extra)

    def arguments(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """What the reader is called with, of the settings of `data`."""
        made = {name: options[name] for name in self.takes if name in OPTIONS or name == "delimiter"}
        if not self.universal:
            made |= {name: FIXED[name] for name in made if name in FIXED and made[name] == AUTO}
            if made.get("tagging") == AUTO and self.function is not conll.read_conll:
                made["tagging"] = "bio"
        if "table" in inspect.signature(self.function).parameters:
            made.pop("delimiter", None)
            made["table"] = TableSettings(None, *(options[name] for name in OF_TABLES))
        return made

    @cached_property
    def generated(self) -> bool:
        """Whether the records are made by code, from the split's name alone, and no file is read."""
        return next(iter(inspect.signature(self.function).parameters)) == "split"


FORMATS: Registry[Format] = Registry("data_format", "data.format", "softprompt.data_formats", DataError)
"""The formats that `data.format` takes."""

_TREC = "TREC's lines of class and question (Li and Roth)"
_HUB = "the name of a data set and its split"
_PAIR = ("premise", "hypothesis")


def _superglue(task: str) -> str:
    return f"{task}'s JSON lines (published by SuperGLUE)"


for _row in (
    Format("e2e", table_to_text.read_e2e, "E2E NLG's CSV (published by tuetschek/e2e-dataset)"),
    Format(
        "webnlg", table_to_text.read_webnlg, "WebNLG 2017's XML (published by the WebNLG challenge 2017)"
    ),
    Format("dart", table_to_text.read_dart, "DART's JSON (published by Yale-LILY/dart)"),
    Format("scitldr", summarization.read_scitldr, "SciTLDR's JSON lines (published by allenai/scitldr)"),
    Format("jsonl", columns.read_jsonl, "a JSON-lines file with two named fields"),
    Format("csv", columns.read_csv, "a CSV file with two named columns"),
    Format(
        "pictured_jsonl", columns.read_pictured_jsonl,
        "a JSON-lines file with two named fields and one for the path of a picture", PicturedText,
    ),
    Format(
        "pictured_csv", columns.read_pictured_csv,
        "a CSV file with two named columns and one for the path of a picture", PicturedText,
    ),
    Format("restaurants", synthetic.read_restaurants, "the synthetic restaurants"),
    Format(
        "boolq", superglue.read_boolq, _superglue("BoolQ"), LabelledText, superglue.TRUTH,
        ("question", "passage"),
    ),
    Format("cb", superglue.read_cb, _superglue("CB"), LabelledText, superglue.CB_LABELS, _PAIR),
    Format("copa", superglue.read_copa, _superglue("COPA"), Choices, fields=("premise",)),
    Format(
        "multirc", superglue.read_multirc, _superglue("MultiRC"), LabelledText, superglue.TRUTH,
        ("passage", "answer"), grouped=True,
    ),
    Format("rte", superglue.read_rte, _superglue("RTE"), LabelledText, superglue.RTE_LABELS, _PAIR),
    Format(
        "wic", superglue.read_wic, _superglue("WiC"), LabelledText, superglue.TRUTH,
        ("sentence1", "sentence2"),
    ),
    Format("wsc", superglue.read_wsc, _superglue("WSC"), LabelledText, superglue.TRUTH, ("text", "phrase")),
    Format(
        "sst2", sentences.read_sst2, "SST-2's lines of sentence and label (Stanford Sentiment Treebank)",
        LabelledText, sentences.SST2_LABELS, ("sentence",),
    ),
    Format("trec", sentences.read_trec, _TREC, LabelledText, sentences.TREC_LABELS, ("question",)),
    Format(
        "trec_fine", sentences.read_trec_fine, _TREC, LabelledText, sentences.TREC_FINE_LABELS, ("question",)
    ),
    Format(
        "trex", trex.read_trex, "T-REx's JSON lines of one relation (published by LAMA)", LabelledText,
        fields=("subject",),
    ),
    Format(
        "conll", conll.read_conll, "sentences in columns of words and tags", TaggedWords,
    ),
    Format("squad", squad.read_squad, "SQuAD's JSON (published by rajpurkar/SQuAD-explorer)", Question),
    Format(
        "labelled_jsonl", columns.read_labelled_jsonl, "a JSON-lines file with named fields", LabelledText
    ),
    Format("labelled_csv", columns.read_labelled_csv, "a CSV file with named columns", LabelledText),
    Format(
        "labelled_tsv", columns.read_labelled_tsv, "a TSV file with named or numbered columns", LabelledText
    ),
    Format("datasets", hub.read_hub, _HUB, LabelledText, named=True),
    Format(
        "image_folder", images.read_image_folder, "a folder of pictures, in a folder for each class",
        LabelledPicture,
    ),
    Format("datasets_images", hub.read_hub_images, _HUB, LabelledPicture, named=True),
    Format(
        "pairs", rows.read_pairs,
        "any table with a source and a target, chats, or NAME.source and NAME.target",
        named=True, universal=True,
    ),
    Format(
        "labelled", rows.read_labelled, "any table with texts and labels or numbers", LabelledText,
        named=True, universal=True,
    ),
    Format(
        "multi_labelled", several_labels.read_multi_labelled,
        "any table with texts and any number of labels for each", MultiLabelledText, named=True,
        universal=True,
    ),
    Format(
        "tagged", structured.read_tagged, "sentences with tags: in columns, or any table with lists",
        TaggedWords, named=True, universal=True,
    ),
    Format(
        "questions", structured.read_questions, "SQuAD's JSON, or any table with questions", Question,
        named=True, universal=True,
    ),
    Format(
        "pictures", structured.read_pictures,
        "a folder of pictures for each class, or any table with paths of pictures and labels",
        LabelledPicture, named=True, universal=True,
    ),
    Format(
        "pictured", rows.read_pictured, "any table with a source, a target and the path of a picture",
        PicturedText, universal=True,
    ),
):  # fmt: skip
    FORMATS.add(_row.name, _row, _row.function)


def usual_format(records: Sequence[type], paths: Sequence[str], image: bool) -> str | None:
    """The format of a task's own data, where a recipe names none; None for tasks without such a format.

    Args:
        records: the classes of records that the task reads.
        paths: of its files.
        image: whether a column of pictures is named.
    """
    if Record in records and any(path.casefold().removesuffix(".gz").endswith(".xml") for path in paths):
        return "webnlg"
    kinds = {
        Record: "pictured" if image else "pairs", LabelledText: "labelled",
        MultiLabelledText: "multi_labelled", TaggedWords: "tagged", Question: "questions",
        LabelledPicture: "pictures",
    }  # fmt: skip
    return next((kinds[kind] for kind in records if kind in kinds), None)


def data_format(
    name: str,
    record: type,
    content: str,
    *,
    labels: Sequence[str] | None = None,
    fields: Sequence[str] = (),
    grouped: bool = False,
) -> Callable[[_Reader], _Reader]:
    """Register a function as a data format, to be named in a recipe's `data.format`.

    The function gets the path of a file or folder that exists, and by parameters of these names, where it
    has them, the settings of `data` that say which columns to read: `source`, `target`, `text`, `second`,
    `label`, `word_column`, `tag_column`, `tagging` and `image`. It gives records of one class, in order, and
    raises `softprompt.DataError` for a file that it cannot read.

    Args:
        name: in recipes.
        record: the class of its records, one of `softprompt.data`'s.
        content: what a file of it holds, for errors: `a CSV file of reviews`.
        labels: the labels it declares, in the order of their indices; None where they follow from the data.
        fields: what templates may call the record's text, and its second text.
        grouped: whether records belong together (tag `question`) and none may be left out.

    Raises:
        ConfigError: a name that another format has, another class, or a function with other parameters.
    """

    FORMATS.check_name(name)

    def register(function: _Reader) -> _Reader:
        where, known = f"data_format '{name}'", [kind.__name__ for kind in _KINDS]
        if not isinstance(content, str):
            raise ConfigError(f"{where}: content", kind_of(content), "a text, e.g. 'a CSV file of reviews'")
        for argument, texts in (("labels", labels or ()), ("fields", fields)):
            if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
                raise ConfigError(f"{where}: {argument}", repr(texts), "a list of texts")
        declared = None if labels is None else tuple(labels)
        row = Format(name, function, content, record, declared, tuple(fields), grouped)
        if record not in _KINDS:
            got = f"records of {getattr(record, '__name__', record)}"
            raise ConfigError(where, got, f"one of {', '.join(known)}, of softprompt.data")
        check_parameters(where, function, ("a path",), OPTIONS)
        FORMATS.add(name, row, function)
        return function

    return register
