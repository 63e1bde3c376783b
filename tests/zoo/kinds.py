"""The kinds of models in the zoo. Each has a table in docs/families.md and a file of it beside this one."""

from zoo import causal, picture_text
from zoo.outcomes import Kind

KINDS: dict[str, Kind] = {"causal": causal.KIND, "picture-text": picture_text.KIND}
