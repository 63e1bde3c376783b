"""What a model of pictures gives under a visual prompt, against the same with hooks on the plain model.

The reference never uses softprompt: plain torch hooks put a prompt's tokens behind the class token before the
family's own layers, and take them out behind the last (Jia et al. 2022, §3), add vectors, or change pixels.
"""

import copy
import inspect
import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
import transformers
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.models.auto import modeling_auto
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES,
    MODEL_MAPPING_NAMES,
)

import softprompt
from softprompt.backbones.backbone import Backbone
from softprompt.errors import SoftpromptError
from softprompt.prompts.prompt import Prompt
from support.by_hand import swin_by_hand
from zoo.comparison import Wrong, equal
from zoo.configurations import OF_PICTURES
from zoo.outcomes import Kind

LABELS = ["a", "b", "c"]
PICTURES = 3

METHODS: dict[str, dict[str, Any]] = {
    "shallow": {"location": "prepend", "depth": "shallow"},
    "deep": {"location": "prepend", "depth": "deep"},
    "add": {"location": "add"},
    "add-shared": {"location": "add-shared"},
    "pixel-prepend": {"location": "pixel-prepend"},
    "pixel-pad": {"location": "pixel-pad", "length": 32},
    "channel": {"location": "channel", "length": 2},
}

LAYERS = ("encoder.layer", "encoder.layers", "model.layer", "layers", "layer", "blocks", "encoder.blocks")
"""Where families that read pictures keep their layers, in their base model."""
CLASS = ("cls_token", "class_embedding", "class_token", "cls_register_token")
"""What they call their class token, which comes first."""
BIASES = ("BeitRelativePositionBias", "Data2VecVisionRelativePositionBias")
"""Modules that give attention a bias for each pair of a picture's own tokens."""
WHOLE_SYSTEMS = (
    "OBJECT_DETECTION", "ZERO_SHOT_OBJECT_DETECTION", "TEXT_RECOGNITION", "KEYPOINT_MATCHING",
    "MASK_GENERATION", "UNIVERSAL_SEGMENTATION", "INSTANCE_SEGMENTATION",
)  # fmt: skip
"""Tables of models that have a backbone of their own for pictures, and more behind it."""
WINDOWED = ("swin", "donut-swin", "maskformer-swin")


# -- the plain model ----------------------------------------------------------------------------------------


def base_of(model: Any) -> Any:
    """The module that gives the last states."""
    inner = [m for m in model.modules() if isinstance(m, PreTrainedModel) and takes(m, "pixel_values")]
    return next((m for m in inner if m is not model and m is model.base_model), None) or (
        inner[1] if len(inner) > 1 and takes_labels(model) else model
    )


def takes(module: Any, name: str) -> bool:
    return name in inspect.signature(module.forward).parameters


def takes_labels(model: Any) -> bool:
    return takes(model, "labels")


def config_of(model: Any) -> Any:
    """The configuration of the tower that reads pictures."""
    return getattr(model.config, "vision_config", model.config)


def side_of(model: Any) -> int:
    config = config_of(model)
    if hasattr(config, "num_patches") and takes(base_of(model), "spatial_shapes"):
        return math.isqrt(config.num_patches) * config.patch_size
    size = getattr(config, "image_size", None) or 224
    return size if isinstance(size, int) else size[0]


def pictures(model: Any, n: int = PICTURES) -> Tensor:
    config = config_of(model)
    channels = getattr(config, "num_channels", None) or getattr(config, "in_channels", None) or 3
    side = side_of(model)
    return torch.randn(n, channels, side, side, generator=torch.Generator().manual_seed(5))


def called(module: Any, model: Any, pixels: Tensor) -> Any:
    """The output of a model, or of its base, on pictures."""
    options: dict[str, Any] = {}
    if pixels.shape[-1] != side_of(model) and takes(module, "interpolate_pos_encoding"):
        options["interpolate_pos_encoding"] = True
    if takes(module, "spatial_shapes"):
        side = config_of(model).patch_size
        rows = pixels.shape[-1] // side
        patches = nn.functional.unfold(pixels, side, stride=side).mT  # channel, y, x
        patches = patches.unflatten(2, (pixels.shape[1], side * side)).transpose(2, 3).flatten(2)
        ones = torch.ones(len(pixels), rows * rows, dtype=torch.long)
        shapes = torch.tensor([[rows, rows]] * len(pixels))
        return module(pixel_values=patches, pixel_attention_mask=ones, spatial_shapes=shapes)
    return module(pixel_values=pixels, **options)


@contextmanager
def unmasked(model: Any) -> Iterator[None]:
    """MAE reads every patch, in order."""
    with ExitStack() as stack:
        for module in model.modules():
            if hasattr(module, "random_masking"):
                module.random_masking = _all_patches
                stack.callback(delattr, module, "random_masking")
        yield


def _all_patches(tokens: Tensor, noise: Any = None) -> tuple[Tensor, Tensor, Tensor]:
    order = torch.arange(tokens.shape[1]).expand(len(tokens), -1)
    return tokens, torch.zeros(tokens.shape[:2]), order


def features(model: Any, output: Any) -> Tensor:
    """What a linear head reads: the class token, else what the family pools, else the mean of the tokens."""
    states = output.last_hidden_state
    if model.config.model_type == "clip_vision_model":  # reads its states through this norm only
        states = base_of(model).post_layernorm(states)
    pooled = getattr(output, "pooler_output", None)
    if states.ndim == 4:
        if pooled is not None and pooled.flatten(1).shape[1] in (states.shape[1], states.shape[3]):
            return pooled.flatten(1)
        last = states.shape[1] == states.shape[2] != states.shape[3]
        return states.mean((1, 2)) if last else states.mean((2, 3))
    if pooled is not None and torch.equal(pooled.flatten(1), states[:, 0]):
        return states[:, 0]
    return states[:, 0] if has_class(model) else states.mean(1)


def has_class(model: Any) -> bool:
    names = [name for name, _ in base_of(model).named_parameters()]
    return any(name.rsplit(".", 1)[-1] in CLASS and not name.startswith("head.") for name in names)


# -- the prompt by hand -------------------------------------------------------------------------------------


@contextmanager
def hooked(model: Any, prompt: Prompt) -> Iterator[Callable[[Tensor], Tensor]]:
    """Within this context a plain model has a prompt. Gives the change of its pixels."""
    placed: Any = prompt()
    base, card, handles = base_of(model), prompt.card, []
    change: Callable[[Tensor], Tensor] = lambda pixels: pixels  # noqa: E731
    if card.location in ("prepend", "pixel-prepend"):
        if card.location == "prepend":
            blocks = [zip(b.layers, b.vectors.unbind(0), strict=True) for b in placed]
            before = {layer: vectors for block in blocks for layer, vectors in block}
        else:
            before = {0: patch_projection(base)(placed[0].pixels).flatten(1)}
        handles += put_in(base, before, has_class(model))
    elif card.location in ("add", "add-shared"):
        for block in placed:
            for layer, vectors in zip(block.layers, block.vectors.unbind(0), strict=True):
                handles.append(before_layer(layers_of(base)[layer], lambda tokens, v=vectors: tokens + v))
    elif card.location == "pixel-pad":
        change = lambda pixels: framed(pixels, placed[0].pixels, card.length)  # noqa: E731
    else:
        conv: Any = patch_projection(base)
        extra = nn.functional.conv2d(
            placed[0].pixels[None], placed[0].weights.transpose(0, 1), stride=conv.stride
        )
        handles.append(conv.register_forward_hook(lambda module, args, output: output + extra))
    try:
        yield change
    finally:
        for handle in handles:
            handle.remove()


def layers_of(base: Any) -> Any:
    if base.config.model_type in WINDOWED:
        return [block for stage in base.encoder.layers for block in stage.blocks]
    for path in LAYERS:
        found: Any = base
        for name in path.split("."):
            found = getattr(found, name, None)
        if isinstance(found, nn.ModuleList):
            return found
    return [layer for stage in base.stages for layer in stage.blocks]  # SegFormer


def patch_projection(base: Any) -> nn.Conv2d:
    return next(m for m in base.modules() if isinstance(m, nn.Conv2d))


def before_layer(layer: Any, change: Callable[[Tensor], Tensor]) -> Any:
    def hook(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if args:
            return (change(args[0]), *args[1:]), kwargs
        return args, {**kwargs, "hidden_states": change(kwargs["hidden_states"])}

    return layer.register_forward_pre_hook(hook, with_kwargs=True)


def put_in(base: Any, before: dict[int, Tensor], behind_class: bool) -> list[Any]:
    """Hooks that put tokens before the first layer and others in their place before the next ones."""
    place, layers = int(behind_class), layers_of(base)
    n = len(before[0])

    def change(vectors: Tensor, there: int) -> Callable[[Tensor], Tensor]:
        def changed(tokens: Tensor) -> Tensor:
            own = vectors.expand(len(tokens), -1, -1)
            return torch.cat([tokens[:, :place], own, tokens[:, place + there :]], dim=1)

        return changed

    handles = [
        before_layer(layers[number], change(vectors, n if number else 0))
        for number, vectors in before.items()
    ]

    def cut(module: Any, args: Any, output: Any) -> Any:
        tokens = output[0] if isinstance(output, tuple) else output
        tokens = torch.cat([tokens[:, :place], tokens[:, place + n :]], dim=1)
        return (tokens, *output[1:]) if isinstance(output, tuple) else tokens

    handles.append(layers[len(layers) - 1].register_forward_hook(cut))

    def widen(module: Any, args: Any, bias: Tensor) -> Tensor:
        size = bias.shape[-1] + n
        kept = torch.tensor([i for i in range(size) if not place <= i < place + n])
        wide = bias.new_zeros(*bias.shape[:-2], size, size)
        wide[..., kept[:, None], kept] = bias
        return wide

    handles += [m.register_forward_hook(widen) for m in base.modules() if type(m).__name__ in BIASES]
    return handles


def framed(pixels: Tensor, border: Tensor, width: int) -> Tensor:
    """A picture with a border around it, whose pixels come row by row."""
    whole = nn.functional.pad(pixels, (width,) * 4)
    side, at = whole.shape[-1], 0
    columns = []
    for y in range(side):
        inside = width <= y < side - width
        for x in range(side):
            if not (inside and width <= x < side - width):
                columns.append((y, x, at))
                at += 1
    rows, across, which = (torch.tensor(part) for part in zip(*columns, strict=True))
    frame = pixels.new_zeros(pixels.shape[1], side, side)
    return whole + frame.index_put((torch.arange(len(frame))[:, None], rows, across), border[which].T)


def by_hand(model: Any, prompt: Prompt | None, pixels: Tensor) -> tuple[Tensor, Tensor | None]:
    """Features of pictures, `[picture, hidden]`, and the model's own logits where it is a classifier."""
    base = base_of(model)
    with unmasked(model):
        if prompt is None:
            output, change = called(base, model, pixels), None
            return features(model, output), logits_of(model, pixels)
        if base.config.model_type in WINDOWED and prompt.card.location in ("prepend", "pixel-prepend"):
            return windowed_by_hand(base, prompt, pixels), None
        with hooked(model, prompt) as change:
            return features(model, called(base, model, change(pixels))), logits_of(model, change(pixels))


def windowed_by_hand(base: Any, prompt: Prompt, pixels: Tensor) -> Tensor:
    placed: Any = prompt()
    if prompt.card.location == "prepend":
        before = {i: v for b in placed for i, v in zip(b.layers, b.vectors.unbind(0), strict=True)}
    else:
        before = {0: patch_projection(base)(placed[0].pixels).flatten(1)}
    return swin_by_hand(base, pixels, before, prompt.card.depth == "shallow")[0].mean(1)


def numbers_of(model: Any) -> Tensor:
    """Features of two pictures; zeros where the model does not read pictures alone."""
    try:
        return by_hand(model, None, pictures(model, 2))[0]
    except (TypeError, ValueError, AttributeError):  # films, grids of patches, texts beside the pictures
        return torch.zeros(1)


def logits_of(model: Any, pixels: Tensor) -> Tensor | None:
    output = called(model, model, pixels) if takes_labels(model) and base_of(model) is not model else None
    logits = getattr(output, "logits", None)
    return logits if isinstance(logits, Tensor) else None


# -- the comparison -----------------------------------------------------------------------------------------


def make(backbone: Backbone, method: str, seed: int, length: int = 3) -> Prompt:
    options = {"length": length, **METHODS[method]}
    if options["location"] in ("add", "add-shared"):
        del options["length"]
    head = softprompt.head("picture", LABELS)
    prompt = softprompt.visual_prompt_tuning(backbone, head=head, seed=seed, **options)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in (*prompt.blocks.parameters(), *prompt.head.parameters()):
            parameter.copy_(0.5 * torch.randn(parameter.shape, generator=generator))
    return prompt


def check(model: PreTrainedModel, backbone: Backbone, method: str) -> list[str]:
    """Compares all ways of a call with the reference; gives what could not be compared.

    Raises:
        Wrong: naming the first way that differs, and by how much.
    """
    model = backbone.model
    x, plain, notes = pictures(model), copy.deepcopy(model), []
    one, other = make(backbone, method, 1), make(backbone, method, 2)
    with torch.no_grad():
        bare, bare_logits = by_hand(plain, None, x)
        wanted, wanted_logits = by_hand(plain, one, x)
        wanted_other, _ = by_hand(plain, other, x)
    if (wanted - bare).abs().max() < 1e-5 * bare.abs().max():
        notes.append("the prompt hardly changes the features")
    with torch.no_grad():
        with backbone.prompted(one):
            equal("one picture", read(backbone, one, x[:1]), headed(one, wanted[:1]))
            equal("a batch", read(backbone, one, x), headed(one, wanted))
            logits = logits_of(model, x)
        if wanted_logits is not None and logits is not None:
            equal("the model's own logits", logits, wanted_logits)
        mixes: dict[str, Any] = {
            "prompts of one batch": ([one, other], [0, 1, 0], (wanted, wanted_other, wanted)),
            "rows without a prompt": ([one, other, None], [0, 1, 2], (wanted, wanted_other, bare)),
        }
        if METHODS[method]["location"] in ("prepend", "pixel-prepend"):
            short = make(backbone, method, 3, length=2)
            wanted_short, _ = by_hand(plain, short, x)
            parts = (wanted_short, wanted, wanted_short)
            mixes["prompts of two lengths"] = ([one, short], [1, 0, 1], parts)
        for what, (prompts, rows, parts) in mixes.items():
            expected = torch.stack([part[row] for row, part in enumerate(parts)])
            try:
                with backbone.prompted(prompts, rows=rows):
                    equal(what, read(backbone, one, x), headed(one, expected))
            except SoftpromptError as error:
                (problem, *_) = error.problems
                notes.append(f"{method}: {what} are refused ({getattr(problem, 'got', problem)})")
    _gradients(backbone, plain, one, x)
    with torch.no_grad():
        again, again_logits = by_hand(model, None, x)
    equal("the bare model afterwards", again, bare)
    if bare_logits is not None and again_logits is not None:
        equal("the bare model's logits afterwards", again_logits, bare_logits)
    return notes


def read(backbone: Backbone, prompt: Prompt, pixels: Tensor) -> Tensor:
    assert prompt.head is not None
    return prompt.head(*backbone.look(pixels))


def headed(prompt: Prompt, states: Tensor) -> Tensor:
    """What the linear head makes of features."""
    head: Any = prompt.head
    return nn.functional.linear(states, head.weight, head.bias)


def _gradients(backbone: Backbone, plain: Any, prompt: Prompt, x: Tensor) -> None:
    parameters = [p for p in prompt.parameters() if p.requires_grad]

    def gradients(logits: Tensor) -> list[Tensor | None]:
        return list(torch.autograd.grad(logits.log_softmax(-1)[:, 1].mean(), parameters, allow_unused=True))

    expected = gradients(headed(prompt, by_hand(plain, prompt, x)[0]))
    with backbone.prompted(prompt):
        came = gradients(read(backbone, prompt, x))
    for one, other in zip(came, expected, strict=True):
        if other is None:  # weights of the patches, which the reference does not replace
            continue
        if one is None or not float((one - other).abs().max()) <= 1e-3 * float(other.abs().max()) + 1e-6:
            raise Wrong("gradients differ")


# -- the families -------------------------------------------------------------------------------------------


def _families() -> dict[str, str]:
    """Classifiers of pictures, and further models whose input is pixels and nothing else, detectors aside."""
    systems = set().union(
        *(getattr(modeling_auto, f"MODEL_FOR_{kind}_MAPPING_NAMES") for kind in WHOLE_SYSTEMS)
    )
    found = {family: _first(names) for family, names in MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES.items()}
    for family, names in MODEL_MAPPING_NAMES.items():
        model_class = _class(_first(names))
        reads = getattr(model_class, "main_input_name", "input_ids")
        films = "pixel_values_videos" in reads
        if family in found or family in systems or _first(names).endswith("VideoModel"):
            continue
        if not (reads == "pixel_values" or films):
            continue
        if "text_config" not in getattr(CONFIG_MAPPING[family], "sub_configs", {}):
            found[family] = _first(names)
    return {family: name for family, name in found.items() if family != "shieldgemma2"}


def _first(names: Any) -> str:
    return names if isinstance(names, str) else names[0]


def _class(name: str) -> Any:
    try:
        found = getattr(transformers, name)
        return found if hasattr(found, "main_input_name") else None
    except (AttributeError, ImportError):
        return None


KIND = Kind(
    classes=_families(),
    methods=tuple(METHODS),
    sample=(
        "beit", "convnextv2", "data2vec-vision", "dinov3_convnext", "dinov3_vit", "hiera", "pixtral",
        "siglip2_vision_model", "swinv2",
    ),
    bare=numbers_of,
    check=check,
    sizes=OF_PICTURES,
)  # fmt: skip
