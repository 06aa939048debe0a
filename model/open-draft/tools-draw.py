import sys,json,cv2; sys.argv=["x"]; exec(open("/work/tools/ap.py").read())
det={json.loads(l)["image"]:json.loads(l) for l in open("/work/exp/draft/det_b_onet/x.jsonl")}
tiles=[]
D=[]; ap(det,50,D)
def tile(f,box,extra,c=(0,0,255)):
    im=cv2.imread(root+"images/"+f); x1,y1,x2,y2=box; w=max(x2-x1,y2-y1)*1.2; cx,cy=(x1+x2)/2,(y1+y2)/2
    M=np.float32([[75/w,0,75-cx*75/w],[0,75/w,75-cy*75/w]]); t=cv2.warpAffine(im,M,(150,150))
    P=lambda b,c:cv2.rectangle(t,tuple(int(v) for v in M@[b[0],b[1],1]),tuple(int(v) for v in M@[b[2],b[3],1]),c,1)
    P(box,c); [P(e,(0,255,0)) for e in extra]; return t
for s,f,b,o,k in D[:36]:
    g=allg[f]; gb=[(r[0],r[1],r[0]+r[2],r[1]+r[3]) for r in g]; tiles.append(tile(f,b,gb))
A=np.vstack([np.hstack(tiles[i:i+9]) for i in range(0,36,9)]); cv2.imwrite("/tmp/fp.png",A)
tiles=[]
for f,g in allg.items():
    fs=det[f]["faces"]; b=np.array([x["box"] for x in fs]).reshape(-1,4); s=np.array([x["score"] for x in fs])
    gb=np.c_[g[:,0],g[:,1],g[:,0]+g[:,2],g[:,1]+g[:,3]]
    o=iou(b,gb)
    for j in np.flatnonzero((g[:,3]>=50)&(g[:,7]==0)):
        sc=np.where(o[:,j]>=.5,s,0).max()
        if sc<.9:
            top=np.argmax(np.where(o[:,j]>.2,s,-1)); t=tile(f,gb[j],[],(0,255,0))
            x1,y1,x2,y2=gb[j]; w=max(x2-x1,y2-y1)*1.2; cx,cy=(x1+x2)/2,(y1+y2)/2; M=np.float32([[75/w,0,75-cx*75/w],[0,75/w,75-cy*75/w]])
            if o[top,j]>.2:
                q=b[top]; cv2.rectangle(t,tuple(int(v) for v in M@[q[0],q[1],1]),tuple(int(v) for v in M@[q[2],q[3],1]),(0,0,255),1)
                cv2.putText(t,"%.2f/%.2f"%(s[top],sc),(2,12),0,.4,(0,255,255),1)
            tiles.append(t)
tiles+= [np.zeros_like(tiles[0])]*(-len(tiles)%9)
cv2.imwrite("/tmp/miss.png",np.vstack([np.hstack(tiles[i:i+9]) for i in range(0,len(tiles),9)])); print(len(tiles))
