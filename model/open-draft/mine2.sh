#!/bin/bash
# samples for O-Net
cd /work/exp/s; G=/work/main/.venv/bin/mtcnn-gluon; B=/work/exp/draft/b_onet; D=/work/exp/open/d3; H=/work/exp
COMMON="--square-faces --positive 0.7 --part 0.45 --negative 0.35 --min-face 12 --size 64 --context 8 --workers 2"
MINE="prepare mine --model $B --stage rnet --again --find-from 10 --thresholds 0.75 0.7 --negatives-mined 80 $COMMON"
CUT="prepare wider --net onet --jitters 4 --jitters-large 8 --large-face 32 --negatives 2 --negatives-near 6 $COMMON"
LM="prepare landmarks --net onet --min-face 20 --landmark-jitters 8 --rotation 20 --no-mirror --size 64 --context 8 --workers 2"
t() { echo "$(date +%T) $1"; shift; "$@" > log 2>&1 || tail -3 log; tail -2 log; }
t photos-mine $G $MINE --out pm --images $D --annotations $D/photos.csv --min-score 0.6 --negatives-mined 110
t photos-cut $G $CUT --jitters-large 24 --out pc --images $D --annotations $D/photos.csv --min-score 0.6
t photos-turned $G $CUT --jitters-large 60 --out pt --images $D --annotations $D/photos_turned.csv --min-score 0.6
t crops-lm $G $LM --landmark-jitters 12 --out cl --root $D --list $D/landmarks.csv
t crops-cut $G $CUT --out cc --images $D --annotations $D/crops.csv --min-score 0.6 --limit 3000
t crops-turned $G $CUT --jitters-large 12 --negatives-near 2 --negatives 0 --out ct --images $D --annotations $D/crops_turned.csv --min-score 0.6
t scenes-mine $G $MINE --out sm --images $D/scenes --annotations $D/scenes/faces.csv --limit 700
t scenes-cut $G $CUT --out sc --images $D/scenes --annotations $D/scenes/faces.csv --limit 2400
t empty-mine $G $MINE --out em --images $D --annotations $D/empty.txt --limit 900
for h in A B; do
t heads-mine $G $MINE --out hm$h --images $H/heads$h --annotations $H/heads$h/heads.csv --min-score 0.6 --limit 900
t heads-cut $G $CUT --out hc$h --images $H/heads$h --annotations $H/heads$h/heads.csv --min-score 0.6
t heads-lm $G $LM --out hl$h --root $H/heads$h --list $H/heads$h/landmarks.csv --limit 1200
done
date
