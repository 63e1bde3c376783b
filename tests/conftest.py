"""For every test: shapes in signatures are checked, tiny models compute in one thread, registrations end."""

import gc
import os
from collections.abc import Iterator

import pytest
import torch
from jaxtyping import install_import_hook

import support.unsynced  # noqa: F401

# No test asks the hub for anything; without this a refusal waits for the network first.
os.environ["HF_HUB_OFFLINE"] = "1"

# Before anything of the package is imported.
install_import_hook(
    [
        "softprompt.backbones.attention.prefix",
        "softprompt.backbones.image_transform",
        "softprompt.backbones.initialization_sources",
        "softprompt.backbones.outputs",
        "softprompt.prompts.heads.pooling",
        "softprompt.prompts.inserts",
        "softprompt.prompts.placements",
        "softprompt.prompts.reparameterize",
    ],
    "beartype.beartype",
)

# On tiny tensors a second thread only waits, and on busy machines it waits long.
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _registrations_end() -> Iterator[None]:
    """No test finds what another one registered, in whatever order they run."""
    # Imports the package, so after the hook above.
    from support.registrations import undone

    with undone():
        yield


def pytest_collection_finish(session: pytest.Session) -> None:
    """Leave what the imports made out of every later garbage collection."""
    gc.collect()
    gc.freeze()
