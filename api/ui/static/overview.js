// Draws what ended in each minute from the table beside it, in the colours of the page.
"use strict";
(() => {
  const COLUMNS = ["Cells completed", "Cells ended otherwise", "Rows imported"];
  let plot = null;
  let drawn = "";

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  const time = (seconds) => new Date(seconds * 1000).toISOString().slice(11, 16);

  // Minutes that nobody sampled are gaps, not zeros.
  const read = () => {
    const rows = [...document.querySelectorAll("#minutes tr[data-at]")].reverse();
    const of = (column) => rows.map((row) => Number(row.cells[column + 1].textContent.replaceAll(",", "")));
    return [rows.map((row) => Number(row.dataset.at)), ...COLUMNS.map((_, column) => of(column))];
  };

  const options = (width) => {
    const axis = { stroke: colour("--muted"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line") } };
    const line = (label, name, dash) => ({ label, stroke: colour(name), width: 2, dash, spanGaps: false, value: (_, at) => (at ?? "–").toLocaleString("en") });
    return {
      width,
      height: 220,
      scales: { x: { range: (_, __, last) => [last - 3600, last] }, y: { range: (_, low, high) => [0, Math.max(5, high * 1.1)] } },
      axes: [{ ...axis, incrs: [300, 600, 900, 1200], values: (_, ticks) => ticks.map(time) }, { ...axis, size: 60, values: (_, ticks) => ticks.map((tick) => tick.toLocaleString("en", { notation: "compact" })) }],
      series: [
        { label: "Minute (UTC)", value: (_, at) => (at ? time(at) : "–") },
        line(COLUMNS[0], "--good"),
        line(COLUMNS[1], "--fault", [6, 4]),
        line(COLUMNS[2], "--busy", [2, 3]),
      ],
    };
  };

  const draw = (anew) => {
    const place = document.getElementById("curve");
    const data = read();
    place.classList.toggle("empty", data[0].length < 2);
    const text = JSON.stringify([data, place.clientWidth]);
    if (!anew && text === drawn) return;
    drawn = text;
    plot?.destroy();
    plot = data[0].length < 2 ? null : new uPlot(options(place.clientWidth), data, place);
  };

  document.addEventListener("DOMContentLoaded", () => {
    draw(true);
    new MutationObserver(() => draw(false)).observe(document.getElementById("live"), { childList: true, subtree: true, characterData: true });
    window.addEventListener("resize", () => draw(false));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => draw(true));
  });
})();
