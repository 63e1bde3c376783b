"""The kinds of models in the zoo. Each has a table in docs/families.md and a file of it beside this one."""

from zoo import causal, masked, picture_text, seq2seq, vision
from zoo.outcomes import Kind

KINDS: dict[str, Kind] = {
    "causal": causal.KIND,
    "masked": masked.KIND,
    "seq2seq": seq2seq.KIND,
    "vision": vision.KIND,
    "picture-text": picture_text.KIND,
}
