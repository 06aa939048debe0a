// The form with the detector's settings.

const SMALLEST = { photos: 20, camera: 40 }; // pixels: a face before the camera is large, and there is less time
const OVERLAP = 0.5; // that the camera allows after R-Net, for the same reason: it halves the work of O-Net

/** Reads and fills the form; calls `onChange` when a value has changed. */
export class Settings {
  #form;
  #models = [];
  #thresholds = []; // those of a model may lie between two steps of a slider
  #mode = "photos";
  #minFace = { ...SMALLEST };

  constructor(form, onChange) {
    this.#form = form;
    form.addEventListener("submit", (event) => event.preventDefault()); // Enter must not load the page again
    form.addEventListener("input", ({ target }) => {
      const stage = this.#sliders.indexOf(target);
      if (stage >= 0) this.#thresholds[stage] = target.valueAsNumber;
      this.#write();
    });
    form.addEventListener("change", ({ target }) => {
      if (target.id === "model") this.#useModel();
      if (target.id === "min-face") this.#minFace[this.#mode] = target.valueAsNumber;
      onChange();
    });
    this.#of("reset").addEventListener("click", () => {
      this.#minFace = { ...SMALLEST };
      this.#useModel();
      onChange();
    });
  }

  /** Let the user choose among these models. */
  offer(models) {
    this.#models = models;
    this.#of("model").replaceChildren(...models.map(({ name }, i) => new Option(name, i)));
    this.#useModel();
    this.#form.querySelector("fieldset").disabled = false;
  }

  /** "photos" or "camera": each has a smallest face of its own. */
  set mode(mode) {
    this.#mode = mode;
    this.#of("min-face").value = this.#minFace[mode];
    this.#write();
  }

  /** What `Detector.detect` takes as its options. */
  get values() {
    const minFace = this.#of("min-face").valueAsNumber;
    const model = Number(this.#of("model").value);
    const nms = [...this.#models[model].nms];
    if (this.#mode === "camera") nms[2] = Math.min(nms[2], OVERLAP);
    return { model, minFace, thresholds: [...this.#thresholds], nms };
  }

  get #sliders() {
    return [0, 1, 2].map((stage) => this.#of(`threshold-${stage}`));
  }

  /** Take over the thresholds of the chosen model. */
  #useModel() {
    const { licence, thresholds } = this.#models[this.#of("model").value];
    this.#of("licence").textContent = `Licence: ${licence}`;
    this.#thresholds = [...thresholds];
    this.#sliders.forEach((input, stage) => (input.value = thresholds[stage]));
    this.mode = this.#mode;
  }

  /** Show the values beside the sliders. */
  #write() {
    for (const output of this.#form.querySelectorAll("output")) {
      const { id, valueAsNumber } = this.#of(output.htmlFor.value);
      output.value = id === "min-face" ? `${valueAsNumber} pixels` : valueAsNumber.toFixed(2);
    }
  }

  #of(id) {
    return this.#form.querySelector(`#${id}`);
  }
}
