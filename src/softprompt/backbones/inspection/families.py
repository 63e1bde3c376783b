"""The one table of what families do that running them does not show: names, by which such parts are found."""

VISION_FAMILIES = "ViT, DeiT, DINOv2, BEiT, MAE, CLIP, SigLIP or Swin"
"""Families that read pictures and are known to work, for errors."""

NORM_OUTSIDE = {"clip_vision_model": "post_layernorm"}
"""By model type, the norm that the base model leaves out although every use of its last states needs it."""

NORM_BEFORE_LAYERS = "pre"
"""How the name of a norm begins that comes before the layers (CLIP's `pre_layrnorm`)."""

FITS_ANY_SIZE = ("beit", "data2vec-vision")
"""Model types that interpolate position embeddings by themselves; others take an option for it."""

VISION_POOLERS = ("pooler", "head")
"""Modules of a base model that run after its last states; SigLIP's pooler is called `head`."""

PATCH_MASKING = "random_masking"
"""Method by which an encoder drops patches (MAE's)."""

RELATIVE_POSITIONS = ("relative_attention_bias", "rel_embeddings")
"""Tables of relative positions, which bound no length (T5's and MPNet's, DeBERTa's)."""

LOGIT_STEPS = (
    ("logit_scale", "multiply"),  # Cohere
    ("lm_head_multiplier", "multiply"),  # Falcon-H1
    ("logits_scaling", "divide"),  # Granite
    ("final_logit_softcapping", "cap"),  # Gemma
)
"""Settings of a configuration that change the output of the vocabulary matrix, and the step of each."""

LOGIT_BIAS = "final_logits_bias"
"""Buffer that is added to the logits (BART's)."""

CHANGING_ROTARY = ("longrope", "dynamic")
"""Rotary embeddings that are another table for every token of a row beyond a length."""

KEPT_BETWEEN_CALLS = ("rope_deltas",)
"""Attributes of modules that one call writes and another reads (Qwen-VL's, GLM-4V's)."""

PER_LAYER_INPUTS = "per_layer_inputs"
"""Keyword of vectors that enter each layer beside the states (Gemma-4's), made of words by a method."""

PICTURE_PARTS = ("vision_config", "vq_config")
"""Parts of a configuration that a model has which reads pictures."""

WRITTEN_TYPES = {"paligemma": 1}
"""By model type, the token type of what a model writes, where it is not that of its text."""

PICTURES_NUMBERED_APART = ("hunyuan_vl",)
"""Model types whose pictures begin at row and column 0, wherever they stand in a text."""
