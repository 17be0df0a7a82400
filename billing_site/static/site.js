"use strict";

// What needs JavaScript shows only where there is some (.js-only in site.css).
document.documentElement.classList.add("js");

// A form is sent once: the second click of a double click does nothing. The server refuses repeats
// too; this spares people the message. Coming back with the back button makes the form usable again.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.method !== "post") return;
  if (form.dataset.sent) {
    event.preventDefault();
    return;
  }
  form.dataset.sent = "yes";
});

window.addEventListener("pageshow", () => {
  for (const form of document.forms) delete form.dataset.sent;
});

// A menu closes with Escape and when something else is clicked.
const openMenus = () => document.querySelectorAll("details.menu[open]");

document.addEventListener("click", (event) => {
  for (const menu of openMenus()) if (!menu.contains(event.target)) menu.open = false;
});

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const menu of openMenus()) {
    menu.open = false;
    menu.querySelector("summary").focus();
  }
});

// The ways on that error pages offer.
document.addEventListener("click", (event) => {
  if (event.target.closest("[data-back]")) history.back();
  if (event.target.closest("[data-reload]")) location.reload();
});

// <button class="js-only" data-copy="id of an element" data-copied="Copied">Copy</button>
document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
  const label = button.textContent;
  button.textContent = button.dataset.copied;
  setTimeout(() => (button.textContent = label), 2000);
});

// <p data-count="id of a field">: how much of its maxlength is used.
for (const counter of document.querySelectorAll("[data-count]")) {
  const field = document.getElementById(counter.dataset.count);
  const show = () => {
    const left = field.maxLength - field.value.length;
    counter.textContent = `${field.value.length.toLocaleString("en")} / ${field.maxLength.toLocaleString("en")}`;
    counter.classList.toggle("text-warn", left < field.maxLength / 10);
  };
  field.addEventListener("input", show);
  show();
}
