from .adapter_folder import is_adapter_folder
from .cartridge_files import load_cartridge, save_cartridge
from .converting import form_of, found, read, write
from .forms import Form
from .peft_reading import load_peft
from .peft_writing import save_peft
from .vllm_requests import embedded, prompt_embeds, vllm_request

__all__ = [
    "Form",
    "embedded",
    "form_of",
    "found",
    "is_adapter_folder",
    "load_cartridge",
    "load_peft",
    "prompt_embeds",
    "read",
    "save_cartridge",
    "save_peft",
    "vllm_request",
    "write",
]
