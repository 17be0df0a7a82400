"use strict";

// unfold's menus open by a click on a <span> or a <div>, and its icons are words in a font. Here
// the first become buttons for the keyboard and for screen readers, and the second are not read.
{
  const CLICKED = "[x-on\\:click]:not([href], button, input, select, textarea, label)";
  const NAMES = { close: "Close the menu", more_horiz: "Actions" };

  const words = (element) => element.textContent.trim();

  const makeButton = (element) => {
    if (!words(element)) return; // what lies behind an open menu
    element.role = "button";
    element.tabIndex = 0;
  };

  const hideIcon = (icon) => {
    const control = icon.closest("a, button, [role=button]");
    const isAll = control && words(control) === words(icon);
    if (isAll && !control.title) {
      control.ariaLabel ??= NAMES[words(icon)] ?? words(icon).replaceAll("_", " ");
    }
    if (control !== icon) icon.ariaHidden = "true";
  };

  document.addEventListener("DOMContentLoaded", () => {
    document.querySelectorAll(CLICKED).forEach(makeButton);
    document.querySelectorAll(".material-symbols-outlined").forEach(hideIcon);
    for (const { dataset } of document.querySelectorAll("#result_list [data-label]")) {
      dataset.label = dataset.label.charAt(0).toUpperCase() + dataset.label.slice(1);
    }
  });

  document.addEventListener("keydown", (event) => {
    if (!["Enter", " "].includes(event.key) || !event.target.matches(CLICKED)) return;
    event.preventDefault();
    event.target.click();
  });
}
