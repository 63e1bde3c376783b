"""Data files of every format and folders of pictures, damaged and read."""

import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from faults.fuzz import pictures
from faults.fuzz.messages import check_message
from faults.fuzz.mutations import TEXTS, damaged_bytes, damaged_text, damaged_tree, hostile_json, json_text
from faults.fuzz.samples import SAMPLES, Sample
from softprompt.data import FORMATS, read
from softprompt.errors import SoftpromptError

Mutator = Callable[[Random, Sample, Path, dict[str, Any]], bytes | str | None]
"""What the file holds, None where the mutator made it itself; it may change the options of `read`."""


def choose(random: Random) -> str:
    """The name of a mutation."""
    return random.choice(list(MUTATORS) * 2 + [f"picture: {name}" for name in pictures.MUTATORS])


def attempt(random: Random, scratch: Path) -> str:
    """Read one damaged file or folder; `read` or `refused`.

    Raises:
        AssertionError: a record that no file can hold, an error that does not name the file, or another
            reading of a file whose content means the same.
    """
    name = choose(random)
    if name.startswith("picture: "):
        return pictures.attempt(random, scratch, name.removeprefix("picture: "))
    format = random.choice(list(SAMPLES))
    sample = random.choice(SAMPLES[format])
    options = dict(sample.options)
    file = scratch / sample.name
    content = MUTATORS[name](random, sample, file, options)
    if content is not None:
        file.write_bytes(_encoded(content, sample.encoding))
    refusal, records = None, []
    try:
        records = read(format, file, **options)
    except SoftpromptError as error:
        refusal = str(error)
    if refusal is not None:
        check_message(refusal, *[sample.name] * (name != "options"))
        assert name not in _SAME, f"{name} changes nothing, and was refused: {refusal}"
        return "refused"
    assert records
    for record in records:
        _check_record(record)
    if name in _SAME:
        plain = scratch / "plain" / sample.name
        plain.parent.mkdir()
        plain.write_bytes(sample.content.encode(sample.encoding))
        wanted = read(format, plain, **options)
        assert [one.source for one in records] == [one.source for one in wanted], "other texts"
        assert [one.targets for one in records] == [one.targets for one in wanted], "other targets"
    return "read"


def _check_record(record: Any) -> None:
    for text in (record.source, *record.targets):
        assert isinstance(text, str)
        assert "\0" not in text, "NUL in a record"
        text.encode("utf-8")
    assert record.source.strip()
    assert all(map(str.strip, record.targets)) or record.targets == ("",)


def _encoded(content: bytes | str, encoding: str) -> bytes:
    if isinstance(content, bytes):
        return content
    return (
        content.encode("utf-8", "surrogatepass")
        if encoding == "utf-8"
        else content.encode(encoding, "replace")
    )


def _bytes(random: Random, sample: Sample, file: Path, options: dict[str, Any]) -> bytes:
    return damaged_bytes(random, sample.content.encode(sample.encoding))


def _text(random: Random, sample: Sample, file: Path, options: dict[str, Any]) -> str:
    return damaged_text(random, sample.content)


def _structure(random: Random, sample: Sample, file: Path, options: dict[str, Any]) -> str:
    """Other values in JSON, other cells in a table, other elements in XML."""
    kind = file.suffix
    if kind == ".json":
        return json_text(random, damaged_tree(random, json.loads(sample.content)))
    lines = sample.content.rstrip("\n").split("\n")
    place = random.randrange(len(lines))
    if kind == ".jsonl":
        lines[place] = json_text(random, damaged_tree(random, json.loads(lines[place]))).replace("\n", " ")
    elif kind == ".xml":
        return _xml(random, sample.content)
    else:
        sign = {".csv": ",", ".label": " ", ".txt": " "}.get(kind, "\t")
        cells = lines[place].split(sign)
        what = random.randrange(5)
        if what == 0:
            cells.insert(random.randrange(len(cells) + 1), random.choice(TEXTS))
        elif what == 1 and len(cells) > 1:
            cells.pop()
        elif what == 2:
            cells += cells
        else:
            cells[random.randrange(len(cells))] = random.choice(TEXTS)
        lines[place] = sign.join(cells)
    return "\n".join(lines) + random.choice(("\n", "", "\n\n"))


def _hostile(random: Random, sample: Sample, file: Path, options: dict[str, Any]) -> bytes | str:
    """What costs a careless parser its memory, its stack or its time."""
    kind, n = file.suffix, random.choice((100, 5_000, 100_000, 1_000_000))
    if kind == ".json":
        return hostile_json(random)
    lines = sample.content.split("\n")
    place = random.randrange(len(lines))
    if kind == ".jsonl":
        lines[place] = hostile_json(random)
    elif kind == ".xml":
        return _hostile_xml(random, sample.content, min(n, 100_000))
    elif kind == ".csv":
        lines[place] = random.choice((
            '"' + "x" * n, '"' * n, '"' * (n + 1), ",".join('"' * n)[:n], "," * n, f'"{"x" * n}",y',
            "\r" * n, '"a""' * (n // 4),
            f'"{"a[b], " * (n // 10)}a[b]",y', f'"{" " * n}x",y', f'"{"name[" * (n // 10)}",y',
            f'"{"a," * (n // 10)}",y',
            "x" * n + "," + "y" * n, "\\" * n, "\ufeff" * n, "a,b\n" * (n // 100),
            '"a\n' + "b\n" * (n // 10),
        ))  # fmt: skip
    else:
        lines[place] = random.choice((
            "\t" * n, " " * n, "x\t" * n, "x " * n, "x" * n, "\r" * n, f"word\tB-{'x' * n}",
            "a\tO\n" * (n // 100), "\ufeff" * n,
            "LOC:city " + "x" * n, "LOC:city" + " " * n, "-DOCSTART-\n" * (n // 100), "\u3000" * n,
            f"{'x ' * n}\t1", "\n" * n,
        ))  # fmt: skip
    return "\n".join(lines)


def _xml(random: Random, text: str) -> str:
    old, new = random.choice((
        ("</lex>", "<b>x</b></lex>"), ("</lex>", "<![CDATA[<b>]]></lex>"), ("</lex>", "&nbsp;</lex>"),
        ("</lex>", "&#0;</lex>"),
        ("</lex>", "&#xD800;</lex>"), ("</lex>", "&#x2028;</lex>"), ("</lex>", "&lt;&amp;</lex>"), ("<lex",
        "<LEX"), ("<lex", "<x:lex"),
        ('comment="good"', ""), ('comment="good"', 'comment="GOOD"'), ('eid="', 'id="'), ('category="',
        'category="../'),
        ('size="1"', 'size="&#10;"'), ("<entry ", "<entry eid='1' "), ("<entry ", "<entry xmlns='x' "),
        (" | ", "|"), (" | ", " | | "),
        (" | ", ""), ("UTF-8", "utf-16"), ("UTF-8", "utf-7"), ("UTF-8", "hex"), ("UTF-8", "zlib"), ("UTF-8",
        "idna"), ("UTF-8", "nope"),
        ("UTF-8", "latin-1"), ("UTF-8", "cp037"), ("UTF-8", "unicode_escape"), ("UTF-8", "undefined"),
        ("UTF-8", "shift_jis"), ("1.0", "1.1"),
        ("UTF-8", "utf-8-sig"), ("UTF-8", "punycode"), ("UTF-8", "x" * 500), ("<entries>",
        "<entries><!-- x --><?php x?>"), ("mtriple", "b"),
        ("</benchmark>", ""), ("</benchmark>", "</benchmark><x/>"), ("<?xml", " <?xml"),
        ("modifiedtripleset", "x"), ("lex", "entry"),
    ))  # fmt: skip
    return text.replace(old, new, random.choice((1, 2, -1)))


def _hostile_xml(random: Random, text: str, n: int) -> str:
    body = text[text.index("<benchmark") :]
    laugh = '<!ENTITY l0 "lol">' + "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 11))
    return random.choice((
        f"<!DOCTYPE b [{laugh}]>" + body.replace("</lex>", "&l10;</lex>", 1),
        f"<!DOCTYPE b [{laugh}]>" + body.replace('size="1"', 'size="&l9;"', 1),
        f'<!DOCTYPE b [<!ENTITY a "{"a" * 60_000}">]>' + body.replace("<lex", "<lex>" + "&a;" * 20_000, 1),
        '<!DOCTYPE b [<!ENTITY a SYSTEM "file:///etc/passwd">]>' + body.replace("</lex>", "&a;</lex>", 1),
        '<!DOCTYPE b SYSTEM "http://127.0.0.1:9/x" [<!ENTITY % a SYSTEM "http://127.0.0.1:9/x">%a;]>' + body,
        '<!DOCTYPE b [<!ENTITY a "&b;"><!ENTITY b "&a;">]>' + body.replace("</lex>", "&a;</lex>", 1),
        '<!DOCTYPE b [<!ENTITY a "plain">]>' + body.replace("</lex>", "&a;</lex>", 1),
        "<!DOCTYPE b [" + "<!ELEMENT a (b)>" * (n // 10) + "]>" + body,
        "<!DOCTYPE b [<!ELEMENT a " + "(" * n + "b" + ")" * n + ">]>" + body,
        "<!DOCTYPE b [<!ATTLIST entry " + "".join(f"a{i} CDATA 'x' " for i in range(n // 20)) + ">]>" + body,
        body.replace("<entries>", "<entries>" + "<entry category='City' eid='1'>" * n,
        1).replace("</entries>", "</entry>" * n + "</entries>"),
        body.replace("<entry ", "<entry " + " ".join(f"a{i}='1'" for i in range(n // 2)) + " ", 1), "<" * n,
        "<a>" * n, "<!--" + "-" * n,
        body.replace("<entry ", f"<entry z='{'y' * n * 10}' ", 1), body.replace("</lex>",
        "x" * n * 10 + "</lex>"), "<a " * n, "&" * n,
        body.replace("<lex", "<lex>x</lex>" * (n // 10) + "<lex", 1), f"<{'x' * n}/>",
        body.replace("X | w | V", " | " * n), "<![CDATA[" * n,
    ))  # fmt: skip


def _no_file(random: Random, sample: Sample, file: Path, options: dict[str, Any]) -> bytes | None:
    """A folder, a pipe, a device, a link in a circle, a file with holes, or something else by this name."""
    kind = random.randrange(10)
    if kind == 0:
        file.mkdir()
    elif kind == 1:
        os.mkfifo(file)
    elif kind <= 5:
        file.symlink_to(("/dev/zero", file, "/dev/null", "/proc/self/mem")[kind - 2])
    elif kind == 6:
        file.write_bytes(sample.content.encode(sample.encoding))
        os.truncate(file, random.choice((3 << 30, 1 << 40)))
    elif kind == 7:
        file.mkdir()
        (file / "d.xml").symlink_to(random.choice(("/dev/zero", ".", "..", "d.xml")))
    elif kind == 8:
        return pictures.valid(random)
    return None


def _options(random: Random, sample: Sample, file: Path, options: dict[str, Any]) -> str:
    format = next(format for format, several in SAMPLES.items() if sample in several)
    names = (
        "source",
        "target",
        "text",
        "second",
        "label",
        "image",
        "word_column",
        "tag_column",
        "tagging",
        "split",
    )
    plain = (None, 0, 1, 2, -1, -2, 10**9, "text", "label", "source", "target", "mr", "bio", "iob1")
    values = (*plain * 12, 2**70, True, "", 1.5, math.nan, [], {}, *TEXTS)
    taken = FORMATS[format].takes
    for _ in range(random.choice((1, 1, 2, 4))):
        name = random.choice(taken * 4 + names)
        options[name] = random.choice(values)
    return sample.content


def _same_bom(random: Random, sample: Sample, file: Path, options: dict[str, Any]) -> bytes:
    mark = b"" if sample.encoding == "latin-1" else b"\xef\xbb\xbf"
    return mark + sample.content.encode(sample.encoding)


def _same_line_ends(random: Random, sample: Sample, file: Path, options: dict[str, Any]) -> bytes:
    content = sample.content.encode(sample.encoding)
    inside = file.suffix == ".csv"  # a line end inside of quotes is part of the cell
    return content if inside else content.replace(b"\n", b"\r\n")


def _same_blank_lines(random: Random, sample: Sample, file: Path, options: dict[str, Any]) -> str:
    if file.suffix in (".json", ".xml"):
        return sample.content + random.choice(("\n", " ", "\n\n\n"))
    if file.suffix == ".csv":
        return sample.content + "\n" * random.choice((1, 5))
    lines = sample.content.split("\n")
    places = [0, len(lines)] if file.suffix in (".conll", ".txt") else range(len(lines) + 1)
    lines.insert(random.choice(places), random.choice(("", " ", "  ")))
    return "\n".join(lines)


MUTATORS: dict[str, Mutator] = {
    "bytes": _bytes,
    "text": _text,
    "structure": _structure,
    "hostile": _hostile,
    "no file": _no_file,
    "options": _options,
    "same: mark": _same_bom,
    "same: line ends": _same_line_ends,
    "same: blank lines": _same_blank_lines,
}

_SAME = tuple(name for name in MUTATORS if name.startswith("same"))
"""Mutations that change the file and not what it says."""
