"""A tokenizer, and voices beside it: what prepares texts for a model that goes on in somebody's voice."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

import numpy as np

from formers.core.atomic import write_text
from formers.core.jsonfile import read_json_object
from formers.hub import Source, split_hub_keywords
from formers.processing.features import BatchFeature
from formers.processing.image_text import ProcessorMixin
from formers.tokenization import load

_LIST = "speaker_embeddings_path.json"
_FOLDER = "speaker_embeddings"
_HOME = "repo_or_path"
# parts of a voice, and how many axes they have
_PARTS = {"semantic_prompt": 1, "coarse_prompt": 2, "fine_prompt": 2}


class VoiceProcessor(ProcessorMixin):
    """Texts to the inputs of a model that speaks, and a voice that it goes on in.

    Args:
        tokenizer: of the texts.
        speaker_embeddings: name of a voice -> its parts (`semantic_prompt`, `coarse_prompt`, `fine_prompt`)
            -> files of arrays, relative to the folder or repository under `repo_or_path`.
    """

    attributes: ClassVar[tuple[str, ...]] = ("tokenizer",)

    def __init__(self, tokenizer: Any = None, speaker_embeddings: Mapping[str, Any] | None = None) -> None:
        super().__init__(tokenizer)
        self.speaker_embeddings = None if speaker_embeddings is None else dict(speaker_embeddings)
        self._hub: dict[str, Any] = {}

    @property
    def available_voice_presets(self) -> list[str]:
        """Names of the voices."""
        return [name for name in self.speaker_embeddings or {} if name != _HOME]

    def __call__(  # type: ignore[override]  # texts alone
        self,
        text: Any = None,
        voice_preset: Any = None,
        return_tensors: str | None = "pt",
        max_length: int = 256,
        add_special_tokens: bool = False,
        return_attention_mask: bool = True,
        return_token_type_ids: bool = False,
        **options: Any,
    ) -> BatchFeature:
        """Prepare texts.

        Args:
            text: one, or a list.
            voice_preset: the name of a voice, a file of one (.npz), or its parts by name, arrays.
            return_tensors: "pt" or "np"; of the voice too.
            max_length: texts are padded to it; the model reads so many tokens.
            add_special_tokens: add them.
            return_attention_mask: return which tokens are real.
            return_token_type_ids: return types of tokens.
            **options: see the tokenizer's call.

        Returns:
            `input_ids` and `attention_mask` [B, max_length], and of a voice `history_prompt`.

        Raises:
            OSError: where the voice's files are missing.
            ValueError: without texts, and for what is no voice.
        """
        if text is None:
            raise ValueError(f"{type(self).__name__} needs text=")
        voice = None if voice_preset is None else self._checked(voice_preset)
        given = {"padding": "max_length", **options}
        encoded = self.tokenizer(
            text,
            return_tensors=return_tensors,
            max_length=max_length,
            add_special_tokens=add_special_tokens,
            return_attention_mask=return_attention_mask,
            return_token_type_ids=return_token_type_ids,
            **given,
        )
        found = BatchFeature(encoded)
        if voice is not None:
            found["history_prompt"] = BatchFeature(voice, return_tensors)
        return found

    def _checked(self, told: Any) -> dict[str, np.ndarray[Any, Any]]:
        """The arrays of a voice, however it is told."""
        if isinstance(told, Mapping):
            found: Mapping[str, Any] = told
        elif str(told) in self.available_voice_presets:
            found = self._listed(str(told))
        else:
            found = self._file(told)
        for name, axes in _PARTS.items():
            part = found.get(name)
            if not isinstance(part, np.ndarray) or part.ndim != axes:
                said = f"an array of {part.ndim}" if isinstance(part, np.ndarray) else type(part).__name__
                raise ValueError(
                    f"a voice has {', '.join(_PARTS)}: its {name} is an array of {axes} axes, not {said}"
                )
        return {name: found[name] for name in _PARTS}

    def _file(self, told: Any) -> dict[str, Any]:
        """Of a file of arrays by name."""
        if not isinstance(told, (str, os.PathLike)):
            raise ValueError(f"a voice is a name, a file or arrays by name, not {type(told).__name__}")
        path = Path(told).expanduser()
        path = path if path.suffix == ".npz" else path.with_name(path.name + ".npz")
        if not path.is_file():
            known = self.available_voice_presets
            there = f"; this model's are {', '.join(known[:8])}{', ...' if len(known) > 8 else ''}"
            raise OSError(
                f"there is no voice {str(told)!r}, and no file {str(path)!r}"
                + (there if known else "; this model brings none")
            )
        with np.load(path, allow_pickle=False) as held:
            return {name: held[name] for name in held.files}

    def _listed(self, name: str) -> dict[str, Any]:
        """Of the files that the list names."""
        assert self.speaker_embeddings is not None
        home, found = self.speaker_embeddings.get(_HOME, "."), {}
        for part in _PARTS:
            file = self.speaker_embeddings[name].get(part)
            if file is None:
                raise ValueError(f"the voice {name!r} has no {part} in {_LIST}")
            path = PurePosixPath(str(file))
            if path.is_absolute() or ".." in path.parts or "\\" in str(file):
                raise ValueError(f"the voice {name!r} names a file outside its folder: {file!r}")
            found[part] = np.load(Source.of(home, **self._hub).get(str(file)), allow_pickle=False)
        return found

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: Any,
        speaker_embeddings_dict_path: str | None = _LIST,
        **options: Any,
    ) -> Any:
        """Load the tokenizer of a folder or a Hub id, and the list of voices where there is one.

        Args:
            pretrained_model_name_or_path: folder, or `owner/name`.
            speaker_embeddings_dict_path: the list's file; None for no voices.
            options: Hub keywords, and those of the tokenizer.
        """
        hub, rest = split_hub_keywords(options)
        name, voices = pretrained_model_name_or_path, None
        path = None
        if speaker_embeddings_dict_path is not None:
            path = Source.of(name, **hub).find(speaker_embeddings_dict_path)
        if path is not None:
            voices = read_json_object(path)
            if _HOME in voices:
                voices[_HOME] = str(name)
        made = cls(load(name, **hub, **rest), voices)
        made._hub = hub
        return made

    def to_dict(self) -> dict[str, Any]:
        """The name of the class; voices have files of their own."""
        return {**super().to_dict(), "processor_class": type(self).__name__}

    def written(self, folder: Path) -> list[str]:
        """Write the tokenizer's files, and the voices with their list."""
        files = super().written(folder)
        if self.speaker_embeddings is None:
            return files
        listed: dict[str, Any] = {_HOME: str(folder)}
        for name in self.available_voice_presets:
            listed[name] = {}
            for part, array in self._listed(name).items():
                file = PurePosixPath(_FOLDER) / f"{name}_{part}.npy"
                if ".." in file.parts or file.is_absolute():
                    raise ValueError(f"{name!r} is no name of a voice: it leads outside the folder")
                target = folder / file
                target.parent.mkdir(parents=True, exist_ok=True)
                np.save(target, array, allow_pickle=False)
                listed[name][part] = str(file)
                files.append(str(target))
        write_text(folder / _LIST, json.dumps(listed))
        return [*files, str(folder / _LIST)]
