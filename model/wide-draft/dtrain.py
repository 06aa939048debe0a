"""mtcnn-gluon train with the teacher outputs that lie in the run's folder."""
import sys
import mtcnn_gluon.training.state as st
from mtcnn_gluon.training import teacher
st.check_teacher=lambda *a: None
def distil(sampler,net,share,folder,device,resume=False): teacher.distil(sampler,net,share,folder,device,True)
st.distil=distil
import os
from mtcnn_gluon.training.sampler import Sampler
if os.environ.get("STEPS"): Sampler.__len__=lambda self: int(os.environ["STEPS"])
from mtcnn_gluon.cli.main import main
sys.exit(main())
