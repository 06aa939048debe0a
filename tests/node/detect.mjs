// Finds faces with mtcnn.onnx and nothing else; prints them as JSON.
//
//     node detect.mjs mtcnn.onnx pixels.rgb HEIGHT WIDTH
import { readFileSync } from "node:fs";
import * as ort from "onnxruntime-web";

const [model, pixels, height, width] = process.argv.slice(2);
const session = await ort.InferenceSession.create(readFileSync(model), { logSeverityLevel: 3 });
const image = new ort.Tensor("uint8", new Uint8Array(readFileSync(pixels)), [+height, +width, 3]);
const results = await session.run({ image });
const asJson = ({ dims, data }) => ({ shape: dims, values: Array.from(data) });
console.log(JSON.stringify(Object.fromEntries(Object.entries(results).map(([name, tensor]) => [name, asJson(tensor)]))));
