"""Where a prompt enters a model, and how many positions it takes there."""

from softprompt.backbones.inspection.attention_sites import AttentionSite
from softprompt.prompts.prompt import Prompt


def has_slots(prompt: Prompt | None) -> bool:
    """Whether a prompt is soft tokens in front of the text."""
    return _is_soft(prompt, "front")


def stands_in_text(prompt: Prompt | None) -> bool:
    """Whether a prompt is vectors in slots of the text."""
    return _is_soft(prompt, "in_place")


def _is_soft(prompt: Prompt | None, slots: str) -> bool:
    if prompt is None:
        return False
    return prompt.card.placement == "slot_embeddings" and prompt.card.slots == slots


def reaches(prompt: Prompt | None, attention: AttentionSite, in_front: bool) -> bool:
    """Whether a prompt has key/values in an attention; soft tokens do unless they stand in the input."""
    if prompt is None:
        return False
    if has_slots(prompt):
        return not in_front
    return attention.layer in prompt.card.sites.get(attention.site, [])


def shift(prompt: Prompt | None, site: str, in_front: bool) -> int:
    """By how much the positions of a site's text are moved for a prompt."""
    if prompt is None or prompt.card.positions == "unshifted":
        return 0
    if has_slots(prompt):  # soft tokens in the input are counted with the text
        return 0 if in_front else prompt.length
    return prompt.length if site in prompt.card.sites else 0


def occupied(prompt: Prompt | None, site: str, in_front: bool) -> int:
    """Positions that a prompt takes from the text."""
    if in_front and site == "encoder" and prompt is not None and has_slots(prompt):
        return prompt.length
    return shift(prompt, site, in_front)
