"""Bark (Suno 2023): speech and other sounds of a text, in stages."""

from __future__ import annotations

from typing import Any, ClassVar

from formers.assemblies.audio.staged_speech import SpeechStages
from formers.assemblies.family import Family, Head
from formers.configs import PretrainedConfig
from formers.configs.generation import GenerationConfig
from formers.models.bark_stages import BarkCoarseConfig, BarkFineConfig, BarkSemanticConfig
from formers.models.classes import base_class, class_of
from formers.models.hubert import RENAMES
from formers.models.registry import config_class, family_of, register


class BarkConfig(PretrainedConfig):
    """Configuration of Bark."""

    model_type = "bark"
    sub_configs: ClassVar[dict[str, Any]] = {
        "semantic_config": BarkSemanticConfig,
        "coarse_acoustics_config": BarkCoarseConfig,
        "fine_acoustics_config": BarkFineConfig,
        "codec_config": config_class,
    }
    sub_defaults: ClassVar[dict[str, dict[str, Any]]] = {
        "semantic_config": {},
        "coarse_acoustics_config": {},
        "fine_acoustics_config": {},
        "codec_config": {"model_type": "encodec"},
    }
    initializer_range: float = 0.02

    @classmethod
    def from_sub_model_configs(
        cls,
        semantic_config: Any,
        coarse_acoustics_config: Any,
        fine_acoustics_config: Any,
        codec_config: Any,
        **values: Any,
    ) -> BarkConfig:
        """The four configs as one."""
        return cls(
            semantic_config=semantic_config,
            coarse_acoustics_config=coarse_acoustics_config,
            fine_acoustics_config=fine_acoustics_config,
            codec_config=codec_config,
            **values,
        )


class _Stage(GenerationConfig):
    """Settings with defaults of their own, beside those that every stage knows."""

    model_type: ClassVar[str] = ""
    _own: ClassVar[dict[str, Any]] = {}

    def __init__(self, **kwargs: Any) -> None:
        known = {name: kwargs.pop(name, default) for name, default in self._own.items()}
        super().__init__(**kwargs)
        vars(self).update(known)


class BarkSemanticGenerationConfig(_Stage):
    """How a text becomes tokens of what it means.

    Fields of its own: `text_encoding_offset` (added to ids of texts), `text_pad_token`,
    `semantic_infer_token` (behind the text), `semantic_vocab_size`, `max_input_semantic_length` (ids of a
    text), `semantic_rate_hz` (tokens of a second), `min_eos_p` (the end comes as soon as it is likelier).
    """

    model_type = "semantic"
    _own: ClassVar[dict[str, Any]] = {
        **{"eos_token_id": 10_000, "renormalize_logits": True, "max_new_tokens": 768},
        **{"text_encoding_offset": 10_048, "text_pad_token": 129_595, "semantic_infer_token": 129_599},
        **{"semantic_vocab_size": 10_000, "max_input_semantic_length": 256, "semantic_rate_hz": 49.9},
        "min_eos_p": None,
    }

    def __init__(self, **kwargs: Any) -> None:
        kwargs.pop("semantic_pad_token", None)
        super().__init__(**kwargs)
        self.semantic_pad_token = self.eos_token_id


class BarkCoarseGenerationConfig(_Stage):
    """How tokens of what a text means become codes of the first books, in turn.

    Fields of its own: `coarse_semantic_pad_token`, `coarse_rate_hz` (codes of a second and book),
    `n_coarse_codebooks`, `coarse_infer_token` (behind what is meant), `max_coarse_input_length` (tokens of
    what is meant), `max_coarse_history` (codes that are read again), `sliding_window_len` (new ones).
    """

    model_type = "coarse_acoustics"
    _own: ClassVar[dict[str, Any]] = {
        **{"renormalize_logits": True, "coarse_semantic_pad_token": 12_048, "coarse_rate_hz": 75},
        **{"n_coarse_codebooks": 2, "coarse_infer_token": 12_050, "max_coarse_input_length": 256},
        **{"max_coarse_history": 630, "sliding_window_len": 60},
    }


class BarkFineGenerationConfig(_Stage):
    """How codes of all books follow from those of the first.

    Fields of its own: `max_fine_history_length` (places that are new at once), `max_fine_input_length`
    (places that are read at once), `n_fine_codebooks`. A `temperature` other than 1 draws them.
    """

    model_type = "fine_acoustics"
    _own: ClassVar[dict[str, Any]] = {
        **{"temperature": 1.0, "max_fine_history_length": 512, "max_fine_input_length": 1024},
        "n_fine_codebooks": 8,
    }


class BarkGenerationConfig(GenerationConfig):
    """How a text becomes a sound: the settings of every stage.

    Args:
        semantic_config: a `BarkSemanticGenerationConfig`, or its fields.
        coarse_acoustics_config: a `BarkCoarseGenerationConfig`, likewise.
        fine_acoustics_config: a `BarkFineGenerationConfig`, likewise.
        sample_rate: of the sounds, in Hz.
        codebook_size: codes of a book.
        kwargs: fields of a `GenerationConfig`.
    """

    model_type: ClassVar[str] = "bark"

    def __init__(
        self,
        semantic_config: Any = None,
        coarse_acoustics_config: Any = None,
        fine_acoustics_config: Any = None,
        sample_rate: int = 24_000,
        codebook_size: int = 1024,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.semantic_config = BarkSemanticGenerationConfig(**fields_of(semantic_config))
        self.coarse_acoustics_config = BarkCoarseGenerationConfig(**fields_of(coarse_acoustics_config))
        self.fine_acoustics_config = BarkFineGenerationConfig(**fields_of(fine_acoustics_config))
        self.sample_rate, self.codebook_size = sample_rate, codebook_size

    @classmethod
    def from_sub_model_configs(
        cls,
        semantic_config: BarkSemanticGenerationConfig,
        coarse_acoustics_config: BarkCoarseGenerationConfig,
        fine_acoustics_config: BarkFineGenerationConfig,
        **kwargs: Any,
    ) -> BarkGenerationConfig:
        """The settings of the stages as one."""
        return cls(semantic_config, coarse_acoustics_config, fine_acoustics_config, **kwargs)


def fields_of(told: Any) -> dict[str, Any]:
    """The fields of a stage's settings, however they are told."""
    return dict(told.to_dict() if isinstance(told, GenerationConfig) else told or {})


def stages_of(told: Any) -> tuple[Any, Any, Any, int]:
    """The settings of every stage, as any config says them, or by default; and the codes of a book."""
    known = BarkGenerationConfig()
    names = ("semantic_config", "coarse_acoustics_config", "fine_acoustics_config")
    held = [fields_of(getattr(told, name, getattr(known, name))) for name in names]
    return (
        BarkSemanticGenerationConfig(**held[0]),
        BarkCoarseGenerationConfig(**held[1]),
        BarkFineGenerationConfig(**held[2]),
        int(getattr(told, "codebook_size", known.codebook_size)),
    )


def stage(config: Any) -> Any:
    """The class of a stage."""
    return class_of(family_of(config.model_type), "Model")


BARK = register(
    Family(
        model_type="bark",
        name="Bark",
        config=BarkConfig,
        base="",
        assembly=SpeechStages(
            {
                "semantic": ("semantic_config", stage),
                "coarse_acoustics": ("coarse_acoustics_config", stage),
                "fine_acoustics": ("fine_acoustics_config", stage),
                "codec_model": ("codec_config", base_class),
            },
            stages_of,
        ),
        heads={"Model": Head("staged_speech", lambda c: None)},
        renames=RENAMES,
        ignored=(r".*attn\.bias",),
        settings=(
            *(BarkCoarseGenerationConfig, BarkFineGenerationConfig, BarkGenerationConfig),
            BarkSemanticGenerationConfig,
        ),
    )
)
