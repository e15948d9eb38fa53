#!/usr/bin/env bash
# One machine: a process for each GPU. One that dies is started again with the others, from the last checkpoint.
# On CPUs alone: PROCESSES=2 examples/many/one_machine.sh --data ... --output ... --cpu
set -euo pipefail

# a new meeting place for each start: in a shared one, those started again look for the ones that died
export TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1

exec torchrun --standalone --nproc-per-node="${PROCESSES:-gpu}" --max-restarts=3 \
    "$(dirname "$0")/train.py" "$@"
