"""What is refused before anything is put on a model."""

from collections.abc import Sequence

from torch import Tensor

from softprompt.backbones.describe import BackboneSpec
from softprompt.errors import BackboneError, PromptError
from softprompt.prompts.placements import AttentionShape
from softprompt.prompts.prompt import Prompt


def prompt_of_row(prompts: Sequence[Prompt | None], rows: Sequence[int] | Tensor | None) -> list[int]:
    """For each batch row the index of its prompt.

    Args:
        prompts: those that rows can have.
        rows: as the caller gave them; None is one row for each prompt, in order.

    Raises:
        PromptError: no rows, or a row that names no prompt.
    """
    index = list(range(len(prompts))) if rows is None else [int(row) for row in rows]
    bad = [row for row in index if not 0 <= row < len(prompts)]
    if bad or not index:
        raise PromptError(
            "prompted.rows",
            bad[0] if bad else "no rows",
            f"indices from 0 to {len(prompts) - 1}, one per batch row",
        )
    return index


def check_prompt(prompt: Prompt, spec: BackboneSpec, there: dict[tuple[str, int], AttentionShape]) -> None:
    """Whether a prompt belongs to a backbone and can enter it.

    Args:
        prompt: the prompt.
        spec: of the backbone.
        there: the backbone's attentions, if the prompt needs any.

    Raises:
        PromptError: a prompt for another backbone, or positions that cannot be.
        BackboneError: a layer that is not there.
    """
    theirs = prompt.card.backbone
    if theirs.fingerprint != spec.fingerprint:
        raise PromptError(
            "prompted",
            f"a prompt for {theirs.name} ({theirs.fingerprint})",
            f"a prompt for {spec.name} ({spec.fingerprint})",
            "load it with load_prompt(folder, backbone)",
        )
    slots = prompt.card.placement == "slot_embeddings" and prompt.card.slots == "front"
    if slots and prompt.card.positions == "unshifted" and any(site == "encoder" for site, _ in there):
        raise PromptError(
            "prompt.positions",
            "'unshifted'",
            "'shifted', since soft tokens before an encoder are part of the input",
        )
    if prompt.card.slots == "in_place" and prompt.card.positions == "shifted":
        raise PromptError(
            "prompt.positions",
            "'shifted'",
            "'unshifted', since slots in the text have the text's own positions",
        )
    for site, layers in prompt.card.sites.items():
        for layer in layers:
            if (site, layer) not in there:
                raise BackboneError("prompted", f"{site} layer {layer}", f"layers that {spec.name} has")
