"""Turn texts, or sounds, into spectra of speech."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from formers.core.notices import notice, refuse_unknown
from formers.core.outputs import ModelOutput
from formers.core.sound_outputs import SpectrumOutput
from formers.generation.spectra import Bounds, delivered, speak
from formers.nn.nets.postnet import SpectrumMaker
from formers.nn.spec.speech_synthesis import Refined
from formers.nn.tree import leaf, place
from formers.stacks.stack import Ask, States
from formers.tasks.base import TaskModel

_NONE = -100.0  # of labels that do not count


@dataclass(frozen=True)
class Guide:
    """What text and speech are held to go along by (Tachibana et al. 2017, arXiv:1710.08969, section 4.1).

    Attributes:
        heads: of each layer that are held; `sigma` how far from the diagonal they may look.
        scale: weight in the loss.
    """

    heads: int
    sigma: float
    scale: float


@dataclass(frozen=True)
class Spec:
    """A head for spectra.

    Attributes:
        path: of what makes frames.
        refined: its shape.
        guide: part of the loss; None for none.
        voice: width of the vector of a speaker.
    """

    path: str
    refined: Refined
    guide: Guide | None
    voice: int


class Spectra(TaskModel):
    """Frames of speech, one state after the other, in the voice of a speaker."""

    _keeps_cache = True
    _options = ("return_dict",)
    _targets: ClassVar[tuple[str, ...]] = ("labels", "stop_labels")
    _says = (
        "Speak. `labels`: [B, T, bins], floating, the frames to say, -100 where there is none; `stop_labels` "
        "follow from those and are not read."
    )
    _needs_voice: ClassVar[bool] = True

    @classmethod
    def can_generate(cls) -> bool:
        """It goes on by frames."""
        return True

    def _place_head(self, spec: Spec, config: Any) -> None:
        place(self, "spectrum", spec.path, SpectrumMaker(spec.refined))

    def _prepare(self, given: dict[str, Any], targets: dict[str, Any], ask: Ask) -> None:
        spec: Spec = self._formers.facts["head"]
        labels = targets["labels"]
        if given.get("use_cache") is None:
            given["use_cache"] = bool(self.config.use_cache) and not self.training and labels is None
        if targets["stop_labels"] is not None:
            notice(
                "stop_labels are not read: where speech ends follows from labels, which are -100 behind it"
            )
        if labels is None:
            return
        self._check(spec, labels)
        if given.get("decoder_input_values") is None:
            factor, mask = spec.refined.factor, given.get("decoder_attention_mask")
            shown = labels[:, factor - 1 :: factor]  # of the frames of one state the last is read
            before = torch.cat((torch.zeros_like(shown[:, :1]), shown[:, :-1]), dim=1)
            given["decoder_input_values"] = before.masked_fill(before == _NONE, 0.0)
            if mask is not None:
                given["decoder_attention_mask"] = mask[:, factor - 1 :: factor]
        ask.attentions = ask.attentions or self._guided(spec)

    def _guided(self, spec: Spec) -> bool:
        return spec.guide is not None

    def _check(self, spec: Spec, labels: Any) -> None:
        """Refuse frames of another shape."""
        bins, factor = spec.refined.bins, spec.refined.factor
        if not isinstance(labels, Tensor) or not labels.is_floating_point():
            kind = getattr(labels, "dtype", type(labels).__name__)
            raise TypeError(
                f"labels are a floating tensor [B, T, {bins}], the frames of a spectrum, not {kind}"
            )
        if labels.dim() != 3 or labels.shape[2] != bins or not labels.shape[1] or labels.shape[1] % factor:
            raise ValueError(
                f"labels have shape [B, T, {bins}] with a T that {factor} divides (reduction_factor), not "
                f"{list(labels.shape)}: cut the last frames"
            )

    def _finish(
        self, states: States, given: dict[str, Any], targets: dict[str, Any], items: Any
    ) -> ModelOutput:
        spec: Spec = self._formers.facts["head"]
        plain, refined, ends = leaf(self, "spectrum")(states.last)
        labels, loss = targets["labels"], None
        if labels is not None:
            loss = self._loss(spec, states, given, labels, (plain, refined, ends))
        passed = self._assembly.passed_on(states)
        return SpectrumOutput(loss, refined, **passed)

    def _loss(
        self,
        spec: Spec,
        states: States,
        given: dict[str, Any],
        labels: Tensor,
        made: tuple[Tensor, Tensor, Tensor],
    ) -> Tensor | None:
        """Distances of frames, whether the last is known, and how far attention is from the diagonal."""
        plain, refined, ends = made
        there = labels != _NONE
        if plain.shape != labels.shape:
            raise ValueError(
                f"labels have shape {list(labels.shape)}, but decoder_input_values make {list(plain.shape)}"
            )
        wanted, real = labels[there], there[:, :, 0]
        loss = F.l1_loss(refined[there], wanted) + F.l1_loss(plain[there], wanted)
        last = F.pad((~real).to(ends.dtype), (0, 1), value=1.0)[:, 1:]  # nothing follows
        weight = torch.tensor(5.0, dtype=ends.dtype, device=ends.device)
        loss = loss + F.binary_cross_entropy_with_logits(ends[real], last[real], pos_weight=weight)
        if spec.guide is None:
            return loss
        crossed, factor = states.cross_attentions or (), spec.refined.factor
        heads = torch.cat([one[:, : spec.guide.heads] for one in crossed], dim=1)  # [B, layers * heads, T, S]
        read = given.get("attention_mask")
        read = heads.new_ones(len(heads), heads.shape[-1]) if read is None else read
        return loss + guided(spec.guide, heads, read == 1, real[:, factor - 1 :: factor])

    @torch.no_grad()
    def generate(
        self,
        input_ids: Any = None,
        attention_mask: Tensor | None = None,
        speaker_embeddings: Tensor | None = None,
        threshold: float = 0.5,
        minlenratio: float = 0.0,
        maxlenratio: float = 20.0,
        vocoder: Any = None,
        output_cross_attentions: bool = False,
        return_output_lengths: bool = False,
        **more: Any,
    ) -> Any:
        """Speak.

        Args:
            input_ids: [B, T], int64, the texts; of a model that hears `input_values` [B, samples].
            attention_mask: 1 at what is read; without one padding is told by its id.
            speaker_embeddings: [B or 1, voice], floating: whose voice is heard.
            threshold: speech ends where the chances that it does sum up to this.
            minlenratio: steps for each row of the encoder, at least; `maxlenratio` at most.
            maxlenratio: likewise.
            vocoder: makes waves [B, samples] of frames [B, T, bins], such as a `SpeechT5HifiGan`.
            output_cross_attentions: return [B, layers, H, steps, S] too.
            return_output_lengths: return how many frames, or samples, each row has.
            **more: nothing else.

        Returns:
            Frames [B, T, bins], zeros behind the end, or waves; then lengths, and weights, where they are
            asked for. Of one row without lengths there is no axis for the batch.

        Raises:
            TypeError: for a keyword that is none of these.
            ValueError: without a speaker, or for one of another shape.
        """
        named = {
            "input_ids",
            "attention_mask",
            "speaker_embeddings",
            "threshold",
            "vocoder",
            self.main_input_name,
        }
        what = more.pop(self.main_input_name, None) if input_ids is None else input_ids
        refuse_unknown(more, (*named, "minlenratio", "maxlenratio"), f"{type(self).__name__}.generate")
        if not isinstance(what, Tensor):
            raise TypeError(f"generate reads {self.main_input_name} as a tensor, not {type(what).__name__}")
        spec: Spec = self._formers.facts["head"]
        voice = self._voice(spec, speaker_embeddings, what)
        pad = self.config.pad_token_id
        if attention_mask is None and not what.is_floating_point() and pad is not None:
            attention_mask = what.ne(pad).long()
        given = {self.main_input_name: what, "attention_mask": attention_mask}
        how = Bounds(threshold, minlenratio, maxlenratio)
        refiner = leaf(self, "spectrum")
        base: Any = self._owner()
        spoken = speak(base, refiner, spec.refined.bins, given, voice, how, output_cross_attentions)
        return delivered(spoken, vocoder, return_output_lengths)

    def generate_speech(self, inputs: Any, speaker_embeddings: Any = None, *args: Any, **more: Any) -> Any:
        """As `generate`, with the speaker in second place."""
        mask = args[0] if args else more.pop("attention_mask", None)
        return self.generate(inputs, mask, speaker_embeddings, *args[1:], **more)

    def _voice(self, spec: Spec, told: Tensor | None, like: Tensor) -> Tensor:
        if told is None:
            if self._needs_voice:
                raise ValueError(
                    f"speaker_embeddings say whose voice is heard: a tensor [{len(like)}, {spec.voice}], "
                    "such as the x-vector of a recording"
                )
            return torch.zeros(1, spec.voice, device=like.device)
        return told


class SoundSpectra(Spectra):
    """The same of sounds; nothing is learned from labels here, which are what the decoder reads."""

    _needs_voice = False

    def _guided(self, spec: Spec) -> bool:
        return False

    def _loss(self, *made: Any) -> Tensor | None:
        return None


def guided(s: Guide, attentions: Tensor, read: Tensor, said: Tensor) -> Tensor:
    """How far attention is from the diagonal.

    Args:
        s: how that is measured.
        attentions: [B, H, T, S].
        read: [B, S], bool, what there is to look at; `said` [B, T] what looks.
        said: likewise.
    """
    places = [
        torch.arange(mask.shape[1], device=mask.device) / mask.sum(1, keepdim=True) for mask in (said, read)
    ]
    away = places[0][:, :, None] - places[1][:, None]  # [B, T, S]
    cost = 1.0 - torch.exp(-(away**2) / (2 * s.sigma**2))
    both = (said[:, :, None] & read[:, None])[:, None]
    found: Tensor = s.scale * (cost[:, None] * attentions).masked_select(both).mean()
    return found
