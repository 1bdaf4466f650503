#!/usr/bin/env bash
# The browser tests:  tests/teleop/browser/run.sh [PYTHON] [files, options of node --test]
# They need Node 20 or newer and Chromium (CHROMIUM names another one than /usr/bin/chromium); npm packages are pinned and installed here.
set -euo pipefail
root=$(cd "$(dirname "$0")/../../.." && pwd)
export PYTHON=${1:-$root/.venv/bin/python}
shift || true
cd "$root/tests/teleop/browser"
[ -e node_modules/.package-lock.json ] && [ ! package-lock.json -nt node_modules/.package-lock.json ] || npm ci --no-fund --no-audit --loglevel=error
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"
[ $# -gt 0 ] || set -- *.test.mjs
exec node --test --test-concurrency=1 "$@"
