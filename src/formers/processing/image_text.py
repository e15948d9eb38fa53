"""A tokenizer and an image processor as one: what prepares texts and pictures for a model of both."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

from formers.core.atomic import write_text
from formers.core.jsonfile import read_json_object
from formers.core.notices import refuse_unknown
from formers.hub import Source, split_hub_keywords
from formers.processing.auto import AutoFeatureExtractor, named_class, named_films
from formers.processing.chats import Chatting, template_beside
from formers.processing.features import BatchFeature
from formers.processing.image import OF_A_CALL, BaseImageProcessor
from formers.processing.keywords import merged
from formers.processing.own_parts import loaded_parts, own_parts, own_settings, read_beside, takes
from formers.processing.pairs import Pair
from formers.processing.reading import is_picture, listed
from formers.processing.recipes import CLASSES as IMAGE_CLASSES
from formers.processing.saving import NESTED_FILE, Saving
from formers.tokenization import load
from formers.tokenization.classes import SETTINGS, TOLERATED
from formers.tokenization.files import template_of
from formers.tokenization.options import CALL_KEYWORDS
from formers.tokenization.saving import save_templates

_TEXT = {name for name in CALL_KEYWORDS if not name.startswith("text")}
SORTED = ("text_kwargs", "images_kwargs", "common_kwargs")


class ProcessorMixin(Chatting, Saving):
    """Texts and pictures to the inputs of a model that reads both.

    A class of one's own names its parts in `attributes`, or as parameters of its `__init__`, or by classes
    (`image_processor_class = "AutoImageProcessor"`): a `tokenizer`, an `image_processor`, a
    `video_processor`, a `feature_extractor` of sounds. Other parameters of its `__init__` are settings,
    which are attributes too and go into its file. Keywords that differ from those of the parts stand in
    `text_kwargs` and `images_kwargs`.

    Args:
        *parts: in the order of `attributes`; by name too.

    Raises:
        TypeError: for a part that is missing, or is of another kind.
    """

    attributes: ClassVar[tuple[str, ...]] = ("image_processor", "tokenizer")
    text_kwargs: ClassVar[Mapping[str, Any]] = {}
    images_kwargs: ClassVar[Mapping[str, Any]] = {}
    pair: ClassVar[Pair | None] = None
    further_tokenizers: ClassVar[tuple[str, ...]] = ()  # parts whose files lie in folders of their names

    image_processor: Any
    tokenizer: Any
    _beside: Mapping[str, Any] = MappingProxyType({})  # parts in the file that nothing here reads

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        found = own_parts(cls)
        if found and "attributes" not in cls.__dict__:
            cls.attributes = found

    def __init__(self, *parts: Any, **named: Any) -> None:
        self.chat_template = template_of(named.pop("chat_template", None))
        refuse_unknown(named, self.attributes, type(self).__name__)
        named = {**dict(zip(self.attributes, parts, strict=False)), **named}
        for name in self.attributes:
            wanted = "convert_tokens_to_ids" if name == "tokenizer" else "__call__"
            if not hasattr(named.get(name), wanted):
                raise TypeError(
                    f"{type(self).__name__} takes {', '.join(self.attributes)}, but its {name} is "
                    f"{type(named.get(name)).__name__}"
                )
        for name, part in named.items():
            setattr(self, name, part)

    @property
    def model_input_names(self) -> list[str]:
        """Names of what a call may return."""
        unread = self.pair.unread if self.pair is not None else ()
        each = [one for name in self.attributes for one in getattr(self, name).model_input_names]
        each = [name for name in each if name not in unread]
        if self.pair is not None and self.pair.labels:
            return [
                *(self.image_processor.model_input_names if self.pair.labels == "alone" else each),
                "labels",
            ]
        return each

    def __getattr__(self, name: str) -> Any:
        if name.startswith("post_process") and "image_processor" in vars(self):
            return getattr(self.image_processor, name)
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    # -- calls -------------------------------------------------------------------------------------

    def __call__(self, images: Any = None, text: Any = None, **options: Any) -> BatchFeature:
        """Prepare pictures, texts, or both; films and sounds where there are parts that read them.

        Args:
            images: as the image processor takes them.
            text: as the tokenizer takes it; the two may stand in either order.
            **options: keywords of the two, which are told apart by their names; or those of one by
                themselves, `text_kwargs` and `images_kwargs`. `return_tensors` is for all. `videos` and
                `audio` are for a `video_processor` and a `feature_extractor`, with `videos_kwargs` and
                `audio_kwargs`.
                `query_images` or `visual_prompt` are pictures in place of texts, where the model reads such.

        Returns:
            What the tokenizer gives, and what the image processor gives.

        Raises:
            TypeError: for a keyword that neither takes.
            ValueError: without pictures and texts.
        """
        pair = self.pair or Pair("")
        word, values = pair.shown or ("", "")
        shown = options.pop(word, None)
        beside = read_beside(self, options)
        if beside and images is None and text is None:
            refuse_unknown(options, (*SORTED, "return_tensors"), type(self).__name__)
            return BatchFeature(beside)
        if images is None and text is None and shown is None:
            raise ValueError(f"{type(self).__name__} needs images=, text= or both")
        if text is not None and any(is_picture(one) for one in listed(text)):
            images, text = text, images  # older versions take the text first
        texts, pictures = self._told_apart(options)
        both, found = text is not None and images is not None, dict[str, Any](beside)
        if shown is not None and text is not None and not pair.queries:
            raise ValueError(f"what to look for is said by text= or shown by {word}=, not both")
        if shown is not None:  # what a picture asks for is not asked in words too
            found[values] = self.image_processor(shown, **pictures)["pixel_values"]
        elif text is not None:
            asked = _in_a_row(text) if pair.queries else text
            encoded = self.tokenizer(asked, **({**pair.beside, **texts} if both else texts))
            found |= {name: value for name, value in encoded.items() if name not in pair.unread}
            if both and pair.labels:
                found = {**(found if pair.labels == "beside" else {}), "labels": found["input_ids"]}
        if images is None and shown is None:
            known: set[str] = getattr(getattr(self, "image_processor", None), "known_settings", set)()
            # nobody reads these, but a misspelt one is no one's
            if known or "image_processor" not in self.attributes:
                known |= {*pair.pictures, *self.images_kwargs, *OF_A_CALL}
                refuse_unknown(pictures, {*known, *CALL_KEYWORDS, "images"}, type(self).__name__)
        if images is not None:
            found |= self.image_processor(images, **pictures)
        return BatchFeature(found)

    def _read(self) -> tuple[str, ...]:
        return ("images",) if "image_processor" in self.attributes else ()

    def _called(self, text: Any, call: dict[str, Any]) -> tuple[Any, list[list[tuple[int, int]]]]:
        return self(text=text, **call), [[] for _ in ([text] if isinstance(text, str) else text)]

    def _told_apart(self, options: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Keywords of the tokenizer, and of the image processor."""
        given = [dict(options.pop(name, None) or {}) for name in SORTED]
        options = {**given[2], **options}
        both = {name: options.pop(name) for name in ("return_tensors",) if name in options}
        texts = {name: options.pop(name) for name in [*options] if name in _TEXT}
        own = self.pair
        return (
            {**(own.text if own else {}), **self.text_kwargs, **both, **given[0], **texts},
            {**(own.pictures if own else {}), **self.images_kwargs, **both, **given[1], **options},
        )

    def decode(self, *args: Any, **kwargs: Any) -> Any:
        """The tokenizer's `decode`."""
        return self.tokenizer.decode(*args, **kwargs)

    def batch_decode(self, *args: Any, **kwargs: Any) -> Any:
        """The tokenizer's `batch_decode`."""
        return self.tokenizer.batch_decode(*args, **kwargs)

    def _merge_kwargs(
        self, kind: Any, tokenizer_init_kwargs: Mapping[str, Any] | None = None, **given: Any
    ) -> dict[str, Any]:
        """See `keywords.merged`; classes of packages call it by this name."""
        usual = {"text_kwargs": self.text_kwargs, "images_kwargs": self.images_kwargs}
        return merged(kind, usual, tokenizer_init_kwargs, **given)

    # -- files -------------------------------------------------------------------------------------

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, **options: Any) -> Any:
        """Load the parts that lie in a folder or under a Hub id.

        Args:
            pretrained_model_name_or_path: folder, or `owner/name`.
            options: Hub keywords, and settings of the parts, which win over the files.

        Raises:
            OSError: when the files of a part are missing.
            TypeError: for a keyword that is none of these.
        """
        hub, rest = split_hub_keywords(options)
        for name in ("use_fast", "trust_remote_code", "config"):
            rest.pop(name, None)
        told = {name: rest.pop(name) for name in [*rest] if name in SETTINGS or name in TOLERATED}
        source = Source.of(pretrained_model_name_or_path, **hub)
        path = source.find(NESTED_FILE)
        said = {} if path is None else read_json_object(path)
        parts: dict[str, Any] = {
            **cls._own_settings(said, rest),
            "chat_template": template_beside(source, said),
        }
        if cls.pair is None:
            parts |= loaded_parts(cls, pretrained_model_name_or_path, hub, rest)
        elif "image_processor" in cls.attributes:
            parts["image_processor"] = cls._image_processor(pretrained_model_name_or_path, {**hub, **rest})
        for name in ("feature_extractor", "audio_processor") if cls.pair is not None else ():
            if name in cls.attributes:
                known = (
                    rest if name == "feature_extractor" else {}
                )  # beside pictures, whose settings those are
                parts[name] = AutoFeatureExtractor.from_pretrained(
                    pretrained_model_name_or_path, **hub, **known
                )
        if "video_processor" in cls.attributes and cls.pair is not None:
            films = named_films(f"{cls.pair.films}VideoProcessor")
            known = {name: rest[name] for name in [*rest] if name in films.known_settings()}
            parts["video_processor"] = films.from_pretrained(pretrained_model_name_or_path, **hub, **known)
        if "tokenizer" in cls.attributes:
            parts["tokenizer"] = load(pretrained_model_name_or_path, **hub, **told)
            if parts["chat_template"] is None:
                parts["chat_template"] = parts["tokenizer"].chat_template
        for name in cls.further_tokenizers:
            where = "/".join(one for one in (hub.get("subfolder"), name) if one)
            parts[name] = load(pretrained_model_name_or_path, **{**hub, "subfolder": where}, **told)
        own = None if takes(cls, "chat_template") else parts.pop("chat_template")
        made = cls(**parts)
        if own is not None:
            made.chat_template = own
        made._beside = {
            name: part for name, part in said.items() if isinstance(part, dict) and name not in parts
        }
        return made

    @classmethod
    def _own_settings(cls, said: Mapping[str, Any], options: dict[str, Any]) -> dict[str, Any]:
        """What the processor keeps beside its parts, by a file or, taken out of them, a caller's options."""
        found = {name: said[name] for name in own_settings(cls) if name in said}
        return found | {name: options.pop(name) for name in own_settings(cls) if name in options}

    @classmethod
    def _image_processor(cls, name: Any, options: dict[str, Any]) -> Any:
        assert cls.pair is not None
        values, rest = BaseImageProcessor.get_image_processor_dict(name, **options)
        said = values.get("image_processor_type") or values.get("feature_extractor_type")
        family = said if said in IMAGE_CLASSES else f"{cls.pair.images}ImageProcessor"
        return named_class(family).from_dict(values, **rest)

    def to_dict(self) -> dict[str, Any]:
        """The settings of the image processor, and the name of the class; tokenizers have own files."""
        parts = {name: getattr(self, name) for name in self.attributes if not name.endswith("tokenizer")}
        kept = {name: part.to_dict() for name, part in parts.items()}
        settings = {name: getattr(self, name) for name in own_settings(type(self)) if hasattr(self, name)}
        return {**self._beside, **settings, **kept, "processor_class": type(self).__name__}

    def to_json_string(self) -> str:
        """`to_dict` as JSON, sorted."""
        return json.dumps(self.to_dict(), indent=2, sort_keys=True) + "\n"

    def written(self, folder: Path) -> list[str]:
        """Write the tokenizer's files and `processor_config.json`."""
        files: list[str] = []
        if "tokenizer" in self.attributes:
            self.tokenizer.init_kwargs["processor_class"] = type(self).__name__
            files += self.tokenizer.save_pretrained(folder)
        for name in self.further_tokenizers:
            files += getattr(self, name).save_pretrained(folder / name)
        if self.chat_template is not None:
            files += [str(one) for one in save_templates(self.chat_template, folder)]
        write_text(folder / NESTED_FILE, self.to_json_string())
        return [*files, str(folder / NESTED_FILE)]

    def __repr__(self) -> str:
        parts = "\n".join(f"- {name}: {getattr(self, name)!r}" for name in self.attributes)
        return f"{type(self).__name__}:\n{parts}\n"


def _in_a_row(text: Any) -> Any:
    """The texts of all pictures, one picture's after the other's, as many of each."""
    if isinstance(text, str) or not any(isinstance(one, (list, tuple)) for one in text):
        return text
    if any(isinstance(one, str) for one in text):
        raise TypeError("text is one text, a list of texts, or a list of such lists, one for each picture")
    most = max(len(one) for one in text)
    return [each for one in text for each in [*one, *[" "] * (most - len(one))]]
