"""Make panel.gif, the README's moving picture, from the real panel in a real JupyterLab.

Run it from the project's folder, with the extra ``test`` and a Chromium: ``python .github/assets/film.py``
"""

from __future__ import annotations

import io
import sys
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[2]))  # the tests' own pages drive JupyterLab here, too

from tests.notebook.pages import Lab, NotebookPage, PanelPage, launch

TARGET = Path(__file__).parent / "panel.gif"
SIZE = {"width": 1160, "height": 940}
CLIP = {"x": 36, "y": 92, "width": 1084, "height": 820}  # the notebook, without what JupyterLab has around it
SHOWN = (880, 666)  # the size in the README
FRAME_MS = 80

# Chromium draws no pointer into its pictures.
POINTER = """() => {
    const pointer = document.createElement('div');
    const arrow = '<path d="M2 1v18l5-4 3 7 3-1-3-7h6z" fill="#fff" stroke="#000"/>';
    pointer.innerHTML = `<svg width="20" height="24">${arrow}</svg>`;
    pointer.style = 'position:fixed;z-index:99999;pointer-events:none;left:400px;top:300px';
    document.body.append(pointer);
    const follow = event => Object.assign(pointer.style, { left: `${event.clientX}px`, top: `${event.clientY}px` });
    for (const kind of ['mousemove', 'pointermove']) document.addEventListener(kind, follow, true);
}"""


class Film:
    """Frames of a page, each with how long it is shown."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.at = (400.0, 300.0)
        self.frames: list[Image.Image] = []
        self.times: list[int] = []

    def shoot(self, hold: int = FRAME_MS) -> None:
        """Add what is to be seen now."""
        picture = Image.open(io.BytesIO(self.page.screenshot(clip=CLIP, animations="disabled", caret="hide")))
        self.frames.append(picture.convert("RGB").resize(SHOWN, Image.Resampling.LANCZOS))
        self.times.append(hold)

    def move(self, x: float, y: float, steps: int = 6) -> None:
        """Move the mouse, a frame a step."""
        for step in range(1, steps + 1):
            share = step / steps
            self.page.mouse.move(self.at[0] + (x - self.at[0]) * share, self.at[1] + (y - self.at[1]) * share)
            self.shoot()
        self.at = (x, y)

    def click(self, locator: Any) -> None:
        """Move to something, and click it."""
        box = locator.bounding_box()
        self.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        locator.click()

    def save(self, target: Path) -> None:
        """One palette for all frames: colours do not flicker, and what stands still costs nothing."""
        palette = Image.new("RGB", (SHOWN[0], SHOWN[1] * 3))
        for place, frame in enumerate((self.frames[0], self.frames[len(self.frames) // 2], self.frames[-1])):
            palette.paste(frame, (0, place * SHOWN[1]))
        colours = palette.quantize(255, method=Image.Quantize.MAXCOVERAGE)
        frames = [frame.quantize(palette=colours, dither=Image.Dither.NONE) for frame in self.frames]
        frames[0].save(target, save_all=True, append_images=frames[1:], duration=self.times, loop=0, optimize=True)


def play(film: Film, panel: PanelPage) -> None:
    """What is shown: drag, read, apply, be told what would be refused, undo."""
    page = film.page
    film.shoot(1500)
    chart, slider = panel.root.locator(".leverage-chart").bounding_box(), panel.slider.bounding_box()
    middle = slider["y"] + slider["height"] / 2
    film.move(chart["x"] + panel.marker_x(), middle)
    page.mouse.down()
    film.move(film.at[0] - 120, middle, steps=16)
    film.shoot(900)
    film.move(slider["x"] + 60, middle, steps=10)
    page.mouse.up()
    film.shoot(2200)  # it would be refused
    film.click(panel.root.locator(".leverage-nearest"))
    film.shoot(1200)
    film.click(panel.apply)
    panel.wait_for_state("done")
    film.shoot(2000)
    film.click(panel.root.locator(".leverage-size"))
    page.keyboard.type("2m")
    panel.root.locator(".leverage-opened").filter(has_text="margin 400,000").wait_for()
    film.shoot(2000)
    film.click(panel.root.locator(".leverage-lowest"))
    film.shoot(2000)
    film.click(panel.root.locator(".leverage-second"))
    panel.wait_for_leverage(20)
    panel.wait_for_state("done")
    film.shoot(2500)


def main() -> None:
    """Start JupyterLab, play, and save the film."""
    root = Path(tempfile.mkdtemp()) / "notebooks"
    root.mkdir()
    lab = Lab(root)
    try:
        with launch() as browser:
            page = browser.new_context(viewport=SIZE).new_page()
            lab.write("leverage.ipynb", ["%load_ext leverage_nb\n%leverage BTCUSDT"])
            notebook = NotebookPage(lab, page, "leverage.ipynb")
            notebook.command("application:toggle-left-area")
            notebook.run_all()
            panel = PanelPage(notebook)
            page.evaluate(POINTER)
            page.wait_for_timeout(1000)
            film = Film(page)
            play(film, panel)
            film.save(TARGET)
    finally:
        lab.stop()
    print(f"{TARGET.name}: {len(film.frames)} frames, {TARGET.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
