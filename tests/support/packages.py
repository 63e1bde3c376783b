"""Packages as an installer leaves them, written into a folder on the path."""

from collections.abc import Mapping
from pathlib import Path


def write_package(
    folder: Path, name: str, files: Mapping[str, str], offers: Mapping[str, Mapping[str, str]]
) -> None:
    """Write a package's modules and its metadata, of version 1.2.

    Args:
        folder: that stands on the path.
        name: of the package, as it is imported.
        files: by their path.
        offers: entry points by their group and name.
    """
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    metadata = folder / f"{name}-1.2.dist-info"
    metadata.mkdir()
    distribution = name.replace("_", "-")
    (metadata / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.2\n", encoding="utf-8"
    )
    lines: list[str] = []
    for group, rows in offers.items():
        lines += [f"[{group}]", *(f"{offered} = {place}" for offered, place in rows.items())]
    (metadata / "entry_points.txt").write_text("\n".join(lines), encoding="utf-8")
