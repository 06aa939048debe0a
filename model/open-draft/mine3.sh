cd /work/exp/s; G=/work/main/.venv/bin/mtcnn-gluon; D=/work/exp/open/d3
COMMON="--square-faces --positive 0.7 --part 0.45 --negative 0.35 --min-face 12 --size 64 --context 8 --workers 2"
CUT="prepare wider --net onet --jitters 4 --jitters-large 8 --large-face 32 --negatives 0 --negatives-near 3 $COMMON"
t() { echo "$(date +%T) $1"; shift; "$@" > log 2>&1 || tail -3 log; tail -2 log; }
rm -rf sc
t scenes-cut $G $CUT --out sc --images $D/scenes --annotations $D/scenes/faces.csv --limit 2400
t photos-cut2 $G $CUT --jitters 6 --jitters-large 40 --negatives-near 6 --seed 1 --out pc2 --images $D --annotations $D/photos.csv --min-score 0.6
date
