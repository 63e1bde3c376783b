"""What a prompt file says about itself."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

FORMAT_VERSION = 1


class BackboneCard(BaseModel):
    """Which frozen model a prompt belongs to."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    family: str
    """transformers' model type, e.g. `llama`."""
    fingerprint: str
    """Digest of the weights, the same in every floating-point precision."""
    n_parameters: int


class PromptCard(BaseModel):
    """Everything that a reader of the file needs, and nothing that is executed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: int = FORMAT_VERSION
    method: str
    placement: Literal["key_values", "slot_embeddings"]
    length: int
    """Vectors of the prompt, in tokens."""
    positions: Literal["shifted", "unshifted"]
    """Whether the text's positions start behind the prompt (`shifted`) or at 0."""
    sites: dict[str, list[int]] = {}
    """Layers by site (`encoder`, `decoder`, `cross`); empty for soft tokens."""
    reparameterization: str | None = None
    """What it was trained through; the file itself always holds baked tensors."""
    initialization: str
    seed: int
    backbone: BackboneCard
    task: dict[str, Any] = {}
    """The task's settings, with the separator and template that the prompt was trained for."""
    training: dict[str, Any] = {}
    """The run's settings."""
    data: dict[str, Any] = {}
    """What it was trained on: format, sizes, fingerprint."""
    metrics: dict[str, float] = {}
    versions: dict[str, str] = {}
    """Library versions that wrote the file."""
