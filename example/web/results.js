// Results as JSON Lines, in the form that `mtcnn-gluon detect --json` writes, and as a table.

const NAMES = ["left_eye", "right_eye", "nose", "left_mouth", "right_mouth"];
const rounded = (value, decimals = 2) => Number(value.toFixed(decimals));

/** The line of a photo { name, result } or { name, error }. */
export function jsonLine({ name, result, error }) {
  if (!result) return JSON.stringify({ image: name, error });
  const { width, height } = result;
  const faces = result.faces.map(({ box, score, landmarks }) => ({
    box: box.map((value) => rounded(value)),
    score: rounded(score, 6),
    landmarks: landmarks && Object.fromEntries(landmarks.map((point, i) => [NAMES[i], point.map((value) => rounded(value))])),
  }));
  return JSON.stringify({ image: name, width, height, faces });
}

/** "no faces", "1 face", "12 faces". */
export const counted = (count) => `${count || "no"} face${count === 1 ? "" : "s"}`;

/** Fill the body of a table with a row for each face. */
export function fillTable(body, faces) {
  body.replaceChildren(...faces.map(rowOf));
}

function rowOf({ box, score, landmarks }, index) {
  const row = document.createElement("tr");
  const header = Object.assign(document.createElement("th"), { scope: "row", textContent: index + 1 });
  const points = (landmarks ?? NAMES.map(() => null)).map((point) => (point ? point.map(Math.round).join(", ") : "–"));
  const texts = [score.toFixed(3), box.map(Math.round).join(", "), ...points];
  row.append(header, ...texts.map((textContent) => Object.assign(document.createElement("td"), { textContent })));
  return row;
}

/** Hand a blob to the user as a file. */
export function save(blob, name) {
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000); // the browser has begun by then
}
