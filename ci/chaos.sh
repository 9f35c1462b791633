#!/usr/bin/env bash
# A mixed load whose workers and drivers are killed at random (tests/chaos), ten minutes long.
# MOBULA_CHAOS_SEED repeats what another run has drawn.
#   ci/chaos.sh [--short | SECONDS]
set -euo pipefail
cd "$(dirname "$0")/.."
case "${1:-}" in
    --short) seconds=30 ;;
    *) seconds=${1:-600} ;;
esac
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# What the killed workers print of their callers' errors is no news here, unless the run fails.
if ! MOBULA_CHAOS_SECONDS=$seconds cargo test --quiet --test chaos >"$log" 2>&1; then
    tail -c 20000 "$log"
    exit 1
fi
grep '^seed' "$log"
