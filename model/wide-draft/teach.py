"""RECORDS OUT: wide-1's O-Net's outputs (mean with mirrored if M=1) on all samples, as teacher.npz."""
import sys, os, numpy as np, time
from pathlib import Path
from mtcnn_gluon.bundles.parameters import read_parameters
from mtcnn_gluon.detection.detector import find_bundle
from mtcnn_gluon.layers import check_parameters
from mtcnn_gluon.operators import make_batch
from mtcnn_gluon.operators.native_net import NativeNet
from mtcnn_gluon.records.samples import mirror_offsets
from mtcnn_gluon.training.sampler import Sampler
from mtcnn_gluon.training.options import TrainingOptions
from mtcnn_gluon.training.checkpoints import Checkpoint, write_checkpoint
b=find_bundle("wide-1"); t=b.manifest["architecture"]["onet"]
net=NativeNet("onet",t,check_parameters("onet",t,read_parameters(b.file("onet.onnx"))))
s=Sampler(sys.argv[1],TrainingOptions("onet"))
out={}
for place,r in enumerate(s.records):
    n=len(r.crops); v=np.empty((n,5),np.float32); a=time.time()
    for i in range(0,n,512):
        rows=np.arange(i,min(i+512,n)); m=[];o=[]
        for mir in ((False,True) if os.environ.get("M") else (False,)):
            y=net(make_batch(r.crops,rows,np.full(len(rows),mir)))[:,0,0]
            m.append(y[:,1]-y[:,0]); o.append(mirror_offsets(y[:,2:6]) if mir else y[:,2:6])
        # wide-1's scores were shifted by -0.240 and calibrated; leave them
        v[i:i+len(rows),0]=1/(1+np.exp(-np.mean(m,0))); v[i:i+len(rows),1:]=np.mean(o,0)
    out[str(place)]=v; print(place,n,f"{time.time()-a:.0f} s",np.mean(v[:,0]>.5),flush=True)
Path(sys.argv[2]).mkdir(parents=True,exist_ok=True)
write_checkpoint(Path(sys.argv[2])/"teacher.npz",Checkpoint({"records":s.digests,"teacher":"wide-1"},out))
