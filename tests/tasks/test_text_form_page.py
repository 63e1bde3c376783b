"""The table of docs/text-form.md shows the tokens of today's code."""

from pathlib import Path

from softprompt.config import GenerationSettings
from softprompt.tasks.language.chat import ChatForm
from softprompt.tasks.language.encoding import DecoderForm, EncoderDecoderForm, TemplateForm
from support.chats import TEMPLATES, chatting
from support.tokenizer import byte_level, word_piece

PAGE = Path(__file__).parents[2] / "docs" / "text-form.md"
BEGIN, END = "<!-- text-form:table -->\n", "<!-- text-form:end -->"


def rows():
    plain, begins = byte_level(), byte_level(begins=True)
    infix = {"template": "{source} [soft*2] [blank]"}
    yield "GPT-2's", "", DecoderForm, plain, {}
    yield "GPT-2's", "`separator: ' ->'`", DecoderForm, plain, {"separator": " ->"}
    yield "GPT-2's", "`max_source_tokens: 2`", DecoderForm, plain, {"max_source_tokens": 2}
    yield "Llama's, Gemma's", "", DecoderForm, begins, {}
    yield "Llama's, Gemma's", "`bos: false`", DecoderForm, begins, {"bos": False}
    yield "Llama's, Gemma's", "an infix", TemplateForm, begins, infix
    yield "BERT's, of a decoder", "", DecoderForm, word_piece(), {}
    yield "T5's", "", EncoderDecoderForm, byte_level(ends=True), {}
    for kind, template in TEMPLATES.items():
        yield f"chat template: {kind}", "", ChatForm, chatting(template), {}
    ruled = {"system": "Be brief."}
    yield "chat template: chatml", "`system: Be brief.`", ChatForm, chatting(TEMPLATES["chatml"]), ruled


def table():
    lines = ["| tokenizer | settings | before the target | target |", "|---|---|---|---|"]
    for tokenizer, written, form, made, settings in rows():
        chat = {"chat": True} if form is ChatForm else {}
        of = form(made, GenerationSettings(**chat, **settings), "tiny")
        before, target = (shown(made, ids) for ids in (of.context("area : city"), of.target("A mill.")))
        lines.append(f"| {tokenizer} | {written} | {before} | {target} |")
    return "\n".join(lines) + "\n"


def shown(tokenizer, ids):
    """Tokens as a person reads them; a slot of a prompt is [soft]."""
    words = ["[soft]" if i < 0 else tokenizer.convert_ids_to_tokens(i) for i in ids]
    # A byte-level tokenizer writes a space as Ġ and a line break as Ċ.
    return f"`{' '.join(words)}`".replace("Ġ", "␣").replace("Ċ", "⏎").replace("|", "\\|")


def test_the_table_of_the_page_is_what_the_forms_make():
    page = PAGE.read_text(encoding="utf-8")
    assert page.partition(BEGIN)[2].partition(END)[0] == table(), table()
