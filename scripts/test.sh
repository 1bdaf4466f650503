#!/usr/bin/env bash
# The whole suite: scripts/test.sh PYTHON [pytest arguments]. Tests of nodes mostly wait, those of the core mostly compute:
# they run beside each other, the core's with what the nodes leave. With arguments, all that they select runs in one process.
set -uo pipefail
cd "$(dirname "$0")/.."
python=$1
shift
if [ $# -gt 0 ]; then exec "$python" -m pytest -q "$@"; fi

core=(tests/cluster tests/core tests/data tests/eval tests/sim tests/train)
work=$(mktemp -d)
nice -n 19 "$python" -m pytest -q -p no:cacheprovider "${core[@]}" >"$work/core" 2>&1 &
computing=$!
# What runs in the background of a script does not hear Ctrl-C.
trap 'kill $computing 2>/dev/null; rm -rf "$work"' EXIT

test_nodes() { "$python" -m pytest -q -o cache_dir="$work/cache" "${core[@]/#/--ignore=}" "$@"; }
failed() { "$python" -c 'import json, sys; print(*json.load(open(sys.argv[1])), sep="\n")' "$work/cache/v/cache/lastfailed"; }

test_nodes
nodes=$?
wait $computing
computed=$?
echo
cat "$work/core"

# Nodes keep deadlines, and where they get no processor they stop the arm, as they should. So what failed is tried once more, alone:
# what fails again is broken, what passes was out of time, and is named.
if [ $nodes = 1 ]; then
    failed >"$work/beside"
    printf '\nonce more, alone:\n'
    test_nodes --last-failed --last-failed-no-failures none
    nodes=$?
    failed >"$work/alone"
    passed=$(grep -vxFf "$work/alone" "$work/beside") && printf '\nfailed beside the other half, passed alone:\n%s\n' "$passed"
fi
exit $((nodes > computed ? nodes : computed))
