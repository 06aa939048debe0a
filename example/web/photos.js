// The photos: a list to choose from, and the work on them, one after the other.
import { counted } from "./results.js";

/**
 * A photo is { file, name, picture, result, error, isDone, share }. `share` of the work on it is done. `picture` is undefined
 * unless it is selected and decoded, and null if it cannot be decoded.
 */
export class Photos {
  #list;
  #detector;
  #options;
  #onChange;
  #all = [];
  #isBusy = false;
  #round = new AbortController(); // ends when results of now would be out of date
  selected = null;

  /** `options()` gives the settings. `onChange(photo)` is called when the selected photo changes, or what is known of it. */
  constructor(list, detector, options, onChange) {
    this.#list = list;
    this.#detector = detector;
    this.#options = options;
    this.#onChange = onChange;
    list.addEventListener("click", ({ target }) => {
      const row = target.closest("li");
      if (row) this.select(this.#all[[...list.children].indexOf(row)]);
    });
  }

  get all() {
    return this.#all;
  }

  /** Add files, and show the first of them. */
  add(files) {
    const added = files.map((file) => ({ file, name: file.name || "pasted picture", isDone: false, share: 0 }));
    this.#all.push(...added);
    this.#list.append(...added.map(rowOf));
    this.select(added[0]);
  }

  /** Show a photo. Only the selected one is kept decoded. */
  async select(photo) {
    const before = this.selected;
    this.selected = photo;
    this.#all.forEach((each, i) => this.#list.children[i].firstChild.setAttribute("aria-current", each === photo));
    this.#work();
    const picture = photo.picture ?? (await createImageBitmap(photo.file).catch(() => null)); // the detector says why
    if (this.selected !== photo) return picture?.close();
    this.#onChange(Object.assign(photo, { picture }));
    if (before && before !== photo) {
      before.picture?.close();
      before.picture = undefined;
    }
  }

  /** Settings have changed: all results are out of date. Look for faces again. */
  again() {
    this.#stop();
    for (const photo of this.#all) {
      Object.assign(photo, { isDone: false, share: 0 });
      this.#count(photo, "…");
    }
    this.#work();
  }

  /** No photo is shown any more. The work rests until one is selected. */
  leave() {
    this.#stop();
    if (this.selected) this.selected.picture = undefined;
    this.selected = null;
    for (const row of this.#list.children) row.firstChild.setAttribute("aria-current", false);
  }

  #stop() {
    this.#round.abort();
    this.#round = new AbortController();
  }

  async #work() {
    if (this.#isBusy) return;
    this.#isBusy = true;
    for (let photo = this.#next(); photo; photo = this.#next()) await this.#find(photo);
    this.#isBusy = false;
  }

  /** The photo to work on: the one that the user sees before the others. */
  #next() {
    return this.selected && [this.selected, ...this.#all].find((photo) => !photo.isDone);
  }

  async #find(photo) {
    const { signal } = this.#round;
    const report = (share) => {
      photo.share = share;
      if (photo === this.selected) this.#onChange(photo);
    };
    report(0);
    let found;
    try {
      found = { result: await this.#detector.detect(photo.file, this.#options(), report, signal), error: undefined };
    } catch (error) {
      found = { result: undefined, error: error.message };
    }
    if (signal.aborted) return;
    Object.assign(photo, found, { isDone: true });
    this.#count(photo, photo.error ? "failed" : counted(photo.result.faces.length));
    if (photo === this.selected) this.#onChange(photo);
  }

  #count(photo, text) {
    this.#list.children[this.#all.indexOf(photo)].querySelector(".count").textContent = text;
  }
}

function rowOf({ name }) {
  const row = document.createElement("li");
  const button = Object.assign(document.createElement("button"), { type: "button", title: name });
  for (const [className, textContent] of [["name", name], ["count", "…"]]) {
    button.append(Object.assign(document.createElement("span"), { className, textContent }));
  }
  row.append(button);
  return row;
}
