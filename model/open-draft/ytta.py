import sys,cv2,numpy as np
D="/work/shared/data/landmarks/"
y=cv2.FaceDetectorYN.create("/work/shared/peers/yunet_n_640_640.onnx","",(320,320),.3)
MIR=[1,0,2,4,3]
def passes(im,box,targets,shifts,flips=(0,1)):
    """points of the face near box, the face scaled to heights `targets`, at shifts"""
    h=box[3]-box[1]; c=np.array([(box[0]+box[2])/2,(box[1]+box[3])/2]); out=[]
    for t in targets:
        for sx,sy in shifts:
            s=t/h; side=int(np.ceil(t*2.2/32)*32); M=np.float32([[s,0,side/2+sx-s*c[0]],[0,s,side/2+sy-s*c[1]]])
            a=cv2.warpAffine(im,M,(side,side),flags=cv2.INTER_AREA if s<1 else cv2.INTER_LINEAR)
            for f in flips:
                b=np.ascontiguousarray(a[:,::-1]) if f else a
                y.setInputSize((side,side)); r=y.detect(b)[1]
                if r is None: continue
                k=r[np.hypot(r[:,0]+r[:,2]/2-side/2,r[:,1]+r[:,3]/2-side/2).argmin()]
                p=k[4:14].reshape(5,2).copy()
                if f: p[:,0]=side-p[:,0]; p=p[MIR]
                out.append((p-M[:,2])/s)
    return np.array(out)
if __name__=="__main__":
    E={}
    for l in list(open(D+"devImageList.txt"))[::3]:
        q=l.split(); f=D+q[0].replace("\\","/"); x1,x2,y1,y2=map(float,q[1:5]); gt=np.array(list(map(float,q[5:15]))).reshape(5,2)
        im=cv2.imread(f); dist=np.hypot(*(gt[1]-gt[0])); box=(x1,y1,x2,y2)
        for name,t,s in (("40",(40,),((0,0),)),("60",(60,),((0,0),)),("100",(100,),((0,0),)),("160",(160,),((0,0),)),("240",(240,),((0,0),)),("40-100",(40,60,80,100),((0,0),)),("60-160",(60,80,110,160),((0,0),)),("60-160 shifts",(60,80,110,160),((0,0),(5,3),(-3,5),(3,-5)))):
            p=passes(im,box,t,s)
            if len(p): E.setdefault(name,[]).append(np.hypot(*(np.median(p,0)-gt).T).mean()/dist)
    for k,v in E.items(): print(k,len(v),round(float(np.mean(v)),4),round(float(np.median(v)),4))
