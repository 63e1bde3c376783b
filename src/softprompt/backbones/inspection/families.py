"""The one table of what families do that running them does not show: names, by which such parts are found."""

CHANNELS = ("num_channels", "in_channels", "in_chans", "num_input_channels")
"""What configurations call the number of a picture's channels."""

NORM_OUTSIDE = {"clip_vision_model": "post_layernorm"}
"""By model type, the norm that the base model leaves out although every use of its last states needs it."""

NORM_BEFORE_LAYERS = "pre"
"""How the name of a norm begins that comes before the layers (CLIP's `pre_layrnorm`)."""

CLASS_TOKEN = "cls_token"
"""Parameter of a hierarchical model that puts a class token before its last stage (PVT)."""

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
