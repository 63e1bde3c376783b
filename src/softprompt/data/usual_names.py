"""The names that columns and fields usually have, by what they hold."""

from collections.abc import Mapping

ROLES: Mapping[str, tuple[str, ...]] = {
    "text": (
        "text", "sentence", "review", "content", "comment", "tweet", "utterance", "message", "query",
        "headline", "title", "question", "document", "body", "subject",
    ),
    "label": (
        "label", "labels", "class", "category", "intent", "sentiment", "target", "topic", "gold_label",
        "label_name", "label_desc", "emotion", "rating", "stars", "score", "object",
    ),
    "words": ("words", "tokens"),
    "tags": ("tags", "ner_tags", "labels", "ner", "tag"),
    "question": ("question", "query"),
    "context": ("context", "passage", "paragraph"),
    "answers": ("answers", "answer"),
    "image": ("image", "picture", "image_path", "file_name", "filename", "file", "path", "img"),
    "messages": ("messages", "conversation", "conversations"),
}  # fmt: skip
"""The names under which the columns of a role are usual."""

TWO_TEXTS = (
    ("premise", "hypothesis"), ("sentence1", "sentence2"), ("sentence_a", "sentence_b"), ("text1", "text2"),
    ("text_a", "text_b"), ("question1", "question2"), ("question", "sentence"), ("question", "passage"),
    ("text", "second"),
)  # fmt: skip

SOURCE_AND_TARGET = (
    ("source", "target"), ("input", "output"), ("instruction", "output"), ("instruction", "response"),
    ("prompt", "completion"), ("prompt", "response"), ("query", "response"), ("question", "answer"),
    ("document", "summary"), ("article", "summary"), ("article", "highlights"), ("dialogue", "summary"),
    ("text", "summary"), ("content", "summary"), ("text", "headline"), ("src", "tgt"), ("input", "target"),
    ("input", "response"), ("text", "target"),
)  # fmt: skip
