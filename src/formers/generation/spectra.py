"""Speech, frame by frame: a decoder goes on until it says that it is done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence


@dataclass(frozen=True)
class Bounds:
    """When to stop.

    Attributes:
        threshold: a row has ended where its chances of being the last sum up to this.
        least: frames for each of the encoder's rows, at least; `most` at most.
    """

    threshold: float = 0.5
    least: float = 0.0
    most: float = 20.0

    def __post_init__(self) -> None:
        if not 0 <= self.least <= self.most:
            raise ValueError(
                f"minlenratio is from 0 to maxlenratio, which are {self.least} and {self.most} here"
            )


@dataclass(eq=False)
class Spoken:
    """What was said: of each row its frames [T, bins], and cross attention [B, layers, H, steps, S]."""

    frames: list[Tensor]
    attentions: Tensor | None = None


def speak(
    model: Any,
    refiner: Any,
    bins: int,
    given: dict[str, Any],
    voice: Tensor,
    how: Bounds,
    looks: bool = False,
) -> Spoken:
    """Let a decoder go on from silence.

    Args:
        model: the pair without its head.
        refiner: the head's, which makes frames of states.
        bins: numbers of a frame.
        given: what the encoder reads.
        voice: of the speakers, [B or 1, width].
        how: when to stop.
        looks: keep the weights of cross attention.
    """
    encoder = model.get_encoder()
    memory = encoder(**given, return_dict=True).last_hidden_state
    batch, factor = len(memory), refiner.prob_out.out_features
    least, most = (int(memory.shape[1] * ratio / factor) for ratio in (how.least, how.most))
    frame, cache = memory.new_zeros(batch, 1, bins), None
    said: list[Tensor] = []
    seen: list[Tensor] = []
    done: dict[int, Tensor] = {}
    while len(done) < batch:
        out = model(
            attention_mask=given.get("attention_mask"),
            encoder_outputs=(memory,),
            decoder_input_values=frame,
            speaker_embeddings=voice,
            past_key_values=cache,
            use_cache=True,
            output_attentions=looks,
            return_dict=True,
        )
        cache, last = out.past_key_values, out.last_hidden_state[:, -1]
        if looks:
            seen.append(torch.stack(out.cross_attentions, dim=1))
        said.append(refiner.feat_out(last).view(batch, factor, bins))
        frame = said[-1][:, -1:]
        if len(said) < least:
            continue
        ends = torch.sigmoid(refiner.prob_out(last)).sum(-1) >= how.threshold
        rows = ends.nonzero()[:, 0].tolist() if len(said) < most else range(batch)
        ended = [row for row in rows if row not in done]
        if ended:
            refined = refiner.refine(torch.cat(said, dim=1))
            done.update({row: refined[row] for row in ended})
    return Spoken([done[row] for row in range(batch)], torch.cat(seen, dim=3) if looks else None)


def delivered(spoken: Spoken, vocoder: Callable[[Tensor], Tensor] | None, lengths: bool) -> Any:
    """What a caller gets: frames, or what a vocoder makes of them, with all lengths if asked for.

    Of one row without lengths there is no axis for the batch. The weights of cross attention follow.
    """
    counts, seen = [len(one) for one in spoken.frames], spoken.attentions
    single = len(counts) == 1 and not lengths
    frames = spoken.frames[0] if single else pad_sequence(spoken.frames, batch_first=True)
    made = frames if vocoder is None else vocoder(frames)
    weights = () if seen is None else (seen[0] if single else seen,)
    if not lengths:
        return (made, *weights) if weights else made
    if vocoder is not None:
        counts = [made.shape[1] // max(counts) * count for count in counts]
    return (made, counts, *weights)
