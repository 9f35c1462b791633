#!/usr/bin/env bash
# Builds and runs every example and looks at what it prints.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --quiet --release --examples

run() { cargo run --quiet --release --example "$@"; }
fail() { printf 'FAILED: %s\n' "$*" >&2; exit 1; }
at_least() { awk -v have="$1" -v want="$2" 'BEGIN { exit !(have >= want) }'; }
field() { sed -n "s/.*\b$1=\([^ ]*\).*/\1/p" <<<"$2"; }

for mode in sync async sync:channels async:channels; do
    transport=calls
    [[ "$mode" = *:* ]] && transport=${mode#*:} && mode=${mode%:*}
    last=$(run parameter_server -- --mode "$mode" --transport "$transport" | tail -n 1)
    echo "$last"
    want=0.89
    [ "$mode" = async ] && want=0.87
    at_least "$(field accuracy "$last")" "$want" || fail "parameter_server --mode $mode: accuracy below $want"
    at_least 20 "$(field wall_s "$last")" || fail "parameter_server --mode $mode: more than 20 s"
done
run parameter_server -- --hidden 64 --epochs 5 --plot "$(mktemp -d)/loss.svg" | tail -n 1
run counters
run zero_copy -- --mib 64 --readers 2
run embedded

# The seeds' own check wants 2.5 to 3 s, all else goes with short sleeps.
run seeds -- exercise-4
for program in $(run seeds -- --list | cut -d ' ' -f 1); do
    echo "seeds: $program"
    run seeds -- "$program" --scale 0.02 | tail -n 1
done
