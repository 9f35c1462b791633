#!/usr/bin/env bash
# Makes a virtual environment for each peer; one that cannot be made is named and left out.
set -uo pipefail
cd "$(dirname "$0")/../.."
venvs=${COMPARE_VENVS:-target/compare}
python=${PYTHON:-python3}
mkdir -p "$venvs"

make() {
    local name=$1
    shift
    [ -x "$venvs/$name/bin/python" ] || "$python" -m venv "$venvs/$name" || return 1
    "$venvs/$name/bin/python" -m pip install --quiet --disable-pip-version-check "$@"
}

failed=0
make plasma 'pyarrow==11.0.0' 'numpy<2' || { echo 'plasma cannot be installed here' >&2; failed=1; }
make vineyard vineyard==0.24.2 'numpy>=2' || { echo 'vineyard cannot be installed here' >&2; failed=1; }
make ray 'ray[client]==2.60.0' numpy || { echo 'Ray cannot be installed here' >&2; failed=1; }
make multiprocessing numpy || { echo 'numpy cannot be installed here' >&2; failed=1; }
exit "$failed"
