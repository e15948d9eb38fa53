"""`greedy_search`, `sample`, `beam_search` and their kin: strategies by name, as before `generate` chose.

Each calls `generate` with that strategy. The scores are changed by the processors that a call gives, and by
nothing that `model.generation_config` says by numbers; tokens that it forces stay forced.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from torch import Tensor

from formers.configs import GenerationConfig
from formers.configs.defaults import GENERATION
from formers.core.outputs import ModelOutput
from formers.generation.stopping import MaxLengthCriteria, StoppingCriteriaList


class BeamSearchScorer:
    """How beams are kept, for `beam_search` and its kin.

    Args:
        batch_size: rows of the batch.
        num_beams: beams of a row.
        device: where the beams are; follows from the inputs.
        length_penalty: scores are divided by length to that power.
        do_early_stopping: True ends a row with as many ended beams, False when no better one is likely,
            "never" when none is possible.
        num_beam_hyps_to_keep: beams that are returned of a row.
        num_beam_groups: groups of beams that shall differ.
        max_length: tokens of a row.

    Raises:
        ValueError: for fewer than two beams.
    """

    def __init__(
        self,
        batch_size: int,
        num_beams: int,
        device: Any = None,
        length_penalty: float = 1.0,
        do_early_stopping: bool | str = False,
        num_beam_hyps_to_keep: int = 1,
        num_beam_groups: int = 1,
        max_length: int | None = None,
    ) -> None:
        if num_beams < 2:
            raise ValueError(f"num_beams is above 1, not {num_beams}: for one beam there is greedy_search")
        self.batch_size, self.num_beams, self.device = batch_size, num_beams, device
        self.max_length, self.num_beam_groups = max_length, num_beam_groups
        self.settings = {
            "num_beams": num_beams,
            "length_penalty": length_penalty,
            "early_stopping": do_early_stopping,
            "num_return_sequences": num_beam_hyps_to_keep,
        }


class LoopsByName:
    """The strategies of `generate`, each by its own name.

    All take `logits_processor`, `stopping_criteria` (or `max_length`), `pad_token_id`, `eos_token_id`,
    `output_scores`, `output_attentions`, `output_hidden_states`, `return_dict_in_generate`, `streamer`,
    `synced_gpus`, and what else the model reads; and return what `generate` does.
    """

    generate: Callable[..., Any]
    generation_config: Any

    def greedy_search(self, input_ids: Tensor, **options: Any) -> Any:
        """The likeliest token after each prompt [B, T], again and again."""
        return self._by_name(input_ids, {"do_sample": False}, options)

    def sample(self, input_ids: Tensor, logits_warper: Iterable[Any] | None = None, **options: Any) -> Any:
        """Tokens drawn by their scores; `logits_warper` are processors that come last."""
        return self._by_name(input_ids, {"do_sample": True}, _with_warpers(options, logits_warper))

    def contrastive_search(
        self, input_ids: Tensor, top_k: int = 1, penalty_alpha: float = 0.0, **options: Any
    ) -> Any:
        """Likely tokens that are unlike those before (Su et al. 2022, arXiv:2202.06417)."""
        how = {"do_sample": False, "top_k": top_k, "penalty_alpha": penalty_alpha}
        return self._by_name(input_ids, how, options)

    def beam_search(self, input_ids: Tensor, beam_scorer: BeamSearchScorer, **options: Any) -> Any:
        """The likeliest texts among several; `input_ids` [B * beams, T] has each row once for every beam."""
        return self._of_beams(input_ids, beam_scorer, {"do_sample": False}, options)

    def beam_sample(
        self,
        input_ids: Tensor,
        beam_scorer: BeamSearchScorer,
        logits_warper: Iterable[Any] | None = None,
        **options: Any,
    ) -> Any:
        """`beam_search` whose beams go on with tokens that are drawn."""
        given = _with_warpers(options, logits_warper)
        return self._of_beams(input_ids, beam_scorer, {"do_sample": True}, given)

    def group_beam_search(self, input_ids: Tensor, beam_scorer: BeamSearchScorer, **options: Any) -> Any:
        """`beam_search` in groups; a `HammingDiversityLogitsProcessor` says how much they differ."""
        kept: list[Any] = []
        penalty = 0.0
        for one in options.pop("logits_processor", None) or ():
            found = getattr(one, "_diversity_penalty", getattr(one, "diversity_penalty", None))
            penalty, kept = (penalty, [*kept, one]) if found is None else (float(found), kept)
        groups = {"num_beam_groups": beam_scorer.num_beam_groups, "diversity_penalty": penalty}
        how = {"do_sample": False, **groups}
        return self._of_beams(input_ids, beam_scorer, how, {**options, "logits_processor": kept})

    def constrained_beam_search(self, input_ids: Tensor, constrained_beam_scorer: Any, **options: Any) -> Any:
        """Refused: constraints are given to `generate`.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError(
            "constrained_beam_search is generate(input_ids, constraints=[...], num_beams=...) today"
        )

    def _of_beams(
        self, input_ids: Tensor, scorer: BeamSearchScorer, how: dict[str, Any], options: dict[str, Any]
    ) -> Any:
        rows, beams = len(input_ids), scorer.num_beams
        if rows != scorer.batch_size * beams:
            raise ValueError(
                f"Batch dimension of `input_ids` should be {scorer.batch_size * beams}, but is {rows}."
            )
        once = {name: _every(value, beams, rows) for name, value in options.items()}
        once.setdefault("max_length", scorer.max_length)
        return self._by_name(input_ids[::beams], {**how, **scorer.settings}, once)

    def _by_name(self, input_ids: Tensor, how: dict[str, Any], options: dict[str, Any]) -> Any:
        config = GenerationConfig(**{name: value for name, value in GENERATION.items() if value is not None})
        told = {name: options.pop(name) for name in list(options) if name in GENERATION}
        criteria = StoppingCriteriaList(options.pop("stopping_criteria", None) or ())
        length = told.pop("max_length", None) or criteria.max_length
        options["stopping_criteria"] = StoppingCriteriaList(
            [one for one in criteria if not isinstance(one, MaxLengthCriteria)]
        )
        own = self.generation_config
        tokens = ("bos_token_id", "decoder_start_token_id", "eos_token_id", "pad_token_id")
        ids = {name: getattr(own, name) for name in tokens}
        wanted = {**ids, "max_length": length or own.max_length, "use_cache": own.use_cache}
        wanted |= {"top_k": 0} if how["do_sample"] else {}
        for name, value in {**wanted, **how, **told}.items():
            setattr(config, name, value)
        return self.generate(input_ids, generation_config=config, **options)


def _with_warpers(options: dict[str, Any], warpers: Iterable[Any] | None) -> dict[str, Any]:
    if warpers is None:
        return options
    from formers.generation.processors.base import LogitsProcessorList

    return {
        **options,
        "logits_processor": LogitsProcessorList([*(options.get("logits_processor") or ()), *warpers]),
    }


def _every(value: Any, beams: int, rows: int) -> Any:
    """Every row of the batch once, where it stands once for each beam; of records likewise."""
    if isinstance(value, ModelOutput):
        return type(value)(**{name: _every(one, beams, rows) for name, one in value.items()})
    if isinstance(value, Tensor) and value.dim() and len(value) == rows:
        return value[::beams]
    return value
