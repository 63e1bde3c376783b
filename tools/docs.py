"""Build the site's generated pages: every kept report, by the command that stands in it.

    python tools/docs.py

Git keeps the results tables (`docs/results/*.json`), the reports in Markdown and the figures that they show.
This adds what git does not keep: the pages in HTML, the tables in LaTeX and the figures as PNG.
"""

import re
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_COMMAND = re.compile(r"^- Report: `softprompt (.*)`$", re.MULTILINE)


def command_of(report: Path) -> list[str]:
    """The arguments of `softprompt` that make a report again."""
    (command,) = _COMMAND.findall(report.read_text(encoding="utf-8"))
    return shlex.split(command)


def main() -> int:
    """Make every report again; the status is 1 where one cannot be made."""
    failed = False
    for report in sorted((ROOT / "docs" / "results").glob("*/report.md")):
        command = [sys.executable, "-m", "softprompt.cli.app", *command_of(report)]
        failed |= subprocess.run(command, cwd=ROOT).returncode != 0
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
