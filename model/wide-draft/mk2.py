"""mk2.py OUT ONET.npz NAME [--shift s] [--t p r o]: wide-1's P- and R-Net with another O-Net"""
import argparse
from mtcnn_gluon.bundles.trained import TrainedNet
from mtcnn_gluon.export.bundle_files import make_bundle
from mtcnn_gluon.bundles.find import find_bundle
from mtcnn_gluon.bundles.parameters import bundle_parameters
from mtcnn_gluon.training.runs import read_net
a=argparse.ArgumentParser(); a.add_argument("out"); a.add_argument("onet"); a.add_argument("name"); a.add_argument("--shift",type=float,default=0); a.add_argument("--t",nargs=3,type=float); a.add_argument("--weights",nargs=2,type=float); a.add_argument("--temp",type=float,default=1)
o=a.parse_args()
w=find_bundle("wide-1"); m=w.manifest; p=bundle_parameters(w)
nets={n:TrainedNet(p[n],("cls","box"),table=m["architecture"][n]) for n in ("pnet","rnet")}
f=read_net(o.onet,"onet"); q=dict(f.parameters)
if o.temp!=1:
    for k in ("onet_cls_weight","onet_cls_bias"): q[k]=(q[k]/o.temp).astype("float32")
if o.shift:
    b=q["onet_cls_bias"].copy(); b[1]+=o.shift; q["onet_cls_bias"]=b
nets["onet"]=TrainedNet(q,f.heads,table=f.table)
more={k:m[k] for k in ("score_weights","large_faces")}
if o.weights: more["score_weights"]=o.weights
b=make_bundle(o.out,nets,o.name,m["training_data"] if "training_data" in m else "x",m.get("licence","x"),thresholds=tuple(o.t or m["thresholds"]),formats=("onnx",),more=more)
print(b.path)
