"""What a prompt file says about itself."""

import hashlib
from array import array
from itertools import chain
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from softprompt.files.tensor_kinds import KIND

FORMAT_VERSION = 4
"""1: prompts alone. 2: also heads, backbone tensors in place of the frozen ones, and slots in the text.
3: also heads of labels that words stand for, modules beside linear layers (adapters, LoRA), prompts for
pictures and heads with hidden layers. 4: also a record of the backbone, and a checksum of the card."""


Activation = Literal["relu", "gelu"]
"""Between an adapter's two projections."""

AdapterPlacement = Literal["houlsby", "pfeiffer"]
"""After attention and feed-forward, or after the feed-forward alone."""

Location = Literal["prepend", "add", "add-shared", "pixel-prepend", "pixel-pad", "channel"]
"""Where a visual prompt enters: the token sequence (the first three) or the pixels."""

HeadKind = Literal["sequence", "token", "span", "choice", "value", "calibration", "soft", "picture"]
"""One label per text, one per token, start and end, a score per choice, a number per text; of labels that
words stand for, an affine map of their scores, or a vector for each; or one label per picture."""

TextPooling = Literal["first", "last", "mean"]
"""Which state of a text a head reads: of the first or last real token, or the mean of them all."""

PicturePooling = Literal["cls", "image", "prompt", "mean"]
"""What a head reads of a picture: the class token, or the mean of the patches, of the prompt's own outputs or
of both."""

Depth = Literal["deep", "shallow"]
"""Whether a visual prompt enters before every one of its layers, or before the first alone."""


class BackboneRecord(BaseModel):
    """What a frozen model is known again by: a few numbers out of each of its tensors.

    A row of samples is a tensor, those of the base model first, then those of the head, each in the order
    of their names: its precision (see `recognition.Held`), the largest magnitude that was seen in it, and
    its numbers; short rows end in zeros.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    per_tensor: int = Field(ge=1, le=1024)
    """Numbers out of each tensor."""
    base: dict[str, str]
    """Names and shapes of the base model's tensors, see `tensor_kinds.Kinds`."""
    head: dict[str, str]
    """The same of what turns its states into the model's own outputs; nothing where nothing does."""
    embeddings: str = ""
    """The name of the input embeddings in the base model; empty where pictures are read."""
    samples: tuple[tuple[float, ...], ...] = Field(default=(), exclude=True, repr=False)
    """Stored as the tensor `backbone.samples`, and not in the card."""

    @field_validator("base", "head")
    @classmethod
    def _have_shapes(cls, kinds: dict[str, str]) -> dict[str, str]:
        """Refuse a kind without a shape, which only a comparison with another model would read."""
        for kind in kinds:
            if not KIND.fullmatch(kind):
                raise ValueError(f"'{kind[:80]}' is no name with a shape, such as 'norm.weight [32]'")
        return kinds


class BackboneCard(BaseModel):
    """Which frozen model a prompt belongs to."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    family: str
    """transformers' model type, e.g. `llama`."""
    fingerprint: str
    """Digest of the base model's weights, rounded to bfloat16; files of formats 1 to 3 have nothing else."""
    n_parameters: int
    record: BackboneRecord | None = None
    """What it is known again by, in every precision; None in files of formats 1 to 3."""

    @property
    def key(self) -> str:
        """A digest of all that is known of the weights, the head's included: equal keys are equal models."""
        digest = hashlib.sha256(f"{self.family} {self.fingerprint}".encode())
        if self.record is not None:
            digest.update(self.record.model_dump_json().encode())
            digest.update(array("f", chain.from_iterable(self.record.samples)).tobytes())
        return digest.hexdigest()


class HeadCard(BaseModel):
    """What a head reads and says; make one with `softprompt.head`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: HeadKind
    labels: tuple[str, ...] = ()
    """In the order of the outputs; none for `span`, `choice` and `value`."""
    pooling: TextPooling | PicturePooling | None = None
    """Which state of a text or picture is read; None where every token is."""
    hidden_layers: int = Field(default=0, ge=0)
    """Layers between the state and the outputs (`picture` only)."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """On the states, while training."""
    words: tuple[tuple[int, ...], ...] = ()
    """The tokens whose vectors each label began at (`soft` only)."""

    @property
    def n_outputs(self) -> int:
        """Numbers for each text or token."""
        return len(self.labels) or (2 if self.kind == "span" else 1)


class AdaptersCard(BaseModel):
    """Bottleneck adapters; make them with `softprompt.adapter`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["adapter"] = "adapter"
    modules: tuple[str, ...]
    """The backbone's linear layers whose outputs they change."""
    width: int = Field(ge=1)
    """Of the bottleneck."""
    activation: Activation
    placement: AdapterPlacement


class LoraCard(BaseModel):
    """LoRA, computed by PEFT; make it with `softprompt.lora`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["lora"] = "lora"
    modules: tuple[str, ...]
    """The backbone's linear layers whose outputs it changes."""
    rank: int = Field(ge=1)
    alpha: float = Field(gt=0, allow_inf_nan=False)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """On its input, while training."""
    targets: tuple[str, ...]
    """The ends of those layers' names, as they were asked for."""


InsertsCard = AdaptersCard | LoraCard


class PromptCard(BaseModel):
    """Everything that a reader of the file needs, and nothing that is executed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: int = FORMAT_VERSION
    method: str
    placement: Literal["key_values", "states", "slot_embeddings", "image", "none"]
    length: int = Field(ge=0)
    """Vectors of the prompt, in tokens (of a visual prompt also patches, channels, or pixels of a border); 1
    of initial states, one for each layer; 0 where there are none."""
    slots: Literal["front", "in_place"] = "front"
    """Where soft tokens stand: before the text, or wherever the text says -(k + 1) for the k-th."""
    template: str | None = None
    """The template that it was made for, as written."""
    positions: Literal["shifted", "unshifted"]
    """Whether the text's positions start behind the prompt (`shifted`) or at 0."""
    sites: dict[str, list[int]] = {}
    """Layers by site (`encoder`, `decoder`, `cross`; `recurrent` for states); empty for soft tokens."""
    location: Location | None = None
    depth: Depth | None = None
    layers: list[int] = []
    """Before which layers a visual prompt stands."""
    weights: tuple[str, ...] = ()
    """Backbone tensors that the file holds, to stand in place of the frozen ones."""
    tune: str | None = None
    """Which tensors those are, as they were asked for: `all`, `bitfit`, ...; None where there are none."""
    inserts: Annotated[InsertsCard, Field(discriminator="kind")] | None = None
    """Modules beside the backbone's linear layers."""
    head: HeadCard | None = None
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

    @property
    def n_positions(self) -> int:
        """Positions that the prompt takes from the text."""
        return self.length if self.positions == "shifted" else 0
