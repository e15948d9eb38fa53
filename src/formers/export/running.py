"""Models that run in ONNX Runtime: classes of the library whose pass a graph computes.

`ORTModelForSequenceClassification.from_pretrained(folder)` is a BERT classifier (its config, `generate`, what
pipelines ask) without weights: its tree lies on the meta device, and `forward` calls the graph.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from formers.core.outputs import ModelOutput
from formers.export.caches import PAST, PRESENT, names_of, put
from formers.export.folder import data_of
from formers.export.parts import DECODER, DECODER_WITH_PAST, ENCODER, MODEL
from formers.export.session import Session
from formers.nn.cache import Cache

_FLAGS = frozenset({"use_cache", "return_dict", "logits_to_keep", "cache_position", "num_items_in_batch"})
_WANTED = ("output_attentions", "output_hidden_states", "output_router_logits")


@cache
def record_of(names: tuple[str, ...]) -> type[ModelOutput]:
    """A record with those fields, and empty ones that callers of every model look for."""
    fields = [
        *names,
        *(n for n in ("loss", "past_key_values", "hidden_states", "attentions") if n not in names),
    ]
    own = [(name, Any, dataclasses.field(default=None)) for name in fields]
    return dataclasses.make_dataclass(f"ORTOutput_{'_'.join(names)}", own, bases=(ModelOutput,))


def answer(found: Mapping[str, Any], plain: bool, arrays: bool) -> Any:
    """A record of outputs, or a tuple of them; NumPy arrays where the inputs were some."""
    values = {n: v.numpy() if arrays and isinstance(v, Tensor) else v for n, v in found.items()}
    return tuple(values.values()) if plain else record_of(tuple(values))(**values)


def tensors(given: Mapping[str, Any], where: str) -> tuple[dict[str, Tensor], bool]:
    """The tensors among a call's arguments, and whether they came as NumPy arrays.

    Raises:
        TypeError: for what a graph cannot give: attentions, hidden states, losses.
    """
    arrays, found = False, {}
    for name, value in given.items():
        if value is None or name in _FLAGS:
            continue
        if name in _WANTED:
            if value:
                raise TypeError(
                    f"{where}: {name} is not among what the graph returns; ask the model it was made of"
                )
            continue
        if name == "labels":
            raise TypeError(f"{where} takes no labels: a graph computes no loss")
        if not isinstance(value, Tensor):
            if not hasattr(value, "__array__"):
                raise TypeError(f"{where}: {name} is a {type(value).__name__}, not a tensor or an array")
            value, arrays = torch.from_numpy(value.__array__()), True
        found[name] = value
    return found, arrays


def complete(session: Session, given: dict[str, Tensor], where: str) -> dict[str, Tensor]:
    """The inputs of a graph: masks of ones, types of zeros and positions where nobody said others.

    Raises:
        TypeError: for an input that is missing, or one that the graph does not read and that would matter.
    """
    read = {name: value for name, value in given.items() if name in session.inputs}
    for name, value in given.items():
        silent = name.endswith("token_type_ids") and not bool(value.any())
        silent = silent or (name.endswith("attention_mask") and bool((value == 1).all()))
        if name not in session.inputs and not silent and not name.startswith(PAST):
            raise TypeError(
                f"{where} got {name}, which the graph {session.file.name} does not read; it reads "
                f"{', '.join(n for n in session.inputs if not n.startswith(PAST))}"
            )
    ids = read.get("input_ids")
    for name in session.inputs:
        if name in read or ids is None:
            continue
        if name == "attention_mask":
            past = next((v.shape[2] for n, v in read.items() if n.startswith(PAST)), 0)
            read[name] = ids.new_ones(*ids.shape[:-1], ids.shape[-1] + past)
        elif name == "token_type_ids":
            read[name] = torch.zeros_like(ids)
    if "position_ids" in session.inputs and "position_ids" not in read and ids is not None:
        read["position_ids"] = (read["attention_mask"].cumsum(-1) - 1).clamp(min=0)[..., -ids.shape[-1] :]
    missing = [name for name in session.inputs if name not in read]
    if missing:
        raise TypeError(
            f"{where} needs {', '.join(missing)}, which {'was' if len(missing) == 1 else 'were'} not given"
        )
    return read


class OnGraph(nn.Module):
    """What a class of the library is in ONNX Runtime: this stands before it among the bases.

    Attributes:
        sessions: by the name of the file that `optimum` would write.
        folder: where they lie.
    """

    sessions: dict[str, Session]
    folder: Path
    config: Any
    main_input_name: ClassVar[str]
    _assembly: ClassVar[Any]

    def forward(self, *args: Any, **given: Any) -> Any:
        """Compute the outputs of the graph, from tensors or NumPy arrays."""
        where = f"{type(self).__name__}.forward"
        named = inspect.signature(super().forward).parameters
        given = {**dict(zip(named, args, strict=False)), **given}
        plain = given.get("return_dict") is False
        keeps = given.get("use_cache")
        held = given.pop(PAST, None)
        if DECODER in self.sessions:
            return self._pair(given, held, keeps, plain, where)
        read, arrays = tensors(given, where)
        session = self.sessions[MODEL]
        cached = any(name.startswith(PAST) for name in session.inputs)
        if cached:
            past = held if isinstance(held, Cache) else Cache.from_legacy_cache(held) if held else Cache()
            read |= self._past(session, past, read)
        elif held is not None and _holds(held):
            raise TypeError(f"{where} got past_key_values, but the graph was exported without a past")
        found: dict[str, Any] = session.run(complete(session, read, where))
        if cached:
            found = self._kept(found, past, keeps)
        return answer(found, plain, arrays)

    def _past(self, session: Session, past: Cache, read: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What a graph reads of a cache; of an empty one tensors without positions."""
        batch = next(value.shape[0] for value in read.values())
        held = {}
        if past.get_seq_length():
            held = dict(names_of(past, PAST, whole=True))
        for name in session.inputs:
            if name.startswith(PAST) and name not in held:
                _, heads, _, width = session.shapes[name]
                held[name] = torch.zeros(batch, int(heads), 0, int(width), dtype=session.inputs[name])
        return held

    @staticmethod
    def _kept(found: dict[str, Any], past: Cache, keeps: Any) -> dict[str, Any]:
        """Outputs with the cache in place of its tensors."""
        rest = {name: value for name, value in found.items() if not name.startswith(f"{PRESENT}.")}
        if keeps is False:
            return rest
        present = [(name, value) for name, value in found.items() if name.startswith(f"{PRESENT}.")]
        return {**rest, PAST: put(past, present)}

    def _pair(self, given: dict[str, Any], held: Any, keeps: Any, plain: bool, where: str) -> Any:
        """A step of an encoder-decoder; its encoder reads once."""
        before = given.pop("encoder_outputs", None)
        read, arrays = tensors(given, where)
        decoder = {n.removeprefix("decoder_"): v for n, v in read.items() if n.startswith("decoder_")}
        rest = {n: v for n, v in read.items() if not n.startswith("decoder_")}
        if before is None:
            before = self.get_encoder()(**rest)
        states = before[0]
        if "input_ids" not in decoder:
            raise TypeError(f"{where} needs decoder_input_ids, what its decoder has read so far")
        if (mask := decoder.pop("attention_mask", None)) is not None and not bool((mask == 1).all()):
            raise TypeError(
                f"{where}: the graph of the decoder reads no decoder_attention_mask; pad no rows of it"
            )
        if "attention_mask" in rest:
            decoder["encoder_attention_mask"] = rest["attention_mask"]
        past = held if isinstance(held, Cache) else Cache.from_legacy_cache(held) if held else Cache()
        later = bool(past.get_seq_length())
        if later and DECODER_WITH_PAST not in self.sessions:
            raise TypeError(f"{where} got past_key_values, but the decoder was exported without a past")
        session = self.sessions[DECODER_WITH_PAST if later else DECODER]
        decoder |= self._past(session, past, decoder) if later else {"encoder_hidden_states": states}
        if "encoder_attention_mask" in session.inputs:
            decoder.setdefault("encoder_attention_mask", torch.ones(states.shape[:2], dtype=torch.long))
        else:
            decoder.pop("encoder_attention_mask", None)
        rows = decoder["input_ids"].shape[0]
        shared = {n: v for n, v in decoder.items() if "encoder" in n and v.shape[0] < rows}
        decoder |= {n: v.repeat_interleave(rows // v.shape[0], 0) for n, v in shared.items()}  # of beams
        found: dict[str, Any] = session.run(complete(session, decoder, where))
        if DECODER_WITH_PAST in self.sessions:
            found = self._kept(found, past, keeps)
        return answer({**found, "encoder_last_hidden_state": states}, plain, arrays)

    def get_encoder(self) -> nn.Module:
        """The encoder's graph, called as a model is."""
        if ENCODER not in self.sessions:
            return self
        encoder: Any = super().get_encoder()  # type: ignore[misc]  # of the class behind
        return _Encoder(self.sessions[ENCODER], encoder)

    # -- what a model is asked that has no weights ------------------------------------------------------

    @property
    def device(self) -> torch.device:
        """Where inputs and outputs lie: the host, whatever runs the graph."""
        return torch.device("cpu")

    @property
    def dtype(self) -> torch.dtype:
        """Of what the graph returns."""
        return torch.float32

    @property
    def files(self) -> list[Path]:
        """What it is computed from: graphs, and weights beside them."""
        graphs = [session.file for session in self.sessions.values()]
        beside = [data_of(file) for file in graphs]
        return [*graphs, *(file for file in beside if file.is_file())]

    @property
    def providers(self) -> list[str]:
        """What runs the graph."""
        return next(iter(self.sessions.values())).providers

    def to(self, *args: Any, **options: Any) -> Any:
        """Stay: inputs and outputs lie on the host.

        Raises:
            ValueError: for another device, or a dtype other than float32.
        """
        for value in (*args, *options.values()):
            wanted = value if isinstance(value, torch.dtype) else torch.device(value)
            if wanted not in (torch.float32, torch.device("cpu"), torch.device("cpu", 0)):
                raise ValueError(
                    f"a model in ONNX Runtime does not move to {value}: load it with "
                    "provider='CUDAExecutionProvider', or export it with fp16"
                )
        return self

    def train(self, mode: bool = True) -> Any:
        """Stay in evaluation mode.

        Raises:
            TypeError: where it is to be trained.
        """
        if mode:
            raise TypeError("a graph is not trained: train the model, and export it again")
        return super().train(False)

    def __getstate__(self) -> Any:
        raise TypeError("a model in ONNX Runtime is not pickled: pass its folder, and load it there")


class _Encoder(nn.Module):
    """An encoder's graph, called as the model without a head is; of all else the encoder itself tells."""

    def __init__(self, session: Session, encoder: nn.Module) -> None:
        super().__init__()
        self.session, self._behind = session, (encoder,)  # no child: it has no weights
        self.main_input_name = next(iter(session.inputs))
        named = inspect.signature(encoder.forward).parameters
        kept = [p for name, p in named.items() if name in session.inputs or name == "return_dict"]
        self.__signature__ = inspect.Signature(kept)

    def __getattr__(self, name: str) -> Any:
        if name == "_behind":  # not there yet
            raise AttributeError(name)
        return getattr(self._behind[0], name)

    def forward(self, *args: Any, **given: Any) -> Any:
        """Compute the last states, [B, S, E]."""
        given |= dict(zip(self.__signature__.parameters, args, strict=False))
        read, arrays = tensors(given, "the encoder")
        found = self.session.run(complete(self.session, read, "the encoder"))
        return answer(found, given.get("return_dict") is False, arrays)


def _holds(past: Any) -> bool:
    return bool(past.get_seq_length()) if isinstance(past, Cache) else bool(past)
