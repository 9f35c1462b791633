#!/usr/bin/env bash
# A store that is kept 90 % full at random, with objects of 64 bytes to 64 MB: nothing is lost or damaged, and
# whenever nothing is viewed, half of what is free can be had in one piece.
#   ci/full.sh             ten minutes
#   ci/full.sh SECONDS     as long as that
#   ci/full.sh --short     what a CI run has time for
# MOBULA_FULL_SEED repeats the draws of another run.
set -euo pipefail
cd "$(dirname "$0")/.."
case "${1:-600}" in
--short) seconds=20 ;;
*) seconds=${1:-600} ;;
esac
export MOBULA_FULL_SECONDS="$seconds" MOBULA_FULL_MIB="${MOBULA_FULL_MIB:-1024}"
cargo test --quiet --release -p mobula-store --test full -- --nocapture
