"""The settings of watermarks: what `watermarking_config` holds, and files keep."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from formers.core.atomic import write_text
from formers.core.notices import refuse_unknown

if TYPE_CHECKING:
    from typing_extensions import Self

    from formers.generation.processors.base import LogitsProcessor


@dataclass
class BaseWatermarkingConfig:
    """Settings of a watermark, as an object, a dictionary, or JSON."""

    def __post_init__(self) -> None:
        self.validate()

    @classmethod
    def from_dict(cls, config_dict: Mapping[str, Any], **kwargs: Any) -> Self:
        """Settings from a dictionary; `kwargs` win over it."""
        given = {**config_dict, **kwargs}
        refuse_unknown(given, cls.__dataclass_fields__, cls.__name__)
        return cls(**given)

    def update(self, **kwargs: Any) -> None:
        """Change settings."""
        refuse_unknown(kwargs, self.__dict__, type(self).__name__)
        self.__dict__.update(kwargs)
        self.validate()

    def to_dict(self) -> dict[str, Any]:
        """All settings."""
        return copy.deepcopy(self.__dict__)

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        yield from self.to_dict().items()

    def to_json_string(self) -> str:
        """All settings as JSON."""
        return json.dumps(self.__dict__, indent=2) + "\n"

    def to_json_file(self, json_file_path: str | os.PathLike[str]) -> None:
        """Write all settings to a file."""
        write_text(json_file_path, json.dumps(self.__dict__, indent=2, sort_keys=True) + "\n")

    def validate(self) -> None:
        """Raise a ValueError where a setting makes no sense."""
        self.construct_processor(1, "cpu")

    def construct_processor(self, vocab_size: int, device: Any) -> LogitsProcessor:
        """The processor that marks a text of a model with `vocab_size` tokens."""
        raise NotImplementedError(f"{type(self).__name__} has to define construct_processor")


@dataclass
class WatermarkingConfig(BaseWatermarkingConfig):
    """Green lists (Kirchenbauer et al. 2023); see `WatermarkLogitsProcessor`."""

    greenlist_ratio: float = 0.25
    bias: float = 2.0
    hashing_key: int = 15485863
    seeding_scheme: str = "lefthash"
    context_width: int = 1

    def construct_processor(self, vocab_size: int, device: Any) -> LogitsProcessor:
        """The processor that adds to green scores."""
        from formers.generation.processors.watermarks import WatermarkLogitsProcessor

        return WatermarkLogitsProcessor(vocab_size, device, **self.to_dict())


@dataclass
class SynthIDTextWatermarkingConfig(BaseWatermarkingConfig):
    """Tournaments (Dathathri et al. 2024); see `SynthIDTextWatermarkLogitsProcessor`."""

    ngram_len: int
    keys: list[int]
    context_history_size: int = 1024
    sampling_table_seed: int = 0
    sampling_table_size: int = 2**16
    skip_first_ngram_calls: bool = False
    debug_mode: bool = False

    def construct_processor(self, vocab_size: int, device: Any) -> LogitsProcessor:
        """The processor that holds the tournaments."""
        from formers.generation.processors.watermarks import SynthIDTextWatermarkLogitsProcessor

        return SynthIDTextWatermarkLogitsProcessor(**self.to_dict(), device=device)


def watermark_of(settings: BaseWatermarkingConfig | Mapping[str, Any]) -> BaseWatermarkingConfig:
    """The settings that `watermarking_config` holds: an object, or a dictionary as files keep it."""
    if isinstance(settings, Mapping):
        kind = SynthIDTextWatermarkingConfig if "ngram_len" in settings else WatermarkingConfig
        return kind.from_dict(settings)
    return settings
