// Prints the thresholds that the page's settings give: those of a model, and after a slider was moved, as JSON.
//
//     node settings.mjs 0.5 0.755 0.8749
import { Settings } from "./page/settings.js";

/** A slider, which rounds its value to its step, or any other part of the form. */
class Part extends EventTarget {
  set value(value) {
    this.valueAsNumber = Math.round(value * 100) / 100;
  }

  get value() {
    return String(this.valueAsNumber);
  }

  replaceChildren() {}
}

globalThis.Option = class {};
const parts = {};
const form = Object.assign(new Part(), {
  querySelector: (name) => (parts[name] ??= Object.assign(new Part(), { id: name.slice(1) })),
  querySelectorAll: () => [],
});
const settings = new Settings(form, () => {});
form.querySelector("#model").value = 0;
settings.offer([{ name: "own", licence: "any", thresholds: process.argv.slice(2).map(Number), nms: [0.5, 0.7, 0.7, 0.7] }]);
const given = settings.values.thresholds;
const slider = form.querySelector("#threshold-1");
slider.value = 0.3;
form.dispatchEvent(Object.defineProperty(new Event("input"), "target", { value: slider }));
const moved = settings.values.thresholds;
form.querySelector("#reset").dispatchEvent(new Event("click"));
console.log(JSON.stringify([given, moved, settings.values.thresholds]));
