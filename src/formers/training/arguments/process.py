"""Where a run happens: accelerate's record of this process among all."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from formers.core.extras import need
from formers.core.notices import notice
from formers.training.arguments.table import ArgumentTable


def process_state(args: ArgumentTable) -> Any:
    """Join the process group that the launcher set up, if any, and return accelerate's record of it."""
    accelerate = need("accelerate", "train", "training")
    if launched_alone(os.environ):
        notice(
            "`accelerate launch` was asked for several processes and started this one alone, as it does "
            "without a GPU or with --cpu. On CPUs give use_cpu=True to TrainingArguments, and start with "
            "`accelerate launch --multi_gpu --num_processes 2 script.py` or "
            "`torchrun --nproc_per_node 2 script.py`."
        )
    kwargs: dict[str, Any] = {}
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not _joined(accelerate):
        kwargs["timeout"] = timedelta(seconds=args.ddp_timeout)
        if args.ddp_backend is not None:
            kwargs["backend"] = args.ddp_backend
    if _joined(accelerate):
        state = accelerate.PartialState()
        if args.use_cpu and state.device.type != "cpu" and state.num_processes == 1:
            accelerate.PartialState._reset_state()  # an earlier trainer of this process used the accelerator
    return accelerate.PartialState(cpu=args.use_cpu, **kwargs)


def launched_alone(environment: Mapping[str, str]) -> bool:
    """Whether `accelerate launch` started one process where several were asked for.

    Its launcher of single processes names the address where several would meet only when asked for more
    than one, and gives none of them a rank.
    """
    by_accelerate = "ACCELERATE_USE_CPU" in environment and "ACCELERATE_DYNAMO_BACKEND" in environment
    return by_accelerate and "MASTER_ADDR" in environment and "WORLD_SIZE" not in environment


def _joined(accelerate: Any) -> bool:
    return bool(accelerate.PartialState._shared_state)
