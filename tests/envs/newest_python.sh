#!/usr/bin/env bash
# Prints the newest Python here that can make virtual environments: on PATH, or kept by pyenv. At least 3.10.
for minor in $(seq 20 -1 10); do
    for python in "python3.$minor" "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3."$minor".*/bin/python python3; do
        if "$python" -c "import sys, venv, ensurepip; sys.exit(sys.version_info[:2] != (3, $minor))" 2>/dev/null; then
            echo "$python"
            exit 0
        fi
    done
done
echo "no Python 3.10 or later with venv was found (on Debian and Ubuntu: apt-get install python3-venv)" >&2
exit 1
