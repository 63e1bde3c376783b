"""A recipe as a person would write it: short, with a word on each choice."""

from collections.abc import Mapping, Sequence
from typing import Any

import yaml


def recipe_text(raw: Mapping[str, Any], comments: Mapping[str, str], head: Sequence[str]) -> str:
    """The YAML of a run's settings, each section's settings on lines of their own.

    Args:
        raw: settings, with sections as mappings; settings that are None by intent are written as null.
        comments: what is written behind a setting, by its dotted name.
        head: lines of comment above.
    """
    lines = [f"# {line}".rstrip() for line in head]
    for key, value in raw.items():
        if isinstance(value, Mapping):
            lines.append(_with(f"{key}:", comments.get(key)))
            lines += [
                _with(f"  {name}: {_scalar(inner)}", comments.get(f"{key}.{name}"))
                for name, inner in value.items()
            ]
        else:
            lines.append(_with(f"{key}: {_scalar(value)}", comments.get(key)))
    return "\n".join(lines) + "\n"


def _with(line: str, comment: str | None) -> str:
    return line if comment is None else f"{line}  # {comment}"


def _scalar(value: Any) -> str:
    if isinstance(value, float) and value == float(f"{value:.6g}"):
        # YAML 1.1 reads an exponent only behind a point: 5.0e-3.
        text = f"{value:.6g}"
        mantissa, sign, exponent = text.partition("e")
        return f"{mantissa if '.' in mantissa else mantissa + '.0'}{sign}{exponent}" if sign else text
    text = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=float("inf"))
    return text.removesuffix("\n").removesuffix("\n...").strip()
