# ev.sh BUNDLE [found args...]: average precision on both lists, landmarks, found
. /work/main/.venv/bin/activate; D=/work/shared/data; export MTCNN_GLUON_DATA=$D; cd /work/exp
mtcnn-gluon evaluate wider --annotations $D/wider_more/wider_more_dev_bbx_gt.txt --images $D/wider_more/images --model $1 --workers 2 2>&1 | grep "^| $1"
mtcnn-gluon evaluate wider --annotations $D/wider_train/wider_face_dev_bbx_gt.txt --images $D/wider_train/images --model $1 --workers 2 2>&1 | grep "^| $1"
mtcnn-gluon evaluate landmarks --root $D/landmarks --list $D/landmarks/devImageList.txt --model $1 --workers 2 2>&1 | grep "^| $1" | cut -d'|' -f2-4
shift; [ -n "$1" ] && python /work/main/tests/benchmarks/found.py "$@"
