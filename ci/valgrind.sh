#!/usr/bin/env bash
# The store's protocols over private memory under valgrind: no access outside of what is owned, no
# use of what was never written. Mappings, sockets and other processes, and so whole stores, are left to the
# other tests.
set -euo pipefail
cd "$(dirname "$0")/.."
if ! command -v valgrind >/dev/null; then
    echo "skipped: valgrind is not installed"
    exit 0
fi
binary=$(cargo test --quiet -p mobula-store --lib --no-run --message-format=json |
    sed -n 's/.*"executable":"\([^"]*mobula_store-[^"]*\)".*/\1/p' | tail -n 1)
[ -x "$binary" ] || { echo "FAILED: no test binary was built" >&2; exit 1; }
valgrind --quiet --error-exitcode=9 --fair-sched=yes "$binary" --test-threads=1 \
    --skip a_freed_run_is_taken_again alloc:: magazine:: place:: ring::record ring::tests::ends ring::tests::hostile::a_ bell::tests::park ctl:: id::
