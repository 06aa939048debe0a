#!/bin/bash
# eval.sh NAME ONET [T0 T1 T2]: AP on the 138 unseen photos
N=$1; cd /work/exp; P=/work/main/.venv/bin
rm -rf draft/b_$N draft/$N; mkdir -p draft/$N
$P/python /work/tools/mkbundle.py draft/b_$N $2 --p draft/pnet-0000.params --r draft/rnet-0000.params --shift 2.944 3.892 1.656 --weights 0 .25 > /dev/null
$P/mtcnn-gluon detect /work/exp/dev138 --model draft/b_$N --min-face 10 --thresholds ${3:-0.8} ${4:-0.85} ${5:-0.3} --workers 2 --json draft/$N/x.jsonl --quiet
$P/python /work/tools/ap.py $N 2>&1 | cut -c1-220
