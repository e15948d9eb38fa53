"""MVP (Tang et al. 2022, arXiv:2206.12131): BART, trained on many labelled tasks of generation."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from formers.assemblies.encoder_decoder import EncoderDecoder
from formers.models import bart
from formers.models.registry import register
from formers.nn import spec


class MvpConfig(bart.PairConfig):
    """Configuration of MVP.

    Raises:
        ValueError: for prompts before every layer.
    """

    model_type = "mvp"
    vocab_size: int = 50267
    classifier_dropout: float = 0.0
    use_prompt: bool = False
    prompt_length: int = 100
    prompt_mid_dim: int = 800

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        if self.use_prompt:
            raise ValueError(
                "prompts before every layer of MVP are not built here: use_prompt must be False. An adapter "
                "(LoRA) tunes few parameters too"
            )


def half(c: MvpConfig, decoder: bool) -> spec.Stack:
    """The encoder or the decoder: vectors given in place of tokens are not scaled."""
    stem = replace(bart.tokens(c), table_scale=1.0, scale=bart.scale_of(c), scale_given=False)
    return bart.stack(c, decoder, "Mvp", stem)


MVP = register(
    replace(
        bart.BART,
        model_type="mvp",
        name="Mvp",
        config=MvpConfig,
        assembly=EncoderDecoder(half, shifts_inputs=True, may_untie=True),
    )
)
