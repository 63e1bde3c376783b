"""Which locations of visual prompts a model has a place for.

No list of families is kept: tokens that nothing attends to are put among a picture's own, once, and must
leave the picture's states as they are. Layers that count tokens, give them positions by their number, pool,
shift or convolve them do not.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from softprompt.backbones.attention import AttentionCall, Interception, answering, self_computed
from softprompt.backbones.dispatch import Forward, Gate, Override, dispatching, overriding
from softprompt.backbones.injection.pictures.swin import has_swin_layers
from softprompt.backbones.injection.pictures.tokens import change_tokens, first_of
from softprompt.backbones.inspection import ModelMap, Vision, eval_mode, noise_pictures, unmasked
from softprompt.errors import BackboneError, SoftpromptError
from softprompt.prompts import LOCATIONS, AddedTokens, Prompt

_MORE = 2
_PICTURES = 2


class PictureReach:
    """The locations that visual prompts can have in a model. Each is tried when it is first asked for.

    Args:
        model_map: of the backbone.
        gate: of the backbone.
    """

    def __init__(self, model_map: ModelMap, gate: Gate):
        assert model_map.vision is not None
        self.vision: Vision = model_map.vision
        self.model = model_map.model
        self.attentions = frozenset(site.module for site in model_map.attentions)
        self.gate = gate
        self.name = f"{model_map.spec.name} ({model_map.spec.family})"
        self._borders: dict[int, str | None] = {}

    def why_not(self, location: str, length: int) -> str | None:
        """Why prompts cannot have a location: a relative clause about the model; None where they can.

        Args:
            location: a name of `LOCATIONS`.
            length: of the prompt.
        """
        vision, row = self.vision, LOCATIONS[location]  # type: ignore[index]
        if location == "pixel-pad":
            if length not in self._borders:
                self._borders[length] = self._why_no_border(length)
            return self._borders[length]
        if row.in_pixels and vision.conv is None:
            return "which cuts no square patches side by side out of its pixels"
        if row.has_outputs:
            return self.why_no_tokens
        return vision.why_no_layers if row.placement is AddedTokens else None

    @property
    def why_no_tokens(self) -> str | None:
        """Why further tokens cannot stand among a picture's own; None where they can."""
        return self._tokens[0]

    @property
    def projects(self) -> bool:
        """Whether the key/values of further tokens can be computed without a picture."""
        return self._tokens[1]

    def as_tokens(self, prompts: Sequence[Prompt | None]) -> bool:
        """Whether deep visual prompts have to run as tokens.

        Raises:
            BackboneError: a visual prompt at a location that the model has no place for.
        """
        found = False
        for card in (prompt.card for prompt in prompts if prompt is not None):
            if card.location is None:
                continue
            why = self.why_not(card.location, card.length)
            if why is not None:
                raise BackboneError(
                    "prompted",
                    f"a '{card.location}' prompt for {self.name}, {why}",
                    "a location that this backbone has a place for",
                )
            found |= LOCATIONS[card.location].has_outputs and not self.projects
        return found

    @cached_property
    def _tokens(self) -> tuple[str | None, bool]:
        vision = self.vision
        if vision.why_no_layers is not None:
            return vision.why_no_layers, False
        if vision.windowed:
            fits = has_swin_layers(vision)
            return (None if fits else "whose windows have no place for further tokens"), fits
        if len({layer.n_tokens for layer in vision.layers}) > 1:
            return "whose layers read different numbers of tokens", False
        trial = _Trial(vision)
        return self._tried(
            "whose layers take no further tokens", lambda: self._compare(trial)
        ), trial.projects

    def _compare(self, trial: "_Trial") -> str | None:
        pixels = noise_pictures(self.model, self.vision.size, _PICTURES, seed=2)
        bare = self._states(pixels)
        modules = [*(layer.module for layer in self.vision.layers), *self.attentions]
        overrides = trial.overrides()
        with dispatching(modules), overriding(overrides), answering(trial.answers(), self.attentions):
            among = self._states(pixels)
        if not _same(bare, among):
            return "in whose layers further tokens change a picture's own, though nothing attends to them"
        if trial.tells_places:
            return "in whose layers further tokens get positions of their own"
        trial.compare_projections()
        return None

    def _why_no_border(self, width: int) -> str | None:
        if self.vision.flattens_patches:
            return "which reads flattened patches in place of a picture"
        height, across = (side + 2 * width for side in self.vision.size)
        pixels = noise_pictures(self.model, (height, across))

        def read() -> str | None:
            self._states(pixels)
            return None

        return self._tried(f"which does not read the {height} x {across} pixels with the border", read)

    def _tried(self, what: str, read: Callable[[], str | None]) -> str | None:
        """What a trial says, or that it failed, and how."""
        try:
            with torch.no_grad(), eval_mode(self.model), self.gate.turn(alone=False), self.gate.calling(None):
                return read()
        except (SoftpromptError, torch.OutOfMemoryError):
            raise
        except Exception as error:
            reason = " ".join(str(error).split())[:120]
            return f"{what} ({type(error).__name__}: {reason})"

    def _states(self, pixels: Tensor) -> Tensor:
        vision = self.vision
        with unmasked(self.model):
            return vision.states(vision.base(**vision.inputs(pixels), **vision.options(pixels)))


class _Trial:
    """Two equal tokens among a picture's own, through all layers, to which nothing attends.

    Args:
        vision: the model.
    """

    def __init__(self, vision: Vision):
        self.vision = vision
        self.projects = False
        self.tells_places = False
        self.place = 1 if vision.n_special else 0
        self._entering: dict[int, Tensor] = {}
        self._keys: dict[int, Tensor] = {}

    def overrides(self) -> Mapping[nn.Module, Override]:
        """Of the layers, and of attentions that compute by themselves."""
        numbered = enumerate(self.vision.layers)
        layers = {layer.module: self._layer(number) for number, layer in numbered}
        return layers | self_computed(layer.attention for layer in self.vision.layers)

    def answers(self) -> Mapping[nn.Module, Interception]:
        """Of the attentions."""
        return {layer.attention: self._attend(number) for number, layer in enumerate(self.vision.layers)}

    def compare_projections(self) -> None:
        """Note whether the key/values of tokens alone are those that the layers made of them."""
        try:
            self.projects = all(
                _same(self.vision.project(number, self._entering[number])[0], keys)
                for number, keys in self._keys.items()
            )
        except Exception:
            self.projects = False  # an attention that takes more than tokens; they run among the picture's

    @property
    def _more(self) -> slice:
        return slice(self.place, self.place + _MORE)

    def _layer(self, number: int) -> Override:
        last = len(self.vision.layers) - 1

        def layer(below: Forward, *args: Any, **kwargs: Any) -> Any:
            if number == 0:
                args, kwargs = change_tokens(args, kwargs, self._put_in)
            entering = first_of(args, kwargs)[:, self._more]
            self._entering[number] = entering[0]
            self.tells_places |= not _same(entering[:, 0], entering[:, 1])
            output = below(*args, **kwargs)
            if number < last:
                return output
            return change_tokens((output,), {}, self._take_out)[0][0]

        return layer

    def _put_in(self, tokens: Tensor) -> Tensor:
        generator = torch.Generator().manual_seed(3)
        one = torch.randn(1, 1, tokens.shape[-1], generator=generator).to(tokens) * tokens.std()
        own = one.expand(len(tokens), _MORE, -1)
        return torch.cat([tokens[:, : self.place], own, tokens[:, self.place :]], dim=1)

    def _take_out(self, tokens: Tensor) -> Tensor:
        return torch.cat([tokens[:, : self.place], tokens[:, self.place + _MORE :]], dim=1)

    def _attend(self, number: int) -> Interception:
        def attend(call: AttentionCall) -> tuple[Tensor, Tensor | None]:
            n = call.key.shape[2]
            self._keys[number] = call.key[0, :, self._more]
            for part in (call.query, call.key, call.value):
                self.tells_places |= not _same(part[:, :, self.place], part[:, :, self.place + 1])
            kept = torch.tensor([i for i in range(n) if not self.place <= i < self.place + _MORE])
            kept = kept.to(call.key.device)
            query, key, value = (part[:, :, kept] for part in (call.query, call.key, call.value))
            mask = call.mask
            if mask is not None and mask.shape[-1] == n:
                mask = mask[..., kept] if mask.shape[-2] == 1 else mask[..., kept[:, None], kept]
            out, _ = call.stock(call.module, query, key, value, mask, **call.kwargs)
            whole = out.new_zeros(len(out), n, *out.shape[2:])
            return whole.index_copy(1, kept, out), None

        return attend


def _same(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors are equal up to rounding."""
    if a.shape != b.shape:
        return False
    limit = 1e-4 if a.dtype == torch.float32 else 5e-2
    return float((a - b).abs().max()) <= limit * float(b.abs().max())
