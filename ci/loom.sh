#!/usr/bin/env bash
# Models of the protocols of the store and of the worker crate: every interleaving of two or three threads, within a
# bound of forced switches. LOOM_MAX_PREEMPTIONS chooses another bound than the models' own. Says for each model how
# many executions that were.
#   ci/loom.sh [part of a model's name]
set -euo pipefail
cd "$(dirname "$0")/.."
# A folder of its own: the flag would have everything else built anew.
export RUSTFLAGS="--cfg loom ${RUSTFLAGS:-}" CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/loom"
cargo test --quiet --release -p mobula-store -p mobula-worker --features mobula-worker/async --lib "${1:-proof::}" -- --nocapture
