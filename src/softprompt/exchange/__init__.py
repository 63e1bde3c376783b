"""Prompts of other libraries, and prompts for them.

`peft` reads and writes PEFT's adapter folders, `cartridges` the files of the Cartridges project, `vllm` makes
requests for vLLM's servers.
"""

from softprompt.front_door import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
