"""A window that shows videos and cameras while `detect` processes them."""

import os
import subprocess
import sys

import cv2

from mtcnn_gluon.cli.detect_outputs import Output, Painter, Result

TITLE = "mtcnn-gluon (q or Esc ends)"
STOP_KEYS = (ord("q"), 27)  # 27: Esc
LARGEST = 1280  # longer side in pixels of the window at first
_TRY = f"import cv2; cv2.namedWindow({TITLE!r}); cv2.waitKey(1)"


def why_no_window() -> str:
    """Why no window can be opened here; empty if one can.

    A window is tried in another process, since the toolkit ends the process if it does not like the display.
    """
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return "there is no display"
    tried = subprocess.run([sys.executable, "-c", _TRY], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if tried.returncode == 0:
        return ""
    if "The function is not implemented" in tried.stderr:
        return "this OpenCV has no windows; opencv-python has them, opencv-python-headless has none"
    lines = [line.strip() for line in tried.stderr.splitlines() if line.strip()]
    return lines[0] if lines else f"OpenCV ended with status {tried.returncode}"


class Window(Output):
    """Shows the frames as they come. Its keys end the present video; the run goes on with the next one."""

    def __init__(self, painter: Painter) -> None:
        self._painter = painter
        self._is_open = False

    def add(self, result: Result) -> None:
        """Show a frame, and see whether a key was pressed."""
        self.asks_to_stop = False
        if result.image is None or result.clip is None:
            return
        if not self._is_open:
            self._open(*result.image.shape[1::-1])
        cv2.imshow(TITLE, cv2.cvtColor(self._painter.paint(result), cv2.COLOR_RGB2BGR))
        key = cv2.waitKey(1) & 0xFF
        self.asks_to_stop = key in STOP_KEYS or cv2.getWindowProperty(TITLE, cv2.WND_PROP_VISIBLE) < 1

    def cut_off(self) -> None:
        """Close the window."""
        self.close()

    def close(self) -> None:
        """Close the window."""
        if self._is_open:
            cv2.destroyAllWindows()
            self._is_open = False

    def _open(self, width: int, height: int) -> None:
        """Open the window for frames of this size."""
        cv2.namedWindow(TITLE, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL)
        scale = min(1.0, LARGEST / max(width, height))
        cv2.resizeWindow(TITLE, round(width * scale), round(height * scale))
        self._is_open = True
