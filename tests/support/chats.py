"""Chat templates of several kinds, each as its family writes it, for the tiny tokenizer."""

from transformers import PreTrainedTokenizerFast

from support.tokenizer import byte_level

_MARKS = [
    "<|im_start|>",
    "<|im_end|>",
    "<|eot|>",
    "<|head|>",
    "<|tail|>",
    "<turn>",
    "</turn>",
    "[INST]",
    "[/INST]",
]

CHATML = (
    "{% for m in messages %}{% if loop.first and m.role != 'system' %}"
    "<|im_start|>system\nYou are kind.<|im_end|>\n{% endif %}"
    "<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""As SmolLM2's and Qwen's: a system turn of its own where there is none."""

LLAMA = (
    "{{ bos_token }}{% for m in messages %}"
    "<|head|>{{ m.role }}<|tail|>\n\n{{ m.content | trim }}<|eot|>{% endfor %}"
    "{% if add_generation_prompt %}<|head|>assistant<|tail|>\n\n{% endif %}"
)
"""As Llama 3's: BOS first, and no white space around a text."""

GEMMA = (
    "{{ bos_token }}{% if messages[0].role == 'system' %}"
    "{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate') }}{% endif %}"
    "<turn>{{ 'model' if m.role == 'assistant' else m.role }}\n{{ m.content | trim }}</turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<turn>model\n{% endif %}"
)
"""As Gemma's: no system turn, roles in turns."""

MISTRAL = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]"
    "{% elif m.role == 'assistant' %} {{ m.content }}{{ eos_token }}"
    "{% else %}{{ m.content }}\n{% endif %}{% endfor %}"
)
"""As Mistral's: an answer begins behind a space, and nothing asks for it."""

PLAIN = (
    "{% for m in messages %}{{ m.role | capitalize }}: {{ m.content.strip() }}\n{% endfor %}"
    "{% if add_generation_prompt %}Assistant:{% endif %}"
)
"""Words alone: no special token but the tokenizer's EOS can end an answer."""

TEMPLATES = {"chatml": CHATML, "llama": LLAMA, "gemma": GEMMA, "mistral": MISTRAL, "plain": PLAIN}

ENDS = {"chatml": "<|im_end|>", "llama": "<|eot|>", "gemma": "</turn>", "mistral": "</s>", "plain": "</s>"}
"""What ends a turn of each."""


def chatting(template: str) -> PreTrainedTokenizerFast:
    """The tiny tokenizer, with the marks of all templates as special tokens, and a chat template."""
    tokenizer = byte_level()
    tokenizer.add_special_tokens({"additional_special_tokens": _MARKS})
    tokenizer.chat_template = template
    return tokenizer
