. /work/exp/env.sh; cd s6; W=2
C="--square-faces --positive 0.7 --part 0.45 --negative 0.35 --min-face 10 --size 36 --context 6 --workers $W"
MINE="prepare mine --stage pnet --model ../b_p6 --find-from 10 --thresholds 0.05 0.02 --negatives-mined 200 $C"
t() { echo "$(date +%T) $1"; shift; "$@" > log_r 2>&1 || tail -3 log_r; tail -2 log_r; }
t scenes $G $MINE --out rs --images $D/scenes --annotations $D/scenes/faces.csv --limit 900
t photos $G $MINE --out rp --images $D --annotations $D/photos.csv --min-score 0.6
t empty $G $MINE --out re --images $D --annotations $D/empty.txt --limit 900
t heads $G $MINE --out rh --images $H --annotations $H/heads.csv --min-score 0.6 --limit 700
CUT="prepare wider --net rnet --jitters 6 --jitters-large 15 --large-face 32 --negatives 15 --negatives-near 4 $C"
t scut $G $CUT --out rsc --images $D/scenes --annotations $D/scenes/faces.csv --limit 2400
t pcut $G $CUT --out rpc --images $D --annotations $D/photos.csv --min-score 0.6
t hcut $G $CUT --out rhc --images $H --annotations $H/heads.csv --min-score 0.6 --limit 1200
t ccut $G $CUT --out rcc --images $D --annotations $D/crops.csv --min-score 0.6 --limit 2000
rm -rf rrec; t records $G prepare records --net rnet --in rs rp re rh rsc rpc rhc rcc --out rrec
date
