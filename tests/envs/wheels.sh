#!/usr/bin/env bash
# usage: tests/envs/wheels.sh DIST [PYTHON ...]
# Checks the files of a release as users get them: what they hold, and for each Python a new environment without a compiler, where the
# wheel must find the portrait's face with the same numbers as everywhere.
set -euo pipefail
dist=$(realpath "$1"); shift
wheel=$(ls "$dist"/*-py3-none-manylinux*.whl)
size=$(stat -c %s "$wheel")
echo "== $(basename "$wheel"): $((size / 1000)) kB"
[ "$size" -lt 16000000 ] || { echo "the wheel is over 16 MB"; exit 1; }
for file in "$dist"/*.whl; do
    outside=$(python3 -m zipfile -l "$file" | awk 'NR > 1 {print $1}' | grep -v -e '^mtcnn_gluon/' -e '^mtcnn_gluon-[^/]*\.dist-info/' || true)
    [ -z "$outside" ] || { echo "$(basename "$file") holds files outside the package: $outside"; exit 1; }
done
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cp "$(dirname "$0")/../../example/portrait.jpg" "$work"
cd "$work"
[ $# -gt 0 ] || set -- python3.{10..20} python3.{13..20}t pypy3 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/{3.1*,pypy*}/bin/python
seen=" "
for python in "$@"; do
    "$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))' 2>/dev/null || continue
    version=$("$python" -c 'import sys, sysconfig; free = "t" if sysconfig.get_config_var("Py_GIL_DISABLED") else ""
print(sys.implementation.name, "%d.%d%s" % (*sys.version_info[:2], free))')
    case $seen in *" $version,"*) continue ;; esac
    seen="$seen$version, "
    "$python" -m venv env
    env/bin/pip install --quiet numpy opencv-python-headless easydict tqdm pillow
    start=$(date +%s.%N)
    env/bin/pip install --quiet --no-index --no-deps "$wheel"
    seconds=$(python3 -c "import time; print(f'{time.time() - $start:.1f}')")
    PATH=$PWD/env/bin:/nonexistent CXX=/nonexistent env/bin/mtcnn-gluon detect portrait.jpg --engine native --json - 2>/dev/null >out.json
    [ -e first.json ] || cp out.json first.json
    cmp -s out.json first.json || { echo "== $version: other results than with the first Python"; exit 1; }
    grep -q '"faces": \[{' out.json || { echo "== $version: no face was found"; exit 1; }
    echo "== $version: installed in $seconds s, and finds the face"
    rm -rf env
done
[ -e first.json ] || { echo "no Python was found to try the wheel with"; exit 1; }
