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

// The seconds since the work began go on between two answers.
setInterval(() => {
  for (const clock of document.querySelectorAll("[data-seconds]")) {
    clock.dataset.seconds = Number(clock.dataset.seconds) + 1;
    clock.textContent = clock.dataset.seconds;
  }
}, 1000);
