#!/usr/bin/env bash
# Several machines: the same command on each, with FIRST the name of one of them, which the others reach.
#   FIRST=node1 MACHINES=4 examples/many/several_machines.sh --data /shared/t.csv --output /shared/run --shard
# MACHINES may be a range (2:4): training goes on with those that are left.
set -euo pipefail

: "${FIRST:?name of the machine where they meet}" "${MACHINES:?how many machines, or a range such as 2:4}"

# a new meeting place for each start: in a shared one, those started again look for the ones that died
export TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1

exec torchrun --nnodes="$MACHINES" --nproc-per-node="${PROCESSES:-gpu}" --max-restarts=3 \
    --rdzv-backend=c10d --rdzv-endpoint="$FIRST:${PORT:-29500}" --rdzv-id="${RUN:-train}" \
    "$(dirname "$0")/train.py" "$@"
