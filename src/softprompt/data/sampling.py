"""Drawing records: the same ones on every platform and Python version."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from softprompt.data.grouping import has_conversations, together
from softprompt.data.records import (
    AnyRecord,
    LabelledText,
    MultiLabelledText,
    Record,
    content_of,
)
from softprompt.errors import DataError

Kind = TypeVar("Kind", bound=AnyRecord)


def draw(records: Sequence[Kind], size: int, seed: int, where: str = "draw") -> list[Kind]:
    """`size` records without replacement, in the order that they stand in.

    Records are ordered by the SHA-256 of seed and place, so that the draw needs no generator whose stream
    could change between versions. With one seed, a smaller draw is part of a larger one.

    Args:
        records: what to draw from.
        size: how many, 1 to len(records).
        seed: which draw.
        where: the setting to name in an error.

    Raises:
        DataError: fewer records than asked for.
    """
    if not 1 <= size <= len(records):
        raise DataError(where, size, f"1 to {len(records)}, as many records as there are", "ask for fewer")
    chosen = set(_shuffled_places(len(records), f"draw {seed}")[:size])
    return [record for place, record in enumerate(records) if place in chosen]


def draw_per_class(
    records: Sequence[Kind],
    k: int,
    seed: int,
    where: str = "draw",
    without: Sequence[AnyRecord] = (),
    stream: str = "draw",
) -> list[Kind]:
    """`k` labelled records of each class, in the order that they stand in.

    Records are ordered as in `draw`: with one seed, a smaller k gives a part of what a larger one gives.

    Args:
        records: what to draw from; every class among them is drawn from.
        k: how many of each, at least 1.
        seed: which draw.
        where: the setting to name in an error.
        without: records that are taken already; none whose text is among theirs is drawn.
        stream: draws of other names are independent.

    Raises:
        DataError: a record without a label, or fewer of a class than asked for.
    """
    taken = {content_of(record) for record in without}
    by_label: dict[str, list[int]] = {label: [] for label in sorted(map(_label, records))}
    for place in _shuffled_places(len(records), f"{stream} {seed}"):
        if content_of(records[place]) not in taken:
            by_label[_label(records[place])].append(place)
    for label, places in by_label.items():
        if len(places) < k:
            beside = " beside those trained on" if taken else ""
            expected = f"at most {len(places)}, the records of class '{label}'{beside}"
            raise DataError(where, f"{k} of each class", expected, "ask for fewer")
    chosen = sorted(place for places in by_label.values() for place in places[:k])
    return [records[place] for place in chosen]


def folds(
    records: Sequence[AnyRecord], n: int, seed: int, where: str = "data.folds", whole: bool = True
) -> list[int]:
    """The fold, 0 to n-1, of every record; each fold has its share of every label.

    Source: null prompts (2106.13353), 4-fold cross-validation. Deviations: its code cuts the file into
    contiguous, unshuffled slices of equal size, so that a file sorted by label has folds of one label
    and what does not divide is dropped; here folds are drawn, stratified, and hold every record.

    Of every label, and of all together, folds differ by one record at most, unless texts repeat:
    records of one text are kept in one fold, and turns of one conversation, since a fold is what the others
    are tested on. Kinds
    without labels are treated as one label.

    Args:
        records: what to cut.
        n: how many folds, 2 to the number of different texts.
        seed: which draw.
        where: the setting to name in an error.
        whole: whether turns of one conversation stay together.

    Raises:
        DataError: fewer different texts than folds.
    """
    groups = together(records, _shuffled_places(len(records), f"fold {seed}"), whole)
    if len(groups) < n:
        expected = f"at most {len(groups)}, the different texts or conversations to train and choose by"
        raise DataError(where, n, expected, "ask for fewer")
    by_label: dict[Any, list[list[int]]] = {}
    for places in groups:
        by_label.setdefault(getattr(records[places[0]], "label", None), []).append(places)
    fold_of, sizes = [0] * len(records), [0] * n
    for of_one in by_label.values():
        of_label = [0] * n
        for places in of_one:
            # The fold with the fewest records of this label, and among equals the smallest fold.
            fold = min(range(n), key=lambda i: (of_label[i], sizes[i]))
            of_label[fold] += len(places)
            sizes[fold] += len(places)
            for place in places:
                fold_of[place] = fold
    return fold_of


def set_aside(
    pairs: Sequence[Kind], subsample: int, dev_share: float, stream: str = "dev", whole: bool = True
) -> tuple[list[Kind], list[Kind]]:
    """Split pairs into train and dev: dev has `dev_share` of them, rounded half up, at least one.

    `stream` names the draw: another set (test) is drawn independently.

    Source: Prefix-Tuning (2101.00190), section 6.3, whose low-data runs set 30% of their pairs aside.

    Whole sources move to dev while they fit, so that no source is on both sides; only where that
    leaves dev short (all sources left are larger than the room) do single pairs fill it. The paper
    does not say whether it kept them apart. If `whole`, the turns of a conversation move together, always:
    each of them holds those before it. What is set aside is then smaller, or one conversation.

    Raises:
        DataError: fewer than two pairs, or turns of a single conversation.
    """
    if len(pairs) < 2:
        raise DataError(
            f"data.{stream}_share", f"{len(pairs)} training pairs", "at least 2 pairs, to be split"
        )
    room = min(max(int(dev_share * len(pairs) + 0.5), 1), len(pairs) - 1)
    order = _shuffled_places(len(pairs), f"{stream} {subsample}")
    groups = together(pairs, order, whole)
    dev: set[int] = set()
    for places in groups:
        if len(dev) + len(places) <= room:
            dev.update(places)
    if not (whole and has_conversations(pairs)):
        dev.update([place for place in order if place not in dev][: room - len(dev)])
    elif not dev:
        if len(groups) < 2:
            expected = "at least 2 conversations, to be split as wholes"
            raise DataError(f"data.{stream}_share", "turns of one conversation alone", expected, "add others")
        dev.update(min(groups, key=len))
    train = [pair for place, pair in enumerate(pairs) if place not in dev]
    return train, [pairs[place] for place in sorted(dev)]


def set_aside_of_each(
    records: Sequence[Kind], subsample: int, share: float, stream: str = "dev"
) -> tuple[list[Kind], list[Kind], list[str]]:
    """`set_aside` with every label in its proportion on both sides.

    What is set aside is as large as in `set_aside`, and shared out to the labels by largest remainders; a
    label gives one record at least where there is room for every label, and keeps one at least. Whole texts
    are set aside while they fit, and count as records of the first one's label; single records only where
    that leaves a label short.

    Returns:
        What is left, what is set aside, and the labels with a single record, of which none is set aside.

    Raises:
        DataError: fewer than two pairs.
    """
    texts: dict[str, list[int]] = {}
    for place in _shuffled_places(len(records), f"{stream} {subsample}"):
        texts.setdefault(content_of(records[place]), []).append(place)
    of_label: dict[str, list[list[int]]] = {}
    for places in texts.values():
        of_label.setdefault(_label(records[places[0]]), []).append(places)
    room = min(max(int(share * len(records) + 0.5), 1), len(records) - 1)
    aside: set[int] = set()
    for label, quota in _shared_out(room, of_label).items():
        groups, taken = of_label[label], 0
        for places in groups[:-1]:
            if taken + len(places) <= quota:
                aside.update(places)
                taken += len(places)
        alike = [
            place
            for places in groups
            if all(_label(records[one]) == label for one in places)
            for place in places
            if place not in aside
        ]
        aside.update(alike[: min(quota - taken, len(alike) - 1)] if taken < quota else [])
    if not aside:  # texts with several labels alone
        left, held = set_aside(records, subsample, share, stream)
        return left, held, []
    single = sorted(label for label, groups in of_label.items() if sum(map(len, groups)) < 2)
    left = [record for place, record in enumerate(records) if place not in aside]
    return left, [records[place] for place in sorted(aside)], single


def set_aside_of_sets(
    records: Sequence[MultiLabelledText], subsample: int, share: float, stream: str = "dev"
) -> tuple[list[MultiLabelledText], list[MultiLabelledText]]:
    """`set_aside_of_each` of records with several labels, by the rarest label of each; none is left without
    any record to train on.

    Source: the idea of iterative stratification (Sechidis et al. 2011), which begins at the rarest label.

    Raises:
        DataError: fewer than two records.
    """
    counts = Counter(label for record in records for label in record.labels or ())
    rarest = [min(one.labels or ("",), key=lambda label: (counts[label], label)) for one in records]
    stand_ins = [
        LabelledText(str(place), record.text, label, record.second)
        for place, (record, label) in enumerate(zip(records, rarest, strict=True))
    ]
    held = {int(one.id) for one in set_aside_of_each(stand_ins, subsample, share, stream)[1]}
    left = Counter(
        label for place, one in enumerate(records) if place not in held for label in one.labels or ()
    )
    for label in counts:
        if not left[label]:
            place = min(place for place in held if label in (records[place].labels or ()))
            held.remove(place)
            left.update(records[place].labels or ())
    apart = [[one for place, one in enumerate(records) if (place in held) == side] for side in (False, True)]
    return apart[0], apart[1]


def _shared_out(room: int, of_label: Mapping[str, Sequence[Sequence[int]]]) -> dict[str, int]:
    """How many records each label gives, by largest remainders; labels with a single record give none."""
    all_sizes = {label: sum(map(len, groups)) for label, groups in of_label.items()}
    sizes = {label: size for label, size in all_sizes.items() if size > 1}
    total = sum(sizes.values())
    exact = {label: room * size / total for label, size in sizes.items()}
    least = 1 if room >= len(sizes) else 0
    quotas = {label: max(int(share), least) for label, share in exact.items()}
    while sum(quotas.values()) > room:  # those raised to one are paid for by the largest
        quotas[max(quotas, key=lambda label: (quotas[label] - exact[label], label))] -= 1
    for label in sorted(exact, key=lambda label: (quotas[label] - exact[label], label)):
        if sum(quotas.values()) < room:
            quotas[label] += 1
    return quotas


def merge(pairs: Iterable[Record]) -> list[Record]:
    """Pairs of equal source and tags as one record with several targets, named after the first."""
    gathered: dict[tuple[str, tuple[tuple[str, str], ...]], tuple[Record, list[str]]] = {}
    for pair in pairs:
        key = (content_of(pair), tuple(sorted(pair.tags.items())))
        gathered.setdefault(key, (pair, []))[1].extend(pair.targets)
    return [replace(first, targets=tuple(texts)) for first, texts in gathered.values()]


def keep_seen(records: Sequence[Kind]) -> list[Kind]:
    """The records of seen categories, for training towards unseen ones (WebNLG's extrapolation).

    Raises:
        DataError: a record without the tag `seen`, or none that is seen.
    """
    for record in records:
        if "seen" not in record.tags:
            do = "use extrapolation with webnlg, or leave it out"
            raise DataError("data.extrapolation", f"{record.id} without the tag 'seen'", "tagged records", do)
    seen = [record for record in records if record.tags["seen"] == "seen"]
    if not seen:
        raise DataError("data.extrapolation", "no record of a seen category", "at least one such record")
    return seen


def _label(record: Any) -> str:
    if record.label is None:
        do = "name their column in data.label"
        raise DataError(record.id, "no label", "labelled records to draw by class", do)
    return record.label


def _shuffled_places(n: int, stream: str) -> list[int]:
    """The places 0 to n-1, shuffled by hash."""
    return sorted(range(n), key=lambda place: hashlib.sha256(f"{stream} {place}".encode()).digest())
