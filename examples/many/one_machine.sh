#!/usr/bin/env bash
# One machine: a process for each GPU. One that dies is started again with the others, from the last checkpoint.
# On CPUs alone: PROCESSES=2 examples/many/one_machine.sh --data ... --output ... --cpu
set -euo pipefail

exec torchrun --standalone --nproc-per-node="${PROCESSES:-gpu}" --max-restarts=3 \
    "$(dirname "$0")/train.py" "$@"
