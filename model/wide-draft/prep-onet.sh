cd /work/exp/o9; G=/work/main/.venv/bin/mtcnn-gluon; D=/work/shared/data
C="--square-faces --positive 0.7 --part 0.45 --negative 0.35 --min-face 12 --size 64 --context 8 --workers 2"
MINE="prepare mine --model wide-1 --stage rnet --find-from 10 --negatives-mined 120 $C"
CUT="prepare wider --net onet --jitters 8 --jitters-large 20 --large-face 32 --negatives 0 --negatives-near 3 $C"
LM="prepare landmarks --net onet --min-face 20 --landmark-jitters 40 --rotation 15 --no-mirror --square-faces --size 64 --context 8 --workers 2"
WT="--images $D/wider_train/images --annotations $D/wider_train/wider_face_train_bbx_gt.txt --landmarks $D/wider_train/wider_face_train_landmarks_auto.csv --min-score 0.5"
WM="--images $D/wider_more/images --annotations $D/wider_more/wider_more_train_bbx_gt.txt --landmarks $D/wider_more/wider_more_train_landmarks_auto.csv --min-score 0.5"
FF="--images $D/open --annotations $D/open/fairface.csv --min-score 0.6 --limit 2300"
CO="--images $D/open --annotations $D/open/congress.csv --min-score 0.6"
GR="--images $D/open --annotations $D/open/groceries.txt --limit 250"
t() { echo "$(date +%T) $1"; shift; "$@" > log 2>&1 || tail -3 log; tail -1 log; }
t lm $G $LM --out lm --root $D/landmarks --list $D/landmarks/trainImageList.txt
t cwt $G $CUT --out cwt $WT
t cwm $G $CUT --out cwm $WM
t cff $G $CUT --out cff $FF
t cco $G $CUT --out cco $CO
t mwt $G $MINE --out mwt $WT
t mwm $G $MINE --out mwm $WM
t mff $G $MINE --out mff $FF
t mco $G $MINE --out mco $CO
t mgr $G $MINE --out mgr $GR
t records $G prepare records --net onet --in lm cwt cwm cff cco mwt mwm mff mco mgr --out rec
date
