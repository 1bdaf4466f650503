#!/usr/bin/env bash
# The whole suite: scripts/test.sh PYTHON [pytest arguments]. Three parts run beside each other, since the tests of nodes mostly
# wait: whole stacks; single nodes, devices and recorders; and what only computes, with the processor time that the others leave.
# With arguments, all that they select runs in one process.
set -uo pipefail
cd "$(dirname "$0")/.."
python=$1
shift
if [ $# -gt 0 ]; then exec "$python" -m pytest -q "$@"; fi

stack=(tests/stack)
# Devices and recorders keep deadlines too, without ROS; among the others those that start nodes or talk to them.
nodes=(tests/{cameras,kinova_gen2,kinova_gen3,orbbec,recorder,remote} tests/robot/test_{arm,operator,sim_arm}*.py)
while read -r file; do nodes+=("$file"); done < <(grep -lE '^(import|from) rclpy|ros_graph|[(,] ?ros[,)]' \
    tests/{evaluation_rig,robot,teleop,view}/test_*.py | grep -v '^tests/robot/test_\(arm\|operator\|sim_arm\)')
others=("${stack[@]/#/--ignore=}" "${nodes[@]/#/--ignore=}")

work=$(mktemp -d)
"$python" -m pytest -q -o cache_dir="$work/nodes" "${nodes[@]}" >"$work/nodes.log" 2>&1 &
waiting=$!
nice -n 19 "$python" -m pytest -q -p no:cacheprovider "${others[@]}" >"$work/computed.log" 2>&1 &
computing=$!
# What runs in the background of a script does not hear Ctrl-C.
trap 'kill $waiting $computing 2>/dev/null; rm -rf "$work"' EXIT
"$python" -m pytest -q -o cache_dir="$work/stack" "${stack[@]}"
code_stack=$?
wait $waiting
code_nodes=$?
wait $computing
code=$?
cat "$work/nodes.log" "$work/computed.log"

# Nodes keep deadlines, and where they get no processor they stop the arm, as they should. So what failed is tried once more,
# alone: what fails again is broken, what passes was out of time, and is named.
failed() { "$python" -c 'import json, sys; print(*json.load(open(sys.argv[1])), sep="\n")' "$work/$1/v/cache/lastfailed"; }
again() { # NAME, exit code so far, its tests; the exit code of the last try is the function's
    if [ "$2" != 1 ]; then return "$2"; fi
    failed "$1" >"$work/beside"
    printf '\nonce more, alone:\n'
    "$python" -m pytest -q -o cache_dir="$work/$1" --last-failed --last-failed-no-failures none "${@:3}"
    local last=$? passed
    failed "$1" >"$work/alone"
    passed=$(grep -vxFf "$work/alone" "$work/beside") && printf '\nfailed beside the other parts, passed alone:\n%s\n' "$passed"
    return $last
}
again stack $code_stack "${stack[@]}"
code_stack=$?
again nodes $code_nodes "${nodes[@]}"
code_nodes=$?
for one in $code_stack $code_nodes; do code=$((one > code ? one : code)); done
exit $code
