"""softprompt inspect: the card, size and nearest tokens of a stored prompt."""

from typing import TYPE_CHECKING, Annotated, cast

import typer

from softprompt.cli.options import PromptFolder
from softprompt.errors import counted

if TYPE_CHECKING:
    from rich.console import Console

    from softprompt.backbones import Backbone
    from softprompt.files import HeadCard, InsertsCard, PromptCard
    from softprompt.prompts import Prompt

EXAMPLES = (("Example, after `softprompt demo`", "softprompt inspect runs/demo"),)

_NEAREST = 5


def inspect(
    prompt_folder: PromptFolder,
    backbone: Annotated[
        str | None,
        typer.Option(
            help="Name or folder of the backbone, for relative sizes and nearest tokens.", show_default=False
        ),
    ] = None,
) -> None:
    """Show a prompt's card and size, and the tokens nearest to its input vectors."""
    from softprompt.cli import places
    from softprompt.errors import BackboneError
    from softprompt.files import TENSORS, read_card
    from softprompt.terminal import Terminal, print_line

    folder = places.prompt_folder(prompt_folder)
    card = read_card(folder)
    console = Terminal()
    _print_card(console, card)
    n_bytes = (folder / TENSORS).stat().st_size
    has_tokens = card.placement == "slot_embeddings"
    note, name = "", backbone
    if backbone is None and has_tokens:
        try:
            name = places.allowed_backbone(folder, card, None)
        except BackboneError as error:
            note = f"Nearest tokens: not shown, they need the backbone. {error}"
    if name is None:
        from softprompt.files import read_prompt

        n_numbers = sum(tensor.numel() for tensor in read_prompt(folder)[0].values())
        _print_size(console, n_bytes, n_numbers, card.backbone.n_parameters, card.backbone.name, None)
    else:
        from softprompt.backbones import load_backbone
        from softprompt.prompts import load_prompt

        stored = card.training.get("backbone")
        size = stored.get("image_size") if isinstance(stored, dict) else None
        frozen = load_backbone(name, image_size=size if isinstance(size, int) else None)
        prompt = load_prompt(folder, frozen)
        spec = frozen.spec
        _print_size(console, n_bytes, prompt.n_stored_parameters, spec.n_parameters, spec.name, spec.n_bytes)
        if has_tokens:
            _print_nearest(console, prompt, frozen)
    if note:
        print_line(console, note)
    if card.placement == "key_values":
        console.print(
            "Nearest tokens: none; keys and values enter attention and correspond to no token.",
            soft_wrap=True,
        )
    if _is_states(card):
        told = "Nearest tokens: none; recurrent layers begin from the states, which correspond to no token."
        console.print(told, soft_wrap=True)


def _print_card(console: "Console", card: "PromptCard") -> None:
    from rich.table import Table

    table = Table(show_header=False, box=None)
    rows = {
        "method": card.method,
        "placement": card.placement,
        "length": _length(card),
        "location": f"{card.location}, {card.depth}, layers {_ranges(card.layers)}" if card.location else "",
        "positions": card.positions if card.length and not (card.location or _is_states(card)) else "",
        "layers": "; ".join(f"{site} {_ranges(layers)}" for site, layers in card.sites.items()),
        "head": ""
        if card.head is None
        else f"{card.head.kind}, {', '.join(card.head.labels) or 'no labels'}{_read(card.head)}",
        "backbone tensors": f"{len(card.weights)} in place of the backbone's own" if card.weights else "",
        "inserted": "" if card.inserts is None else _inserted(card.inserts),
        "trained through": card.reparameterization or "",
        "began from": card.initialization,
        "seed": str(card.seed),
        "backbone": f"{card.backbone.name} ({card.backbone.family}), fingerprint {card.backbone.fingerprint}",
        "task": ", ".join(f"{key} {value}" for key, value in card.task.items() if value is not None),
        "data": ", ".join(f"{key} {value}" for key, value in card.data.items() if key != "columns"),
        "metrics": ", ".join(f"{key} {value:.2f}" for key, value in card.metrics.items()),
        "written by": ", ".join(f"{key} {value}" for key, value in card.versions.items()),
    }
    for key, value in rows.items():
        if value:
            table.add_row(key, value)
    console.print(table, highlight=False, markup=False)


def _is_states(card: "PromptCard") -> bool:
    return card.placement == "states"


def _length(card: "PromptCard") -> str:
    if _is_states(card):
        return "an initial state for each recurrent layer"
    return f"{card.length} vectors" if card.length else ""


def _read(head: "HeadCard") -> str:
    """The state that a head reads and its hidden layers, as far as it has them."""
    pooling = f"; reads {head.pooling}" if head.pooling else ""
    return pooling + (f"; {head.hidden_layers} hidden layers" if head.hidden_layers else "")


def _inserted(inserts: "InsertsCard") -> str:
    n = f"beside {len(inserts.modules)} linear layers"
    if inserts.kind == "adapter":
        return f"adapters of width {inserts.width} ({inserts.activation}, {inserts.placement}) {n}"
    return f"LoRA of rank {inserts.rank}, alpha {inserts.alpha:g}, {n} ({', '.join(inserts.targets)})"


def _print_size(
    console: "Console", n_bytes: int, n_numbers: int, n_parameters: int, name: str, backbone_bytes: int | None
) -> None:
    from softprompt.cli.tables import share, size
    from softprompt.terminal import print_line

    line = f"Size: {counted(n_bytes, 'byte')} ({size(n_bytes)}), {counted(n_numbers, 'number')}: "
    line += f"{share(n_numbers, n_parameters)} of the parameters of {name}"
    if backbone_bytes is not None:
        line += f", {share(n_bytes, backbone_bytes)} of its {size(backbone_bytes)}"
    print_line(console, line)


def _print_nearest(console: "Console", prompt: "Prompt", backbone: "Backbone") -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table("slot", f"nearest tokens of {backbone.spec.name} (cosine)")
    for slot, found in enumerate(nearest_tokens(prompt, backbone, _NEAREST)):
        shown = "  ".join(f"{backbone.tokenizer.decode([token])!r} {value:.2f}" for token, value in found)
        table.add_row(str(slot), Text(shown))
    console.print(table)


def nearest_tokens(prompt: "Prompt", backbone: "Backbone", k: int) -> list[list[tuple[int, float]]]:
    """For each slot, the `k` tokens whose embeddings have the largest cosine with it, best first."""
    import torch
    import torch.nn.functional as F

    table = cast(torch.Tensor, backbone.model.get_input_embeddings().weight)
    with torch.no_grad():
        vectors = F.normalize(prompt.tensors()["slots"].float().cpu(), dim=-1)
        embeddings = F.normalize(table.float().cpu(), dim=-1)
        values, tokens = (vectors @ embeddings.T).topk(k, dim=-1)
    return [list(zip(*row, strict=True)) for row in zip(tokens.tolist(), values.tolist(), strict=True)]


def _ranges(layers: list[int]) -> str:
    spans: list[list[int]] = []
    for layer in layers:
        if spans and layer == spans[-1][-1] + 1:
            spans[-1].append(layer)
        else:
            spans.append([layer])
    return ", ".join(f"{span[0]}-{span[-1]}" if len(span) > 1 else str(span[0]) for span in spans)
