"""The forms that prompts are exchanged in; read by commands before torch is imported."""

from typing import Literal

Form = Literal["softprompt", "peft", "cartridge", "vllm"]
"""A prompt folder, an adapter folder of PEFT's, a file of the Cartridges project, the body of a request."""
