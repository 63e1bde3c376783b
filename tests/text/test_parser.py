import pytest

from softprompt.errors import ConfigError
from softprompt.text import Template
from softprompt.text.parser import Blank, Field, Separator, Slots, Text


def test_every_piece_of_the_language():
    template = Template.parse("[soft*2: It was] {a!}, [[x]] {{y}} [sep]{b} [soft#s][blank]")
    assert template.pieces == (
        Slots((0, 1), "It was"),
        Text(" "),
        Field("a", whole=True),
        Text(", [x] {y} "),
        Separator(),
        Field("b", whole=False),
        Text(" "),
        Slots((2,)),
        Blank(),
    )
    assert template.fields == ("a", "b")


@pytest.mark.parametrize(
    "text",
    [
        "{sentence} It was [blank].",
        "[[{{[blank]}}]] ",
        "\n[soft#a*2: so so]\t{x y!}[sep]  [blank][soft#a*2]",
    ],
)
def test_a_template_gives_its_text_back(text):
    assert str(Template.parse(text)) == text
    assert Template.parse(str(Template.parse(text))) == Template.parse(text)


def test_slots_are_numbered_in_order_and_names_share_them():
    template = Template.parse("[soft#a*2] {x} [soft] [soft#b] [soft#a*2] [blank] [soft*2][soft#b]")
    assert template.slots == (0, 1, 2, 3, 0, 1, 4, 5, 3)
    assert template.n_slots == 6
    assert Template.parse("{x} [blank]").slots == () and Template.parse("{x} [blank]").n_slots == 0


def test_a_field_may_stand_twice():
    template = Template.parse("{x} {y} {x} [blank]")
    assert template.fields == ("x", "y")


@pytest.mark.parametrize(
    ("text", "spaced"),
    [
        ("{x} [blank]", True),
        ("{x}[blank]", False),
        ("[blank] {x}", True),
        ("{x} ([blank])", False),
        ("{x}\n[blank]", False),
        ("{x} It was  [blank]", True),
        ("{x} [soft][blank]", True),
        ("{x} [sep][blank]", True),
    ],
)
def test_the_answer_has_a_space_unless_something_stands_before_it(text, spaced):
    assert Template.parse(text).spaced is spaced


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{x} It was", "template: got a template without [blank], expected exactly one [blank]"),
        ("[blank] {x} [blank]", "template: got [blank] 2 times, expected exactly one"),
        (
            "{x} [blnk]",
            "got [blnk], expected [blank], [soft] or [sep]. Did you mean 'blank'? Write '[[blnk]]'",
        ),
        ("{x} [MASK]", "got [MASK], expected [blank], [soft] or [sep]. Did you mean 'blank'?"),
        ("{x} [T] [P]", "Did you mean 'soft'?"),
        (
            "{x} [42] [blank]",
            "got [42], expected [blank], [soft] or [sep]. Write '[[42]]' for this as literal text",
        ),
        ("{x} [soft*0] [blank]", "got [soft*0], expected a count of at least 1. Leave the slot out"),
        ("{x} [soft*two] [blank]", "got [soft*two], expected [soft], [soft*3], [soft#name]"),
        ("{x} [soft:] [blank]", "got [soft:], expected [soft]"),
        ("{x} [soft*3#a] [blank]", "got [soft*3#a], expected [soft]"),
        ("{} [blank]", "got '{}', expected the name of a field"),
        ("{!} [blank]", "got '{!}', expected the name of a field"),
        ("{ x } [blank]", "got '{ x }', expected a name without white space around it"),
        ("{x!!} [blank]", "got '{x!!}', expected a name without white space around it and without '!'"),
        ("{x} [blank", "got '[blank', expected a ']' that closes it. Write '[[' for the bracket itself"),
        ("{x and so on to the end [blank]", "got '{x and so on to the ...', expected a '}' that closes it"),
        (
            "x} [blank]",
            "got '} [blank]', which closes no bracket, expected an opening bracket before. Write '}}'",
        ),
        ("{x [blank]}", "got '{x [blank]}', expected a '}' that closes it"),
        ("[[soft] [blank]", "got '] [blank]', which closes no bracket"),
        (
            "[soft#a*2] [soft#a] [blank]",
            "got [soft#a] with 1 slot, expected 2 slots, as where the name first occurs",
        ),
        (
            "[soft#a: x] [soft#a: y] [blank]",
            "got the start words 'y' where [soft#a] occurs again",
        ),
    ],
)
def test_mistakes(text, message):
    with pytest.raises(ConfigError) as error:
        Template.parse(text)
    assert message in str(error.value)


def test_start_words_may_be_repeated():
    assert Template.parse("[soft#a: x] [soft#a: x] [soft#a] [blank]").slots == (0, 0, 0)


def test_errors_name_the_setting():
    with pytest.raises(ConfigError, match=r"^task\.template: "):
        Template.parse("{x}", where="task.template")
