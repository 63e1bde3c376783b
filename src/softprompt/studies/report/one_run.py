"""The page of one run: scores, classes, confusion, calibration, curves, errors, settings and data."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from softprompt.config import load_recipe, load_stored
from softprompt.errors import TrainingError, counted
from softprompt.files import objects, read_lines, without_folders, write_atomically, writing
from softprompt.metrics import label_of
from softprompt.plotting import DARK, LIGHT
from softprompt.studies.commands import command_line
from softprompt.studies.report.render import environment
from softprompt.studies.report.tables import Entry, Head, Table
from softprompt.tasks import TASKS, answer_of
from softprompt.training import RunFolder, flat
from softprompt.untrusted import Unreadable, read_json

_MOST_LABELS = 30
"""Classes whose confusion is shown as a table; the picture shows more."""

_N_ERRORS, _N_TEXTS = 20, 8

_PICTURES = (
    ("curves.png", "Training", "Losses and development scores over the steps"),
    ("confusion.png", "Confusion", "Rows are right labels, columns predicted ones; shades: shares of a row"),
    (
        "reliability.png", "Calibration",
        "Share of right answers by the probability that they were given; on the dotted line both are equal",
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Picture:
    """A picture of the run folder, within the page."""

    name: str
    title: str
    caption: str
    uri: str


@dataclass(frozen=True)
class Part:
    """One task of a run.

    Args:
        name: of the part; empty for a run of one task.
        tables: scores, classes, confusion, data.
        pictures: as the run drew them.
        notes: of scores, and how far probabilities can be believed.
        errors: wrong answers, the surest first.
        texts: records with references and outputs, evenly spread.
    """

    name: str
    tables: tuple[Table, ...] = ()
    pictures: tuple[Picture, ...] = ()
    notes: tuple[str, ...] = ()
    errors: tuple[Mapping[str, Any], ...] = ()
    texts: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True)
class RunPage:
    """What the page of a run shows."""

    title: str
    command: str
    parts: tuple[Part, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def is_run(path: Path) -> bool:
    """Whether a path is the folder of a finished run, and of no study."""
    return RunFolder(path).result.is_file() and not (path / "study.json").exists()


def write_run_page(path: Path, output: Path | None = None) -> Path:
    """Write `report.html` of a finished run.

    Args:
        path: the run folder.
        output: the folder for the page; `report/` in the run folder by default.

    Raises:
        TrainingError: no finished run, or damaged files.
    """
    content = run_page(path)
    folder = path / "report" if output is None else output
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / "report.html", content)
    return folder / "report.html"


def run_page(path: Path) -> str:
    """The page as HTML that needs no other file."""
    run = _read(path)
    return environment().get_template("run.html.j2").render(run=run, title=run.title, light=LIGHT, dark=DARK)


def _read(path: Path) -> RunPage:
    folder = RunFolder(path)
    facts = folder.finished()
    if facts is None:
        raise TrainingError(path.as_posix(), "no result", "a finished run", "finish the run first")
    load = load_recipe if "parts" in facts else load_stored
    settings = without_folders(flat(load(folder.settings)))
    if "parts" in facts:
        parts = tuple(
            _part(name, path / name, of_part, _task_of(settings, name))
            for name, of_part in facts["parts"].items()
        )
    else:
        parts = (_part("", path, facts, str(settings.get("task.name", "generation"))),)
    notes = []
    seconds = facts.get("seconds", {}).get("training")
    if seconds is not None:
        steps = counted(facts.get("steps", 0), "step")
        notes.append(f"Trained for {steps} in {counted(round(seconds), 'second')}")
    if hardware := facts.get("hardware"):
        notes.append(f"Hardware: {hardware}")
    if versions := facts.get("versions"):
        notes.append("Versions: " + ", ".join(f"{name} {version}" for name, version in versions.items()))
    again = command_line("train", folder.settings, overrides=())
    command = str(without_folders(again))
    return RunPage(str(facts.get("name", path.name)), command, parts, settings, tuple(notes))


def _task_of(settings: Mapping[str, Any], part: str) -> str:
    return str(settings.get(f"parts.{part}.task.name", "generation"))


def _part(name: str, path: Path, facts: Mapping[str, Any], task: str) -> Part:
    rows = facts.get("scores", [])
    confusion = _json(path / "confusion.json")
    tables = [_scores(rows)] if rows else []
    if confusion:
        tables.append(_classes(confusion))
        if len(confusion["labels"]) <= _MOST_LABELS:
            tables.append(_confusion(confusion))
    elif classes := _json(path / "classes.json"):  # of several labels for each text
        tables.append(_classes(classes))
    tables.append(_data(facts))
    notes = list(dict.fromkeys(note for row in rows for note in row["notes"]))
    notes += [f"Reading: {without_folders(note)}" for note in facts.get("reading", [])]
    if measured := _json(path / "calibration.json"):
        notes.append(
            f"Calibration: the answers' mean probability is {measured['confidence']:.1f}%, "
            f"{measured['accuracy']:.1f}% of them are right; expected calibration error "
            f"{measured['ece']:.1f} points (15 bins)"
        )
    errors = objects(read_lines(path / "errors.jsonl"))[:_N_ERRORS]
    texts = _texts(path, task) if not errors else ()
    return Part(name, tuple(tables), _pictures(path), tuple(notes), tuple(errors), texts)


def _scores(rows: Sequence[Mapping[str, Any]]) -> Table:
    names = list(dict.fromkeys(name for row in rows for name in row["values"]))
    head = (Head("records"), *(Head(label_of(name)) for name in names))
    lines = tuple(
        (
            Entry(row["group"]),
            *(Entry(f"{row['values'][n]:.2f}" if n in row["values"] else "-") for n in names),
        )
        for row in rows
    )
    return Table("results", "Scores", head, lines)


def _classes(confusion: Mapping[str, Any]) -> Table:
    head = tuple(map(Head, ("class", "precision", "recall", "F1", "records")))
    lines = tuple(
        (
            Entry(str(label)),
            *(Entry(f"{row[key]:.2f}") for key in ("precision", "recall", "f1")),
            Entry(f"{row['records']:,}"),
        )
        for label, row in confusion["classes"].items()
    )
    return Table("classes", "Classes", head, lines)


def _confusion(confusion: Mapping[str, Any]) -> Table:
    labels = list(map(str, confusion["labels"]))
    lines = tuple(
        (Entry(label), *(Entry(f"{n:,}", best=i == j) for j, n in enumerate(row)))
        for i, (label, row) in enumerate(zip(labels, confusion["counts"], strict=True))
    )
    head = (Head("right"), *(Head(label, "predicted") for label in labels))
    return Table("confusion", "Confusion", head, lines)


def _data(facts: Mapping[str, Any]) -> Table:
    lines = [(Entry(name.replace("_", " ")), Entry(f"{n:,}")) for name, n in facts.get("counts", {}).items()]
    print_ = str(facts.get("data_fingerprint", ""))
    lines += [(Entry("data fingerprint"), Entry(print_[:16]))] * bool(print_)
    backbone = facts.get("backbone", {})
    lines += [(Entry("backbone"), Entry(str(without_folders(backbone.get("name", "")))))] * bool(backbone)
    return Table("data", "Data and sizes", (Head("fact"), Head("value")), tuple(lines))


def _pictures(path: Path) -> tuple[Picture, ...]:
    found = []
    for file, title, caption in _PICTURES:
        if (path / file).is_file():
            uri = "data:image/png;base64," + b64encode((path / file).read_bytes()).decode()
            found.append(Picture(file.partition(".")[0], title, caption, uri))
    return tuple(found)


def _texts(path: Path, task: str) -> tuple[Mapping[str, Any], ...]:
    """Some records with their outputs in words."""
    lines = objects(read_lines(RunFolder(path).outputs))
    chosen = lines[:: max(1, len(lines) // _N_TEXTS)][:_N_TEXTS] if task in TASKS else []
    found = []
    for line in chosen:
        try:
            said = answer_of(task, line)
        except ValueError:
            continue
        found.append({**line, "said": said})
    return tuple(found)


def _json(path: Path) -> Any:
    if not path.is_file():
        return None
    try:
        return read_json(path)
    except (OSError, Unreadable) as error:
        raise TrainingError(path.as_posix(), str(error), "a file as the run wrote it") from None
