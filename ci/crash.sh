#!/usr/bin/env bash
# Crash proofs of the store, of calls and of tasks.
#   ci/crash.sh            every store, and every instruction of every operation that changes what others can see, is a
#                          place to die; an hour or two. Calls and tasks of a runtime: every store, and 2,000
#                          instructions of each kind of call
#   ci/crash.sh --every    the same at every instruction, whatever it does; a day
#   ci/crash.sh --short    what a CI run has time for
# MOBULA_STEPS and MOBULA_KILLS choose anything between.
set -euo pipefail
cd "$(dirname "$0")/.."
case "${1:-}" in
    --short) : "${MOBULA_STEPS:=16}" "${MOBULA_KILLS:=300}" ;;
    --every) : "${MOBULA_STEPS:=all}" "${MOBULA_KILLS:=20000}" ;;
    *) : "${MOBULA_STEPS:=distinct}" "${MOBULA_KILLS:=20000}" ;;
esac
export MOBULA_STEPS MOBULA_KILLS
if [ "$MOBULA_STEPS" = all ] || [ "$MOBULA_STEPS" = distinct ]; then
    # Optimised, an operation has a tenth of the instructions; a system call after each shared store makes the way
    # to a place short.
    MOBULA_POINTS=all cargo test --quiet --release -p mobula-store --features crash-points --test points
    MOBULA_POINTS=all MOBULA_ISOLATED_PATIENCE_S=7200 cargo test --quiet --release -p mobula --features crash-points --test points
    cargo test --quiet --release -p mobula-store --features crash-points --test stepped
    MOBULA_ISOLATED_PATIENCE_S=90000 cargo test --quiet --release -p mobula --test stepped -- --nocapture
else
    # That of the calls is as it is among all tests: as many places take as long.
    cargo test --quiet -p mobula-store --test stepped
fi
cargo test --quiet -p mobula-store --test deaths -- --nocapture chaos
