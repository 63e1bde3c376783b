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

KEY_CHOOSER = "indexer"
"""Name of the module by which an attention chooses the keys that a token attends to (DeepSeek-V3.2's)."""

PER_LAYER_INPUTS = "per_layer_inputs"
"""Argument of a stack: second embeddings of the tokens, for each layer one (Gemma 3n's and Gemma 4's)."""

CACHES = ("past_key_values", "cache_params")
"""Arguments that hold what a model has read: objects that can be marked."""

BARE_CACHES = ("past_buckets_states", "state", "mems", "cache")
"""The same as lists, tuples or dicts (Reformer's, RWKV's, XLNet's, XLM's)."""

CHOSEN_KEYS = ("index_topk", "indexer_budget")
"""Settings of a configuration: how many keys such an attention chooses."""

COMPRESSED_KEYS = "compressed_kv"
"""Attribute of a cache's layer: keys that each sum up several tokens (DeepSeek-V4's)."""

CHANGING_ROTARY = {"longrope": False, "dynamic": True}
"""Rotary embeddings that have another table for all positions beyond a length; whether for every length."""

OF_EACH_TOKEN: dict[str, int | str] = {
    "token_type_ids": 0,
    "bbox": 0,  # LayoutLM's boxes on a page
    "global_attention_mask": 0,  # Longformer's
    "xpath_tags_seq": "tag_pad_id",  # MarkupLM's paths in a page
    "xpath_subs_seq": "subs_pad_id",
}
"""Inputs of each token beside its id, and what soft tokens have there: a number, or the name of one in the
configuration, as the family itself gives to tokens without any."""

KEPT_BETWEEN_CALLS = ("rope_deltas", "recurrent_states", "conv1d_state")
"""Attributes of modules that one call writes and another reads (Qwen-VL's and GLM-4V's; RecurrentGemma's)."""

PICTURE_PARTS = ("vision_config", "vq_config")
"""Parts of a configuration that a model has which reads pictures."""

WRITTEN_TYPES = {"paligemma": 1}
"""By model type, the token type of what a model writes, where it is not that of its text."""

PICTURES_NUMBERED_APART = ("hunyuan_vl",)
"""Model types whose pictures begin at row and column 0, wherever they stand in a text."""
