"""Which tokens a source and a target become, and that a prompt's file says so."""

import logging

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

import softprompt
from softprompt.backbones import load_backbone
from softprompt.config import DecodingSettings, GenerationSettings, as_stored
from softprompt.data import Conversation, Record
from softprompt.errors import BackboneError, ConfigError, DataError
from softprompt.tasks.language.encoding import DecoderForm, EncoderDecoderForm
from softprompt.tasks.language.generation import GenerationTask
from support.chats import CHATML, TEMPLATES, chatting
from support.prompts import close
from support.reading import gpt2, llama, t5
from support.tokenizer import byte_level, word_piece

SOURCE, TARGET = "name : The Mill | area : riverside", "The Mill is by the riverside."
RECORD = Record("1", SOURCE, (TARGET,))


def of(tokenizer, **settings):
    return DecoderForm(tokenizer, GenerationSettings(chat=False, **settings), "tiny")


def llama_with(tokenizer):
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=48, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=256, initializer_range=0.3,
        bos_token_id=1, eos_token_id=2, pad_token_id=0,
    )  # fmt: skip
    return load_backbone(LlamaForCausalLM(config), tokenizer)


def task_of(backbone, decoding=None, **settings):
    return GenerationTask(backbone, GenerationSettings(**settings), decoding=decoding)


def test_a_source_begins_as_the_tokenizer_begins_a_text():
    begins, bare = byte_level(begins=True), byte_level()
    line = bare("\n")["input_ids"]
    assert of(begins).context(SOURCE) == [*begins(SOURCE)["input_ids"], *line]
    assert begins(SOURCE)["input_ids"][0] == 1
    assert (
        of(begins, bos=False).context(SOURCE) == of(bare).context(SOURCE) == [*bare(SOURCE)["input_ids"], 1]
    )
    assert of(bare, bos=True).context(SOURCE) == of(begins).context(SOURCE)
    # A line break needs no space behind it.
    assert of(begins).target(TARGET) == [*bare(TARGET)["input_ids"], 2]
    assert of(begins, separator=" ->").target(TARGET) == of(bare).target(TARGET)
    bare.bos_token = None
    with pytest.raises(ConfigError, match=r"task\.bos: got true for tiny, whose tokenizer has no BOS"):
        of(bare, bos=True, separator="\n")


def test_a_prompt_stands_before_bos_as_in_front_of_the_whole_tokenised_text():
    backbone, task = llama(), task_of(llama())
    prompt = softprompt.prompt_tuning(backbone, 3, initialization="random", seed=1).eval()
    table = backbone.model.get_input_embeddings()
    text = backbone.tokenizer(SOURCE)["input_ids"]
    text += backbone.tokenizer("\n", add_special_tokens=False)["input_ids"]
    answer = backbone.tokenizer(TARGET, add_special_tokens=False)["input_ids"]
    assert text[0] == 1
    with torch.no_grad():
        embeds = torch.cat([prompt().vectors, table(torch.tensor([*text, *answer, 2]))])[None]
        logits = backbone.model(inputs_embeds=embeds).logits[0, 2 + len(text) : -1]
        by_hand = -logits.log_softmax(-1)[range(len(answer) + 1), [*answer, 2]].sum()
        with backbone.prompted(prompt):
            close(task.loss([task.encode(RECORD)]), by_hand, 1e-4)


def test_every_example_of_a_prefix_begins_as_its_training_text():
    task = task_of(llama())
    assert task.demonstrations([RECORD], 1, 0) == [list(task.encode(RECORD).input_ids)]
    assert task.encode(RECORD).input_ids[0] == 1


def test_berts_tokenizers_end_a_target_with_sep():
    tokenizer = word_piece()
    ids = tokenizer("the mill", add_special_tokens=False)["input_ids"]
    form = of(tokenizer)
    assert form.context("the mill") == [2, *ids, 3]
    assert form.target("the mill") == [*ids, 3]
    assert form.text([*ids, 3, *ids]) == "the mill"
    both = EncoderDecoderForm(tokenizer, GenerationSettings(), "tiny")
    assert both.context("the mill") == both.target("the mill") == [2, *ids, 3]


def test_a_token_can_be_named_as_the_end():
    tokenizer = byte_level()
    tokenizer.eos_token = None
    with pytest.raises(BackboneError, match=r"Name the token that ends a target, e\.g\. task\.end='<s>'"):
        of(tokenizer)
    assert of(tokenizer, end="<pad>").target("a")[-1] == 0
    assert of(byte_level(), end="<pad>").ends == (0,)
    with pytest.raises(ConfigError, match=r"task\.end: got 'The Mill', which tiny reads as \d tokens.*'<s>'"):
        of(tokenizer, end="The Mill")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"chat": True, "separator": " ->"}, r"task\.chat: got chat beside task\.separator"),
        ({"chat": True, "template": "{source} [blank]"}, r"task\.chat: got chat beside task\.template"),
        ({"system": "Rhyme.", "chat": False}, r"task\.system: got a system turn without chat"),
        ({"system": "Rhyme.", "separator": "\n"}, r"task\.system: got a system turn beside task\.separator"),
        ({"bos": True, "template": "{source} [blank]"}, r"task\.bos: got both bos and a template"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings, said):
    from softprompt.config import parse_run

    raw = {"data": {"format": "restaurants"}, "training": {"steps": 1}, "task": settings}
    with pytest.raises(ConfigError, match=said):
        parse_run(raw)


def test_chat_is_on_where_the_tokenizer_has_a_template_and_nothing_plain_is_asked_for():
    backbone, turn = llama_with(chatting(CHATML)), [{"role": "user", "content": SOURCE}]
    chat = backbone.tokenizer.apply_chat_template(turn, add_generation_prompt=True, return_dict=False)
    assert list(task_of(backbone).encode(RECORD).input_ids[: len(chat)]) == chat
    assert task_of(backbone).resolved == {"chat": True, "end": "<|im_end|>"}
    for plain in ({"separator": " ->"}, {"chat": False}, {"bos": False}, {"template": "{source} [blank]"}):
        assert task_of(backbone, **plain).resolved["chat"] is False
    assert task_of(gpt2()).resolved == {"chat": False, "bos": False, "end": "</s>"}
    assert task_of(llama()).resolved == {"chat": False, "bos": True, "end": "</s>"}
    with pytest.raises(ConfigError, match=r"task\.chat: got true for .*whose tokenizer has no chat template"):
        task_of(gpt2(), chat=True)
    with pytest.raises(ConfigError, match=r"task\.system: got a system turn for .* no chat template"):
        task_of(gpt2(), system="Rhyme.")
    with pytest.raises(ConfigError, match=r"task\.chat: got true, expected no chat, since .*encoder"):
        task_of(t5(), chat=True)


@pytest.mark.parametrize("kind", [*TEMPLATES, "llama-plain", "gpt2", "t5"])
def test_what_a_run_stores_gives_the_same_tokens_again(kind):
    made = {"llama-plain": llama, "gpt2": gpt2, "t5": t5}
    backbone = made[kind]() if kind in made else llama_with(chatting(TEMPLATES[kind]))
    task = task_of(backbone)
    stored = {**task.settings.model_dump(mode="json"), **task.resolved}
    again = task_of(backbone, **as_stored({"task": stored})["task"])
    assert again.encode(RECORD) == task.encode(RECORD)
    assert again.resolved == task.resolved


def test_what_was_stored_before_there_were_chats_keeps_its_tokens():
    old = {"name": "generation", "separator": None, "template": None, "max_source_tokens": 512}
    stored = as_stored({"task": old, "decoding": {"strategy": "greedy"}})
    assert stored["decoding"] == {"strategy": "greedy", "max_new_tokens": 100, "ban_newlines": True}
    backbone = llama_with(chatting(CHATML))
    ids = backbone.tokenizer(SOURCE, add_special_tokens=False)["input_ids"]
    assert list(task_of(backbone, **stored["task"]).encode(RECORD).input_ids[: len(ids) + 1]) == [*ids, 1]
    assert task_of(llama(), **stored["task"]).encode(RECORD).input_ids[0] != 1
    assert task_of(t5(), **stored["task"]).encode(RECORD) == task_of(t5()).encode(RECORD)
    infix = {"task": {**old, "template": "{source} [blank]"}}
    assert task_of(llama(), **as_stored(infix)["task"]).encode(RECORD).input_ids[0] == 1
    parts = as_stored({"parts": {"a": {"task": old}, "b": {"task": {"name": "classification"}}}})["parts"]
    assert parts == {"a": {"task": stored["task"]}, "b": {"task": {"name": "classification"}}}
    other = {
        "task": {"name": "spans"},
        "decoding": {"max_new_tokens": 100, "ban_newlines": True, "batch_size": 4},
    }
    assert as_stored(other) == {"task": {"name": "spans"}, "decoding": {"batch_size": 4}}
    today = {"task": {"name": "generation", "chat": True}, "decoding": {}}
    assert as_stored(today) == today


def test_a_record_with_earlier_turns_is_a_chat_or_refused():
    earlier = (("user", "name : Blue Spice"), ("assistant", "Blue Spice."))
    record = Conversation("7", SOURCE, (TARGET,), earlier=earlier)
    task = task_of(llama_with(chatting(CHATML)))
    turns = [{"role": role, "content": text} for role, text in (*earlier, ("user", SOURCE))]
    asked = task.backbone.tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=False)
    example = task.encode(record)
    assert list(example.input_ids[: len(asked)]) == asked
    # The loss is on the last answer alone.
    assert example.n_targets == len(task_of(task.backbone).encode(RECORD).input_ids) - len(
        task.backbone.tokenizer.apply_chat_template(turns[-1:], add_generation_prompt=True, return_dict=False)
    )
    for plain in (task_of(task.backbone, chat=False), task_of(t5())):
        with pytest.raises(DataError, match="record 7: earlier turns: got 2 before the last question"):
            plain.encode(record)


def test_answers_may_be_as_long_as_the_longest_training_target():
    longer = Record("2", "b", (f"{TARGET} {TARGET}", "a"))
    for backbone in (gpt2(), t5(), llama_with(chatting(CHATML))):
        task = task_of(backbone)
        task.settle([RECORD, longer])
        own = backbone.tokenizer(f"{TARGET} {TARGET}", add_special_tokens=False)["input_ids"]
        lead = backbone is gpt2() and len(backbone.tokenizer(f" {TARGET} {TARGET}")["input_ids"]) - len(own)
        assert task.decoding.max_new_tokens == len(own) + int(lead) + 1
    given = task_of(gpt2(), DecodingSettings(max_new_tokens=7))
    given.settle([longer])
    assert given.decoding.max_new_tokens == 7
    with pytest.raises(
        ConfigError, match=r"decoding\.min_new_tokens: got 99, expected at most max_new_tokens"
    ):
        task_of(gpt2(), DecodingSettings(min_new_tokens=99)).settle([RECORD])


def test_cuts_are_counted_once_and_said():
    task = task_of(gpt2(), DecodingSettings(strategy="greedy", max_new_tokens=4, min_new_tokens=4),
                   max_source_tokens=3, max_target_tokens=2)  # fmt: skip
    assert (task.cut_note, task.answer_note(0)) == ("", "")
    for _ in range(2):
        task.encode(RECORD)
    assert task.n_cut == 2
    said = (
        "cut 1 source to 3 tokens (task.max_source_tokens) and 1 target to 2 tokens (task.max_target_tokens)"
    )
    assert task.cut_note == said
    with torch.no_grad():
        task.predict([RECORD, Record("2", "food : Chinese", ())])
    # Nothing may end before the limit, so that every answer is cut there.
    assert task.cut_answers == (0, 1)
    assert task.answer_note(2) == "2 answers were cut at 4 tokens, before an end (decoding.max_new_tokens)"


def test_long_rows_make_no_library_warn(caplog):
    logging.getLogger("transformers").addHandler(caplog.handler)
    long = Record("1", SOURCE * 9, (TARGET * 9,))
    for made in (gpt2, llama, t5):
        backbone = load_backbone(made().model, type(made().tokenizer)(
            tokenizer_object=made().tokenizer.backend_tokenizer, model_max_length=8,
            pad_token="<pad>", bos_token="<s>", eos_token="</s>",
        ))  # fmt: skip
        backbone.tokenizer.chat_template = CHATML
        for settings in ({}, {"separator": "\n"}, {"template": "{source} [soft*2] [blank]"}):
            if made is not t5 or not settings:
                task = task_of(backbone, max_source_tokens=9, max_target_tokens=9, **settings)
                task.check_positions([long], 3, training=True)
                assert task.encode(long).length
        assert backbone.token_ids(SOURCE * 9)
    assert "longer than the specified maximum" not in caplog.text
