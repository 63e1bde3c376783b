"""Files of `torch.save`, of which tensors and lists of them are read and nothing is run."""

import pickle
from pathlib import Path
from typing import Any

from softprompt.errors import PromptError
from softprompt.untrusted import Unreadable, open_regular


def read_pickled(path: Path) -> Any:
    """What `torch.save` wrote, on the CPU: tensors, texts, numbers, and lists and mappings of them.

    torch's unpickler for weights alone, which knows no other names than those of tensors; of torch's classes
    `ParameterList` is allowed as well.

    Raises:
        PromptError: no such file, or one that asks for anything else.
    """
    import torch

    allowed = [torch.nn.ParameterList, torch.nn.Parameter]
    try:
        with open_regular(path) as (file, _), torch.serialization.safe_globals(allowed):
            return torch.load(file, map_location="cpu", weights_only=True)
    except Unreadable as error:
        raise PromptError(str(path), str(error), "a file of torch.save") from None
    except pickle.UnpicklingError as error:
        reason = " ".join(str(error).split())
        named = reason.partition("GLOBAL ")[2].split(" ")[0]
        got = f"a pickle that asks for {named}" if named else "no pickle of tensors"
        do = "have it saved as safetensors, by whoever made it" if named else "copy the file again"
        raise PromptError(str(path), got, "tensors alone, as torch.save writes them", do) from None
    except (RuntimeError, EOFError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        reason = " ".join(str(error).split())[:120]
        got = f"a file that torch.load cannot read ({reason})"
        raise PromptError(
            str(path), got, "tensors as torch.save writes them", "copy the file again"
        ) from None
