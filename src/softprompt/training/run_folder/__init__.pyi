from .checkpoint import Checkpoint, Checkpoints, State, fingerprint
from .curves import draw_curves
from .folder import FolderTakenError, RunFolder
from .locks import acquire, locked
from .provenance import hardware, versions
from .settings import as_yaml, flat

__all__ = [
    "Checkpoint",
    "Checkpoints",
    "FolderTakenError",
    "RunFolder",
    "State",
    "acquire",
    "as_yaml",
    "draw_curves",
    "fingerprint",
    "flat",
    "hardware",
    "locked",
    "versions",
]
