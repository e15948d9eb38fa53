"""Writing a trained model, and uploading it to the Hub."""

from __future__ import annotations

import copy
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from formers.core.atomic import write_atomically, write_text
from formers.core.notices import notice
from formers.training import files
from formers.training.choices import HubStrategy
from formers.training.state import STATE

# what of a checkpoint goes to the top of the repository
_OF_THE_MODEL = (
    files.WEIGHTS, files.WEIGHTS_INDEX, files.WEIGHTS_BIN, "model-*.safetensors",
    "adapter_model.*", "*.json", "*.txt", "*.model",
)  # fmt: skip


def write_model(trainer: Any, folder: Path, state_dict: dict[str, Any] | None = None) -> None:
    """Write model, tokenizer and arguments into `folder`."""
    args = trainer.args
    folder.mkdir(parents=True, exist_ok=True)
    with trainer.averaged():
        files.save_weights(trainer.model, folder, state_dict, args.save_safetensors)
    processing = trainer.processing_class
    if processing is None:
        processing = getattr(trainer.data_collator, "tokenizer", None)
    if hasattr(processing, "save_pretrained"):
        processing.save_pretrained(str(folder))
    # twice: as the ecosystem's pickle, which we never read, and as JSON
    plain = copy.copy(args)
    plain.hub_token = None  # the file may be uploaded
    with write_atomically(folder / files.ARGUMENTS) as beside:
        torch.save(plain, beside)
    write_text(folder / files.ARGUMENTS_JSON, args.to_json_string() + "\n")


class Publisher:
    """Uploads to the Hub, one at a time."""

    def __init__(self, args: Any) -> None:
        self.args = args
        self._current: _Upload | None = None

    def upload(
        self,
        repository: str,
        message: str | None,
        ignore: list[str],
        *,
        blocking: bool = True,
        token: str | None = None,
        revision: str | None = None,
    ) -> str | None:
        """Upload `output_dir` but what matches `ignore`; returns the address where it waits for the end."""
        from formers.hub import push_folder

        args = self.args

        def work() -> str:
            return push_folder(
                Path(str(args.output_dir)),
                repository,
                commit_message=message,
                ignore=ignore,
                token=token or args.hub_token,
                private=args.hub_private_repo,
                revision=revision or args.hub_revision,
            )

        self.wait()
        if blocking:
            return work()
        self._current = _Upload(work)
        self._current.start()
        return None

    def wait(self) -> None:
        """Wait for the upload that is under way; its failure is noticed."""
        upload, self._current = self._current, None
        if upload is not None:
            upload.join()
            if upload.error is not None:
                notice(f"An upload during training failed: {upload.error}")

    @property
    def busy(self) -> bool:
        """Whether an upload is under way that the next may not wait for."""
        alive = self._current is not None and self._current.is_alive()
        return alive and not self.args.hub_always_push

    def upload_checkpoint(self, folder: Path, repository: str, step: int) -> None:
        """Upload what was just saved, as `hub_strategy` says."""
        self.wait()
        home = Path(str(self.args.output_dir))
        for path in (path for pattern in _OF_THE_MODEL for path in folder.glob(pattern)):
            if path.name != STATE:
                shutil.copy2(path, home / path.name)
        ignore = ["_*", ".*"]
        if self.args.hub_strategy == HubStrategy.CHECKPOINT:
            away = home / "last-checkpoint"
            shutil.rmtree(away, ignore_errors=True)
            shutil.copytree(folder, away)
        if self.args.hub_strategy != HubStrategy.ALL_CHECKPOINTS:
            ignore.append(f"{files.PREFIX}-*")
        self.upload(repository, f"Training in progress, step {step}", ignore, blocking=False)


class _Upload(threading.Thread):
    """An upload in the background, whose error is raised where it is waited for."""

    def __init__(self, work: Callable[[], Any]) -> None:
        super().__init__(daemon=True)
        self.work = work
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            self.work()
        except Exception as error:
            self.error = error
