"""Chats have the tokens of `apply_chat_template`, the target behind them, and the end of the turn."""

import pytest
from jinja2.exceptions import TemplateError

from softprompt.config import GenerationSettings
from softprompt.errors import ConfigError, DataError
from softprompt.tasks.language.chat import ChatForm
from support.chats import CHATML, ENDS, GEMMA, LLAMA, TEMPLATES, chatting

SOURCE, TARGET = "name : The Mill | area : riverside", "The Mill is by the riverside.\n- cheap"
EARLIER = [("user", "name : Blue Spice"), ("assistant", "Blue Spice.")]


def form(template, **settings):
    return ChatForm(chatting(template), GenerationSettings(chat=True, **settings), "tiny")


def messages(turns):
    return [{"role": role, "content": text} for role, text in turns]


def by_transformers(template, turns):
    return chatting(template).apply_chat_template(
        messages(turns), add_generation_prompt=True, return_dict=False
    )


@pytest.mark.parametrize("kind", TEMPLATES)
@pytest.mark.parametrize("source", [SOURCE, f" {SOURCE}\n", "two\n\nlines", "{{ not jinja }}", ""])
def test_a_source_is_the_users_turn_and_a_target_the_assistants(kind, source):
    made, tokenizer = form(TEMPLATES[kind]), chatting(TEMPLATES[kind])
    assert made.context(source) == by_transformers(TEMPLATES[kind], [("user", source)])
    end = tokenizer.convert_tokens_to_ids(ENDS[kind])
    space = " " if kind in ("mistral", "plain") else ""
    assert made.target(f" {TARGET}\n") == [
        *tokenizer(space + TARGET, add_special_tokens=False)["input_ids"],
        end,
    ]
    assert made.ends[0] == made.eos == end
    assert made.text([*tokenizer(TARGET)["input_ids"], end, *tokenizer("more")["input_ids"]]) == TARGET


@pytest.mark.parametrize("kind", ["chatml", "llama", "mistral", "plain"])
def test_question_and_answer_are_the_whole_chat_of_the_template(kind):
    made, tokenizer = form(TEMPLATES[kind]), chatting(TEMPLATES[kind])
    turns = messages([("user", SOURCE), ("assistant", TARGET)])
    whole = str(tokenizer.apply_chat_template(turns, tokenize=False)) + (" " if kind == "plain" else "")
    ours = tokenizer.decode(made.context(SOURCE) + made.target(TARGET)[:-1])
    assert whole.startswith(ours)


@pytest.mark.parametrize("kind", TEMPLATES)
def test_earlier_turns_stand_before_the_source(kind):
    turns = [*EARLIER, ("user", SOURCE)]
    assert form(TEMPLATES[kind]).context(SOURCE, EARLIER) == by_transformers(TEMPLATES[kind], turns)


@pytest.mark.parametrize("kind", ["chatml", "llama", "mistral", "plain"])
def test_a_system_turn_is_the_settings_or_the_records_own(kind):
    template = TEMPLATES[kind]
    ruled = form(template, system="Write a sentence.")
    expected = by_transformers(template, [("system", "Write a sentence."), ("user", SOURCE)])
    assert ruled.context(SOURCE) == expected
    earlier = [("system", "Rhyme."), *EARLIER]
    assert ruled.context(SOURCE, earlier) == by_transformers(template, [*earlier, ("user", SOURCE)])


def test_a_template_that_refuses_a_turn_is_quoted():
    with pytest.raises(ConfigError, match=r"task\.chat.*System role not supported.*leave task\.system out"):
        form(GEMMA, system="Rhyme.")
    twice = [("user", "a"), ("user", "b")]
    with pytest.raises(TemplateError, match="alternate"):
        by_transformers(GEMMA, [*twice, ("user", SOURCE)])
    with pytest.raises(DataError, match=r"the turns user, user, user, which it refuses.*must alternate"):
        form(GEMMA).context(SOURCE, twice)


@pytest.mark.parametrize(
    "change", ["m.content | replace('Mill', 'mill')", "m.content[:25]", "m.content.split() | join(' ')"]
)
def test_a_template_that_rewrites_what_the_user_said_is_refused(change):
    made = form(CHATML.replace("m.content", change))
    assert made.context("Name: Inn")
    with pytest.raises(DataError, match=r"what the user said rewritten or left out.*Set task\.chat=false"):
        made.context("Name : The Mill,  near a\nriver")


@pytest.mark.parametrize("change", ["m.content | lower", "m.content | tojson | upper", "''"])
def test_a_template_that_rewrites_every_text_is_refused_at_once(change):
    with pytest.raises(ConfigError, match="does not write what is said"):
        form(CHATML.replace("m.content", change))


def test_a_template_that_leaves_the_system_turn_out_is_refused():
    silent = "{% for m in messages if m.role != 'system' %}[INST]{{ m.content }}[/INST]{% endfor %}"
    with pytest.raises(ConfigError, match="the system turn rewritten or left out"):
        form(silent, system="Rhyme.")


def test_a_template_that_never_shows_the_answer_is_refused():
    with pytest.raises(ConfigError, match="does not write what is said"):
        form("{% for m in messages if m.role == 'user' %}[INST]{{ m.content }}[/INST]{% endfor %}")


@pytest.mark.parametrize("template", [CHATML, LLAMA])
def test_a_long_source_is_cut_inside_its_turn_and_counted_once(template):
    made, tokenizer = form(template, max_source_tokens=4, max_target_tokens=3), chatting(template)
    kept = tokenizer.decode(tokenizer(SOURCE)["input_ids"][:4])
    expected = by_transformers(template, [("user", kept)])
    assert made.context(SOURCE) == made.context(SOURCE) == expected
    assert (made.n_cut_sources, made.n_cut_targets) == (1, 0)
    assert made.target(TARGET) == tokenizer(TARGET)["input_ids"][:3]
    assert (made.n_cut_sources, made.n_cut_targets) == (1, 1)


def test_of_a_long_chat_the_oldest_question_goes_first_with_its_answer_and_the_system_turn_stays():
    tokenizer = chatting(CHATML)
    n = {text: len(tokenizer(text)["input_ids"]) for text in ("first", "one", "second", "two", "third")}
    system, last = ("system", "Rhyme."), ("user", "third")
    old, new = [("user", "first"), ("assistant", "one")], [("user", "second"), ("assistant", "two")]
    room = n["second"] + n["two"] + n["third"]
    made = form(CHATML, max_source_tokens=room)
    assert made.context("third", [system, *old, *new]) == by_transformers(CHATML, [system, *new, last])
    assert made.n_cut == 1
    assert made.context("third", [system, *new]) == by_transformers(CHATML, [system, *new, last])
    assert made.n_cut == 1


def test_answers_end_at_what_ends_the_models_own_answers_too():
    made = ChatForm(chatting(CHATML), GenerationSettings(chat=True), "tiny", ends=[0, 2])
    assert made.ends == (made.eos, 0, 2)
    assert made.text([*chatting(CHATML)("a b")["input_ids"], 0, 7]) == "a b"
