"""Build the wheel and the source archive into dist/, and check them as a package index would.

python tools/package.py                 builds and checks
python tools/package.py --tag v1.2.3    also that the tag is the package's version
"""

import argparse
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def version() -> str:
    """The package's version, read from its source without importing it."""
    source = (ROOT / "src" / "softprompt" / "__init__.py").read_text(encoding="utf-8")
    (line,) = (line for line in source.splitlines() if line.startswith("__version__"))
    return tomllib.loads(line)["__version__"]


def lacking(wheel: Path) -> list[str]:
    """The files of recipes/ that a wheel does not hold."""
    held = set(zipfile.ZipFile(wheel).namelist())
    recipes = sorted((ROOT / "recipes").rglob("*.yaml"))
    names = (f"softprompt/{path.relative_to(ROOT).as_posix()}" for path in recipes)
    return [name for name in names if name not in held]


def main() -> int:
    """Build and check; the status is 1 where a check fails."""
    parser = argparse.ArgumentParser(description="Build and check the wheel and the source archive.")
    parser.add_argument("--tag", help="a tag that must be v and the version")
    parser.add_argument("--output", type=Path, default=ROOT / "dist", help="folder for both (dist)")
    parser.add_argument("--no-isolation", action="store_true", help="build with the setuptools that is here")
    given = parser.parse_args()
    if given.tag is not None and given.tag != f"v{version()}":
        print(f"the tag is {given.tag}, the version {version()}", file=sys.stderr)
        return 1
    shutil.rmtree(given.output, ignore_errors=True)
    build = [sys.executable, "-m", "build", "--outdir", str(given.output), str(ROOT)]
    subprocess.run([*build, "--no-isolation"] if given.no_isolation else build, check=True)
    made = sorted(given.output.iterdir())
    subprocess.run([sys.executable, "-m", "twine", "check", "--strict", *map(str, made)], check=True)
    (wheel,) = given.output.glob("*.whl")
    if missing := lacking(wheel):
        print(f"{wheel.name} lacks {', '.join(missing)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
