#!/usr/bin/env bash
# Fuzzes the store: random operations against a map, and hostile bytes in its control segment, on its
# attach socket, in its spill files and in dumps. Seeds are printed with every failure.
#   ci/fuzz.sh            some minutes for each
#   ci/fuzz.sh --short    what a CI run has time for
# MOBULA_FUZZ (rounds, or seconds as in 60s) and MOBULA_SEED choose anything else.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ "${1:-}" = --short ]; then
    : "${MOBULA_FUZZ:=5s}"
else
    : "${MOBULA_FUZZ:=300s}"
fi
export MOBULA_FUZZ
cargo test --quiet -p mobula-store --test behaviour -- --nocapture model
cargo test --quiet -p mobula-store --test hostile -- --nocapture --test-threads=2
