// The camera: hands over pictures, a new one as soon as the last one is done.

const WISHES = { video: { width: { ideal: 640 }, height: { ideal: 480 }, facingMode: "user" }, audio: false };
const REASONS = {
  NotAllowedError: "the browser or you did not allow it",
  NotFoundError: "there is none",
  NotReadableError: "another program uses it",
};

const LONGEST_WAIT = 1000; // milliseconds for a new picture: a camera that was unplugged gives none

/** Asks for the camera, then awaits `onPicture` with an ImageBitmap, again and again, until `stop`. */
export class Camera {
  #video = Object.assign(document.createElement("video"), { muted: true, playsInline: true });
  #stream = null;

  get isOn() {
    return this.#stream !== null;
  }

  /** Calls `onStart` when the camera runs. Resolves when it has ended; an error says why it cannot be used. */
  async run(onPicture, onStart) {
    this.#stream = await this.#open();
    onStart();
    const stream = this.#stream;
    try {
      this.#video.srcObject = stream;
      await this.#video.play();
      const next = this.#freshPictures(stream);
      while (this.#stream === stream && stream.active) {
        await next();
        if (this.#stream === stream) await onPicture(await createImageBitmap(this.#video));
      }
    } catch (error) {
      if (this.#stream === stream) throw error; // else it only says that there is no picture after `stop`
    } finally {
      if (this.#stream === stream) this.stop();
    }
  }

  stop() {
    for (const track of this.#stream?.getTracks() ?? []) track.stop();
    this.#stream = null;
    this.#video.srcObject = null;
  }

  async #open() {
    if (!navigator.mediaDevices) throw new Error("The camera cannot be used: the page needs https or localhost for it.");
    try {
      return await navigator.mediaDevices.getUserMedia(WISHES);
    } catch (error) {
      throw new Error(`The camera cannot be used: ${REASONS[error.name] ?? error.message}.`);
    }
  }

  /** A function that resolves when there is a picture that was not there at the last call; at once if it is there already. */
  #freshPictures(stream) {
    const video = this.#video;
    const wait = (callback) =>
      "requestVideoFrameCallback" in video ? video.requestVideoFrameCallback(callback) : requestAnimationFrame(callback);
    let isFresh = false;
    let wake = () => {};
    const note = () => {
      isFresh = true;
      wake();
      if (this.#stream === stream) wait(note);
    };
    wait(note);
    return async () => {
      if (!isFresh) {
        await new Promise((resolve) => {
          wake = resolve;
          setTimeout(resolve, LONGEST_WAIT);
        });
      }
      isFresh = false;
    };
  }
}
