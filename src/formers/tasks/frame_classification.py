"""What is said, or heard, at every moment of a sound."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from formers.assemblies.audio.waveform_encoder import real_rows
from formers.checkpoints.adapter_files import read_adapter
from formers.core.outputs import ModelOutput, TaskOutput
from formers.core.transducer_outputs import SpelledRowsOutput
from formers.hub import split_hub_keywords
from formers.model.initialise import initialise
from formers.nn.leaves import RowConv
from formers.nn.losses import spelled
from formers.nn.program import Step, build
from formers.nn.steps import Drop, Project, dense
from formers.nn.tree import has, place
from formers.stacks.stack import Ask, States
from formers.tasks import token_classification
from formers.tasks.audio_classification import mixed, place_mix
from formers.tasks.base import TaskModel


@dataclass(frozen=True)
class Spec(token_classification.Spec):
    """A head for moments; `mixed` and `count` as those of `audio_classification.Spec`.

    Attributes:
        adapters: what paths of the parts contain that are learned for one language; empty for none.
        single: files hold the layer of letters as a convolution over single rows.
    """

    mixed: str | None = None
    count: int = 0
    adapters: str = ""
    single: bool = False


class FrameClassification(TaskModel):
    """One logit per label for every moment."""

    _says = "Label moments. `labels`: [B, T, C], of which the largest is right."

    def _place_head(self, spec: Spec, config: Any) -> None:
        self.num_labels = config.num_labels
        build(self, [dense("out", self._width(), config.num_labels)], {"out": spec.out})
        place_mix(self, spec.mixed, spec.count)

    def _prepare(self, given: dict[str, Any], targets: dict[str, Any], ask: Ask) -> None:
        ask.hidden = ask.hidden or has(self, "mixed")
        ask.keep_padding = targets["labels"] is not None  # the loss counts every row

    def _finish(
        self, states: States, given: dict[str, Any], targets: dict[str, Any], items: Any
    ) -> ModelOutput:
        logits = states.spread(self._compute(states, mixed(self, states)))  # [B, T, C]
        labels, loss = targets["labels"], None
        if labels is not None:
            right = labels.reshape(-1, self.num_labels).argmax(1)
            loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), right)
        return self._record(TaskOutput, states, loss, logits)


class CTC(TaskModel):
    """One logit per letter for every moment, and that of the blank between letters."""

    _says = "Spell speech. `labels`: [B, L], int64, -100 where there is none."

    def _place_head(self, spec: Spec, config: Any) -> None:
        if config.vocab_size is None:
            raise ValueError("the config has no vocab_size: pass vocab_size=len(processor.tokenizer)")
        width, count = self._width(), config.vocab_size
        out = Project("out", lambda: RowConv(width, count)) if spec.single else dense("out", width, count)
        steps: list[Step] = [Drop("dropout", spec.dropout), out]
        build(self, steps, {"out": spec.out, "dropout": spec.dropout_path})

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, *args: Any, **options: Any) -> Any:
        """Load a checkpoint; `target_lang` names the language whose adapter is loaded too: `load_adapter`."""
        language = options.pop("target_lang", None)
        made = super().from_pretrained(pretrained_model_name_or_path, *args, **options)
        if language is not None:
            model = made[0] if isinstance(made, tuple) else made
            if not model._speaks:
                raise ValueError(
                    f"target_lang={language!r} names an adapter, but the config has no adapter_attn_dim, "
                    "which layers of adapters have"
                )
            model.load_adapter(language, **split_hub_keywords(dict(options))[0])
        return made

    @property
    def _speaks(self) -> bool:
        """Whether there are parts for one language."""
        spec: Spec = self._formers.facts["head"]
        return bool(spec.adapters) and getattr(self.config, "adapter_attn_dim", None) is not None

    def load_adapter(self, *args: Any, **options: Any) -> Any:
        """Take over the parts, and the letters, of a language (MMS): `adapter.{target_lang}.safetensors`.

        Models without such parts load PEFT's adapters by this name; see `PreTrainedModel.load_adapter`.

        Args:
            args: `target_lang`, code of the language, as the file has it; and `force_load` (True), whether it
                is loaded also where it is there already. They may be given by name.
            options: Hub keywords, and `use_safetensors`: False for `adapter.{target_lang}.bin`.

        Raises:
            OSError: where there is no such file.
            ValueError: for a file whose tensors do not fit; it names them.
        """
        if not self._speaks:
            return super().load_adapter(*args, **options)
        given = {**dict(zip(("target_lang", "force_load"), args, strict=False)), **options}
        language = str(given.pop("target_lang"))
        if language == getattr(self, "target_lang", None) and not given.pop("force_load", True):
            return None
        given.pop("force_load", None)
        self._take_adapter(read_adapter(self.config.name_or_path, language, **given), language)
        self.target_lang = language
        return None

    def init_adapter_layers(self) -> None:
        """Draw the parts of a language, and the letters, anew, to train those alone."""
        if not self._speaks:
            raise ValueError("there are no parts for one language: the config has no adapter_attn_dim")
        std, special = self._initial_deviations()
        initialise(self, self._adapter_names(), std, special, anew=True)

    def _adapter_names(self) -> list[str]:
        spec: Spec = self._formers.facts["head"]
        names = [name for name, _ in self.named_parameters()]
        return [name for name in names if f".{spec.adapters}." in name or name.startswith(f"{spec.out}.")]

    def _take_adapter(self, held: Mapping[str, Tensor], language: str) -> None:
        """Copy a language's tensors; the letters may be more or fewer than those before."""
        own, path = dict(self.named_parameters()), str(self._formers.facts["head"].out)
        wanted, letters = self._adapter_names(), f"{path}.weight"
        lost, more = sorted(set(wanted) - set(held)), sorted(set(held) - set(wanted))
        odd = [n for n in set(wanted) & set(held) if held[n].shape[1:] != own[n].shape[1:]]
        if lost or more or odd:
            raise ValueError(
                f"the adapter of {language!r} does not fit: {len(lost)} tensors are missing (such as "
                f"{lost[:2]}), {len(more)} are unknown ({more[:2]}), {len(odd)} have another "
                f"shape ({odd[:2]})"
            )
        count = len(held[letters])
        if count != len(own[letters]):
            old = own[letters]
            made = torch.nn.Linear(old.shape[1], count, device=old.device, dtype=old.dtype)
            place(self, "out", path, made)
            self.config.vocab_size = count
            own = dict(self.named_parameters())
        with torch.no_grad():
            for name in wanted:
                own[name].copy_(held[name])

    def _finish(
        self, states: States, given: dict[str, Any], targets: dict[str, Any], items: Any
    ) -> ModelOutput:
        logits: Tensor = states.spread(self._compute(states, states.rows))  # [B, T, V]
        labels, loss, config = targets["labels"], None, self.config
        if labels is not None:
            if int(labels.max()) >= config.vocab_size:
                raise ValueError(f"labels reach {int(labels.max())}, but vocab_size is {config.vocab_size}")
            lengths = real_rows(self, given.get("attention_mask"), given[self.main_input_name])
            loss = spelled(
                logits,
                labels,
                lengths,
                config.pad_token_id or 0,
                config.ctc_loss_reduction,
                config.ctc_zero_infinity,
            )
        return self._record(TaskOutput, states, loss, logits)


class SpelledRows(CTC):
    """Letters for every moment, of which the likeliest are told."""

    # a processor gives what a decoder would read beside labels, whatever kind of model follows
    _options = (*CTC._options, "decoder_input_ids")

    @torch.no_grad()
    def generate(
        self,
        input_features: Tensor,
        attention_mask: Tensor | None = None,
        return_dict_in_generate: bool = False,
        **options: Any,
    ) -> Any:
        """Spell sounds: the likeliest letter of every moment, [B, T]; padding behind a sound's end.

        Args:
            input_features: [B, frames, bins], as a feature extractor prepares them.
            attention_mask: [B, frames], 1 at real frames.
            return_dict_in_generate: a record with the logits, and what `options` ask for.
            **options: keywords of a call.
        """
        options["return_dict"] = True
        made = self(input_features=input_features, attention_mask=attention_mask, **options)
        found: Tensor = made.logits.argmax(-1)
        if attention_mask is not None:
            counts = real_rows(self, attention_mask, input_features)  # [B]
            behind = torch.arange(found.shape[1], device=found.device) >= counts[:, None]
            found = found.masked_fill(behind, self.config.pad_token_id or 0)
        if not return_dict_in_generate:
            return found
        return SpelledRowsOutput(found, made.logits, made.attentions, made.hidden_states)
