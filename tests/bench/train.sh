#!/bin/sh
# Training speed beside PyTorch: the same df-ud model, losses, optimizer, batch and resolution on
# the same cores, in turns; prints the images a second of both and their ratio.
# usage: train.sh BENCH_TRAIN [RESOLUTION AE E D D_MASK BATCH THREADS STEPS [bf16]]
# PYTHON names an interpreter with PyTorch; FMA_PEAK: GFLOP/s, to print the fraction of it.
set -e
bench=${1:?usage: train.sh path/to/bench_train [RESOLUTION AE E D D_MASK BATCH THREADS STEPS [bf16]]}
shift
[ $# -ge 8 ] || set -- 64 64 32 32 12 4 "$(nproc)" 10
python=${PYTHON:?an interpreter with PyTorch}
here=$(dirname "$0")
rates=$(mktemp)
trap 'rm -f "$rates"' EXIT
for round in 1 2 3; do
    "$bench" "$@" | tee -a "$rates"
    "$python" "$here/train_torch.py" "$@" | tee -a "$rates"
done
awk -v peak="${FMA_PEAK:-0}" '
    { for (i = 1; i <= NF; i++) {
        if ($i == "median") rate[$1] = rate[$1] " " $(i + 3)
        if ($i == "fastest" && $(i + 3) > best[$1]) best[$1] = $(i + 3)
        if ($i == "GFLOP/s") flop = flop " " $(i - 1)
    } }
    function middle(list,   v, t) {
        split(list, v, " ")
        if (v[1] > v[2]) { t = v[1]; v[1] = v[2]; v[2] = t }
        if (v[2] > v[3]) v[2] = v[1] > v[3] ? v[1] : v[3]
        return v[2]
    }
    function row(what, ours, theirs) {
        printf "%s: understudy %.1f images/s, torch %.1f images/s, ratio %.2f\n",
            what, ours, theirs, ours / theirs
    }
    END {
        row("median step", middle(rate["understudy"]), middle(rate["torch"]))
        row("fastest step", best["understudy"], best["torch"])
        if (peak)
            printf "median step: %.1f GFLOP/s counted directly, %.0f %% of the %.1f that fused "\
                "multiply-adds reach\n", middle(flop), 100 * middle(flop) / peak, peak
    }' "$rates"
