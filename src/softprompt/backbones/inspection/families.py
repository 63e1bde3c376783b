"""The one table of what families do that running them does not show."""

NORM_OUTSIDE = {"clip_vision_model": "post_layernorm"}
"""By model type, the norm between the last states and every use of them that the base model leaves out."""

FITS_ANY_SIZE = ("beit", "data2vec-vision")
"""Model types whose embeddings fit positions to any picture by themselves; the option differs there."""
