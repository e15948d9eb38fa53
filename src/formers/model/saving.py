"""How a model becomes a folder, and a folder a repository."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from formers.checkpoints import save
from formers.configs import CONFIG_NAME
from formers.core.notices import refuse_unknown
from formers.generation_config import GENERATION_CONFIG_NAME

_SAVE = ("max_shard_size", "safe_serialization", "variant")
_PUSH = (
    "repo_id",
    "private",
    "commit_message",
    "commit_description",
    "token",
    "revision",
    "create_pr",
    "use_auth_token",
    "use_temp_dir",
    "tags",
)


def save_pretrained(model: Any, folder: Path, options: dict[str, Any]) -> None:
    """The body of `PreTrainedModel.save_pretrained`; see there."""
    if options.pop("export", False):
        raise TypeError(
            "save_pretrained(export=True) exports nothing, and this version has no ONNX export: leave it out"
        )
    allowed = (
        "is_main_process",
        "state_dict",
        "push_to_hub",
        "save_function",
        "save_peft_format",
        *_SAVE,
        *_PUSH,
    )
    refuse_unknown(options, allowed, "save_pretrained")
    if folder.is_file():
        raise OSError(f"{folder} is a file; save_pretrained needs a folder")
    if not options.pop("is_main_process", True):
        return
    tensors = options.pop("state_dict", None)
    if tensors is None:
        tensors = model.state_dict()
    tied = model._tied_weights()
    # the source of a tie carries its target; a target that was untied is saved for itself
    tensors = {
        name: value
        for name, value in tensors.items()
        if not (name in tied and tied[name] in tensors and tensors[tied[name]].data_ptr() == value.data_ptr())
    }
    folder.mkdir(parents=True, exist_ok=True)
    config = model.config
    config.architectures = [type(model).__name__]
    config.dtype = str(model.dtype).removeprefix("torch.")
    texts = {CONFIG_NAME: config.to_json_string()}
    if model.generation_config is not None:
        texts[GENERATION_CONFIG_NAME] = model.generation_config.to_json_string()
    how = {key: options[key] for key in _SAVE if key in options}
    save(tensors, folder, metadata={"format": "pt"}, texts=texts, **how)
    _write_card(model, folder, options.get("tags"))
    if options.get("push_to_hub"):
        push = {key: options[key] for key in _PUSH if key in options}
        repo_id = push.pop("repo_id", folder.name)
        push.pop("tags", None)
        _push(folder, repo_id, push)


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
            tags=[tags] if isinstance(tags, str) else tags or (),
        ),
    )


def push_model(model: Any, repo_id: str, options: dict[str, Any]) -> str:
    """Save into a temporary folder and upload it."""
    refuse_unknown(options, (*_SAVE, *_PUSH), "push_to_hub")
    push = {key: options.pop(key) for key in list(options) if key in _PUSH and key != "tags"}
    with tempfile.TemporaryDirectory() as folder:
        save_pretrained(model, Path(folder), options)
        return _push(Path(folder), repo_id, push)


def _push(folder: Path, repo_id: str, options: dict[str, Any]) -> str:
    from formers.hub import push_folder

    return str(push_folder(folder, repo_id, **options))
