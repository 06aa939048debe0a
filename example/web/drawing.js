// Faces on a canvas: a box with its score, and a dot for each landmark.

const BOX = "rgb(0 220 90)";
const POINTS = ["rgb(255 60 60)", "rgb(60 120 255)", "rgb(255 220 0)", "rgb(255 60 200)", "rgb(0 230 230)"];

/** Draw a picture and its faces on a canvas, which gets the picture's size, or `longest` pixels on its longer side if less. */
export function paint(canvas, picture, faces, longest = Infinity) {
  const scale = Math.min(1, longest / Math.max(picture.width, picture.height));
  const [width, height] = [picture.width, picture.height].map((side) => Math.max(1, Math.round(side * scale)));
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d");
  context.fillStyle = "white"; // behind a transparent picture
  context.fillRect(0, 0, width, height);
  context.drawImage(picture, 0, 0, width, height);
  const line = Math.max(1.5, Math.min(width, height) / 350);
  for (const face of faces) paintFace(context, face, [width / picture.width, height / picture.height], line);
}

function paintFace(context, { box, score, landmarks }, [scaleX, scaleY], line) {
  const [x1, y1, x2, y2] = box.map((value, i) => value * (i % 2 ? scaleY : scaleX));
  context.lineWidth = line;
  context.strokeStyle = BOX;
  context.strokeRect(x1, y1, x2 - x1, y2 - y1);
  (landmarks ?? []).forEach(([x, y], i) => {
    context.fillStyle = POINTS[i];
    context.beginPath();
    context.arc(x * scaleX, y * scaleY, Math.max(1, 0.02 * (x2 - x1)), 0, 2 * Math.PI);
    context.fill();
  });
  paintLabel(context, score.toFixed(3), x1, y1, x2 - x1, line);
}

/** Write a text on a strip above a box, or inside it where there is no room above. A small box gets none. */
function paintLabel(context, text, left, top, width, line) {
  const size = 8 * line;
  context.font = `${size}px system-ui, sans-serif`;
  const wide = context.measureText(text).width + 4 * line;
  if (wide > 1.5 * width) return;
  const high = size + 2 * line;
  const y = top > high ? top - high : top;
  context.fillStyle = BOX;
  context.fillRect(left, y, wide, high);
  context.fillStyle = "black";
  context.textBaseline = "middle";
  context.fillText(text, left + 2 * line, y + high / 2);
}
