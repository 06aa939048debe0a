cd /work/exp/s6; G=/work/main/.venv/bin/mtcnn-gluon; D=/work/exp/open/d5; H=/work/exp/heads
COMMON="--square-faces --positive 0.7 --part 0.45 --negative 0.35 --min-face 12 --size 64 --context 8 --workers ${W:-1}"
CUT="prepare wider --net onet --jitters 4 --jitters-large 8 --large-face 32 --negatives 0 --negatives-near 3 $COMMON"
LM="prepare landmarks --net onet --min-face 20 --landmark-jitters 10 --rotation 20 --no-mirror --size 64 --context 8 --workers ${W:-1}"
t() { echo "$(date +%T) $1"; shift; "$@" > log_cut 2>&1 || tail -3 log_cut; tail -2 log_cut; }
t crops-lm $G $LM --landmark-jitters 16 --out cl --root $D --list $D/points.csv
t heads-lm $G $LM --out hl --root $H --list $H/points.csv --limit 2000
t photos-cut $G $CUT --jitters 6 --jitters-large 40 --negatives-near 6 --out pc --images $D --annotations $D/photos.csv --min-score 0.6
t photos-turned $G $CUT --jitters-large 60 --negatives 2 --out pt --images $D --annotations $D/photos_turned.csv --min-score 0.6
t crops-cut $G $CUT --negatives 2 --out cc --images $D --annotations $D/crops.csv --min-score 0.6 --limit 3000
t crops-turned $G $CUT --jitters-large 12 --negatives-near 2 --out ct --images $D --annotations $D/crops_turned.csv --min-score 0.6
t scenes-cut $G $CUT --out sc --images $D/scenes --annotations $D/scenes/faces.csv
t heads-cut $G $CUT --negatives 2 --negatives-near 6 --out hc --images $H --annotations $H/heads.csv --min-score 0.6
date
