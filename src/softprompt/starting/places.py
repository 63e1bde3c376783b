"""What a path holds: a table, several of them, tagged words, questions, pictures or a saved data set."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from softprompt.config import SPLIT_NAME
from softprompt.data import SUFFIXES, kind_of_file
from softprompt.errors import DataError, listed
from softprompt.untrusted import Unreadable, decode, parse_json, read_bytes

SPLITS = {
    "train": ("train", "training"),
    "dev": ("dev", "development", "valid", "validation", "val", "eval"),
    "test": ("test", "testing"),
}
"""The names that files and folders of a split usually have."""

_CONLL = (".conll", ".conllu", ".bio", ".iob", ".iob2", ".bmes", ".bioes", ".bilou")
_SAVED = ("dataset_dict.json", "dataset_info.json", "state.json")
_BEGIN = 20_000
"""Bytes of a text file that are looked at to tell tagged words from lines."""

PlaceKind = Literal["table", "words", "questions", "pictures", "saved", "hub"]


@dataclass(frozen=True)
class Place:
    """Data to begin from.

    Args:
        kind: `table`, `words` (a word and its tag on each line), `questions` (SQuAD's JSON), `pictures` (a
            folder for each class), `saved` (a folder of the `datasets` package) or `hub` (a name).
        train: what is looked at and trained on, as the recipe's `data.train`.
        dev: the development set, where it lies beside it.
        test: the test set, where it lies beside it.
    """

    kind: PlaceKind
    train: Path
    dev: Path | None = None
    test: Path | None = None


def place_of(path: Path) -> Place:
    """What a path holds.

    Args:
        path: a file, a folder, or a data set's `name:split`.

    Raises:
        DataError: nothing is there, or nothing that is known.
    """
    if path.is_dir():
        return _of_folder(path)
    if path.is_file():
        return Place(_kind_of(path), path)
    if (match := SPLIT_NAME.fullmatch(str(path))) is not None:
        return Place("saved" if Path(match[1]).is_dir() else "hub", path)
    raise DataError(
        str(path),
        "no such file or folder",
        "a table, a folder of pictures, or a data set's name:split",
        "see that the path is right; of the hub write e.g. nyu-mll/glue:rte:train",
    )


def _kind_of(path: Path) -> PlaceKind:
    if path.suffix.lower() in _CONLL:
        return "words"
    kind = kind_of_file(path)
    if kind == "txt" and _has_tagged_words(path):
        return "words"
    if kind == "json" and _is_squad(path):
        return "questions"
    if kind is None:
        known = f"a file that ends in one of {', '.join((*SUFFIXES, *_CONLL))}"
        raise DataError(str(path), f"a file with the suffix '{path.suffix}'", known, "rename it")
    return "table"


def _has_tagged_words(path: Path) -> bool:
    """Whether the lines of a text are words with tags, and empty lines stand between sentences."""
    try:
        text = read_bytes(path)[:_BEGIN].decode("utf-8-sig", errors="ignore")
    except Unreadable:
        return False
    lines = text.splitlines()[:-1] or text.splitlines()
    filled = [line.split() for line in lines if line.strip() and not line.startswith(("#", "-DOCSTART-"))]
    if len(filled) < 2 or len(filled) == len(lines) or any(len(cells) != len(filled[0]) for cells in filled):
        return False
    tags = {cells[-1] for cells in filled}
    return len(filled[0]) > 1 and any(tag == "O" or tag[:2] in ("B-", "I-", "S-") for tag in tags)


def _is_squad(path: Path) -> bool:
    try:
        value = parse_json(decode(read_bytes(path)))
    except Unreadable:
        return False
    items = value.get("data") if isinstance(value, dict) else None
    return (
        isinstance(items, list)
        and bool(items)
        and all(isinstance(item, dict) and "paragraphs" in item for item in items[:3])
    )


def _of_folder(path: Path) -> Place:
    names = {entry.name for entry in path.iterdir()}
    if names & set(_SAVED):
        raise DataError(
            str(path),
            "a folder of the datasets package",
            "the folder and one of its splits",
            f"write {path}:train, or the name of another split",
        )
    files = _split_files(path)
    if "train" in files:
        return Place(_kind_of(files["train"]), files["train"], files.get("dev"), files.get("test"))
    folders = [entry for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith(".")]
    splits = {split: _named(folders, names) for split, names in SPLITS.items()}
    if (train := splits["train"]) is not None:
        return Place("pictures", train, splits["dev"], splits["test"])
    if folders:
        return Place("pictures", path)
    tables = sorted(name for name in names if kind_of_file(Path(name)) is not None)
    if tables:
        shown = [f"'{name}'" for name in tables[:5]]
        expected = "one file, or files called train, dev and test"
        raise DataError(
            str(path), f"a folder with {listed(shown)}", expected, f"name one: {path / tables[0]}"
        )
    raise DataError(str(path), "a folder without tables or folders of pictures", "data to begin from")


def _split_files(path: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for split, names in SPLITS.items():
        files = [
            entry
            for entry in sorted(path.iterdir())
            if entry.is_file()
            and entry.name.partition(".")[0].casefold() in names
            and (kind_of_file(entry) is not None or entry.suffix.lower() in _CONLL)
        ]
        if len(files) > 1:
            shown = listed([f"'{file.name}'" for file in files])
            raise DataError(
                str(path), f"{shown}, each of which may be the {split} set", "one file", "name it"
            )
        if files:
            found[split] = files[0]
    return found


def _named(entries: list[Path], names: tuple[str, ...]) -> Path | None:
    return next((entry for entry in sorted(entries) if entry.name.casefold() in names), None)
