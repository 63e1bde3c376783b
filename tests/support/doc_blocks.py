"""The fenced blocks of a page, and the marks before them.

A mark is an HTML comment on the line before a block:

    <!-- not run: REASON -->     the block is not run
    <!-- file: NAME -->          the block is a file of this name in the working folder; so is ```csv NAME
    <!-- over: RECIPE -->        settings that complete this recipe or study, by its name
"""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]

RUN = ("python", "sh", "yaml")
"""Languages of blocks that are run or checked; others are shown only."""

_FENCE = re.compile(r"^( *)```+ *([\w-]*) *([^`]*)$")
_MARK = re.compile(r"^ *<!-- (not run|file|over): *(.*?) *-->$")


@dataclass(frozen=True)
class Block:
    """One block.

    Args:
        line: of its fence, from 1.
        marks: the text of each mark before it, by the mark.
    """

    page: str
    line: int
    language: str
    text: str
    marks: dict[str, str]

    @property
    def where(self) -> str:
        """The page and the line of the fence, for messages."""
        return f"{self.page}, line {self.line}"


def pages() -> list[Path]:
    """Every page whose blocks are run: README.md, CONTRIBUTING.md, docs/ without the results."""
    found = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [path for path in found if "results" not in path.relative_to(ROOT).parts]


def blocks_of(path: Path) -> list[Block]:
    """The blocks of a page in their order, also those within list items and tabs."""
    name = path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else path.name
    found: list[Block] = []
    marks: dict[str, str] = {}
    opened: tuple[int, str, str] | None = None
    inside: list[str] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        fence = _FENCE.match(line)
        if opened is None and fence:
            opened, inside = (number, fence[1], fence[2]), []
            if re.fullmatch(r"[\w.-]+\.\w+", fence[3]):
                marks = {**marks, "file": fence[3]}
        elif opened is not None and line.strip().startswith("```") and line.strip().strip("`") == "":
            first, indent, language = opened
            text = "\n".join(one.removeprefix(indent) for one in inside) + "\n"
            found.append(Block(name, first, language, text, marks))
            opened, marks = None, {}
        elif opened is not None:
            inside.append(line)
        elif mark := _MARK.match(line):
            marks = {**marks, mark[1]: mark[2]}
        elif line.strip():
            marks = {}
    assert opened is None, f"{name}: a block that does not end"
    return found
