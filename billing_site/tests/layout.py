"""How far the parts of a page jump about while somebody looks at it (https://web.dev/cls)."""

from typing import Any

from playwright.sync_api import BrowserContext, Page

# Runs before the page and outside its policy. A shift within half a second of a click is expected
# by whoever clicked, and is not counted.
OBSERVE = """
window.layoutShifts = [];
window.layoutNote = (entries) => {
  for (const entry of entries.filter((entry) => !entry.hadRecentInput)) {
    const names = entry.sources.map(({ node }) => node?.outerHTML ?? node?.data ?? "");
    window.layoutShifts.push({ value: entry.value, moved: names.map((name) => name.slice(0, 80)) });
  }
};
window.layoutObserver = new PerformanceObserver((list) => layoutNote(list.getEntries()));
window.layoutObserver.observe({ type: "layout-shift", buffered: true });
"""
SETTLE = """async () => {
  await document.fonts.ready;
  for (let frame = 0; frame < 3; frame++) await new Promise(requestAnimationFrame);
  layoutNote(window.layoutObserver.takeRecords());
  return window.layoutShifts;
}"""


def observe(context: BrowserContext) -> None:
    """Notes the shifts of every page that the context opens from now on."""
    context.add_init_script(OBSERVE)


def shifts(page: Page) -> list[dict[str, Any]]:
    """Each shift since the page began to load: its value, and the beginnings of what moved."""
    found: list[dict[str, Any]] = page.evaluate(SETTLE)
    return found


def total(found: list[dict[str, Any]]) -> float:
    return sum(shift["value"] for shift in found)
