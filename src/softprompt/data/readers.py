"""Every data format by name, and the one way to read them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from softprompt.config import DataSettings
from softprompt.data.columns import read_csv, read_jsonl
from softprompt.data.conll import read_conll
from softprompt.data.dart import read_dart
from softprompt.data.e2e import read_e2e
from softprompt.data.hub import read_hub, read_hub_images
from softprompt.data.image_folder import read_image_folder
from softprompt.data.labelled import read_labelled_csv, read_labelled_jsonl, read_labelled_tsv
from softprompt.data.records import Choices, LabelledPicture, LabelledText, Question, Record, TaggedWords
from softprompt.data.restaurants import read_restaurants
from softprompt.data.scitldr import read_scitldr
from softprompt.data.sentences import (
    SST2_LABELS,
    TREC_FINE_LABELS,
    TREC_LABELS,
    read_sst2,
    read_trec,
    read_trec_fine,
)
from softprompt.data.squad import read_squad
from softprompt.data.superglue import (
    CB_LABELS,
    RTE_LABELS,
    TRUTH,
    read_boolq,
    read_cb,
    read_copa,
    read_multirc,
    read_rte,
    read_wic,
    read_wsc,
)
from softprompt.data.trex import read_trex
from softprompt.data.webnlg import read_webnlg
from softprompt.errors import ConfigError, DataError, Problem, nearest

_GENERATED = ("source", "target")
_LABELLED = ("text", "second", "label")
_TAGGED = ("word_column", "tag_column", "tagging")
_PICTURED = ("image", "label")
_OPTIONS = (*_GENERATED, *_LABELLED, *_TAGGED, "image")
_DEFAULTS = {name: DataSettings.model_fields[name].default for name in _OPTIONS}


@dataclass(frozen=True)
class Format:
    """How one kind of data is read.

    Args:
        reader: called with a path, and with the options in `takes` by name; with the split's name
            alone where `generated`.
        content: what the file holds and who publishes it, for messages.
        record: the class of its records.
        labels: the labels it declares, in the order of their indices; the second of two is the
            positive one. None where they follow from the data.
        takes: the settings that say how to read a file of this kind.
        generated: whether the records are made by code and no file is read.
        grouped: whether records belong together (tag `question`) and are scored together, so that
            drawing some of them would change what the score means.
        named: whether the path is a name that need not be a file.
        fields: what templates may call the record's text, and its second text.
    """

    reader: Callable[..., Sequence[Any]]
    content: str
    record: type = Record
    labels: tuple[str, ...] | None = None
    takes: tuple[str, ...] = ()
    generated: bool = False
    grouped: bool = False
    named: bool = False
    fields: tuple[str, ...] = ()


def _superglue(
    reader: Callable[..., Sequence[Any]],
    task: str,
    labels: tuple[str, ...],
    fields: tuple[str, ...],
    grouped: bool = False,
) -> Format:
    content = f"{task}'s JSON lines (published by SuperGLUE)"
    return Format(reader, content, LabelledText, labels, grouped=grouped, fields=fields)


_TREC = "TREC's lines of class and question (Li and Roth)"

FORMATS = {
    "e2e": Format(read_e2e, "E2E NLG's CSV (published by tuetschek/e2e-dataset)"),
    "webnlg": Format(read_webnlg, "WebNLG 2017's XML (published by the WebNLG challenge 2017)"),
    "dart": Format(read_dart, "DART's JSON (published by Yale-LILY/dart)"),
    "scitldr": Format(read_scitldr, "SciTLDR's JSON lines (published by allenai/scitldr)"),
    "jsonl": Format(read_jsonl, "a JSON-lines file with two named fields", takes=_GENERATED),
    "csv": Format(read_csv, "a CSV file with two named columns", takes=_GENERATED),
    "restaurants": Format(read_restaurants, "the synthetic restaurants", generated=True),
    "boolq": _superglue(read_boolq, "BoolQ", TRUTH, ("question", "passage")),
    "cb": _superglue(read_cb, "CB", CB_LABELS, ("premise", "hypothesis")),
    "copa": Format(read_copa, "COPA's JSON lines (published by SuperGLUE)", Choices, fields=("premise",)),
    "multirc": _superglue(read_multirc, "MultiRC", TRUTH, ("passage", "answer"), grouped=True),
    "rte": _superglue(read_rte, "RTE", RTE_LABELS, ("premise", "hypothesis")),
    "wic": _superglue(read_wic, "WiC", TRUTH, ("sentence1", "sentence2")),
    "wsc": _superglue(read_wsc, "WSC", TRUTH, ("text", "phrase")),
    "sst2": Format(
        read_sst2,
        "SST-2's lines of sentence and label (Stanford Sentiment Treebank)",
        LabelledText,
        SST2_LABELS,
        fields=("sentence",),
    ),
    "trec": Format(read_trec, _TREC, LabelledText, TREC_LABELS, fields=("question",)),
    "trec_fine": Format(read_trec_fine, _TREC, LabelledText, TREC_FINE_LABELS, fields=("question",)),
    "trex": Format(
        read_trex, "T-REx's JSON lines of one relation (published by LAMA)", LabelledText, fields=("subject",)
    ),
    "conll": Format(read_conll, "sentences in columns of words and tags", TaggedWords, takes=_TAGGED),
    "squad": Format(read_squad, "SQuAD's JSON (published by rajpurkar/SQuAD-explorer)", Question),
    "labelled_jsonl": Format(
        read_labelled_jsonl, "a JSON-lines file with named fields", LabelledText, takes=_LABELLED
    ),
    "labelled_csv": Format(read_labelled_csv, "a CSV file with named columns", LabelledText, takes=_LABELLED),
    "labelled_tsv": Format(
        read_labelled_tsv, "a TSV file with named or numbered columns", LabelledText, takes=_LABELLED
    ),
    "datasets": Format(
        read_hub, "the name of a data set and its split", LabelledText, takes=_LABELLED, named=True
    ),
    "image_folder": Format(
        read_image_folder, "a folder of pictures, in a folder for each class", LabelledPicture
    ),
    "datasets_images": Format(
        read_hub_images, "the name of a data set and its split", LabelledPicture, takes=_PICTURED, named=True
    ),
}
"""The formats that `data.format` takes; a new one is a file beside this one and a row here."""


def read(
    format: str,
    path: Path | str | None = None,
    *,
    source: str = "source",
    target: str = "target",
    text: str | int = "text",
    second: str | int | None = None,
    label: str | int | None = "label",
    word_column: int = 0,
    tag_column: int | None = -1,
    tagging: str = "bio",
    image: str = "image",
    split: str | None = None,
) -> list[Any]:
    """The records of one file or folder, in file order; `FORMATS[format].record` is their class.

    Args:
        format: a key of `FORMATS`.
        path: the file or folder, from the working directory; none for `restaurants`; for `datasets` and
            `datasets_images` `name:split` or `name:configuration:split`.
        source: name of the source column (jsonl and csv only).
        target: name of the target column (jsonl and csv only).
        text: column of the text (labelled_jsonl, labelled_csv, labelled_tsv and datasets only).
        second: column of the second text of a pair (same formats); None where there is one text.
        label: column of the label (same formats, and datasets_images); None where there are none.
        word_column: place of the words in a line (conll only).
        tag_column: place of the tags in a line (conll only); None where there are none.
        tagging: `bio` or `iob1` (conll only).
        image: column of the pictures (datasets_images only).
        split: `train`, `dev` or `test` (restaurants only).

    Raises:
        ConfigError: an unknown format, or an argument that the format does not take.
        DataError: a file that is missing, empty or malformed, with the line where it is.
    """
    if format not in FORMATS:
        raise ConfigError(
            "data.format", repr(format), f"one of {', '.join(FORMATS)}", nearest(format, FORMATS)
        )
    form = FORMATS[format]
    given = (source, target, text, second, label, word_column, tag_column, tagging, image)
    options: dict[str, Any] = dict(zip(_OPTIONS, given, strict=True))
    if found := misfits(format, options):
        raise ConfigError.several(found)
    if form.generated:
        if path is not None:
            raise ConfigError(
                "data",
                f"the path {path} for {format}",
                "no path, since this format reads no file",
                "leave it out",
            )
        return list(form.reader(split))
    if split is not None:
        raise ConfigError(
            "split",
            f"'{split}' for {format}",
            "the format 'restaurants', which alone takes a split",
            "give the path of the split's file instead",
        )
    if path is None:
        raise ConfigError("data", f"no path for {format}", form.content)
    path = Path(path)
    if not form.named and not path.exists():
        do = "put it there, or set SOFTPROMPT_DATA to the folder of data sets"
        raise DataError(str(path), "no such file or folder", form.content, do)
    records = list(form.reader(path, **{name: options[name] for name in form.takes}))
    if not records:
        raise DataError(str(path), "no records", form.content)
    return records


def misfits(format: str, options: Mapping[str, Any]) -> list[Problem]:
    """What is wrong with the reading options for a format, a line each.

    Args:
        format: a key of `FORMATS`.
        options: `source`, `target`, `text`, `second`, `label`, `word_column`, `tag_column`, `tagging` and
            `image`.
    """
    form, found = FORMATS[format], []
    for name in _OPTIONS:
        if name not in form.takes and options[name] != _DEFAULTS[name]:
            takers = [other for other, row in FORMATS.items() if name in row.takes]
            expected = f"format {_or(takers)}"
            found.append(Problem(f"data.{name}", f"{options[name]!r} for {format}", expected, "leave it out"))
    taken = [name for name in form.takes if options[name] is not None]
    for place, name in enumerate(taken):
        for other in taken[:place]:
            if options[name] == options[other] and name != "tagging":
                got = f"{options[name]!r}, which is the {other} too"
                found.append(Problem(f"data.{name}", got, "another column", f"name the {name}'s own column"))
    if options["tagging"] not in ("bio", "iob1"):
        found.append(Problem("data.tagging", repr(options["tagging"]), "'bio' or 'iob1'"))
    numbers = [name for name in taken if name in _LABELLED and isinstance(options[name], int)]
    if numbers and format != "labelled_tsv":
        got = f"the number {options[numbers[0]]} for {format}"
        found.append(Problem(f"data.{numbers[0]}", got, "a column's name", "keep numbers for labelled_tsv"))
    elif numbers and len(numbers) < len(taken):
        got = f"numbers for some columns ({', '.join(numbers)}) and names for others"
        do = "number them for a file without a header, name them for one with a header"
        found.append(Problem("data", got, "columns that are all numbered or all named", do))
    return found


def _or(names: Sequence[str]) -> str:
    return " or ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]
