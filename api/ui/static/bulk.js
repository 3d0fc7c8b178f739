// Actions over a filter: a form with `data-bulk` counts by a dry run, and a dialog acts on exactly what was counted.
"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const plural = (number, noun) => `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;
  const verbs = { cancel: ["Cancel", "cancelled"], retry: ["Retry", "retried"], replay: ["Replay", "replayed"] };
  let noun = "job";
  let verb = "cancel";

  // What the dry run matched, as the question whether to act on it.
  const ask = (form, { matched, as_of }) => {
    noun = form.dataset.noun ?? "job";
    verb = form.dataset.bulk;
    const at = new Date().toLocaleTimeString("en-GB");
    byId("bulk-text").textContent = `${plural(matched, noun)} ${matched === 1 ? "matches" : "match"} as of ${at}.`;
    const act = new URL(form.action);
    act.searchParams.delete("dry_run");
    act.searchParams.set("as_of", as_of);
    byId("bulk-form").setAttribute("action", act.pathname + act.search);
    byId("bulk-form").hidden = matched === 0;
    byId("bulk-act").textContent = `${verbs[verb][0]} ${matched === 1 ? "this one" : `these ${matched.toLocaleString("en")}`}`;
    byId("bulk").showModal();
  };

  const told = ({ done, skipped, left }) => {
    const reasons = Object.entries(skipped).map(([reason, number]) => `${number.toLocaleString("en")} ${reason.replaceAll("_", " ")}`);
    const kept = reasons.length ? ` Left as they are: ${reasons.join(", ")}.` : "";
    return `${plural(done, noun)} ${verbs[verb][1]}.${kept}${left ? ` ${left.toLocaleString("en")} to go…` : ""}`;
  };

  document.addEventListener("api:done", (event) => {
    const form = event.target;
    if (form.dataset.bulk) {
      event.preventDefault();
      ask(form, event.detail.body);
    } else if (form.id === "bulk-form") {
      form.dataset.done = told(event.detail.body);
      // A request acts for some seconds; the next goes on once this one's buttons are free again.
      if (event.detail.body.left) setTimeout(() => form.requestSubmit(), 0);
    }
  });
  document.addEventListener("submit", (event) => {
    if (event.target.id === "bulk-form") byId("bulk").close(); // what comes of it is told on the page
  });
})();
