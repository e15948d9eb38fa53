"""The tokenizer: its documented methods, over the parts that do the work."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from formers.core.notices import notice, refuse_or_leave_out, refuse_unknown
from formers.core.overriding import overridden
from formers.hub import PUSH_KEYWORDS, Pushable, push_saved
from formers.tokenization import by_hand, chat, classes, components, files, saving, special
from formers.tokenization.decoder import Decoder, clean_up, ids_of
from formers.tokenization.encoder import Encoder, Ragged, RenderedChat
from formers.tokenization.encoding import BatchEncoding
from formers.tokenization.file_rows import BERT_INPUTS, PLAIN_INPUTS
from formers.tokenization.framing import FrameMethods
from formers.tokenization.kinds import methods_of
from formers.tokenization.legacy import OlderCalls
from formers.tokenization.options import (
    LARGEST_LIMIT,
    NO_LIMIT,
    EncodeOptions,
    PaddingStrategy,
    TensorType,
    TruncationStrategy,
    check_side,
    refuse_call_keywords,
)
from formers.tokenization.padding import Filling, pad_encoded
from formers.tokenization.recipe import Recipe
from formers.tokenization.recipes import CLASSES, RECIPES, limit_of
from formers.tokenization.special import Token, added_token
from formers.tokenization.tokens import TokenMethods
from formers.tokenization.vocabulary import Vocabulary

if TYPE_CHECKING:
    from tokenizers import AddedToken, Tokenizer


class PreTrainedTokenizerFast(TokenMethods, FrameMethods, OlderCalls, Pushable):
    """Text to ids and back.

    Built from a checkpoint with `from_pretrained`, or directly:

        PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="[PAD]")
        PreTrainedTokenizerFast(tokenizer_file="tokenizer.json")
        BertTokenizer(vocab_file="vocab.txt")          # a named class knows how to read its vocabulary files
        GPT2Tokenizer(vocab_file="vocab.json", merges_file="merges.txt")
        BertTokenizer(vocab={"[PAD]": 0, ...})

    What `tokenizer.json` says is the truth: a class or a setting that was saved beside it never changes
    ids. A setting that the caller passes does.

    Args:
        *args: the vocabulary and the merges, as files or as values, as the named classes take them.
        vocab: tokens by id (a dictionary or list), or (token, score) pairs.
        merges: the merges of a byte-pair vocabulary, as pairs or "left right" strings.
        vocab_file: the vocabulary file of a named class.
        merges_file: the merges file of a named class.
        spm_file: the SentencePiece model of a named class whose ids another file says.
        source_spm: likewise, of a class whose texts and targets are cut by models of their own.
        target_spm: the one of targets.
        target_vocab_file: the ids of targets, where they are not those of texts.
        src_vocab_file: the ids of texts of a class whose texts and targets have a vocabulary each.
        tgt_vocab_file: likewise of targets.
        emoji_file: the emoji of a named class that has tokens for them.
        entity_vocab_file: the ids of entities of a named class that reads them too.
        normalizer_file: spellings that a named class compares texts by.
        tokenizer_file: a `tokenizer.json`.
        tokenizer_object: a `tokenizers.Tokenizer`, which is copied.
        **settings: special tokens (`pad_token`, ...) and settings (`model_max_length`, `padding_side`, ...).

    Raises:
        TypeError: for an unknown keyword, or when nothing says what the vocabulary is.
    """

    recipe: ClassVar[Recipe | None] = None
    _saving_keywords = ("legacy_format", "filename_prefix", "save_jinja_files")
    slow_tokenizer_class: ClassVar[Any] = None
    vocab_files_names: ClassVar[dict[str, str]] = {}
    padding_side: str = "right"
    truncation_side: str = "right"
    model_input_names: list[str] = list(PLAIN_INPUTS)  # noqa: RUF012

    def __init__(
        self,
        *args: Any,
        vocab: Any = None,
        merges: Any = None,
        vocab_file: str | os.PathLike[str] | None = None,
        merges_file: str | os.PathLike[str] | None = None,
        spm_file: str | os.PathLike[str] | None = None,
        source_spm: str | os.PathLike[str] | None = None,
        target_spm: str | os.PathLike[str] | None = None,
        target_vocab_file: str | os.PathLike[str] | None = None,
        src_vocab_file: str | os.PathLike[str] | None = None,
        tgt_vocab_file: str | os.PathLike[str] | None = None,
        emoji_file: str | os.PathLike[str] | None = None,
        entity_vocab_file: str | os.PathLike[str] | None = None,
        normalizer_file: str | os.PathLike[str] | None = None,
        tokenizer_file: str | os.PathLike[str] | None = None,
        tokenizer_object: Tokenizer | None = None,
        **settings: Any,
    ) -> None:
        named = {name: value for name, value in locals().items() if name in classes.SOURCES}
        name = type(self).__name__
        order = ("vocab", "merges") if self.recipe is None else self.recipe.order
        given = classes.sources(args, named, name, order)
        settings |= {name: given.pop(name) for name in set(given) - set(classes.SOURCES)}
        whole = "tokenizer_object" in given or "tokenizer_file" in given
        cuts = not whole and overridden(type(self), PreTrainedTokenizerFast, "_tokenize")
        own = dict(vars(self)) if cuts else {}  # what a constructor written by hand set up before
        if not cuts:
            sources = (*classes.SOURCES, *classes.SETTINGS)
            settings = classes.checked(settings, sources, f"{name}()", self.recipe)
        backend = by_hand.backend_of(self, settings) if cuts else self._backend(given, settings)
        recorded = settings.pop("added_tokens_decoder", {})
        added = {int(index): added_token(token) for index, token in recorded.items()}
        self._given = {} if cuts else given
        self._settle(backend, settings, settings, added, from_file="tokenizer_file" in given)
        if cuts:
            vars(self).update(own)
            self._decoder = by_hand.begin(self, self._vocabulary, self._tokenize, PreTrainedTokenizerFast)

    @classmethod
    def _backend(cls, given: Mapping[str, Any], settings: Mapping[str, Any]) -> Tokenizer:
        """Make the backend from the first of the sources that is given."""
        from tokenizers import Tokenizer

        if "tokenizer_object" in given:
            # Copied, so that what is added here is not added to the caller's.
            if not isinstance(given["tokenizer_object"], Tokenizer):
                kind = type(given["tokenizer_object"]).__name__
                raise TypeError(f"tokenizer_object must be a tokenizers.Tokenizer, but is a {kind}")
            return Tokenizer.from_str(given["tokenizer_object"].to_str())
        if "tokenizer_file" in given:
            return files.open_tokenizer(Path(given["tokenizer_file"]))
        if given and not (cls.recipe and cls.recipe.kind):
            raise TypeError(
                f"{cls.__name__} does not know how to read {sorted(given)}: use the class of the "
                f"vocabulary, one of {[f'{name}Tokenizer' for name, row in RECIPES.items() if row.kind]}, or "
                "pass tokenizer_file= or tokenizer_object="
            )
        if cls.recipe is None or not (given or (cls.recipe.kind and not cls.recipe.files)):
            wanted = [*(() if cls.recipe is None else (*cls.recipe.files, "vocab"))]
            raise TypeError(
                f"{cls.__name__}() needs a vocabulary: pass one of "
                f"{[*wanted, 'tokenizer_file', 'tokenizer_object']}, or load a checkpoint with "
                f"{cls.__name__}.from_pretrained(name)"
            )
        from formers.tokenization import builders

        return builders.build(cls.recipe, given, settings, cls.__name__)

    def _settle(
        self,
        backend: Tokenizer,
        settings: Mapping[str, Any],
        explicit: Mapping[str, Any],
        added: Mapping[int, AddedToken],
        *,
        from_file: bool,
        saved: Mapping[str, Any] = {},  # noqa: B006
        origin: saving.Origin = saving.Origin(),  # noqa: B008
    ) -> None:
        """Make the parts, and take over the settings: the `saved` ones, and the caller's in their place.

        Those of the caller are `explicit`: they may change what a tokenizer.json says (`from_file`).
        """
        recipe = self.recipe
        self.vocab_file = str(self._given.get("vocab_file") or "") or None
        vocabulary = self._vocabulary = Vocabulary(backend)
        self._encoder, self._decoder = Encoder(vocabulary), Decoder(vocabulary)
        self.init_inputs: tuple[Any, ...] = ()
        self.init_kwargs: dict[str, Any] = dict(settings)
        self.name_or_path = str(settings.get("name_or_path", ""))
        limit = settings.get("model_max_length", settings.get("max_len"))
        self.model_max_length = NO_LIMIT if limit is None else int(limit)
        side = settings.get("padding_side") or vocabulary.file_padding.get("direction")
        side = side or self._said_by_class("padding_side")
        guessed: dict[str, Any] = {} if side or recipe else {"padding_side": "right"}
        self.padding_side = check_side(side or "right", "padding_side")
        side = settings.get("truncation_side") or vocabulary.file_truncation.get("direction")
        self.truncation_side = check_side(side or "right", "truncation_side")
        self.pad_token_type_id = int(settings.get("pad_token_type_id") or 0)
        cleans = settings.get("clean_up_tokenization_spaces")
        usual = {} if recipe is None else recipe.attributes
        cleans = usual.get("clean_up_tokenization_spaces") if cleans is None else cleans
        self.clean_up_tokenization_spaces = bool(cleans)
        self.split_special_tokens = bool(settings.get("split_special_tokens") or False)
        self.chat_template = files.template_of(settings.get("chat_template"))
        self._special = special.find(settings, recipe, vocabulary, from_file)
        self._add_recorded(added)
        registered = self.added_tokens_encoder
        self._add_special([token for token in self._special.every() if str(token) not in registered])
        if from_file:
            components.apply(backend, explicit)
            self._notice_disagreement()
        ends = {name: explicit.get(f"add_{name}_token") for name in ("bos", "eos")}
        if any(end is not None for end in ends.values()) and (from_file or recipe is None):
            self._surround(**ends)
        if from_file:
            swapped = {name: getattr(self, name) for name in ("cls_token", "sep_token") if explicit.get(name)}
            if swapped:
                components.reframe(backend, special.find(saved, recipe, vocabulary, True).named, swapped)
        inputs = settings.get("model_input_names") or self._said_by_class("model_input_names")
        if inputs is None:
            # releases that name this class have no token types where nothing says so
            types = origin.class_name != "TokenizersBackend" and components.gives_token_types(backend)
            inputs = BERT_INPUTS if types else PLAIN_INPUTS
            guessed["model_input_names"] = list(inputs)
        self.model_input_names = list(inputs)
        self._origin = saving.Origin(origin.file, origin.class_name, guessed)
        self._begin()

    def _begin(self) -> None:
        """What a kind of tokenizer does once its parts and settings are there."""

    def _said_by_class(self, name: str) -> Any:
        """The value of a class attribute where a named class, or one of the caller's, says it."""
        value = getattr(type(self), name)
        return None if value is vars(PreTrainedTokenizerFast)[name] else value

    def _add_recorded(self, added: Mapping[int, AddedToken]) -> None:
        """Add the tokens that were saved beside the vocabulary, and notice ids that are not theirs."""
        for index, token in sorted(added.items()):
            if self._vocabulary.id_of(token.content) is None:
                self.add_tokens([token], special_tokens=token.special)
            present = self._vocabulary.id_of(token.content)
            if present != index:
                notice(
                    f"{files.CONFIG} of {self.name_or_path or 'this tokenizer'} gives the added token "
                    f"{token.content!r} the id {index}, its vocabulary gives {present}: {present} is used",
                )

    def _notice_disagreement(self) -> None:
        saved = self.init_kwargs.get("do_lower_case")
        for lowercases in components.lowercases(self._vocabulary.backend) if saved is not None else ():
            if lowercases != bool(saved):
                notice(
                    f"{self.name_or_path}: tokenizer_config.json says do_lower_case={saved}, "
                    f"tokenizer.json lowercases: {lowercases}. tokenizer.json is used; pass "
                    "do_lower_case= to choose",
                )

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | os.PathLike[str],
        *init_inputs: Any,
        token_limit: Callable[[Mapping[str, Any]], int | None] = limit_of,
        **kwargs: Any,
    ) -> PreTrainedTokenizerFast:
        """Load the tokenizer of a checkpoint.

        Args:
            pretrained_model_name_or_path: a folder, a name on the Hub, or a `tokenizer.json`.
            *init_inputs: nothing; kept for scripts that pass an empty tuple.
            token_limit: says how many tokens the model of a config.json takes, for a checkpoint whose
                tokenizer records no limit.
            **kwargs: `revision`, `subfolder`, `token`, `cache_dir`, `local_files_only`, `force_download`,
                `proxies`; special tokens and settings that take the place of the saved ones; `use_fast`.

        Raises:
            OSError: when there is no tokenizer under that name.
            TypeError: for an unknown keyword.
        """
        if init_inputs:
            raise TypeError(f"from_pretrained takes one name and keywords, but got also {init_inputs!r}")
        path = Path(pretrained_model_name_or_path)
        if overridden(cls, PreTrainedTokenizerFast, "_tokenize"):
            return by_hand.load(cls, pretrained_model_name_or_path, kwargs)  # type: ignore[no-any-return]  # of that class
        if path.is_file() and path.suffix == ".json":
            return cls(tokenizer_file=path, **kwargs)
        found, explicit = classes.find(pretrained_model_name_or_path, kwargs, cls.__name__, cls.recipe)
        if cls is PreTrainedTokenizerFast:
            own = classes.own_class(found)
            if own is not None:
                return own.from_pretrained(pretrained_model_name_or_path, **kwargs)  # type: ignore[no-any-return]  # a class of the person's own
            recipe = classes.class_for(found, explicit)
            cls = cls if recipe is None else named_class(f"{recipe}Tokenizer")
            classes.refuse_others(explicit, cls.recipe, f"{cls.__name__}.from_pretrained()")
        else:
            classes.notice_other_class(found, cls.recipe, cls.__name__)
        return cls._from_files(found, explicit, token_limit(found.model))

    @classmethod
    def _from_files(
        cls, found: files.Files, explicit: Mapping[str, Any], limit: int | None
    ) -> PreTrainedTokenizerFast:
        settings = {**found.config, **explicit, "name_or_path": found.name}
        if "chat_template" not in explicit:
            settings["chat_template"] = found.template
        recorded = settings.get("model_max_length")
        if limit is not None and (not recorded or int(recorded) > LARGEST_LIMIT):
            settings["model_max_length"] = limit
        from_file = found.tokenizer is not None or found.backend is not None
        given = {"tokenizer_file": found.tokenizer} if found.tokenizer is not None else found.vocabulary
        backend = found.backend if found.backend is not None else cls._backend(given, settings)
        if cls.__init__ is PreTrainedTokenizerFast.__init__:
            self = cls.__new__(cls)
        else:
            # A class of the caller's may set up more than this one does.
            given = {key: value for key, value in settings.items() if classes.is_setting(key, cls.recipe)}
            self = cls(tokenizer_object=backend, **given)
        self._given = found.vocabulary
        origin = saving.Origin(found.tokenizer, found.config.get("tokenizer_class"))
        saved = found.config
        self._settle(
            backend, settings, explicit, found.added, from_file=from_file, saved=saved, origin=origin
        )
        return self

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        """Join tokens to the text that they stand for."""
        return self._reader(source=False).join(tokens)

    def decode(
        self,
        token_ids: Any,
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
        **kwargs: Any,
    ) -> Any:
        """Turn ids back into text.

        Args:
            token_ids: an int; a list, array or tensor [T] of int; a batch of those [B, T]; or an encoding.
            skip_special_tokens: whether to leave special tokens out.
            clean_up_tokenization_spaces: whether to remove spaces before punctuation; None takes the
                tokenizer's setting.
            **kwargs: `use_source_tokenizer` and `spaces_between_special_tokens`, which older tokenizers that
                were written in Python heed, and nothing else.

        Returns:
            A string, or a list of strings for a batch.

        Raises:
            ValueError: when an id is negative, as ignored labels (-100) are.
        """
        words = ("use_source_tokenizer", "spaces_between_special_tokens")
        refuse_unknown(kwargs, (*words, "skip_special_tokens", "clean_up_tokenization_spaces"), "decode()")
        return self._reader(bool(kwargs.get("use_source_tokenizer"))).decode(
            token_ids,
            skip_special_tokens,
            clean_up_tokenization_spaces,
            self.clean_up_tokenization_spaces,
            self.clean_up_tokenization,
        )

    def _reader(self, source: bool) -> Decoder:
        """What reads ids: those of a `source`, or those that a model writes."""
        return self._decoder

    def batch_decode(
        self,
        sequences: Any,
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """Turn a batch of ids [B, T] back into texts; a flat list [T] gives one text per id.

        The arguments are those of `decode`.
        """
        rows = ids_of(sequences)
        ids = [[row] if isinstance(row, int) else row for row in ([rows] if isinstance(rows, int) else rows)]
        found = self.decode(ids, skip_special_tokens, clean_up_tokenization_spaces, **kwargs) if ids else []
        return list(found)

    @staticmethod
    def clean_up_tokenization(text: str) -> str:
        """Remove the spaces that splitting English put before punctuation and contractions."""
        return clean_up(text)

    # text to ids

    def __call__(
        self,
        text: Any = None,
        text_pair: Any = None,
        text_target: Any = None,
        text_pair_target: Any = None,
        add_special_tokens: bool = True,
        padding: bool | str | PaddingStrategy = False,
        truncation: bool | str | TruncationStrategy | None = None,
        max_length: int | None = None,
        stride: int = 0,
        is_split_into_words: bool = False,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        return_tensors: str | TensorType | None = None,
        return_token_type_ids: bool | None = None,
        return_attention_mask: bool | None = None,
        return_overflowing_tokens: bool = False,
        return_special_tokens_mask: bool = False,
        return_offsets_mapping: bool = False,
        return_length: bool = False,
        verbose: bool = True,
        split_special_tokens: bool | None = None,
        **kwargs: Any,
    ) -> BatchEncoding:
        """Turn text into the inputs of a model.

        Args:
            text: a string; a list of strings; with `is_split_into_words` a list of words or a list of those.
            text_pair: the second sequence(s), shaped as `text`.
            text_target: text whose ids are returned as `labels`.
            text_pair_target: the second sequence(s) of the targets.
            add_special_tokens: whether to add what the model expects around a text. The string that
                `apply_chat_template` wrote has them already and never gets them twice.
            padding: True or "longest" pads to the longest row, "max_length" to `max_length` (or the model's
                limit), False or "do_not_pad" not at all.
            truncation: True or "longest_first" cuts rows above `max_length` (or the model's limit),
                "only_first" and "only_second" cut one sequence of a pair, False or "do_not_truncate" none.
                None cuts when `max_length` is given and nothing is padded.
            max_length: in tokens, special tokens included.
            stride: tokens that a piece repeats of the one before, with `return_overflowing_tokens`.
            is_split_into_words: whether a list of strings is one text, split into words.
            pad_to_multiple_of: pad further, to a multiple of so many tokens.
            padding_side: "left" or "right"; None takes the tokenizer's.
            return_tensors: "pt", "np", or None for lists.
            return_token_type_ids: None returns them when the model takes them.
            return_attention_mask: None returns it when the model takes it.
            return_overflowing_tokens: whether what was cut comes back as more rows, with
                `overflow_to_sample_mapping` saying which text each row is of.
            return_special_tokens_mask: whether to return 1 for special tokens and 0 for others.
            return_offsets_mapping: whether to return (start, end) characters of each token.
            return_length: whether to return the length of each row.
            verbose: False keeps notices silent.
            split_special_tokens: whether special tokens in the text are treated as plain text.
            **kwargs: `pad_to_max_length`, the oldest name of padding="max_length"; others are refused.

        Returns:
            A BatchEncoding of lists, or of int64 tensors [B, T].

        Raises:
            TypeError: for an unknown keyword, an input that is not text, or a length that is not a whole
                number.
            ValueError: for rows of different lengths with `return_tensors` and without padding, and for a
                `stride` that leaves no room to cut.
        """
        # Every keyword of a call is a field of the options.
        options = EncodeOptions.of(self, locals())
        if kwargs:
            refuse_call_keywords(kwargs, f"{type(self).__name__}()")
        if text is None and text_target is None:
            raise ValueError("a tokenizer needs `text` or `text_target`, but both are None")
        if text_target is None:
            return self._encode(text, text_pair, options)
        with self.as_target_tokenizer():
            targets = self._encode(text_target, text_pair_target, options)
        if text is None:
            return targets
        inputs = self._encode(text, text_pair, options)
        inputs["labels"] = targets["input_ids"]
        return inputs

    def _encode(self, text: Any, pair: Any, options: EncodeOptions) -> BatchEncoding:
        return self._encoder.encode(text, pair, options, self.model_max_length, self._filling)

    def _filling(self) -> Filling:
        """Return what rows are padded with.

        Raises:
            ValueError: when there is neither a padding token nor an end token to take its place.
        """
        token, index = self.pad_token, self.pad_token_id
        if index is None:
            token, index = self.eos_token, self.eos_token_id
            if index is None:
                raise ValueError(
                    "asked to pad, but this tokenizer has no pad_token, and no eos_token that could take its "
                    "place. Name one that the vocabulary has (tokenizer.pad_token = '...'), or add one and "
                    "grow the model: tokenizer.add_special_tokens({'pad_token': '[PAD]'}); "
                    "model.resize_token_embeddings(len(tokenizer))"
                )
            notice(
                f"this tokenizer has no pad_token: padding with its eos_token {token!r}, which the "
                "attention mask hides. Set tokenizer.pad_token to choose another",
                key="tokenizer pads with eos",
            )
        return Filling(str(token), index, self.pad_token_type_id, self.model_input_names[0])

    def encode_ragged(
        self,
        texts: Sequence[str],
        *,
        pairs: Sequence[str] | None = None,
        max_length: int | None = None,
        truncation: bool | str | TruncationStrategy = True,
        add_special_tokens: bool = True,
    ) -> Ragged:
        """Encode a batch without padding, for callers that lay rows out themselves.

        Args:
            texts: the texts.
            pairs: the second sequence of each text.
            max_length: in tokens; None takes the model's limit.
            truncation: as in a call; False cuts nothing.
            add_special_tokens: as in a call.

        Returns:
            The rows, their lengths, and how many tokens each text lost.
        """
        options = EncodeOptions.of(self, {**locals(), "verbose": False})
        return self._encoder.ragged(list(texts), None if pairs is None else list(pairs), options)

    def tokenize(
        self, text: str, pair: str | None = None, add_special_tokens: bool = False, **kwargs: Any
    ) -> list[str]:
        """Split a text into tokens, as strings; other keywords are those of a call."""
        found = self(text, pair, add_special_tokens=add_special_tokens, **kwargs)
        return found.tokens() if found.encodings else []

    def encode(self, text: Any, text_pair: Any = None, add_special_tokens: bool = True, **kwargs: Any) -> Any:
        """Return the ids of a text (or the tensor [1, T] with `return_tensors`); a list of lists for a batch.

        `text` may also be ids, around which the special tokens are put. Other keywords are those of a call.
        """
        if isinstance(text, (list, tuple)) and text and isinstance(text[0], int):
            refuse_unknown(kwargs, (), "encode() of ids")
            if add_special_tokens:
                return self.build_inputs_with_special_tokens(list(text), text_pair)
            return [*text, *(text_pair or ())]
        return self(text, text_pair, add_special_tokens=add_special_tokens, **kwargs)["input_ids"]

    def around(
        self, ids: list[int], pair_ids: list[int] | None = None
    ) -> tuple[list[int], list[int], list[int]]:
        """Put the special tokens of the model around one or two rows of ids.

        Returns:
            The ids, the token type of each, and 1 for each special token; lists of one length.
        """
        return self._encoder.around(ids, pair_ids)

    def pad(
        self,
        encoded_inputs: Any,
        padding: bool | str | PaddingStrategy = True,
        max_length: int | None = None,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        return_attention_mask: bool | None = None,
        return_tensors: str | TensorType | None = None,
        verbose: bool = True,
    ) -> BatchEncoding:
        """Pad rows that were encoded before to one length.

        Args:
            encoded_inputs: a dictionary of rows, a list of dictionaries of one row each, or a BatchEncoding;
                rows are lists, arrays or tensors. Columns other than those a tokenizer makes are kept as
                they are and must be of one length per batch.
            padding: as in a call.
            max_length: as in a call; rows that are longer are left as they are.
            pad_to_multiple_of: as in a call.
            padding_side: as in a call.
            return_attention_mask: None returns it when the model takes it.
            return_tensors: "pt", "np", or None for what the rows are made of.
            verbose: False keeps notices silent.

        Returns:
            The padded columns, [B, T]; for one row that was not in a batch, [T].
        """
        options = EncodeOptions.of(self, {**locals(), "truncation": False})
        return pad_encoded(encoded_inputs, options, self.model_input_names[0], self._filling)

    # conversations

    def apply_chat_template(
        self,
        conversation: Any,
        tools: Sequence[Any] | None = None,
        documents: Sequence[Mapping[str, str]] | None = None,
        chat_template: str | None = None,
        add_generation_prompt: bool = False,
        continue_final_message: bool | str = False,
        tokenize: bool = True,
        padding: Any = False,
        truncation: Any = False,
        max_length: int | None = None,
        return_tensors: Any = None,
        return_dict: bool = True,
        return_assistant_tokens_mask: bool = False,
        tokenizer_kwargs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> Any:
        """Write a conversation as the model was trained to read it.

        Args:
            conversation: messages `{"role": ..., "content": ...}`, or a list of such lists.
            tools: functions, or their JSON schemas, that the model may call.
            documents: `{"title": ..., "text": ...}` to answer from.
            chat_template: a template, or the name of one of the tokenizer's; None takes the tokenizer's.
            add_generation_prompt: whether to open the assistant's turn at the end.
            continue_final_message: whether to leave the last message open, for the model to go on with; a
                string names the key of the message that goes on.
            tokenize: False returns the text. The text remembers that it is complete: encoding it later adds
                no second start token.
            padding: as in a call, and so are `truncation`, `max_length` and `return_tensors`.
            truncation: see `padding`.
            max_length: see `padding`.
            return_tensors: see `padding`.
            return_dict: True returns a BatchEncoding, which is a dictionary; False the ids alone (a list, or
                a tensor), as the ecosystem's version 4 did.
            return_assistant_tokens_mask: whether to return `assistant_masks`, 1 for each token that the
                assistant said; the template must mark it with `{% generation %}`.
            tokenizer_kwargs: further arguments of the call.
            **kwargs: variables for the template. One that it does not read is noticed; one that nearly spells
                an argument of this method is refused.

        Returns:
            A BatchEncoding, ids, or text (a list of texts for several conversations).

        Raises:
            ValueError: when there is no template, or the template refuses the conversation.
        """
        if return_assistant_tokens_mask and not (tokenize and return_dict):
            raise ValueError("return_assistant_tokens_mask=True needs tokenize=True and return_dict=True")
        template = chat.ChatTemplate(
            self.get_chat_template(chat_template, tools),
            opens=add_generation_prompt,
            goes_on=continue_final_message,
            masks=return_assistant_tokens_mask,
        )
        template.check_variables(kwargs, PreTrainedTokenizerFast.apply_chat_template)
        conversations, batched = chat.conversations_in(conversation)
        rendered = template.write(conversations, tools, documents, {**self.special_tokens_map, **kwargs})
        texts = [RenderedChat(one.text) for one in rendered]
        if not tokenize:
            return texts if batched else texts[0]
        found = self(
            texts if batched else texts[0],
            padding=padding,
            truncation=truncation,
            max_length=max_length,
            return_tensors=return_tensors,
            **{"add_special_tokens": False, **(tokenizer_kwargs or {})},
        )
        if return_assistant_tokens_mask:
            chat.mask_assistant(found, rendered, batched or return_tensors is not None)
            found.convert_to_tensors(return_tensors)
        return found if return_dict else found["input_ids"]

    def get_chat_template(self, chat_template: str | None = None, tools: Sequence[Any] | None = None) -> str:
        """Return the text of a template: the given one, the one of that name, or the tokenizer's.

        With several templates and `tools`, the one named "tool_use" is taken.

        Raises:
            ValueError: when there is none.
        """
        return chat.choose(self.chat_template, chat_template, tools)

    def encode_message_with_chat_template(
        self,
        message: Mapping[str, Any],
        conversation_history: Sequence[Mapping[str, Any]] | None = None,
        **kwargs: Any,
    ) -> list[int]:
        """Return the ids that one more message adds to a conversation.

        Args:
            message: the message.
            conversation_history: the messages before it.
            **kwargs: other arguments of `apply_chat_template`, except `add_generation_prompt`.
        """
        if "add_generation_prompt" in kwargs:
            raise ValueError("add_generation_prompt would not be part of the message: encode it by itself")
        history = list(conversation_history or ())
        whole: list[int] = self.apply_chat_template([*history, message], return_dict=False, **kwargs)
        if not history:
            return whole
        before: list[int] = self.apply_chat_template(history, return_dict=False, **kwargs)
        same = next((at for at, (a, b) in enumerate(zip(before, whole, strict=False)) if a != b), None)
        return whole[min(len(before), len(whole)) if same is None else same :]

    # files

    def save_pretrained(
        self,
        save_directory: str | os.PathLike[str],
        legacy_format: bool | None = None,
        filename_prefix: str | None = None,
        push_to_hub: bool = False,
        **kwargs: Any,
    ) -> tuple[str, ...]:
        """Write the files that older and newer readers need.

        `tokenizer.json`, `tokenizer_config.json`, `special_tokens_map.json`, `added_tokens.json` where
        tokens were added, the vocabulary in its older format where it has one, and the chat template.
        Each file is there wholly or not at all.

        Args:
            save_directory: the folder, which is made when it is missing.
            legacy_format: False leaves the older vocabulary files out, True writes nothing but them.
            filename_prefix: put in front of each name with a dash.
            push_to_hub: whether to upload the folder; `repo_id`, `token`, `private`, `commit_message`,
                `revision` and `create_pr` go with it.
            **kwargs: `save_jinja_files=False` to keep chat templates in tokenizer_config.json.

        Returns:
            The paths written.
        """
        known = (*self._saving_keywords, "push_to_hub", "safe_serialization", *PUSH_KEYWORDS)
        refuse_or_leave_out(kwargs, known, "save_pretrained()")
        kwargs.pop("safe_serialization", None)
        folder, jinja = Path(save_directory), bool(kwargs.pop("save_jinja_files", True))
        parts = (self._vocabulary, self._special, self._origin)
        written = saving.save(self, *parts, folder, legacy_format, filename_prefix, jinja)
        if push_to_hub:
            push_saved(folder, kwargs)
        return tuple(map(str, written))

    def save_vocabulary(
        self, save_directory: str | os.PathLike[str], filename_prefix: str | None = None
    ) -> tuple[str, ...]:
        """Write the vocabulary in its older format: `vocab.txt`, `vocab.json` + `merges.txt`, `*.model`.

        Returns:
            The paths written; none for a vocabulary that has no older format or whose file is gone.
        """
        written = saving.save_vocabulary(self, self._vocabulary, Path(save_directory), filename_prefix)
        return tuple(map(str, written))

    def train_new_from_iterator(
        self,
        text_iterator: Any,
        vocab_size: int,
        length: int | None = None,
        new_special_tokens: Sequence[Token] | None = None,
        special_tokens_map: Mapping[str, str] | None = None,
        **kwargs: Any,
    ) -> PreTrainedTokenizerFast:
        """Train a tokenizer of the same kind on other text.

        Args:
            text_iterator: gives texts, or lists of them.
            vocab_size: how many tokens to learn at most, special tokens included.
            length: how many texts there are, for the progress bar.
            new_special_tokens: special tokens to add.
            special_tokens_map: old special token -> the one that takes its place.
            **kwargs: arguments of the `tokenizers` trainer (`min_frequency`, `show_progress`, ...).
        """
        from formers.tokenization import retrain

        new, renamed = list(new_special_tokens or ()), dict(special_tokens_map or {})
        options = {"vocab_size": vocab_size, "length": length, **kwargs}
        backend = retrain.train(self.backend_tokenizer, self._special, text_iterator, new, renamed, options)
        settings = retrain.settings_of(self.init_kwargs, self._special, new, renamed)
        return self._made(backend, {**settings, "chat_template": self.chat_template})

    @classmethod
    def _made(cls, backend: Tokenizer, settings: Mapping[str, Any]) -> PreTrainedTokenizerFast:
        self = cls.__new__(cls)
        self._given = {}
        self._settle(backend, settings, {}, {}, from_file=True)
        return self


PreTrainedTokenizer = PreTrainedTokenizerFast
PreTrainedTokenizerBase = TokenizersBackend = PreTrainedTokenizerFast


_made: dict[str, type[PreTrainedTokenizerFast]] = {}


def named_class(name: str) -> type[PreTrainedTokenizerFast]:
    """Return the class `name`, made when it is first asked for; `XTokenizer` and `XTokenizerFast` are one."""
    recipe = CLASSES[name]
    if recipe not in _made:
        row = RECIPES[recipe]
        usual = {argument: names[0] for argument, names in row.files.items()}
        _made[recipe] = type(
            f"{recipe}Tokenizer",
            (*methods_of(row), PreTrainedTokenizerFast),
            {
                **row.attributes,
                "__module__": "formers.tokenization",
                "__doc__": f"The tokenizer of {recipe} checkpoints; reads "
                f"{', '.join((*usual.values(), 'tokenizer.json'))}.",
                "recipe": row,
                "vocab_files_names": usual,
                "model_input_names": list(row.inputs),
                "padding_side": row.padding_side,
            },
        )
    return _made[recipe]


def load(name_or_path: str | os.PathLike[str], **kwargs: Any) -> PreTrainedTokenizerFast:
    """Load the tokenizer of a checkpoint, as the class that it names; see `from_pretrained`."""
    return PreTrainedTokenizerFast.from_pretrained(name_or_path, **kwargs)
