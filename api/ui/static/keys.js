// Shows a new key, this once: no later answer has it.
"use strict";
document.addEventListener("api:done", (event) => {
  const { status, body } = event.detail;
  if (!body || !("key" in body)) return;
  event.preventDefault();
  const box = document.getElementById("new-key");
  document.getElementById("new-key-text").textContent = body.key ?? "It was shown already: rotate the key to get another one.";
  document.getElementById("copy-key").hidden = body.key === null;
  box.hidden = false;
  box.focus();
  if (status === 201) event.target.reset();
});
document.addEventListener("DOMContentLoaded", () => {
  const text = document.getElementById("new-key-text");
  document.getElementById("copy-key").addEventListener("click", async (event) => {
    await navigator.clipboard.writeText(text.textContent);
    event.target.textContent = "Copied";
  });
  document.getElementById("hide-key").addEventListener("click", () => {
    text.textContent = "";
    document.getElementById("new-key").hidden = true;
    document.getElementById("copy-key").textContent = "Copy";
  });
});
