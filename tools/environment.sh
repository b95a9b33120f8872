#!/bin/sh
# Makes .venv ready for a profile, `run` or `dev`; costs nothing when it is. Needs only a Python of at least 3.11,
# with its `venv` module; PYTHON names one, else those on the path are tried. Called from the root of the checkout.
set -eu

profile=$1
state="$(pwd -P) $(cat pyproject.toml constraints.txt | cksum)"
for ready in "$profile" dev; do
    if [ -x .venv/bin/python ] && [ "$(cat ".venv/ready-$ready" 2>/dev/null)" = "$state" ]; then
        exit 0
    fi
done

old=
for python in ${PYTHON:+"$PYTHON"} python3 python3.14 python3.13 python3.12 python3.11; do
    if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
        if "$python" -c 'import ensurepip, venv' >/dev/null 2>&1; then
            exec "$python" tools/environment.py "$profile" "$state"
        fi
        old="$python cannot make virtual environments: install its venv module (Debian, Ubuntu: apt install python3-venv)."
    elif [ -n "${PYTHON:-}" ] && [ "$python" = "$PYTHON" ]; then
        echo "PYTHON=$PYTHON is no Python of at least 3.11." >&2
        exit 1
    fi
done
echo "${old:-No Python of at least 3.11 was found on the path; install one, or name it: make PYTHON=/path/to/python3}" >&2
exit 1
