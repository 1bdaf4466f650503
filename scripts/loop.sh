#!/usr/bin/env bash
# From demonstration to deployed policy on the simulated rig, each step the command that a user would type (make loop).
# Minutes on two cores. Run again after an interruption: what is done is kept, what was begun goes on.
#   OUT=DIR scripts/loop.sh      another folder than out/loop
set -euo pipefail
cd "$(dirname "$0")/.."
GR1=${GR1:-.venv/bin/gr1}
OUT=${OUT:-out/loop}
EPISODES=${EPISODES:-20}
TASKS=${TASKS:-open_drawer,close_drawer}
mkdir -p "$OUT"

step() {
    printf '\n== %s\n' "$1"
    shift
    printf '   %s\n' "$*"
    "$@"
}
bags() { find "$OUT/bags" -name metadata.yaml 2>/dev/null | wc -l; }

began=$SECONDS
# The seed goes on where an interrupted collection ended; a bag is only there once it is whole.
if (( $(bags) < EPISODES )); then
    step "1. demonstrate: the scripted expert at the arm, over ROS topics, recorded into bags" \
        "$GR1" up --robot sim --collect --operator expert --task "$TASKS" --seed $((1000 + $(bags))) --episodes $((EPISODES - $(bags))) \
        --bags "$OUT/bags" --out "$OUT/collect" --no-video --no-table
fi
step "   the bags" "$GR1" bags list "$OUT/bags"
if [[ ! -f "$OUT/set/meta/info.json" ]]; then
    step "2. convert: bags -> LeRobotDataset v3" "$GR1" convert bags "$OUT/bags" --out "$OUT/set"
fi
step "3. pre-train on the videos alone" "$GR1" pretrain pretrain-small data="$OUT/set" out="$OUT/pretrain"
step "4. fine-tune on the demonstrations" "$GR1" finetune finetune-small data="$OUT/set" init="$OUT/pretrain" out="$OUT/policy"
step "5. evaluate on the episodes that were held out" "$GR1" evaluate data --checkpoint "$OUT/policy" --dataset "$OUT/set" --untrained | tee "$OUT/evaluation.txt"
step "6. replay over new demonstrations: the verdict that lets it move" "$GR1" collect sim --episodes 2 --tasks "$TASKS" --seed 9000 --out "$OUT/unseen"
"$GR1" replay "$OUT/unseen" --checkpoint "$OUT/policy" --out "$OUT/replay"
step "7. deploy: the trained policy drives the arm" \
    "$GR1" up --robot sim --checkpoint "$OUT/policy" --task "${TASKS%%,*}" --seconds 20 --out "$OUT/deploy" --no-table
printf '\nThe loop took %d min %d s. Data set report: %s; replay: %s; film: %s\n' \
    $(((SECONDS - began) / 60)) $(((SECONDS - began) % 60)) "$OUT/set/report/index.html" "$OUT/replay" "$OUT/deploy/video.mp4"
