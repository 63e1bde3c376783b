"""What is said about labels and words that YAML reads as truth values."""

import pytest

from softprompt.config import parse_run
from softprompt.errors import ConfigError

RUN = {
    "backbone": {"name": "bert"},
    "method": {"name": "prompt_tuning"},
    "data": {"train": "a.csv"},
    "training": {"steps": 1},
}


@pytest.mark.parametrize(
    ("verbalizer", "said"),
    [
        ({True: ["great"], False: ["bad"]}, ["got true", "got false"]),
        ({True: "great", "no": "bad"}, ["got true"]),
        ({"good": [True], "bad": ["no"]}, ["got True"]),
        ({"good": True, "bad": "no"}, ["got True"]),
    ],
)
def test_each_mistake_is_told_once_and_nothing_else(verbalizer, said):
    """No line asks for the word 'null', which may stand in place of the whole mapping."""
    task = {"name": "cloze", "template": "{text} [blank]", "verbalizer": verbalizer}
    with pytest.raises(ConfigError) as caught:
        parse_run({**RUN, "task": task}, where="recipe.yaml")
    lines = str(caught.value).splitlines()
    assert len(lines) == len(said)
    for line, one in zip(lines, said, strict=True):
        assert "task.verbalizer" in line and one in line and 'uote it, e.g. "yes"' in line
        assert "'null'" not in line


def test_another_word_in_place_of_the_mapping_is_told():
    task = {"name": "cloze", "template": "{text} [blank]", "verbalizer": "nul"}
    with pytest.raises(ConfigError, match=r"expected 'null'"):
        parse_run({**RUN, "task": task}, where="recipe.yaml")
