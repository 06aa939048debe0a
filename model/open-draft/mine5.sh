cd /work/exp/s; G=/work/main/.venv/bin/mtcnn-gluon; B=/work/exp/draft/b_onet; S=/work/exp/open/d4
COMMON="--square-faces --positive 0.7 --part 0.45 --negative 0.35 --min-face 12 --size 64 --context 8 --workers 2"
MINE="prepare mine --model $B --stage rnet --again --find-from 10 --thresholds 0.75 0.7 --negatives-mined 80 $COMMON"
CUT="prepare wider --net onet --jitters 4 --jitters-large 8 --large-face 32 --negatives 0 --negatives-near 3 $COMMON"
t() { echo "$(date +%T) $1"; shift; "$@" > log 2>&1 || tail -3 log; tail -2 log; }
rm -rf sm sc
t scenes-mine $G $MINE --out sm --images $S --annotations $S/faces.csv --limit 900
t scenes-cut $G $CUT --out sc --images $S --annotations $S/faces.csv
rm -rf rec
$G prepare records --net onet --in cc cl ct em hcA hcB hlA hlB hmA hmB pc pc2 pm pt sc sm --out rec | tail -2
date
