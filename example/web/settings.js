// The form with the detector's settings.

const SMALLEST = { photos: 20, camera: 40 }; // pixels: a face before the camera is large, and there is less time

/** Reads and fills the form; calls `onChange` when a value has changed. */
export class Settings {
  #form;
  #models = [];
  #mode = "photos";
  #minFace = { ...SMALLEST };

  constructor(form, onChange) {
    this.#form = form;
    form.addEventListener("submit", (event) => event.preventDefault()); // Enter must not load the page again
    form.addEventListener("input", () => this.#write());
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
    const thresholds = this.#thresholds.map((input) => input.valueAsNumber);
    return { model: Number(this.#of("model").value), minFace: this.#of("min-face").valueAsNumber, thresholds };
  }

  get #thresholds() {
    return [0, 1, 2].map((stage) => this.#of(`threshold-${stage}`));
  }

  /** Take over the thresholds of the chosen model. */
  #useModel() {
    const { licence, thresholds } = this.#models[this.#of("model").value];
    this.#of("licence").textContent = `Licence: ${licence}`;
    this.#thresholds.forEach((input, stage) => (input.value = thresholds[stage]));
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
