"""Methods that the ecosystem's trainers call and this one does not: who overrides one is told what to do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

# what to override or to pass instead -> names that would never be called
_INSTEAD: dict[str, tuple[str, ...]] = {
    "get_train_dataloader or get_eval_dataloader": ("_get_dataloader",),
    "_get_collator_with_removed_columns, or pass remove_unused_columns=False": ("_remove_unused_columns",),
    "get_batch_samples": ("_get_num_items_in_batch",),
    "_inner_training_loop": (
        "_run_epoch", "_init_training_state", "_prepare_for_training", "_finalize_training",
        "set_initial_training_values", "_update_auto_batch_size",
    ),
    "training_step": (
        "_prepare_context_parallel_inputs", "_track_num_input_tokens", "_defer_fsdp_gradient_reduction",
    ),
    "_clip_grad_norm": ("_get_grad_norm", "_mixed_mesh_grad_norm", "_has_mixed_mesh_grads"),
    "log or get_learning_rates": ("_get_learning_rate",),
    "get_total_train_batch_size": ("get_sp_size", "get_cp_size"),
    "create_accelerator_and_postprocess": (
        "_build_accelerator_args", "_validate_args", "propagate_args_to_deepspeed",
        "_fsdp_qlora_plugin_updates",
    ),
    "_wrap_model": (
        "_sync_replicated_trainable_parameters", "ipex_optimize_model", "torch_jit_model_eval",
        "_activate_neftune", "_deactivate_neftune",
    ),
    "evaluation_loop": ("_nested_gather", "_pad_across_processes", "_gather_and_numpify"),
    "_save_optimizer_and_scheduler": ("_save_scaler",),
    "_load_optimizer_and_scheduler": ("_load_scaler",),
    "_load_from_checkpoint": ("_issue_warnings_after_load",),
    "state() and restore() of the callback": ("_load_callback_state",),
    "_rotate_checkpoints": ("_sorted_checkpoints",),
    "push_to_hub": ("_finish_current_push", "init_git_repo", "_add_sm_patterns_to_gitignore"),
    "hyperparameter_search": ("_hp_search_setup", "_report_to_hp_search", "_tune_save_checkpoint"),
}  # fmt: skip
_NEVER_CALLED = {name: instead for instead, names in _INSTEAD.items() for name in names}


def for_callers(method: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a method that older subclasses call and this trainer does not: it is no override."""
    method.for_callers = True  # type: ignore[attr-defined]  # functions take any attribute
    return method


def refuse_never_called(trainer: object) -> None:
    """Refuse a trainer, or a class of trainers, with a method that would never be called.

    It may come from a mixin, or be put on the class or the object later.

    Raises:
        TypeError: naming the method, and what to override instead.
    """
    for name, instead in _NEVER_CALLED.items():
        if hasattr(trainer, name) and not hasattr(getattr(trainer, name), "for_callers"):
            kind = trainer if isinstance(trainer, type) else type(trainer)
            raise TypeError(
                f"{kind.__name__} overrides {name}, which this Trainer never calls: override "
                f"{instead} instead, or rename a method of your own that is called so"
            )
