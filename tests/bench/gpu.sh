#!/bin/sh
# Training speed on the first CUDA device beside PyTorch there: the same df-ud model, losses, optimizer and batch,
# three rounds in turns; prints the medians of both and their ratios. Ours also augments every batch.
# usage: gpu.sh BENCH_GPU [RESOLUTION AE E D D_MASK BATCH STEPS]
# PYTHON names an interpreter with PyTorch for CUDA; without one only ours is measured.
set -e
bench=${1:?usage: gpu.sh path/to/bench_gpu [RESOLUTION AE E D D_MASK BATCH STEPS]}
shift
[ $# -ge 7 ] || set -- 256 256 64 64 22 16 50
here=$(dirname "$0")
rates=$(mktemp)
trap 'rm -f "$rates"' EXIT
"$bench" "$@" | tee "$rates"
if grep -q '^skipped' "$rates"; then
    exit 0
fi
for round in 1 2 3; do
    "$bench" "$@" | tee -a "$rates"
    for mode in fp32 shipped compiled; do
        if [ -n "$PYTHON" ]; then
            "$PYTHON" "$here/gpu_torch.py" "$mode" "$@" | tee -a "$rates" || echo "torch-$mode failed"
        fi
    done
done
awk '
    { for (i = 1; i <= NF; i++) if ($i == "median") rate[$1] = rate[$1] " " $(i + 3) }
    function middle(list,   v, n, i, k, t) {
        n = split(list, v, " ")
        for (i = 1; i <= n; i++) for (k = i + 1; k <= n; k++) if (v[k] < v[i]) { t = v[i]; v[i] = v[k]; v[k] = t }
        return v[int((n + 1) / 2)]
    }
    END {
        ours = middle(rate["understudy"])
        printf "understudy %.1f images/s\n", ours
        for (who in rate) if (who != "understudy")
            printf "%s %.1f images/s, ratio %.2f\n", who, middle(rate[who]), ours / middle(rate[who])
    }' "$rates"
