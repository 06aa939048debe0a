import sys,json,yaml,itertools
sys.argv=["x"]
from pathlib import Path
import numpy as np
from mtcnn_gluon.bundles.params_file import read_params
from mtcnn_gluon.bundles.trained import TrainedNet
from mtcnn_gluon.export.bundle_files import make_bundle
from mtcnn_gluon.export.int8 import add_int8
from mtcnn_gluon.bundles.find import find_bundle
from mtcnn_gluon.training.runs import read_net
from mtcnn_gluon.io.images import read_image
table=find_bundle("wide-1").manifest["architecture"]
cfg=yaml.safe_load(open("/work/wt/ship/example/pipeline_open.yaml"))
def shifted(p,s,T=1):
    p={k.split(":")[-1]:v for k,v in p.items()}
    k=[k for k in p if "cls" in k and k.endswith("bias")]; assert len(k)==1,k
    if T!=1:
        for q in p:
            if "cls" in q: p[q]=(p[q]/T).astype("float32")
    b=p[k[0]].copy(); b[1]+=s; p[k[0]]=b; return p
nets={}
for n,p,s,T in (("pnet",read_params("/work/exp/draft/pnet-0000.params"),1.85,1),("rnet",read_params("/work/exp/draft/rnet-0000.params"),2.15,1),("onet",dict(read_net("/work/exp/run2/last.npz","onet").parameters),0,2)):
    nets[n]=TrainedNet(shifted(p,s,T),("cls","box")+(("landmark",) if n=="onet" else ()),table=table[n])
out="/work/wt/ship/model/open-1"
card=Path(out)/"MODEL_CARD.md"; text=card.read_text() if card.exists() else None
import shutil; shutil.rmtree(out,ignore_errors=True)
figs=json.load(open("/work/exp/final/figures.json")) if Path("/work/exp/final/figures.json").exists() else None
b=make_bundle(out,nets,"open-1",cfg["training_data"].strip(),cfg["licence"],thresholds=(.6,.5,.86),formats=("onnx",),figures=figs,more={"score_weights":[.1,.15],"large_faces":{"side":60,"factors":[.2,.2,1.0]}})
D="/work/exp/open/d3/"
names=sorted({l.split(",")[0] for l in open(D+"photos.csv").read().split("\n")[1:] if l and not l.startswith("sample")})
names=[names[int(i)] for i in np.linspace(0,len(names)-1,60)]
b=add_int8(b,(read_image(D+n) for n in names))
if text: card.write_text(text)
print(sorted(p.name for p in Path(out).iterdir()), b.manifest["thresholds"])
