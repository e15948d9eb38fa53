"""How a model becomes a folder, and a folder a repository."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from formers.adapters.mixin import has_adapters
from formers.checkpoints import save
from formers.checkpoints.renames import written
from formers.configs import CONFIG_NAME, GENERATION_CONFIG_NAME
from formers.core.notices import refuse_unknown
from formers.hub import PUSH_KEYWORDS, push_saved, split_push_keywords
from formers.model.structure import renames_of


def save_pretrained(model: Any, folder: Path, options: dict[str, Any]) -> None:
    """The body of `PreTrainedModel.save_pretrained`; see there."""
    if options.pop("export", False):
        if not model._exporter:
            raise TypeError(
                f"{type(model).__name__} is of no family of the library, which exports those alone"
            )
        importlib.import_module(model._exporter).export(model, folder, options)
        return
    allowed = ("is_main_process", "state_dict", "push_to_hub", "save_function", "save_peft_format")
    refuse_unknown(options, (*allowed, *model._saving_keywords, *PUSH_KEYWORDS), "save_pretrained")
    if folder.is_file():
        raise OSError(f"{folder} is a file; save_pretrained needs a folder")
    if has_adapters(model) and options.get("save_peft_format", True):
        from formers.adapters.peft_model import save_adapters

        own = ("is_main_process", "state_dict", "push_to_hub", "safe_serialization", *PUSH_KEYWORDS)
        save_adapters(model, folder, {key: value for key, value in options.items() if key in own})
        return
    main, tensors = options.pop("is_main_process", True), options.pop("state_dict", None)
    if model.tp_size is not None and tensors is None:
        from formers.model.tensor_parallel import gathered

        tensors, writes = gathered(model)  # all processes ask, and one writes
        main = main and writes
    if not main:
        return
    if tensors is None:
        tensors = {name: t for name, t in model.state_dict().items() if name not in model._unsaved}
    # a tied tensor is saved once, under the name of its source
    ties = {name: source for name, source in model._tied_weights().items() if source in tensors}
    if renames := renames_of(model):
        spelt = written(tensors, renames, model.base_model_prefix)
        tensors = {spelt[name]: value for name, value in tensors.items()}
        ties = {spelt[name]: spelt[source] for name, source in ties.items() if name in spelt}
    folder.mkdir(parents=True, exist_ok=True)
    config = model.config
    config.architectures = [type(model).__name__]
    config.dtype = str(model.dtype).removeprefix("torch.")
    texts = {CONFIG_NAME: config.to_json_string()}
    if model.generation_config is not None:
        texts[GENERATION_CONFIG_NAME] = model.generation_config.to_json_string()
    tags = options.pop("tags", None)
    how = {key: options[key] for key in model._saving_keywords if key in options}
    save(tensors, folder, ties=ties, texts=texts, **how)
    _write_card(model, folder, tags)
    if options.get("push_to_hub"):
        push_saved(folder, split_push_keywords(options)[0])


def _write_card(model: Any, folder: Path, tags: str | Sequence[str] | None) -> None:
    """A model card, where none was written by hand or by an earlier step."""
    from formers.hub.card import model_card, save_card

    if (folder / "README.md").exists():
        return
    task, labelled = model._tagged_task()
    save_card(
        folder,
        model_card(
            name=folder.name,
            base_model=model.name_or_path if model.name_or_path.count("/") == 1 else None,
            task=task,
            labels=model.config.id2label if labelled else None,
            tags=[*(model.model_tags or ()), *([tags] if isinstance(tags, str) else tags or ())],
        ),
    )
