// The nets of a model, run by ONNX Runtime for WebAssembly.

const NETS = ["pnet", "rnet", "onet"];
const OPTIONS = {
  executionProviders: ["wasm"],
  enableMemPattern: false, // it would keep a plan for every input shape
  logSeverityLevel: 3,
};

/**
 * A function that opens the nets when it is first called, and resolves to `run` as `detect` takes it.
 *
 * `ort` is ONNX Runtime's module, and `files` are the bytes of the three ONNX files.
 */
export function openNets(ort, files) {
  let opened = null;
  const open = async () => {
    const sessions = {};
    for (const [i, net] of NETS.entries()) sessions[net] = await ort.InferenceSession.create(files[i], OPTIONS);
    return (net, data, dims) => sessions[net].run({ image: new ort.Tensor("float32", data, dims) });
  };
  return () => (opened ??= open());
}
