"use strict";

// htmx asks for the fragment of a running generation every second. When the server cannot be reached
// or answers with an error the page says so, and a new status is read out to those who cannot see it.
for (const name of ["htmx:sendError", "htmx:responseError"]) {
  document.addEventListener(name, () => {
    document.getElementById("connection-lost").hidden = false;
  });
}

document.addEventListener("htmx:afterRequest", (event) => {
  if (event.detail.successful) document.getElementById("connection-lost").hidden = true;
});

document.addEventListener("htmx:afterSwap", () => {
  const status = document.getElementById("status").textContent.trim();
  const announcement = document.getElementById("announcement");
  if (announcement.textContent !== status) announcement.textContent = status;
});

// The time since the work began goes on between two answers.
setInterval(() => {
  for (const clock of document.querySelectorAll("[data-clock]")) {
    const [minutes, seconds] = clock.textContent.split(":").map(Number);
    const total = 60 * minutes + seconds + 1;
    clock.textContent = `${Math.floor(total / 60)}:${String(total % 60).padStart(2, "0")}`;
  }
}, 1000);
