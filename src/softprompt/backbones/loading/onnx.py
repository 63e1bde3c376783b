"""Conversion of an ONNX file with a DINOv2 to a transformers checkpoint.

A small protobuf reader takes the tensors and the nodes of the graph: nothing in the file is run, and no
package for ONNX is needed.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from softprompt.backbones.loading.quiet import without_bars
from softprompt.errors import BackboneError
from softprompt.untrusted import read_bytes

# Numbers of fields in onnx.proto: of ModelProto; GraphProto; NodeProto; TensorProto. _FLOAT is a data type.
_GRAPH = 7
_NODES, _TENSORS = 1, 5
_INPUTS, _OUTPUTS, _OPERATOR = 1, 2, 4
_SIZES, _TYPE, _NAME, _RAW = 1, 2, 8, 9
_FLOAT = 1

_MEAN, _STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
_IN_LAYER = {
    "attention.attention.query": "attention.q_proj",
    "attention.attention.key": "attention.k_proj",
    "attention.attention.value": "attention.v_proj",
    "attention.output.dense": "attention.o_proj",
}


@dataclass(frozen=True)
class Graph:
    """The parts of an ONNX graph that a conversion needs.

    Args:
        tensors: the stored float tensors by name.
        nodes: operator, inputs and outputs of every node.
    """

    tensors: dict[str, Tensor]
    nodes: list[tuple[str, list[str], list[str]]]


def convert_dinov2(onnx_file: Path, folder: Path) -> None:
    """Write the DINOv2 inside an ONNX file as safetensors, configuration and processor.

    Tensors are known by their names in the file. Export renames the matrices of linear layers: each is
    recognised by the bias that is added to its product. Tensors outside the backbone are left out.

    Args:
        onnx_file: with a DINOv2 under `backbone.`.
        folder: an existing folder, into which the files are written.

    Raises:
        BackboneError: no ONNX file, or tensors that are not those of a DINOv2.
    """
    from transformers import Dinov2Config, Dinov2Model

    graph = read_graph(onnx_file)
    state = _state(graph, onnx_file.name)
    hidden, _, patch, _ = state["embeddings.patch_embeddings.projection.weight"].shape
    side = round((state["embeddings.position_embeddings"].shape[1] - 1) ** 0.5)
    n_layers = 1 + max(int(name.split(".")[2]) for name in state if name.startswith("encoder.layer."))
    config = Dinov2Config(
        hidden_size=hidden,
        num_hidden_layers=n_layers,
        num_attention_heads=hidden // 64,
        mlp_ratio=state["encoder.layer.0.mlp.fc1.weight"].shape[0] // hidden,
        image_size=side * patch,
        patch_size=patch,
        use_mask_token=False,
    )
    model = Dinov2Model(config)
    missing, unexpected = model.load_state_dict(state, strict=False)
    if missing or unexpected:
        names = f"{len(missing)} tensors missing and {len(unexpected)} unknown ({[*missing, *unexpected][0]})"
        raise BackboneError(onnx_file.name, names, "the tensors of a DINOv2")
    with without_bars():
        model.save_pretrained(folder)
    processor = {
        "image_processor_type": "BitImageProcessor",
        "do_resize": True,
        "size": {"height": 224, "width": 224},
        "resample": 3,
        "do_center_crop": False,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": _MEAN,
        "image_std": _STD,
    }
    text = json.dumps(processor, indent=2) + "\n"
    (folder / "preprocessor_config.json").write_text(text, encoding="utf-8")


def _state(graph: Graph, name: str) -> dict[str, Tensor]:
    """The tensors of the backbone by their names in transformers."""
    tensors, begin = graph.tensors, "backbone."
    state = {key.removeprefix(begin): tensor for key, tensor in tensors.items() if key.startswith(begin)}
    # A linear layer is a product with a renamed matrix, then a sum with a bias that kept its name.
    matrices = {outputs[0]: inputs[1] for operator, inputs, outputs in graph.nodes if operator == "MatMul"}
    for operator, inputs, _ in graph.nodes:
        bias = next((i for i in inputs if i.startswith(begin) and i.endswith(".bias")), None)
        matrix = next((matrices[i] for i in inputs if i in matrices), None)
        if operator == "Add" and bias is not None and matrix in tensors:
            weight = tensors[matrix].T.contiguous()
            state[bias.removeprefix(begin).removesuffix("bias") + "weight"] = weight
    for theirs, ours in _IN_LAYER.items():
        state = {key.replace(theirs, ours): tensor for key, tensor in state.items()}
    # Export splits the table of positions into one for the class token and one for the patches.
    hidden = state["embeddings.cls_token"].shape[-1] if "embeddings.cls_token" in state else 0
    rows = [t for t in tensors.values() if t.ndim == 3 and t.shape[0] == 1 and t.shape[2] == hidden]
    tables = [t for t in rows if t is not tensors.get("backbone.embeddings.cls_token")]
    if len(tables) != 2:
        got = f"{len(tables)} tables of positions"
        raise BackboneError(name, got, "two, one for the class token and one for the patches")
    first, rest = sorted(tables, key=lambda table: table.shape[1])
    state["embeddings.position_embeddings"] = torch.cat([first, rest], dim=1)
    return state


def read_graph(path: Path) -> Graph:
    """The float tensors and the nodes of an ONNX file.

    Raises:
        BackboneError: no ONNX file, or a truncated one.
    """
    try:
        graph = next(value for number, value in _fields(memoryview(read_bytes(path))) if number == _GRAPH)
        assert isinstance(graph, memoryview)
        parts = list(_fields(graph))
        tensors = dict(_tensor(value) for number, value in parts if number == _TENSORS)  # type: ignore[arg-type]
        nodes = [_node(value) for number, value in parts if number == _NODES]  # type: ignore[arg-type]
    except (StopIteration, IndexError, ValueError, AssertionError, UnicodeDecodeError) as error:
        raise BackboneError(str(path), f"no ONNX graph ({error or 'cut short'})", "an ONNX file") from None
    return Graph({name: tensor for name, tensor in tensors.items() if tensor is not None}, nodes)


def _tensor(message: memoryview) -> tuple[str, Tensor | None]:
    name, sizes, dtype, raw = "", [], 0, memoryview(b"")
    for number, value in _fields(message):
        if number == _SIZES:
            sizes += [value] if isinstance(value, int) else _packed(value)
        elif number == _TYPE:
            dtype = value
        elif number == _NAME and isinstance(value, memoryview):
            name = bytes(value).decode()
        elif number == _RAW and isinstance(value, memoryview):
            raw = value
    if dtype != _FLOAT or not len(raw):
        return name, None
    return name, torch.frombuffer(bytearray(raw), dtype=torch.float32).view(sizes)


def _node(message: memoryview) -> tuple[str, list[str], list[str]]:
    operator, inputs, outputs = "", [], []
    for number, value in _fields(message):
        if number in (_INPUTS, _OUTPUTS, _OPERATOR) and isinstance(value, memoryview):
            text = bytes(value).decode()
            if number == _OPERATOR:
                operator = text
            else:
                (inputs if number == _INPUTS else outputs).append(text)
    return operator, inputs, outputs


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """The fields of a protobuf message: the number of each, and its value as an integer or as bytes."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        wire_type = key & 7
        if wire_type == 0:
            value, at = _varint(message, at)
            yield key >> 3, value
            continue
        if wire_type == 2:
            length, at = _varint(message, at)
        elif wire_type in (1, 5):
            length = 8 if wire_type == 1 else 4
        else:
            raise ValueError(f"wire type {wire_type}")
        if at + length > len(message):
            raise ValueError("cut short")
        yield key >> 3, message[at : at + length]
        at += length


def _packed(message: memoryview) -> list[int]:
    values, at = [], 0
    while at < len(message):
        value, at = _varint(message, at)
        values.append(value)
    return values


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at
