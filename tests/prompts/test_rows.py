"""Heads, poolings and locations have one row each: whatever else names them has the same names."""

import inspect
import re
from pathlib import Path
from typing import get_args

import pytest

import softprompt
from softprompt.backbones.callers.prompted_heads import LOSSES
from softprompt.config import ImageClassificationSettings
from softprompt.config.headed_tasks import Pooling
from softprompt.files import HeadKind, Location, PicturePooling, TextPooling
from softprompt.prompts import LOCATIONS
from softprompt.prompts.heads import KINDS, PICTURE_POOLINGS, TEXT_POOLINGS
from softprompt.tasks import TASKS

DOCS = Path(__file__).parents[2] / "docs"


def literals(kind):
    """Every text of a type's literals, also within unions."""
    return [kind] if isinstance(kind, str) else [text for part in get_args(kind) for text in literals(part)]


@pytest.mark.parametrize(("literal", "rows"), [
    (HeadKind, KINDS), (Location, LOCATIONS), (TextPooling, TEXT_POOLINGS), (Pooling, TEXT_POOLINGS),
    (PicturePooling, PICTURE_POOLINGS),
    (ImageClassificationSettings.model_fields["pooling"].annotation, PICTURE_POOLINGS),
])  # fmt: skip
def test_types_of_cards_and_settings_are_the_rows(literal, rows):
    assert literals(literal) == list(rows)


def test_every_kind_of_head_has_a_task_and_losses_are_of_kinds():
    read = [kind for name in TASKS for kind in TASKS[name].settings.head_kinds]
    assert sorted(set(read)) == sorted(KINDS)
    assert set(LOSSES) <= set(KINDS)


@pytest.mark.parametrize(("function", "argument", "rows"), [
    (softprompt.head, "kind", KINDS),
    (softprompt.head, "pooling", {**TEXT_POOLINGS, **PICTURE_POOLINGS}),
    (softprompt.visual_prompt_tuning, "location", LOCATIONS),
    (softprompt.visual_prompt_tuning, "length", [name for name, row in LOCATIONS.items()
                                                 if isinstance(row.length, int)]),
    (softprompt.visual_prompt_tuning, "pool", PICTURE_POOLINGS),
])  # fmt: skip
def test_help_names_every_row(function, argument, rows):
    block = re.search(rf"^    {argument}: (.*\n(?: {{8}}.*\n)*)", inspect.getdoc(function), re.MULTILINE)
    assert set(rows) <= set(re.findall(r"`([\w-]+)`", block[1]))


def test_the_page_of_backbones_names_every_location_and_what_is_read_of_pictures():
    page = (DOCS / "compatibility.md").read_text(encoding="utf-8")
    sentence = page[page.index("- **Locations**") : page.index("- **Windows**")]
    assert set(LOCATIONS) <= set(re.findall(r"`([\w-]+)`", sentence))
    assert f"| {', '.join(PICTURE_POOLINGS)} |" in page
    pixels = ", ".join(f"`{name}`" for name, row in LOCATIONS.items() if row.in_pixels)
    assert f"{' and '.join(pixels.rsplit(', ', 1))}\n  are shallow, since pixels enter once" in sentence
    readable = " or ".join(f"`{name}`" for name, row in LOCATIONS.items() if row.has_outputs)
    assert f"`pool: prompt` needs tokens, so {readable}" in sentence
