from .adapter_folder import is_adapter_folder
from .cartridge_files import load_cartridge, save_cartridge
from .peft_reading import load_peft
from .peft_writing import save_peft

__all__ = ["is_adapter_folder", "load_cartridge", "load_peft", "save_cartridge", "save_peft"]
