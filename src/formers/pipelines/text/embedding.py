"""Sentence embeddings: one vector for a text, pooled as a sentence-transformers folder declares it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from formers.core.atomic import write_text
from formers.core.jsonfile import read_json, read_json_object
from formers.core.notices import did_you_mean, notice
from formers.evaluation.records import beside
from formers.hub import Source
from formers.pipelines.frame import whole_number
from formers.pipelines.text.base import TEXT_KEYWORDS, TextPipeline
from formers.pipelines.text.inputs import Fitting, Prepared, as_text, one_of, prepare

if TYPE_CHECKING:
    from formers.nn.layout import Layout

Vectors = npt.NDArray[np.float32]

# Rows of sequences of one length [C, L, E], and the place of their first row among the tokens -> [C, E].
_POOLS: dict[str, Callable[[Tensor, int], Tensor]] = {
    "cls": lambda rows, start: rows[:, 0],
    "max": lambda rows, start: rows.amax(1),
    "mean": lambda rows, start: rows.mean(1),
    "mean_sqrt_len_tokens": lambda rows, start: rows.sum(1) / rows.shape[1] ** 0.5,
    "weightedmean": lambda rows, start: _weighted(rows, start),
    "lasttoken": lambda rows, start: rows[:, -1],
}
# How older files say it, in the order in which several are laid side by side.
_OLDER_POOLS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
_SIMILARITIES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cosine": lambda a, b: nn.functional.normalize(a, dim=-1) @ nn.functional.normalize(b, dim=-1).T,
    "dot": lambda a, b: a @ b.T,
    "euclidean": lambda a, b: -torch.cdist(a, b),
    "manhattan": lambda a, b: -torch.cdist(a, b, p=1.0),
}
_LIMITS = tuple(
    f"sentence_{kind}_config.json"
    for kind in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
)


def activation_of(name: str) -> nn.Module:
    """The activation that a config names by its path in torch, such as "torch.nn.modules.activation.Tanh".

    Raises:
        ValueError: for anything but an activation of torch: no other code is run.
    """
    kind = name.rpartition(".")[2]
    found = nn.Identity if kind == "Identity" else getattr(nn.modules.activation, kind, None)
    if not name.startswith("torch.nn.") or not (isinstance(found, type) and issubclass(found, nn.Module)):
        raise ValueError(f"{name!r} is no activation of torch.nn: code of checkpoints is never run")
    made: nn.Module = found()
    return made


class Unit(nn.Module):
    """Vectors [B, E] of length 1."""

    def forward(self, x: Tensor) -> Tensor:
        """Divide each by its length."""
        return nn.functional.normalize(x, dim=-1)


class Dense(nn.Module):
    """A projection of vectors, [B, in_features] -> [B, out_features], as its folder declares it."""

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        activation_function: str = "torch.nn.modules.activation.Tanh",
        use_residual: bool = False,
    ) -> None:
        super().__init__()
        self.config = {
            "in_features": in_features,
            "out_features": out_features,
            "bias": bias,
            "activation_function": activation_function,
            **({"use_residual": True} if use_residual else {}),
        }
        self.linear = nn.Linear(in_features, out_features, bias=bias)
        self.activation = activation_of(activation_function)
        apart = use_residual and in_features != out_features
        self.residual = nn.Linear(in_features, out_features, bias=False) if apart else None
        self.adds = use_residual

    def forward(self, x: Tensor) -> Tensor:
        """Project."""
        found: Tensor = self.activation(self.linear(x))
        if self.adds:
            found = found + (x if self.residual is None else self.residual(x))
        return found

    @classmethod
    def read(cls, source: Source, path: str, config: dict[str, Any]) -> Dense:
        """The projection in the folder `path` of `source`.

        Raises:
            ValueError: for a setting that is not known here.
            OSError: when its weights are missing.
        """
        from formers.checkpoints.files import BIN_NAME, SAFE_NAME, TensorFiles

        settings = {name: value for name, value in config.items() if not name.startswith("module_")}
        try:
            found = cls(**settings)
        except TypeError as error:
            raise ValueError(f"{path}/config.json of {source} is no Dense: {error}") from None
        files = (source.find(f"{path}/{name}") for name in (SAFE_NAME, BIN_NAME))
        file = next((one for one in files if one is not None), None)
        if file is None:
            raise OSError(f"{source} has no {path}/{SAFE_NAME}, the weights of its Dense: download it again")
        tensors = TensorFiles.of([file])
        found.load_state_dict({name: tensors.tensor(name) for name in tensors.names()})
        return found

    def save(self, folder: Path) -> None:
        """Write the files that `read` reads."""
        from safetensors.torch import save_file

        _write(folder / "config.json", self.config)
        save_file(self.state_dict(), folder / "model.safetensors")


@dataclass
class Recipe:
    """What becomes of the states of a text's tokens, and what texts begin with.

    Attributes:
        pools: how the tokens become one vector; several are laid side by side.
        include_prompt: whether the tokens of a prompt are pooled, too.
        steps: what changes the vector after that.
        normalize: whether it gets length 1 in the end.
        prompts: beginnings of texts by name; the default one is used where a call names none.
        default_prompt_name: see `prompts`.
        similarity_fn_name: "cosine", "dot", "euclidean" or "manhattan".
        max_length: tokens of a text at most; None for what the model takes.
        lower: texts are made lower case.
        width: E of the states, as the folder says it; 0 where it does not.
        inside: the folder inside that the model lies in; empty where it lies beside this.
    """

    pools: tuple[str, ...] = ("mean",)
    include_prompt: bool = True
    steps: nn.Sequential = field(default_factory=nn.Sequential)
    normalize: bool = False
    prompts: dict[str, str] = field(default_factory=dict)
    default_prompt_name: str | None = None
    similarity_fn_name: str = "cosine"
    max_length: int | None = None
    lower: bool = False
    width: int = 0
    inside: str = ""

    def __post_init__(self) -> None:
        for pool in self.pools:
            one_of("pooling_mode", pool, list(_POOLS))
        one_of("similarity_fn_name", self.similarity_fn_name, list(_SIMILARITIES))
        self.prompt(None, None)

    @classmethod
    def of(cls, source: Source) -> Recipe | None:
        """What a folder or repository declares; None where it has no `modules.json`.

        Raises:
            ValueError: for a module that is not known here, or a file that makes no sense.
        """
        listed = source.find("modules.json")
        if listed is None:
            return None
        modules = read_json(listed)
        if not isinstance(modules, list) or not all(isinstance(one, dict) for one in modules):
            raise ValueError(f"{listed} is no list of modules")
        said = _object(source, "config_sentence_transformers.json")
        fields: dict[str, Any] = {
            "prompts": said.get("prompts") or {},
            "default_prompt_name": said.get("default_prompt_name"),
            "similarity_fn_name": said.get("similarity_fn_name") or "cosine",
        }
        steps: list[nn.Module] = []
        for module in modules:
            fields |= _module(str(module.get("type")), str(module.get("path") or ""), source, steps)
        if "pools" not in fields:
            raise ValueError(f"{listed} names no Pooling: these are no embeddings of whole texts")
        if steps and isinstance(steps[-1], Unit):
            fields["normalize"] = bool(steps.pop())
        return cls(steps=nn.Sequential(*steps), **fields)

    def prompt(self, name: str | None, text: str | None) -> str:
        """What a text begins with: `text`, the prompt of that name, or the default one.

        Raises:
            ValueError: for a name that is not declared.
        """
        name = self.default_prompt_name if name is None else name
        if text is not None or name is None:
            return text or ""
        known = ["query", "document", *self.prompts]
        if name not in known:
            raise ValueError(f"there is no prompt {name!r}, only {known[2:]}{did_you_mean(name, known)}")
        return self.prompts.get(name) or ""

    def save(self, folder: Path) -> None:
        """Write the files that `of` reads."""
        steps = [*self.steps, *([Unit()] if self.normalize else [])]
        kinds = [
            "Transformer",
            "Pooling",
            *("Dense" if isinstance(one, Dense) else "Normalize" for one in steps),
        ]
        paths = ["", *(f"{place}_{kind}" for place, kind in enumerate(kinds) if place)]
        modules = [
            {"idx": place, "name": str(place), "path": path, "type": f"sentence_transformers.models.{kind}"}
            for place, (path, kind) in enumerate(zip(paths, kinds, strict=True))
        ]
        in_order = self.pools == tuple(pool for pool in _OLDER_POOLS.values() if pool in self.pools)
        older = {name: pool in self.pools for name, pool in _OLDER_POOLS.items()}
        pooling = {
            "word_embedding_dimension": self.width,
            **(older if in_order else {"pooling_mode": self.pools}),
            "include_prompt": self.include_prompt,
        }
        names = ("prompts", "default_prompt_name", "similarity_fn_name")
        _write(folder / "modules.json", modules)
        _write(folder / paths[1] / "config.json", pooling)
        _write(folder / "config_sentence_transformers.json", {name: getattr(self, name) for name in names})
        _write(folder / _LIMITS[0], {"max_seq_length": self.max_length, "do_lower_case": self.lower})
        for path, step in zip(paths[2:], steps, strict=True):
            if isinstance(step, Dense):
                step.save(folder / path)


def _module(kind: str, path: str, source: Source, steps: list[nn.Module]) -> dict[str, Any]:
    """The fields of a recipe that one entry of `modules.json` says; a step is added to `steps`."""
    inside = f"{path}/" if path else ""
    if not kind.startswith("sentence_transformers."):
        name, config = kind, {}
    else:
        name = kind.rpartition(".")[2]
        config = {} if name == "Transformer" else _object(source, f"{inside}config.json")
    if config.get("module_input_name", "sentence_embedding") != "sentence_embedding":
        name = f"{name} of {config['module_input_name']}"
    if name == "Transformer":
        said = _object(source, *(inside + one for one in _LIMITS))
        limit = whole_number("max_seq_length", said.get("max_seq_length"), "tokens, at least 1")
        return {"max_length": limit, "lower": said.get("do_lower_case") is True, "inside": path}
    if name == "Pooling":
        said_pools = config.get("pooling_mode") or [p for n, p in _OLDER_POOLS.items() if config.get(n)]
        return {
            "pools": (said_pools,) if isinstance(said_pools, str) else tuple(said_pools or ["mean"]),
            "include_prompt": config.get("include_prompt", True) is not False,
            "width": config.get("embedding_dimension", config.get("word_embedding_dimension", 0)),
        }
    if name not in ("Dense", "Normalize"):
        raise ValueError(
            f"modules.json of {source} names {name!r}, which is not known here: load the model with "
            "AutoModel.from_pretrained(...), and make the vectors of its states yourself"
        )
    steps.append(Unit() if name == "Normalize" else Dense.read(source, path, config))
    return {}


def _object(source: Source, *names: str) -> dict[str, Any]:
    """The JSON object in the first of these files that there is; empty without any."""
    found = (source.find(name) for name in names)
    file = next((one for one in found if one is not None), None)
    return {} if file is None else read_json_object(file)


def _write(path: Path, values: Any) -> None:
    write_text(path, json.dumps(values, indent=2, ensure_ascii=False) + "\n")


def _weighted(rows: Tensor, start: int) -> Tensor:
    """The mean of rows [C, L, E] that count more the later they come, [C, E]."""
    weights = torch.arange(1, rows.shape[1] + 1, device=rows.device, dtype=rows.dtype) + start
    return torch.einsum("cle,l->ce", rows, weights / weights.sum())


def pool(pools: Sequence[str], rows: Tensor, layout: Layout, skips: Sequence[int] = ()) -> Tensor:
    """One vector for each batch row, of its real tokens alone.

    Args:
        pools: names of `_POOLS`, laid side by side.
        rows: states [N, E], packed as `layout` says.
        layout: which rows are which sequence.
        skips: tokens at the start of each batch row that are left out; empty for none.

    Returns:
        [B, E * pools] float32.
    """
    ordered = range(layout.batch) if layout.order is None else layout.order.tolist()
    left = iter([skips[row] for row in ordered] if skips else [])
    found = []
    for span in layout.by_span(rows.float()):
        count, length, _ = span.shape
        own = [min(next(left), length - 1) for _ in range(count)] if skips else [0]
        if len(set(own)) == 1:
            parts = [(span[:, own[0] :], own[0])]
        else:
            parts = [(span[i : i + 1, start:], start) for i, start in enumerate(own)]
        found += [torch.cat([_POOLS[name](part, start) for name in pools], dim=-1) for part, start in parts]
    return layout.by_row(torch.cat(found))


@dataclass(slots=True)
class _Prompted(Prepared):
    """A text behind a prompt of `skip` tokens that are not pooled."""

    skip: int = 0

    def alone(self) -> list[Prepared]:
        """Every window as an input of its own; the prompt is in the first."""
        first, *others = Prepared.alone(self)
        return [_Prompted(first.windows, first.types, first.length, skip=self.skip), *others]


class SentenceEmbeddingPipeline(TextPipeline):
    """A vector for each text: `pipeline("sentence-embeddings", model=...)`.

        pipe("a text")                [E] float32
        pipe(["a text", "another"])   a list of them; `pipe.encode` gives one array [N, E]

    Pooling, projections, length, prompts and the longest text are those that the folder or repository
    declares in the way of sentence-transformers (`modules.json`); without such files it is the mean of all
    tokens, which is said once. Vectors of a long text's windows are averaged.

    Args:
        model: an encoder, of which the states are read; a head is left out.
        tokenizer: its tokenizer.
        recipe: in place of what lies beside the model.
        **kwargs: those of `Pipeline`, and as defaults for every call:

            prompt: what texts begin with; or `prompt_name`, one of those that are declared.
            normalize: whether vectors have length 1; None as declared. `normalize_embeddings` is the same.
            dimensions: only so many of the first numbers; `truncate_dim` is the same.
            long_text, stride, truncation, max_length, ...: see `TextPipeline`.
    """

    default_task: ClassVar[str] = "sentence-embeddings"
    prepare_keywords = (*TEXT_KEYWORDS, "prompt", "prompt_name")
    run_keywords = ("dimensions", "normalize", "normalize_embeddings", "truncate_dim")

    def __init__(
        self, model: Any, tokenizer: Any = None, *, recipe: Recipe | None = None, **kwargs: Any
    ) -> None:
        if recipe is None:
            source = beside(model)
            recipe = None if source is None else Recipe.of(Source.of(source))
        self.declared = recipe is not None
        self.recipe = recipe or Recipe()
        super().__init__(model, tokenizer, **kwargs)
        self.recipe.steps.to(self.device).eval()
        from formers.model.base import PreTrainedModel

        self._ours = isinstance(self.model, PreTrainedModel)
        self._encoder: Any = self.model.base_model if self._ours else self.model
        if getattr(self._encoder.config, "is_encoder_decoder", False):
            self._encoder = self._encoder.get_encoder()
        if not self.declared:
            notice(
                "no modules.json beside the model says how the states of a text become one vector: the mean "
                "over its tokens is taken, of whatever length",
                key="embedding-recipe",
            )

    @classmethod
    def _declared(cls, source: Source) -> dict[str, Any]:
        """The recipe, from where the model comes from; it may say that the model lies in a folder there."""
        recipe = Recipe.of(source)
        return {"recipe": recipe, "subfolder": recipe.inside if recipe else ""}

    @property
    def max_length(self) -> int | None:
        """Tokens of a text at most."""
        limits = (super().max_length, self.recipe.max_length)
        return min((limit for limit in limits if limit is not None), default=None)

    @property
    def width(self) -> int:
        """E, the numbers of a vector."""
        last = next((step for step in reversed(self.recipe.steps) if isinstance(step, Dense)), None)
        if last is not None:
            return last.linear.out_features
        return int(self.model.config.hidden_size) * len(self.recipe.pools)

    @property
    def gives(self) -> tuple[int, bool | None]:
        """How many numbers its vectors have, and whether their length is 1; None where nobody said."""
        chosen = self._postprocess_params
        declared = self.recipe.normalize if self.declared else None
        return chosen.get("dimensions", self.width), chosen.get("normalize", declared)

    @classmethod
    def keywords(cls) -> frozenset[str] | None:
        """Keywords that the constructor takes."""
        return frozenset([*cls.prepare_keywords, *cls.run_keywords]) | cls._constructor_keywords()

    def _sanitize_parameters(self, **given: Any) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        preprocess = self._text_keywords(given)
        postprocess: dict[str, Any] = {}
        for name, older in (("normalize", "normalize_embeddings"), ("dimensions", "truncate_dim")):
            value = given.get(name, given.get(older))
            if value is not None:
                postprocess[name] = value
        width = self.width
        asked = whole_number("dimensions", postprocess.get("dimensions"), f"numbers, 1 to {width}")
        if asked is not None and asked > width:
            raise ValueError(f"dimensions={asked}, but the model's vectors have {width} numbers")
        return preprocess, {}, postprocess

    def encode(self, texts: str | Sequence[Any], **kwargs: Any) -> Vectors:
        """One array: [E] for a string, [N, E] for many; `kwargs` are those of a call."""
        found = self(texts, **kwargs)
        many = len(found) if self._is_many(texts) else None
        return np.stack(found) if many else np.zeros((0, self.width), np.float32) if many == 0 else found

    def similarity(self, one: Any, other: Any) -> Vectors:
        """How alike vectors [N, E] and [M, E] are, [N, M], as the folder declares it; higher is more."""
        pair = (torch.as_tensor(np.atleast_2d(np.asarray(each, dtype=np.float32))) for each in (one, other))
        found: Vectors = _SIMILARITIES[self.recipe.similarity_fn_name](*pair).numpy()
        return found

    def preprocess_batch(
        self,
        inputs: Sequence[Any],
        first: int | None = None,
        prompt: str | None = None,
        prompt_name: str | None = None,
        **params: Any,
    ) -> list[Prepared]:
        """Tokenise texts behind their prompt, and fit them to the model."""
        begin = self.recipe.prompt(prompt_name, prompt)
        texts = [as_text(item, None if first is None else first + i) for i, item in enumerate(inputs)]
        if begin:
            texts = [(begin + text, pair) for text, pair in texts]
        if self.recipe.lower:
            texts = [(_lower(text), None if pair is None else _lower(pair)) for text, pair in texts]
        fitting = self._fitting(params)
        found = prepare(self.tokenizer, texts, fitting, first)
        if not begin or self.recipe.include_prompt:
            return found
        skip = self._prompt_tokens(_lower(begin) if self.recipe.lower else begin, fitting)
        return [_Prompted(one.windows, one.types, one.length, one.cut, skip) for one in found]

    def _prompt_tokens(self, prompt: str, fitting: Fitting) -> int:
        """How many tokens a prompt has, without the special one that ends a text."""
        ids = prepare(self.tokenizer, [(prompt, None)], fitting)[0].ids
        return len(ids) - int(ids[-1] in getattr(self.tokenizer, "all_special_ids", ()))

    def _tensors(self, prepared: Sequence[Prepared], always: bool = False) -> dict[str, torch.Tensor]:
        found = super()._tensors(prepared, always)
        if any(isinstance(one, _Prompted) for one in prepared):
            skips = [getattr(row, "skip", 0) for one in prepared for row in one.alone()]
            found["skip"] = torch.tensor(skips)
        return found

    def _forward(self, model_inputs: Any, **params: Any) -> Any:
        """Vectors of the windows, [B, E], before they are joined and normalised."""
        given = {name: value for name, value in model_inputs.items() if name != "skip"}
        skips = model_inputs["skip"].tolist() if "skip" in model_inputs else ()
        rows, layout = self._packed(given)
        return {"vectors": self.recipe.steps(pool(self.recipe.pools, rows, layout, skips))}

    def _packed(self, given: dict[str, Any]) -> tuple[Tensor, Layout]:
        """The states of the real tokens [N, E]; the model lays them end to end where nobody looks inside."""
        from formers.assemblies.base import states_of, taken_ask
        from formers.nn.kernels import hooked
        from formers.nn.layout import Layout
        from formers.nn.watch import watched
        from formers.stacks.stack import Ask

        mask, ask = given["attention_mask"], Ask()
        if self._ours:
            looked = hooked(self._encoder) or watched(self._encoder)
            ask = replace(taken_ask(self._encoder, given), rows=True, padded=looked)
        states = states_of(self._encoder, given, ask)
        if states.layout.index is not None and not (states.watched or states.spread_out):
            return states.rows, states.layout
        layout = Layout.of(mask.bool())
        return layout.pack(states.last), layout

    def forward_batch(self, prepared: Sequence[Any], **params: Any) -> Any:
        """Vectors of the windows of a batch: `_forward` reads packed rows, so it runs over batches, too."""
        return super().forward_batch(prepared, **params)

    def postprocess(self, model_outputs: Any, **params: Any) -> Any:
        """The vector of one text, [E]."""
        return self._joined(model_outputs["vectors"].numpy(), [len(model_outputs["vectors"])], **params)[0]

    def postprocess_batch(self, outputs: Any, prepared: Sequence[Any], **params: Any) -> list[Any]:
        """The vectors of a batch of texts."""
        return list(self._joined(outputs["vectors"].numpy(), [self._rows(one) for one in prepared], **params))

    def _joined(
        self, vectors: Vectors, rows: list[int], normalize: bool | None = None, dimensions: int | None = None
    ) -> Vectors:
        """[windows, E] -> [B, E]."""
        if len(rows) != len(vectors):
            starts = np.cumsum([0, *rows[:-1]])
            counts = np.array(rows, dtype=np.float32)[:, None]
            vectors = (np.add.reduceat(vectors, starts) / counts).astype(np.float32)
        if dimensions is not None:
            vectors = vectors[:, :dimensions]
        if self.recipe.normalize if normalize is None else normalize:
            lengths: Any = np.linalg.norm(vectors, axis=1, keepdims=True)
            vectors = vectors / np.maximum(lengths, np.float32(1e-12))
        return vectors

    def _kept_beside(self) -> tuple[Any, ...]:
        return (self.recipe,) if self.declared else ()


def _lower(text: str) -> str:
    """Lower case, letter by letter as tokenizers do it."""
    return "".join(map(str.lower, text))
