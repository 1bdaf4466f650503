#!/usr/bin/env bash
# From demonstration to deployed policy on the simulated rig; every step is a command that a user would type (make loop).
# Takes minutes on two cores. After an interruption run it again: complete steps are kept, an unfinished step continues.
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
# The seed continues where an interrupted collection ended; a bag has metadata.yaml only when it is complete.
if (( $(bags) < EPISODES )); then
    step "1. demonstrate: the scripted expert moves the arm over ROS topics; the recorder writes bags" \
        "$GR1" up --robot sim --driver expert --record --task "$TASKS" --seed $((1000 + $(bags))) --episodes $((EPISODES - $(bags))) \
        --bags "$OUT/bags" --out "$OUT/collect" --no-video --no-table
fi
step "   list the bags" "$GR1" bags list "$OUT/bags"
if [[ ! -f "$OUT/dataset/meta/info.json" ]]; then
    step "2. convert: bags -> LeRobotDataset v3" "$GR1" convert bags "$OUT/bags" --out "$OUT/dataset"
fi
step "3. pre-train on the videos" "$GR1" pretrain pretrain-small data="$OUT/dataset" out="$OUT/pretrain"
step "4. fine-tune on the demonstrations" "$GR1" finetune finetune-small data="$OUT/dataset" init="$OUT/pretrain" out="$OUT/policy"
step "5. evaluate on the held-out episodes" "$GR1" evaluate data --checkpoint "$OUT/policy" --dataset "$OUT/dataset" --untrained | tee "$OUT/evaluation.txt"
step "6. replay over new demonstrations: the verdict without which it may not move" "$GR1" collect sim --episodes 2 --tasks "$TASKS" --seed 9000 --out "$OUT/unseen"
"$GR1" replay "$OUT/unseen" --checkpoint "$OUT/policy" --out "$OUT/replay"
step "7. deploy: the trained policy moves the arm" \
    "$GR1" up --robot sim --checkpoint "$OUT/policy" --task "${TASKS%%,*}" --seconds 20 --out "$OUT/deploy" --no-table
printf '\nThe loop took %d min %d s. Dataset report: %s; replay: %s; video: %s\n' \
    $(((SECONDS - began) / 60)) $(((SECONDS - began) % 60)) "$OUT/dataset/report/index.html" "$OUT/replay" "$OUT/deploy/video.mp4"
