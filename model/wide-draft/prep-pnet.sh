cd /work/exp/p9; G=/work/main/.venv/bin/mtcnn-gluon; D=/work/shared/data
C="--square-faces --positive 0.7 --part 0.45 --negative 0.35 --min-face 10 --jitters 24 --jitters-large 80 --negatives 150 --negatives-near 15 --size 34 --context 11 --workers 1"
CUT="prepare wider --net pnet $C"
WT="--images $D/wider_train/images --annotations $D/wider_train/wider_face_train_bbx_gt.txt --landmarks $D/wider_train/wider_face_train_landmarks_auto.csv --min-score 0.5"
WM="--images $D/wider_more/images --annotations $D/wider_more/wider_more_train_bbx_gt.txt --landmarks $D/wider_more/wider_more_train_landmarks_auto.csv --min-score 0.5"
t() { echo "$(date +%T) $1"; shift; "$@" > log 2>&1 || tail -3 log; tail -1 log; }
t cwt $G $CUT --out cwt $WT
t cwm $G $CUT --out cwm $WM
t cff $G $CUT --out cff --images $D/open --annotations $D/open/fairface.csv --min-score 0.6 --limit 2300
t cco $G $CUT --out cco --images $D/open --annotations $D/open/congress.csv --min-score 0.6
t cgr $G $CUT --out cgr --images $D/open --annotations /work/exp/o9/gr.txt --limit 250
t records $G prepare records --net pnet --in cwt cwm cff cco cgr --out rec
date
