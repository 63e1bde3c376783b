"""Penn Treebank tokens without Java, for machines that have none."""

import re

_CHUNKS = re.compile(
    r"https?://\S+|\w[\w.+-]*@\w[\w.-]*\.\w+"  # addresses
    r"|(?:[a-z]\.){2,}|\b(?:[a-z]|mr|mrs|ms|dr|st|jr|sr|prof|gen|col|vs|inc|ltd|co|corp|ave|blvd|mt)\.(?=\s)"
    r"|n['’]t\b|['’](?:s|m|d|ll|re|ve)\b|\b[od]['’][^\W_]+"  # don't, it's, o'clock
    r"|[^\W_]+?(?=n['’]t\b)"
    # words, numbers and ranges, and texts run together at a full stop
    r"|[-+](?=\d)[\d.,]*\d|[^\W_]+(?:(?:[&/_-]|(?<=\d)[.,:](?=\d)|(?<=[^\W\d])\.(?=[^\W\d]))[^\W_]+)*"
    r"|\.{3,}|-{2,}|\S"
)
_WRITTEN: dict[str, str] = {
    "cannot": "can not",
    "gonna": "gon na",
    "gotta": "got ta",
    "wanna": "wan na",
    "gimme": "gim me",
    "lemme": "lem me",
    "(": "-lrb-",
    ")": "-rrb-",
    "[": "-lsb-",
    "]": "-rsb-",
    "{": "-lcb-",
    "}": "-rcb-",
    "£": "#",
    "€": "$",
    "…": "...",
    "–": "--",
    "—": "--",
    "‘": "`",
    "’": "'",
    "“": "``",
    "”": "''",
    '"': "''",
}


def line(text: str) -> str:
    """One text as lowered tokens with single spaces between them.

    Source: the conventions of Stanford's Penn Treebank tokenizer 3.4.1, rebuilt from its behaviour
    on English table-to-text references. Not covered: its sentence-final rules for abbreviations,
    smileys and fractions.
    """
    chunks: list[str] = _CHUNKS.findall(text.lower())
    return " ".join(_WRITTEN.get(chunk, chunk) for chunk in chunks)
