"""Which form a backbone's sources and targets have."""

from typing import TYPE_CHECKING

from softprompt.config import GenerationSettings
from softprompt.errors import ConfigError
from softprompt.tasks.language.chat import ChatForm, has_chat
from softprompt.tasks.language.encoding import DecoderForm, EncoderDecoderForm, PairForm, TemplateForm

if TYPE_CHECKING:
    from softprompt.backbones import Backbone


def form_of(backbone: "Backbone", settings: GenerationSettings) -> PairForm:
    """The form of sources and targets that the settings name, or that suits the backbone.

    Args:
        backbone: with its tokenizer.
        settings: of the task; `chat: auto` is a chat where the tokenizer has a chat template, no separator,
            BOS or template is given, and the backbone reads no pictures, whose places a processor writes.

    Raises:
        ConfigError: settings that the backbone cannot follow.
        BackboneError: the tokenizer has no end token.
    """
    tokenizer, name = backbone.tokenizer, backbone.spec.name
    if backbone.spec.is_encoder_decoder:
        if settings.template is not None:
            got = f"a template for {name}, an encoder-decoder"
            raise ConfigError("task.template", got, "a decoder", "leave the template out")
        return EncoderDecoderForm(tokenizer, settings, name)
    chat = settings.chat
    if chat == "auto":
        plain = (settings.separator, settings.template, settings.bos) != (None, None, None)
        chat = has_chat(tokenizer) and not plain and not backbone.reads_picture_texts
        if settings.system is not None and not chat:
            got = f"a system turn for {name}, which has no chat template"
            raise ConfigError("task.system", got, "a backbone with one", "leave task.system out")
    if not chat:
        form = DecoderForm if settings.template is None else TemplateForm
        return form(tokenizer, settings, name)
    if not has_chat(tokenizer):
        got, do = f"true for {name}, whose tokenizer has no chat template", "leave task.chat out"
        raise ConfigError("task.chat", got, "a backbone with one, such as an instruct model", do)
    if settings.template is not None:
        got, do = "a chat with a template that the method writes", "set task.chat=false"
        raise ConfigError("task.chat", got, "one of the two", do)
    return ChatForm(tokenizer, settings, name, model_ends(backbone))


def model_ends(backbone: "Backbone") -> tuple[int, ...]:
    """The tokens at which the model's generation file ends answers."""
    file = getattr(backbone.model, "generation_config", None)
    ends = getattr(file, "eos_token_id", None)
    if ends is None:
        return ()
    return (ends,) if isinstance(ends, int) else tuple(ends)
