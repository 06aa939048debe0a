import json,sys,numpy as np
from mtcnn_gluon.prepare_data.annotations import *
root="/work/shared/data/wider_more/"
gt={}
L=open(root+"wider_more_dev_bbx_gt.txt").read().split("\n"); i=0
while i<len(L) and L[i]:
    f=L[i]; n=int(float(L[i+1])); rows=[list(map(float,L[i+2+k].split())) for k in range(max(n,1))]; i+=2+max(n,1)
    gt[f]=np.array([r for r in rows if r[2]>0 and r[7]==0])
def iou(b,g):
    x1=np.maximum(b[:,None,0],g[None,:,0]);y1=np.maximum(b[:,None,1],g[None,:,1]);x2=np.minimum(b[:,None,2],g[None,:,2]);y2=np.minimum(b[:,None,3],g[None,:,3])
    w=np.clip(x2-x1,0,None)*np.clip(y2-y1,0,None); a=lambda z:(z[:,2]-z[:,0])*(z[:,3]-z[:,1])
    return w/(a(b)[:,None]+a(g)[None]-w)
for d in sys.argv[1:]:
    det={}
    for line in open(f"/work/exp/draft/{d}/x.jsonl"):
        r=json.loads(line); det[r.get("image") or r.get("file")]=r
    n=miss=0; cats={}; sc=[];dims=[]
    for f,g in gt.items():
        if not len(g): continue
        r=next((v for k,v in det.items() if k and (k in f or f in k)),None)
        if r is None: print("none",f); continue
        faces=r["faces"]; b=np.array([x["box"] for x in faces]).reshape(-1,4); s=np.array([x["score"] for x in faces])
        big=(g[:,3]>=50)
        gb=np.c_[g[:,0],g[:,1],g[:,0]+g[:,2],g[:,1]+g[:,3]].astype(float)
        o=iou(b,gb)
        for j in np.flatnonzero(big):
            n+=1; k=o[:,j]
            best=np.argmax(np.where(k>.5,s,-1)); top=np.argmax(np.where(k>.2,s,-1))
            okscore=s[best] if k[best]>.5 else 0; topscore=s[top] if k[top]>.2 else 0
            sc.append(okscore)
            c="ok" if okscore>=.9 else "badbox" if topscore>.9 else "low" if okscore>=.3 else "lowbad" if topscore>=.3 else "none"
            cats[c]=cats.get(c,0)+1
            if c=="badbox":
                t=b[top]; q=gb[j]; dims.append([(t[2]-t[0])/(q[2]-q[0]),(t[3]-t[1])/(q[3]-q[1]),k[top],okscore, topscore])
    print(d,n,cats,"quantiles of score",np.quantile(sc,[.05,.1,.15,.2,.3]).round(3))
    if dims: print(np.round(np.array(dims),2).tolist())
