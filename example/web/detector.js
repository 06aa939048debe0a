// The page's side of the worker.

/** Finds faces in photos and in pictures of the camera. */
export class Detector {
  #worker = new Worker("worker.js", { type: "module" });
  #jobs = new Map();
  #count = 0;
  #opened = withResolvers();

  constructor() {
    this.#worker.addEventListener("message", ({ data }) => this.#receive(data));
    this.#worker.addEventListener("error", ({ message }) => this.#opened.reject(new Error(message ?? "the worker is missing")));
  }

  /** The models { name, licence, thresholds }, once the first one can be used. */
  get models() {
    return this.#opened.promise;
  }

  /**
   * Faces in a photo (a File), or in an ImageBitmap, which is handed back: { faces, width, height, milliseconds, bitmap }.
   *
   * `options` are { model, minFace, thresholds }, `model` being an index of `models`. `onProgress` is called with a share of
   * the work, 0..1. An `AbortSignal` ends the work soon: then the promise is rejected, unless the work was done already.
   */
  detect(source, options, onProgress = () => {}, signal = null) {
    const id = this.#count++;
    const job = { ...withResolvers(), onProgress };
    this.#jobs.set(id, job);
    this.#worker.postMessage({ id, source, options }, source instanceof ImageBitmap ? [source] : []);
    signal?.addEventListener("abort", () => this.#jobs.has(id) && this.#worker.postMessage({ cancel: id }));
    return job.promise;
  }

  #receive({ id, models, progress, result, error }) {
    if (id === undefined) return models ? this.#opened.resolve(models) : this.#opened.reject(new Error(error));
    const job = this.#jobs.get(id);
    if (progress !== undefined) return job.onProgress(progress);
    this.#jobs.delete(id);
    return result ? job.resolve(result) : job.reject(new Error(error));
  }
}

function withResolvers() {
  const made = {};
  made.promise = new Promise((resolve, reject) => Object.assign(made, { resolve, reject }));
  return made;
}
