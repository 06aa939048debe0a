. /work/exp/env.sh; /work/main/.venv/bin/python /work/tools/mkbundle.py b_r6s draft/onet-0000.params --p p6/last.npz --r r6/last.npz --shift 2.944 3.892 1.656; cd s6
C="--square-faces --positive 0.7 --part 0.45 --negative 0.35 --min-face 12 --size 64 --context 8 --workers 2"
MINE="prepare mine --model ../b_r6s --stage rnet --again --find-from 10 --thresholds ${T:-0.75 0.7} --negatives-mined 80 $C"
t() { echo "$(date +%T) $1"; shift; "$@" > log_o 2>&1 || tail -3 log_o; tail -2 log_o; }
t photos-mine $G $MINE --out om --images $D --annotations $D/photos.csv --min-score 0.6 --negatives-mined 110
t scenes-mine $G $MINE --out osm --images $D/scenes --annotations $D/scenes/faces.csv --limit 900
t empty-mine $G $MINE --out oem --images $D --annotations $D/empty.txt --limit 1100
t heads-mine $G $MINE --out ohm --images $H --annotations $H/heads.csv --min-score 0.6 --limit 1100
rm -rf orec; t records $G prepare records --net onet --in cl hl pc pt cc ct sc hc om osm oem ohm --out orec
date
