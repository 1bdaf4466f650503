#!/usr/bin/env bash
# The whole suite: scripts/test.sh PYTHON [pytest arguments]. Tests of nodes mostly wait, those of the core mostly compute:
# they run beside each other, the core's with what the nodes leave. With arguments, all that they select runs in one process.
set -uo pipefail
cd "$(dirname "$0")/.."
python=$1
shift
if [ $# -gt 0 ]; then exec "$python" -m pytest -q "$@"; fi

core=(tests/core tests/data tests/eval tests/sim tests/train)
log=$(mktemp)
nice -n 19 "$python" -m pytest -q -p no:cacheprovider "${core[@]}" >"$log" 2>&1 &
computing=$!
# What runs in the background of a script does not hear Ctrl-C.
trap 'kill $computing 2>/dev/null; rm -f "$log"' EXIT

"$python" -m pytest -q "${core[@]/#/--ignore=}"
nodes=$?
wait $computing
computed=$?
echo
cat "$log"
exit $((nodes > computed ? nodes : computed))
