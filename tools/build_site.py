"""Build the documentation site into site/, and check every link of it.

    python tools/build_site.py [--output FOLDER]

Nothing is fetched, neither now nor by a reader's browser: a page that loads a script, a style, a font or a
picture from elsewhere is an error, as is a link within the site that leads nowhere.
"""

import argparse
import os
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).resolve().parent.parent

# Attributes whose address a browser loads by itself; a link is followed by a reader.
_LOADED = {"img": "src", "script": "src", "source": "srcset", "link": "href", "iframe": "src", "video": "src"}


class _Page(HTMLParser):
    """The addresses and anchors of a page."""

    def __init__(self, text: str):
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect what one element names."""
        given = {name: value or "" for name, value in attrs}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        loads = tag in _LOADED and _LOADED[tag] in given
        if loads and given.get("rel") not in ("canonical", "prev", "next", "alternate"):
            self.loaded.append(given[_LOADED[tag]])


def broken(site: Path) -> list[str]:
    """What leads nowhere in a built site, or is loaded from elsewhere, a line each."""
    pages = {path: _Page(path.read_text(encoding="utf-8")) for path in sorted(site.rglob("*.html"))}
    found = []
    for path, page in pages.items():
        if path.name in (
            "404.html",
            "report.html",
        ):  # its links are those of the site's root; one file of its own
            continue
        where = path.relative_to(site).as_posix()
        for address in [*page.links, *page.loaded]:
            parts = urlsplit(address)
            if parts.scheme or parts.netloc:
                if address in page.loaded and parts.scheme != "data":
                    found.append(f"{where}: loads {address}")
                continue
            target = path if not parts.path else (path.parent / unquote(parts.path)).resolve()
            target = target / "index.html" if target.is_dir() else target
            anchor = unquote(parts.fragment)
            if not target.is_file():
                found.append(f"{where}: no {address}")
            elif anchor and target in pages and anchor not in pages[target].anchors:
                found.append(f"{where}: no anchor {address}")
    for style in sorted(site.rglob("*.css")):
        text = style.read_text(encoding="utf-8")
        if "url(http" in text or "@import" in text:
            found.append(f"{style.relative_to(site).as_posix()}: loads from elsewhere")
    return found


def main() -> int:
    """Build and check; the status is 1 where either fails."""
    parser = argparse.ArgumentParser(description="Build the documentation site and check its links.")
    parser.add_argument("--output", type=Path, default=ROOT / "site", help="folder of the site (site)")
    folder = parser.parse_args().output.resolve()
    sources = os.pathsep.join([str(ROOT / "src"), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {
        **os.environ,
        "PYTHONPATH": sources,
        "NO_MKDOCS_2_WARNING": "1",
        "DISABLE_MKDOCS_2_WARNING": "true",
    }
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    if subprocess.run(command, cwd=ROOT, env=environment).returncode:
        return 1
    lines = broken(folder)
    for line in lines:
        print(line, file=sys.stderr)
    n_pages = len(list(folder.rglob("*.html")))
    print(f"{n_pages} pages in {folder}, {len(lines)} broken links")
    return int(bool(lines))


if __name__ == "__main__":
    sys.exit(main())
