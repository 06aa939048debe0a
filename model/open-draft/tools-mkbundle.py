"""mkbundle.py OUT ONET.params [P.params R.params] [--t a b c] [--weights p r] [--shift p r o]"""
import argparse, json
from mtcnn_gluon.bundles.params_file import read_params
from mtcnn_gluon.bundles.trained import TrainedNet
from mtcnn_gluon.export.bundle_files import make_bundle
from mtcnn_gluon.bundles.find import find_bundle
a=argparse.ArgumentParser(); a.add_argument("out"); a.add_argument("onet"); a.add_argument("--p",default="/work/exp/draft/pnet.params"); a.add_argument("--r",default="/work/exp/draft/rnet.params")
a.add_argument("--t",nargs=3,type=float,default=(.05,.02,.3)); a.add_argument("--weights",nargs=2,type=float,default=(0,.25)); a.add_argument("--shift",nargs=3,type=float,default=(0,0,0)); a.add_argument("--large",default=None); a.add_argument("--temper",type=float,default=1)
o=a.parse_args()
table=find_bundle("wide-1").manifest["architecture"]
nets={}
for n,f,s in zip(("pnet","rnet","onet"),(o.p,o.r,o.onet),o.shift):
    if f=="wide":
        from mtcnn_gluon.bundles.parameters import bundle_parameters
        p=dict(bundle_parameters(find_bundle("wide-1"))[n])
    elif f.endswith(".npz"):
        from mtcnn_gluon.training.runs import read_net
        p=dict(read_net(f,n).parameters)
    else: p=read_params(f)
    p={k.split(":")[-1]:v for k,v in p.items()}
    if s:
        k=[k for k in p if k.endswith("cls_bias") or "cls" in k and k.endswith("bias")]; assert len(k)==1,k
        b=p[k[0]].copy(); b[1]+=s; p[k[0]]=b
    if n=='onet' and o.temper!=1:
        for k in p:
            if 'cls' in k: p[k]=(p[k]/o.temper).astype('float32')
    nets[n]=TrainedNet(p,("cls","box")+(("landmark",) if n=="onet" else ()),table=table[n])
more={}
if any(o.weights): more["score_weights"]=list(o.weights)
if o.large: more["large_faces"]=json.loads(o.large)
b=make_bundle(o.out,nets,"open-1","free","any",thresholds=tuple(o.t),formats=("params","onnx"),more=more)
print(b.path)
