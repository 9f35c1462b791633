#!/usr/bin/env bash
# Makes an environment for each peer, or for those named; one that cannot be made is named and left out.
set -uo pipefail
cd "$(dirname "$0")/../.."
venvs=${COMPARE_VENVS:-target/compare}
python=${PYTHON:-python3}
[ $# -gt 0 ] || set -- plasma vineyard ray multiprocessing iceoryx2 ipc-channel
mkdir -p "$venvs"

# A virtual environment with packages.
python_peer() {
    local name=$1
    shift
    [ -x "$venvs/$name/bin/python" ] || "$python" -m venv "$venvs/$name" || return 1
    "$venvs/$name/bin/python" -m pip install --quiet --disable-pip-version-check "$@"
}

# A program in Rust, where the others have a virtual environment. Its workspace is not Mobula's.
native_peer() {
    local built=${CARGO_TARGET_DIR:-target/native}
    cargo build --quiet --release --manifest-path benches/compare/native/Cargo.toml --target-dir "$built" \
        -p "peer-$1" && install -D "$built/release/peer_$1" "$venvs/$1/bin/peer_$1"
}

failed=0
for name in "$@"; do
    case $name in
    plasma) python_peer plasma 'pyarrow==11.0.0' 'numpy<2' ;;
    vineyard) python_peer vineyard vineyard==0.24.2 'numpy>=2' ;;
    ray) python_peer ray 'ray[client]==2.60.0' numpy ;;
    multiprocessing) python_peer multiprocessing numpy ;;
    iceoryx2 | ipc-channel) native_peer "$name" ;;
    *) false ;;
    esac || { echo "$name cannot be installed here" >&2; failed=1; }
done
exit "$failed"
