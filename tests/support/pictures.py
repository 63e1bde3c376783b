"""Small pictures that a tiny backbone can tell apart, in folders by class."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

COLOURS = {"blue": (30, 40, 220), "green": (40, 200, 60), "red": (220, 40, 30)}


def picture(colour: tuple[int, int, int], seed: int, size: tuple[int, int] = (20, 16)) -> Image.Image:
    """Noise around a colour; `size` is width and height."""
    noise = np.random.default_rng(seed).integers(-30, 31, (size[1], size[0], 3))
    return Image.fromarray((np.array(colour) + noise).clip(0, 255).astype(np.uint8))


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    """The bytes of a picture's file."""
    file = io.BytesIO()
    image.save(file, format=kind, **options)
    return file.getvalue()


def picture_folder(folder: Path, n: int, first: int = 0) -> Path:
    """`n` pictures of each colour, in a folder for each."""
    for colour, values in COLOURS.items():
        below = folder / colour
        below.mkdir(parents=True, exist_ok=True)
        for i in range(first, first + n):
            (below / f"{i:03}.png").write_bytes(encoded(picture(values, hash_of(colour, i))))
    return folder


def hash_of(colour: str, i: int) -> int:
    """A seed of its own for every picture."""
    return list(COLOURS).index(colour) * 1000 + i


def picture_recipe(folder: Path, model: Path, **changes: Any) -> Path:
    """A recipe for a run of a few steps on pictures, which lie beside it."""
    for place, (split, n) in enumerate((("train", 4), ("dev", 2), ("test", 3))):
        picture_folder(folder / split, n, first=place * 100)
    settings = {
        "name": "pictures",
        "output": str(folder / "runs"),
        "backbone": {"name": str(model), "device": "cpu"},
        "method": {"name": "visual_prompt_tuning", "length": 3},
        "data": {
            "format": "image_folder",
            **{split: str(folder / split) for split in ("train", "dev", "test")},
        },
        "task": {"name": "image_classification"},
        "decoding": {"batch_size": 4},
        "metrics": ["accuracy", "top5_accuracy", "class_accuracy", "macro_f1"],
        "training": {"steps": 6, "batch_size": 5, "learning_rate": 0.02, "select": "accuracy"},
        **changes,
    }
    path = folder / "pictures.yaml"
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return path
