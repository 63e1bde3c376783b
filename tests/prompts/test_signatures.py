"""What is made of a method's signature, and which signatures are refused."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pytest
from pydantic import Field, ValidationError

from softprompt.errors import ConfigError
from softprompt.prompts.methods.signatures import options_of, settings_of, signature_of
from softprompt.prompts.prompt import Prompt

if TYPE_CHECKING:
    from torch import Tensor

Number = Annotated[int, Field(ge=1)]


def made(function: Any, recipe: Mapping[str, Any] = {}, given: Sequence[str] = ("backbone", "head")) -> Any:
    """The settings of a function, as `softprompt.method('own')` makes them."""
    signature = signature_of(function, "own")
    return settings_of("own", options_of(function, "own", signature, given), recipe, __name__)


def example(
    backbone: Any,
    length: "Number | None" = None,
    *,
    start: str | Prompt = "random",
    vectors: "Tensor | Sequence[float] | None" = None,
    kind: Literal["a", "b"] = "a",
    rows: Sequence[Sequence[int]] | None = None,
    head: Any = None,
) -> Any:
    """What it does.

    Args:
        backbone: the model.
        length: how many vectors there are: at least one,
            over two lines.
        start: where they begin.
        kind: which.

    Raises:
        ConfigError: never: it is an example.
    """


def test_settings_have_types_bounds_defaults_and_texts():
    settings = made(example)
    assert settings.__name__ == "OwnSettings"
    assert settings().model_dump() == {
        "name": "own", "length": None, "start": "random", "vectors": None, "kind": "a", "rows": None,
    }  # fmt: skip
    texts = {name: field.description for name, field in settings.model_fields.items()}
    assert texts["length"] == "how many vectors there are: at least one, over two lines."
    assert (texts["kind"], texts["rows"]) == ("which.", None)
    read = settings(length=3, vectors=[0.5], rows=[[1, 2]])
    assert (read.length, read.vectors, read.rows) == (3, [0.5], [[1, 2]])
    for wrong in ({"length": 0}, {"kind": "c"}, {"start": 3}, {"rows": [1]}, {"head": None}, {"own": 1}):
        with pytest.raises(ValidationError):
            settings(**wrong)


def test_recipes_may_differ_and_have_settings_of_their_own():
    recipe = {
        "length": 5,
        "start": (Literal["zero"], "zero"),
        "draws": (int, Field(default=2, description="d")),
    }
    settings = made(example, recipe)
    assert (settings().length, settings().start, settings().draws) == (5, "zero", 2)
    fields = settings.model_fields
    assert fields["start"].description == "where they begin." and fields["draws"].description == "d"
    with pytest.raises(ValidationError):
        settings(start="random")


def test_what_has_no_default_must_be_said_unless_the_recipe_has_one():
    def needed(backbone: Any, length: int) -> Any: ...

    with pytest.raises(ValidationError):
        made(needed)()
    assert made(needed, {"length": None})().length is None


def untyped(backbone: Any, length=3) -> Any: ...
def unreadable(backbone: Any, vectors: "Tensor | None" = None) -> Any: ...
def anything(backbone: Any, options: dict[str, Any]) -> Any: ...
def more(backbone: Any, **options: int) -> Any: ...
def without_backbone(length: int, backbone: Any) -> Any: ...


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (untyped, r"method 'own': length: got an argument without a type, expected a type that a recipe can"),
        (
            unreadable,
            r"method 'own': vectors: got the type Tensor \| None, .*Give it one, or name vect",
        ),
        (anything, r"method 'own': options: got the type dict\[str, typing\.Any\]"),
        (more, r"got '\*\*options: int' among the arguments, expected every argument by its name"),
        (
            without_backbone,
            r"got a function of \(length, backbone\), expected 'backbone' as the first argument",
        ),
    ],
)
def test_signatures_that_cannot_be(function: Any, message: str):
    with pytest.raises(ConfigError, match=message):
        made(function)
    if function is unreadable:
        assert "vectors" not in made(function, given=["backbone", "vectors"]).model_fields


def test_a_recipe_can_only_add_a_setting_with_its_type():
    with pytest.raises(ConfigError, match=r"method 'own': recipe: got 'lenght', expected a pair of its type"):
        made(example, {"lenght": 3})
