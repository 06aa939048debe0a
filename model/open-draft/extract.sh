X="python3 /work/tools/extract.py"; M=/work/.mirror; S=/work/exp/open/sources
$X $M/18F+18f.gsa.gov/repo 0a55c75 $S/18f.gsa.gov assets
$X $M/18F+hub/repo d1a91e5 $S/hub assets
$X $M/presidential-innovation-fellows+pif-website/repo 8ae57fa $S/pif-website assets/images
$X $M/marcusklasson+GroceryStoreDataset/repo fc80ba9 $S/GroceryStoreDataset dataset
$X $M/alexeygrigorev+clothing-dataset-small/repo/.git 1196151 $S/clothing-dataset-small
ln -s /work/shared/data/open/fairface $S/fairface; ln -s /work/shared/data/open/congress $S/congress
