// What a model's manifest says of its nets and of the cascade.

const SCHEMA = 2;

/** What a net sees of a candidate: its square, which fills `cell` of the input's `size` pixels, and what lies around it. */
export function viewOf({ size, layers, context = 0 }) {
  const stride = layers.reduce((product, layer) => product * strideOf(layer), 1);
  const cell = size - 2 * context;
  const overhang = context ? Math.floor(cell / 3 / stride) * stride : 0; // pixels by which cells may leave the image
  return {
    size, context, cell, stride, overhang,
    margin: context + overhang, // pixels of black around an image, so that there is an output for every cell
    overlap: Math.ceil((size - stride) / stride) * stride, // pixels that neighbouring pieces of a level share
    outputs: (side) => Math.floor((side - size) / stride) + 1, // whole outputs along an axis; the net may have one more
  };
}

const strideOf = ([kind, ...values]) => ({ conv: values[2] ?? 1, pool: values[1], dense: 1 })[kind];

/** What the cascade needs of a manifest. */
export function readManifest(manifest) {
  if (manifest.schema !== SCHEMA) throw new Error(`the manifest has schema ${manifest.schema}, and this page reads ${SCHEMA}`);
  const { mean, scale } = manifest;
  return {
    name: manifest.name,
    licence: manifest.licence,
    views: Object.fromEntries(Object.entries(manifest.architecture).map(([net, table]) => [net, viewOf(table)])),
    input: { mean, scale, colours: manifest.colour_order === "BGR" ? [2, 1, 0] : [0, 1, 2] },
    thresholds: manifest.thresholds,
    nms: manifest.nms,
    largeFaces: manifest.large_faces ?? { side: Infinity, factors: [1, 1, 1] },
    scoreWeights: manifest.score_weights ?? [0, 0],
    convention: manifest.box_convention,
    hasLandmarks: manifest.trained.onet.includes("landmark"),
  };
}
