// The page of a job: a cell opens beside the grid, and a download comes as a file.
"use strict";
(() => {
  const drawer = () => document.getElementById("drawer");

  // A cell's own page is drawn into the drawer; where that fails the link leads to it.
  const open = async (link) => {
    try {
      const answer = await fetch(link.href, { headers: { Accept: "text/html" } });
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      const cell = fresh.getElementById("cell");
      if (!answer.ok || !cell) return location.assign(link.href);
      const parts = [cell, fresh.getElementById("resolve")].filter(Boolean);
      document.getElementById("drawn").replaceChildren(...parts.map((part) => document.importNode(part, true)));
      if (!drawer().open) drawer().showModal();
    } catch {
      location.assign(link.href);
    }
  };

  // A link can't ask for a media type, so the file is fetched and handed over.
  const download = async (button) => {
    button.disabled = true;
    try {
      const answer = await fetch(button.dataset.download, { headers: { Accept: button.dataset.accept } });
      if (!answer.ok) throw new Error(`The server answered with status ${answer.status}.`);
      const link = document.createElement("a");
      link.href = URL.createObjectURL(await answer.blob());
      link.download = button.dataset.name;
      link.click();
      URL.revokeObjectURL(link.href);
    } catch (error) {
      const fault = document.getElementById("fault");
      fault.textContent = `The download broke off: ${error.message}`;
      fault.hidden = false;
    } finally {
      button.disabled = false;
    }
  };

  // Arrows go from cell to cell, since a grid may have 2,000 of them to tab through.
  const STEPS = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] };
  document.addEventListener("keydown", (event) => {
    const step = STEPS[event.key];
    const from = event.target.closest?.(".grid td");
    if (!step || !from) return;
    const row = from.parentElement;
    const next = row.parentElement.rows[row.sectionRowIndex + step[0]]?.cells[from.cellIndex + step[1]];
    const cell = next?.querySelector("a.cell");
    if (!cell) return;
    event.preventDefault();
    cell.focus();
  });

  document.addEventListener("click", (event) => {
    const link = event.target.closest("a.cell");
    if (link && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
      event.preventDefault();
      open(link);
    }
    const button = event.target.closest("button[data-download]");
    if (button) download(button);
  });
  document.addEventListener("api:done", (event) => {
    if (drawer().contains(event.target)) drawer().close();
  });
})();
