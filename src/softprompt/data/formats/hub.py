"""Any data set of the Hugging Face hub, or saved by its `datasets` package, with named columns."""

import hashlib
import importlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from softprompt.config import SPLIT_NAME, is_saved
from softprompt.data.formats.images import MOST_PICTURE
from softprompt.data.formats.pixels import check_picture
from softprompt.data.labels import label_text
from softprompt.data.parsing import each, missing, words
from softprompt.data.records import LabelledPicture, LabelledText
from softprompt.data.tables import Row, Table
from softprompt.errors import ConfigError, DataError
from softprompt.extras import require
from softprompt.untrusted import Unreadable, read_bytes

_FORM = "name:split or name:configuration:split, e.g. nyu-mll/glue:rte:train"


def read_hub(path: Path, text: str, second: str | None, label: str | None) -> list[LabelledText]:
    """One record per row.

    Class labels, which the package keeps as numbers, become their names. A number that stands for no
    label (-1) is None where every row has it, and an error where only some do.

    Args:
        path: `name:split` or `name:configuration:split`; `folder:split` for what `save_to_disk` wrote.
        text: column of the text.
        second: column of the second text; None where there is one.
        label: column of the label; None leaves records unlabelled.

    Raises:
        ConfigError: a name of another form, or the package is not installed.
        DataError: a data set that cannot be loaded, with the package's own reason; an unknown split
            or column; a row with an empty text or a label of the wrong kind.
    """
    name = path.as_posix()
    rows = _columns(name, [column for column in (text, second, label) if column is not None])
    classes, unlabelled = _classes(rows, label)
    records = []
    for number, row in enumerate(rows):
        where = f"{name}, row {number}"
        texts = [words(row[column], column, where) for column in (text, second) if column is not None]
        value = None if unlabelled else _label(row[label], label or "", classes, where)
        records.append(LabelledText(f"{name}:{number}", texts[0], value, texts[1] if second else None))
    return records


def read_hub_images(path: Path, image: str, label: str | None) -> list[LabelledPicture]:
    """One record per row with a picture; labels as `read_hub` has them.

    Pictures are decoded when they are needed, from the files that the data set holds.

    Args:
        path: as in `read_hub`.
        image: column of the pictures.
        label: column of the label; None leaves records unlabelled.

    Raises:
        ConfigError: as `read_hub`.
        DataError: as `read_hub`; a column that holds no pictures, or a row without one.
    """
    name = path.as_posix()
    rows = _columns(name, [column for column in (image, label) if column is not None])
    kind = importlib.import_module("datasets").Image
    if not isinstance(rows.features[image], kind):
        got = f"the column '{image}' of kind {type(rows.features[image]).__name__}"
        raise DataError(
            name, got, "a column of pictures (the package's feature Image)", "name another column"
        )
    classes, unlabelled = _classes(rows, label)
    rows = rows.cast_column(image, kind(decode=False))

    def record(numbered: tuple[int, Any]) -> LabelledPicture:
        number, row = numbered
        where = f"{name}, row {number}"
        content = _file_of(row[image], where)
        check_picture(content, f"picture {name}:{number}")
        digest = hashlib.sha256(content).hexdigest()
        value = None if unlabelled else _label(row[label], label or "", classes, where)
        load = partial(_file_in, rows, number, image, where)
        return LabelledPicture(where, f"{name}:{number}", digest, load, value)

    return each(enumerate(rows), record)


def is_name(path: Path) -> bool:
    """Whether a path is the name of a data set with a split, and no file or folder."""
    return not path.exists() and SPLIT_NAME.fullmatch(path.as_posix()) is not None


def hub_table(name: str) -> Table:
    """A data set as a table; class labels, also those of lists, are their names, and -1 is nothing.

    Columns of pictures and sounds, which would be decoded, are left out.

    Raises:
        ConfigError: a name of another form, or the package is not installed.
        DataError: a data set that cannot be loaded.
    """
    rows = _rows(name)
    features: Any = rows.features
    kept = [column for column in rows.column_names if type(features[column]).__name__ not in _MEDIA]
    classes = {column: _names_of(features[column]) for column in kept}
    made = [
        Row(
            number, f"{name}, row {number}", {column: _named(row[column], classes[column]) for column in kept}
        )
        for number, row in enumerate(rows.select_columns(kept))
    ]
    return Table(name, "hub", tuple(kept), made)


_BUILDERS = (
    "parquet",
    "csv",
    "json",
    "text",
    "arrow",
    "pandas",
    "xml",
    "webdataset",
    "imagefolder",
    "pdffolder",
)
"""Names that the package takes for a way to read whatever lies in the working folder."""

_MEDIA = ("Image", "Audio", "Video")


def _names_of(feature: Any) -> Any:
    """The names of a class label, or of those in a list."""
    return getattr(feature, "names", None) or getattr(getattr(feature, "feature", None), "names", None)


def _named(value: Any, names: Any) -> Any:
    if isinstance(value, list):
        return [_named(item, names) for item in value]
    if names is None or not isinstance(value, int):
        return value
    return names[value] if 0 <= value < len(names) else None


def saved(path: Path) -> bool:
    """Whether `folder:split` names a folder that `save_to_disk` wrote."""
    match = SPLIT_NAME.fullmatch(path.as_posix())
    return match is not None and is_saved(match[1])


def _file_in(rows: Any, number: int, image: str, where: str) -> bytes:
    return _file_of(rows[number][image], where)


def _file_of(value: dict[str, Any] | None, where: str) -> bytes:
    """The bytes of a picture, which the row holds or whose file it names."""
    if value and value.get("bytes"):
        return value["bytes"]
    if value and value.get("path"):
        try:
            return read_bytes(Path(value["path"]), MOST_PICTURE)
        except Unreadable as error:
            raise DataError(where, f"{value['path']} ({error})", "a picture's file") from None
    raise DataError(
        where, "no picture", "a picture in every row", "choose another column, or filter the rows"
    )


def _columns(name: str, columns: Sequence[str]) -> Any:
    """The rows of a data set with these columns alone: others may hold pictures, which would be decoded."""
    rows = _rows(name)
    for column in columns:
        if column not in rows.column_names:
            raise missing("column", column, rows.column_names, name)
    return rows.select_columns(list(columns))


def _classes(rows: Any, label: str | None) -> tuple[list[str] | None, bool]:
    """The names of a column's classes, if it has any, and whether no row has a label."""
    classes = getattr(rows.features[label], "names", None) if label is not None else None
    return classes, label is None or (bool(classes) and all(value == -1 for value in rows[label]))


def _label(value: object, label: str, classes: list[str] | None, where: str) -> str:
    if classes is None:
        return label_text(value, label, where)
    if not isinstance(value, int) or not 0 <= value < len(classes):
        expected = f"0 to {len(classes) - 1}, the classes of the column"
        raise DataError(where, f"{value!r} in '{label}'", expected, "choose a split that is labelled")
    return label_text(classes[value], label, where)


def _rows(name: str) -> Any:
    match = SPLIT_NAME.fullmatch(name)
    if match is None:
        raise ConfigError("data", repr(name), _FORM)
    require("hub", "data.format", error=ConfigError)
    package = importlib.import_module("datasets")
    where, split = match.groups()
    hub_id, _, configuration = where.partition(":")
    if hub_id in _BUILDERS or Path(where).is_file():
        do = "give the file itself without a split, and leave data.format out"
        raise DataError(name, "a file or a kind of files as a data set's name", _FORM, do)
    try:
        if is_saved(where):
            return _split(package.load_from_disk(where), split, name)
        return package.load_dataset(hub_id, configuration or None, split=split)
    except DataError:
        raise
    except Exception as error:  # whatever the package, the hub or the network has to say
        reason = " ".join(str(error).split())
        do = "check the name, or give a folder that datasets' save_to_disk wrote, which needs no hub"
        got = f"{type(error).__name__} ({reason})"
        raise DataError(name, got, "a data set that datasets can load", do) from None


def _split(loaded: Any, split: str, name: str) -> Any:
    # A single data set knows the split that it was; several are a mapping from split to data set. One
    # made without splits is `train`, as the package calls it, and no other, which would be the same rows.
    splits = loaded if isinstance(loaded, dict) else {str(loaded.split or "train"): loaded}
    if split not in splits:
        raise missing("split", split, list(map(str, splits)), name)
    return splits[split]
