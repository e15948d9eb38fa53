"""What each task is asked, and how it answers: one row for each, no route of its own."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from formers.serving.tasks.media import png, wav

# Settings of `generate` that a stranger may choose; how far, `BOUNDS` says.
GENERATE = (
    *("do_sample", "early_stopping", "epsilon_cutoff", "eta_cutoff", "length_penalty", "max_length"),
    *("max_new_tokens", "min_length", "min_new_tokens", "no_repeat_ngram_size", "num_beam_groups"),
    *("num_beams", "penalty_alpha", "repetition_penalty", "temperature", "top_k", "top_p", "typical_p"),
    "use_cache",
)
# Names under which such settings come in an object of their own.
NESTED = ("generate_parameters", "generation_parameters", "generate_kwargs")
# What each number may be; those that end in tokens are bounded by `max_new_tokens` of the settings.
BOUNDS: Mapping[str, tuple[float, float]] = {
    "chunk_length_s": (1, 120),
    "doc_stride": (0, 128),
    "frame_sampling_rate": (1, 64),
    "max_answer_len": (1, 512),
    "max_question_len": (1, 128),
    "max_seq_len": (256, 8192),
    "num_beam_groups": (1, 8),
    "num_beams": (1, 8),
    "num_frames": (1, 64),
    "points_per_crop": (1, 64),
    "stride": (0, 128),
    "top_k": (1, 1 << 20),
}
TOKENS = ("max_length", "max_new_tokens", "min_length", "min_new_tokens")

Write = Callable[[Any], Any]  # what the pipeline answers -> what JSON holds, or `Blob`


@dataclass(frozen=True, slots=True)
class Blob:
    """An answer that is a file."""

    data: bytes
    kind: str


@dataclass(frozen=True)
class Form:
    """One way to ask.

    Attributes:
        takes: what `inputs` is ("text", "picture", "sound", "film"), or the fields of the object that it is,
            each of a kind: one of those, or "texts", "pictures", "sounds", "table", "boxes", "messages" (of
            texts), "chat" (of texts and pictures). Fields may stand beside `inputs`, too, which then is the
            first one.
        optional: fields that may be left out.
        parts: the fields' values -> what the pipeline is given, several of a kind where one answer is made of
            several; a list of the value itself when left out.
        write: what the pipeline answers, a list of several where there were several parts -> the answer.
        several: whether `inputs` may be a list of such, each with an answer of its own.
    """

    takes: str | Mapping[str, str]
    optional: tuple[str, ...] = ()
    parts: Callable[[Any], list[Any]] | None = None
    write: Write = lambda found: found
    several: bool = True

    @property
    def fields(self) -> Mapping[str, str]:
        """The fields by kind; one without a name where `inputs` is no object."""
        return {"": self.takes} if isinstance(self.takes, str) else self.takes


@dataclass(frozen=True)
class Row:
    """One task.

    Attributes:
        forms: ways to ask, told apart by their fields.
        parameters: keywords of the pipeline that a request may say.
        settings: whether settings of `generate` are among them, and the keyword that takes them: "" for none
            of its own, None where nothing is generated.
        defaults: of parameters, as the Hub's are.
        needed: parameters that must be said.
        renamed: parameters that the pipeline calls otherwise.
        listed: an answer is a list, whatever the pipeline makes of one.
        wrapped: the answer to one input stands in a list, as that of several.
        collapses: the pipeline answers a list of one input as that input.
        stray: parameters that clients send at the top of the body.
        shows: how the page shows an answer: "labels", "spans", "answer" (within its context), "boxes",
            "masks", "depth", "text", "chat" or "json"; files are shown as what they are.
    """

    forms: tuple[Form, ...]
    parameters: tuple[str, ...] = ()
    settings: str | None = None
    defaults: Mapping[str, Any] = field(default_factory=dict)
    needed: tuple[str, ...] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)
    listed: bool = False
    wrapped: bool = False
    collapses: bool = False
    stray: tuple[str, ...] = ()
    shows: str = "json"

    @property
    def media(self) -> bool:
        """Whether it takes pictures, films or sounds."""
        return any(is_media(kind) for form in self.forms for kind in form.fields.values())

    @property
    def file(self) -> str | None:
        """The kind of the file that alone is a request, or None."""
        found = self.forms[0].takes
        return found if isinstance(found, str) and is_media(found) else None

    @property
    def known(self) -> tuple[str, ...]:
        """Names of parameters."""
        return (*self.parameters, *(() if self.settings is None else (*GENERATE, *NESTED)))


def is_media(kind: str) -> bool:
    """Whether values of a kind are decoded from files."""
    return kind in ("picture", "pictures", "sound", "sounds", "film", "chat")


def plain(value: Any) -> Any:
    """What a pipeline answers as JSON holds it: arrays as lists, pictures as base64 of a PNG."""
    if hasattr(value, "getbands"):
        return base64.b64encode(png(value)).decode()
    if hasattr(value, "detach"):
        value = value.detach().float().cpu().numpy()
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    return value


def _pairs(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Labels beside scores as records."""
    each = zip(found["labels"], found["scores"], strict=True)
    return [{"label": label, "score": score} for label, score in each]


def cosines(found: Sequence[Any]) -> list[float]:
    """The cosine of the first vector with each of the others."""
    rows = np.stack(list(found)).astype(np.float64)
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return [float(one) for one in rows[1:] @ rows[0]]


def _chunks(found: Mapping[str, Any]) -> dict[str, Any]:
    """A transcript, with the times of its parts under the Hub's name."""
    times = [{**one, "timestamp": list(one["timestamp"])} for one in found.get("chunks", ())]
    return {**found, **({"chunks": times} if times else {})}


def _masks(found: Mapping[str, Any]) -> dict[str, Any]:
    """Masks [H, W] as pictures."""
    from formers.processing.reading import pillow

    module = pillow()
    masks = [module.fromarray(np.asarray(one).astype(np.uint8) * 255) for one in found["masks"]]
    return {**found, "masks": masks}


def _depth(found: Mapping[str, Any]) -> dict[str, Any]:
    """The picture of depths alone: a number for each pixel would be many times larger than any answer."""
    return {"depth": found["depth"]}


def _spoken(found: Mapping[str, Any]) -> Blob:
    return Blob(wav(found["audio"], int(found["sampling_rate"])), "audio/wav")


def _drawn(found: Any) -> Blob:
    return Blob(png(found), "image/png")


def _told(found: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Texts that were written, without the prompt, which may hold pictures."""
    return [{"generated_text": one["generated_text"]} for one in found]


def _talk(given: Mapping[str, Any]) -> list[Any]:
    """A conversation as messages: as it is, or as older clients say it, what was said by whom apart."""
    if "messages" in given:
        return [given["messages"]]
    said = [given.get("past_user_inputs", []), given.get("generated_responses", [])]
    turns = [
        {"role": role, "content": text}
        for pair in zip(*said, strict=False)
        for role, text in zip(("user", "assistant"), pair, strict=True)
    ]
    return [[*turns, {"role": "user", "content": given["text"]}]]


def _replied(found: Any) -> dict[str, Any]:
    return {
        "generated_text": found.generated_responses[-1],
        "conversation": {
            "past_user_inputs": found.past_user_inputs,
            "generated_responses": found.generated_responses,
        },
        "messages": found.messages,
    }


_TEXT, _PICTURE, _SOUND = Form("text"), Form("picture"), Form("sound")
_REWRITES = ("clean_up_tokenization_spaces", "truncation")
_FUNCTION = ("top_k", "function_to_apply")
_VECTORS = ("normalize", "prompt_name", "truncate", "dimensions")
_BEFORE = {"text": "text", "past_user_inputs": "texts", "generated_responses": "texts"}
_ZERO_SHOT = ("candidate_labels", "hypothesis_template")

ROWS: Mapping[str, Row] = {
    "text-classification": Row(
        (_TEXT, Form({"text": "text", "text_pair": "text"})),
        (*_FUNCTION, "truncate"),
        defaults={"top_k": None},
        renamed={"truncate": "truncation"},
        wrapped=True,
        shows="labels",
    ),
    "token-classification": Row(
        (_TEXT,),
        ("aggregation_strategy", "ignore_labels", "stride"),
        defaults={"aggregation_strategy": "simple"},
        shows="spans",
    ),
    "question-answering": Row(
        (Form({"question": "text", "context": "text"}),),
        (
            *("align_to_words", "doc_stride", "handle_impossible_answer", "max_answer_len"),
            *("max_question_len", "max_seq_len", "top_k"),
        ),
        collapses=True,
        shows="answer",
    ),
    "table-question-answering": Row(
        (Form({"query": "text", "table": "table"}),), ("padding", "sequential", "truncation"), collapses=True
    ),
    "fill-mask": Row((_TEXT,), ("targets", "top_k"), collapses=True, shows="labels"),
    "zero-shot-classification": Row(
        (Form("text", write=_pairs),),
        (*_ZERO_SHOT, "multi_label"),
        needed=("candidate_labels",),
        shows="labels",
    ),
    "feature-extraction": Row(
        (_TEXT,), ("truncate",), renamed={"truncate": "truncation"}, stray=("truncate",)
    ),
    "sentence-embeddings": Row(
        (
            _TEXT,
            Form(
                {"source_sentence": "text", "sentences": "texts"},
                parts=lambda given: [given["source_sentence"], *given["sentences"]],
                write=cosines,
            ),
        ),
        _VECTORS,
        renamed={"truncate": "truncation"},
        stray=_VECTORS,
    ),
    "text-ranking": Row(
        (Form({"query": "text", "documents": "texts"}),),
        ("top_k", "return_documents", "function_to_apply", "truncate"),
        renamed={"truncate": "truncation"},
    ),
    "summarization": Row((_TEXT,), _REWRITES, "", listed=True, shows="text"),
    "translation": Row((_TEXT,), (*_REWRITES, "src_lang", "tgt_lang"), "", listed=True, shows="text"),
    "text2text-generation": Row((_TEXT,), _REWRITES, "", listed=True, shows="text"),
    "text-generation": Row((_TEXT,), ("return_full_text",), "", listed=True),
    "conversational": Row(
        (
            Form({"messages": "messages"}, parts=_talk, write=_replied),
            Form(_BEFORE, tuple(_BEFORE)[1:], _talk, _replied),
        ),
        settings="",
        shows="chat",
    ),
    "image-classification": Row((_PICTURE,), _FUNCTION, shows="labels"),
    "video-classification": Row(
        (Form("film"),), (*_FUNCTION, "num_frames", "frame_sampling_rate"), shows="labels"
    ),
    "image-text-to-text": Row(
        (
            Form({"text": "text", "images": "pictures"}, ("images",), write=_told),
            Form({"messages": "chat"}, parts=lambda given: [given["messages"]], write=_told),
        ),
        settings="generate_kwargs",
        defaults={"return_full_text": False},
        shows="text",
    ),
    "any-to-any": Row(
        (
            Form({"text": "text", "images": "pictures", "audio": "sounds"}, ("images", "audio"), write=_told),
            Form({"messages": "chat"}, parts=lambda given: [given["messages"]], write=_told),
        ),
        settings="generate_kwargs",
        defaults={"return_full_text": False},
        shows="text",
    ),
    "image-segmentation": Row(
        (_PICTURE,),
        ("mask_threshold", "overlap_mask_area_threshold", "subtask", "threshold"),
        shows="masks",
    ),
    "object-detection": Row((_PICTURE,), ("threshold",), shows="boxes"),
    "depth-estimation": Row((Form("picture", write=_depth),), shows="depth"),
    "image-feature-extraction": Row((_PICTURE,), ("pool",)),
    "image-to-image": Row((Form("picture", write=_drawn, several=False),)),
    "image-to-text": Row(
        (_PICTURE,), ("max_new_tokens", "prompt"), "generate_kwargs", listed=True, shows="text"
    ),
    "mask-generation": Row(
        (Form("picture", write=_masks),),
        ("mask_threshold", "points_per_crop", "pred_iou_thresh", "stability_score_thresh"),
        shows="masks",
    ),
    "keypoint-matching": Row(
        (Form({"first": "picture", "second": "picture"}, parts=lambda given: [[*given.values()]]),),
        ("threshold",),
    ),
    "visual-question-answering": Row(
        (Form({"image": "picture", "question": "text"}),),
        ("top_k", "max_new_tokens"),
        shows="labels",
    ),
    "document-question-answering": Row(
        (Form({"image": "picture", "question": "text", "word_boxes": "boxes"}, optional=("word_boxes",)),),
        (
            *("doc_stride", "handle_impossible_answer", "max_answer_len", "max_question_len"),
            *("max_seq_len", "top_k", "word_boxes"),
        ),
        listed=True,
        shows="labels",
    ),
    "zero-shot-image-classification": Row(
        (_PICTURE,), _ZERO_SHOT, needed=("candidate_labels",), shows="labels"
    ),
    "zero-shot-object-detection": Row(
        (_PICTURE,),
        ("candidate_labels", "threshold", "top_k"),
        needed=("candidate_labels",),
        shows="boxes",
    ),
    "automatic-speech-recognition": Row(
        (Form("sound", write=_chunks),),
        ("chunk_length_s", "return_language", "return_timestamps"),
        "generate_kwargs",
        shows="text",
    ),
    "audio-classification": Row((_SOUND,), _FUNCTION, shows="labels"),
    "zero-shot-audio-classification": Row(
        (_SOUND,), _ZERO_SHOT, needed=("candidate_labels",), shows="labels"
    ),
    "text-to-audio": Row((Form("text", write=_spoken, several=False),), (), "generate_kwargs"),
}
