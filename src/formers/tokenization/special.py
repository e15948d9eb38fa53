"""Special tokens: the ones with a name (`pad_token`, ...), a model's own, and the additional ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from formers.core.notices import did_you_mean
from formers.tokenization import components
from formers.tokenization.recipe import Recipe
from formers.tokenization.vocabulary import Vocabulary

if TYPE_CHECKING:
    from tokenizers import AddedToken

# In the order in which the ecosystem lists them.
NAMED = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
ADDITIONAL = ("additional_special_tokens", "extra_special_tokens")

Token: TypeAlias = "str | AddedToken"
_FLAGS = ("lstrip", "rstrip", "single_word", "normalized", "special")


def is_token(value: Any) -> bool:
    """Whether a value is a token: text, or an AddedToken."""
    from tokenizers import AddedToken

    return isinstance(value, (str, AddedToken))


def as_special(tokens: Iterable[Token]) -> list[AddedToken]:
    """Make AddedTokens of texts: special ones, which match the text as it is."""
    from tokenizers import AddedToken

    return [
        AddedToken(token, normalized=False, special=True) if isinstance(token, str) else token
        for token in tokens
    ]


class SpecialTokens:
    """Which tokens of a vocabulary are special, and what they are called.

    Attributes:
        named: name -> token, None where a usual one is missing; those of `NAMED`, then a model's own.
        additional: the special tokens without a name.
        guessed: the named tokens where nobody said them and they were found by their spelling.
    """

    def __init__(
        self,
        named: Mapping[str, Token | None],
        additional: Iterable[Token] = (),
        guessed: Mapping[str, Token] = {},  # noqa: B006
    ) -> None:
        self.guessed = dict(guessed)
        self.named: dict[str, Token | None] = {**dict.fromkeys(NAMED), **named}
        self.additional: list[Token] = list({str(token): token for token in additional}.values())

    @property
    def own(self) -> dict[str, Token | None]:
        """The model's own special tokens by name (`image_token`, ...)."""
        return {name: token for name, token in self.named.items() if name not in NAMED}

    @property
    def present(self) -> dict[str, Token]:
        """The named tokens that there are."""
        return {name: token for name, token in self.named.items() if token is not None}

    @property
    def said(self) -> dict[str, Token]:
        """The named tokens that there are, none where all of them are as they were guessed."""
        return {} if self.guessed and self.guessed == self.present else self.present

    def every(self) -> list[Token]:
        """Return every special token once: the named ones, then the additional ones."""
        return list({str(token): token for token in (*self.present.values(), *self.additional)}.values())

    def by_name(self, form: Callable[[Token], Any]) -> dict[str, Any]:
        """Return the named tokens and, where there are any, the additional ones as a list, in some form."""
        return self._by_name(self.present, form)

    def to_save(self, form: Callable[[Token], Any]) -> dict[str, Any]:
        """Return what `by_name` does, without what was guessed."""
        return self._by_name(self.said, form)

    def _by_name(self, named: Mapping[str, Token], form: Callable[[Token], Any]) -> dict[str, Any]:
        found: dict[str, Any] = {name: form(token) for name, token in named.items()}
        if self.additional:
            found["additional_special_tokens"] = [form(token) for token in self.additional]
        return found

    def take(self, given: Mapping[str, Any], replace: bool) -> list[Token]:
        """Take over tokens by name; see `PreTrainedTokenizerFast.add_special_tokens`.

        Returns:
            The tokens, which the vocabulary must have.
        """
        if not isinstance(given, Mapping):
            raise TypeError(
                f"special tokens are given by name, {{'pad_token': '[PAD]'}}, not as a {type(given).__name__}"
            )
        for name, value in given.items():
            _check(name, value, self.named)
        taken: list[Token] = []
        for name, value in given.items():
            if name not in ADDITIONAL:
                self.named[name] = value
                taken.append(value)
                continue
            known = [] if replace else list(self.additional)
            texts = {str(token) for token in known}
            self.additional = known + [token for token in value if str(token) not in texts]
            taken += value
        return taken


def _check(name: str, value: Any, named: Mapping[str, Any]) -> None:
    """Refuse what cannot be the special token, or the list of them, of this name."""
    if name in ADDITIONAL:
        if not isinstance(value, (list, tuple)):
            raise ValueError(f"{name} must be a list of tokens, but is {value!r}")
        for token in value:
            if not is_token(token):
                raise ValueError(f"{name} holds {token!r}, which is neither a string nor an AddedToken")
    elif name not in named and not name.endswith("_token"):
        hint = did_you_mean(name, [*NAMED, *ADDITIONAL])
        raise ValueError(
            f"{name!r} is not the name of a special token{hint}; names are {[*NAMED, *ADDITIONAL]}"
        )
    elif not is_token(value):
        raise ValueError(f"{name} must be a string or an AddedToken, but is {value!r}")


def named_in(settings: Mapping[str, Any]) -> dict[str, Token | None]:
    """Collect the named special tokens of settings, a model's own (`image_token`, ...) included.

    Raises:
        TypeError: for a value that is no token.
    """
    named: dict[str, Any] = {name: settings[name] for name in NAMED if name in settings}
    named |= settings.get("model_specific_special_tokens") or {}
    extra = settings.get("extra_special_tokens")
    named |= extra if isinstance(extra, Mapping) else {}
    named |= {
        name: value
        for name, value in settings.items()
        if name.endswith("_token") and name not in NAMED and is_token(value)
    }
    for name, value in named.items():
        if value is not None and not is_token(value):
            raise TypeError(f"{name} must be a string or an AddedToken, but is {value!r}")
    return named


def find(
    settings: Mapping[str, Any], recipe: Recipe | None, vocabulary: Vocabulary, from_file: bool
) -> SpecialTokens:
    """Find the special tokens of a tokenizer in its settings, its recipe, and what its vocabulary tells.

    Beside a tokenizer.json (`from_file`) the usual text of a token counts only where the vocabulary has it.
    """
    named = named_in(settings)
    for name in () if recipe is None else recipe.options:
        named.pop(name, None)  # a token of another vocabulary
    guessed: dict[str, Any] = {}
    lists = [settings.get(key) for key in ADDITIONAL]
    additional = [token for tokens in lists if isinstance(tokens, (list, tuple)) for token in tokens]
    if recipe is not None:
        for name, token in recipe.special.items():
            text = token["content"] if isinstance(token, dict) else token
            if name not in named and (not from_file or vocabulary.id_of(text) is not None):
                named[name] = added_token(token) if isinstance(token, dict) else token
        if not additional and not from_file:
            count = int(settings.get("extra_ids") or recipe.options.get("extra_ids", 0))
            usual = [*recipe.additional, *(f"<extra_id_{index}>" for index in range(count))]
            additional = [token for token in usual if vocabulary.id_of(token) is not None]
    elif not any(named.values()):
        guessed = components.guess_special(vocabulary.backend)
        named |= guessed
    padding = vocabulary.file_padding.get("pad_token")
    if padding and named.get("pad_token") is None and "pad_token" not in settings:
        named["pad_token"] = padding
    return SpecialTokens(named, additional, guessed)


def added_token(value: Any) -> AddedToken:
    """Read an AddedToken as the ecosystem's JSON writes it."""
    from tokenizers import AddedToken

    if isinstance(value, AddedToken):
        return value
    if isinstance(value, str):
        return AddedToken(value, special=True)
    if isinstance(value, dict) and isinstance(value.get("content"), str):
        flags = {key: bool(value[key]) for key in _FLAGS if key in value}
        return AddedToken(value["content"], **flags)
    raise TypeError(f"expected an added token (a string or an object with 'content'), but found {value!r}")


def revive(value: Any) -> Any:
    """Turn the AddedTokens inside a JSON value back into objects."""
    if isinstance(value, dict):
        if "content" in value and (
            value.get("__type") == "AddedToken" or set(value) <= {"content", "__type", *_FLAGS}
        ):
            return added_token({"special": True, **value})
        return {key: revive(item) for key, item in value.items()}
    if isinstance(value, list):
        return [revive(item) for item in value]
    return value


def as_json(token: Token, *, typed: bool) -> Any:
    """Write a special token as the ecosystem does: a string when nothing about it is unusual."""
    from tokenizers import AddedToken

    if not isinstance(token, AddedToken):
        return token
    flags = {name: getattr(token, name) for name in ("lstrip", "normalized", "rstrip", "single_word")}
    if not typed:
        return {"content": token.content, **flags}
    return {"__type": "AddedToken", "content": token.content, **flags, "special": token.special}


def plain_json(value: Any) -> Any:
    """Write the AddedTokens inside a value as JSON objects."""
    if isinstance(value, dict):
        return {key: plain_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain_json(item) for item in value]
    return value if isinstance(value, (str, int, float, bool, type(None))) else as_json(value, typed=True)
