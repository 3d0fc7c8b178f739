// Actions over a filter: a form with `data-bulk` counts by a dry run, and a dialog acts on exactly what was counted.
"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const plural = (number, noun) => `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;
  const verbs = { cancel: ["Cancel", "cancelled"], retry: ["Retry", "retried"], replay: ["Replay", "replayed"] };
  let asked = null; // what the open dialog asks about

  // What the dry run matched, as the question whether to act on it. An open question is answered first.
  const ask = (counted) => {
    const { matched, action, noun, verb } = counted;
    if (byId("bulk").open) return byId("bulk").addEventListener("close", () => ask(counted), { once: true });
    asked = { action, noun, verb };
    const at = new Date().toLocaleTimeString("en-GB");
    byId("bulk-text").textContent = `${plural(matched, noun)} ${matched === 1 ? "matches" : "match"} as of ${at}.`;
    byId("bulk-form").reset();
    byId("bulk-form").hidden = matched === 0;
    byId("bulk-act").textContent = `${verbs[verb][0]} ${matched === 1 ? "this one" : `these ${matched.toLocaleString("en")}`}`;
    byId("bulk").showModal();
  };

  const read = (form, { matched, as_of }) => {
    const act = new URL(form.action);
    act.searchParams.delete("dry_run");
    act.searchParams.set("as_of", as_of);
    return { matched, action: act.pathname + act.search, noun: form.dataset.noun ?? "job", verb: form.dataset.bulk };
  };

  // A confirmed action goes on in a form of its own, which tells how far it is: other dry runs don't change it.
  const begin = ({ action, noun, verb }, reason) => {
    const run = byId("bulk-run").content.firstElementChild.cloneNode(true);
    run.setAttribute("action", action);
    Object.assign(run.dataset, { noun, verb });
    run.elements.reason.value = reason;
    byId("bulk").after(run);
    run.requestSubmit();
  };

  const told = (run, { done, skipped, left }) => {
    const reasons = Object.entries(skipped).map(([reason, number]) => `${number.toLocaleString("en")} ${reason.replaceAll("_", " ")}`);
    const kept = reasons.length ? ` Left as they are: ${reasons.join(", ")}.` : "";
    const did = `${plural(done, run.dataset.noun)} ${verbs[run.dataset.verb][1]}.`;
    return `${did}${kept}${left ? ` ${left.toLocaleString("en")} to go…` : ""}`;
  };

  const tell = (run, text) => (run.querySelector("[role=status]").textContent = text);
  const goOnIn = (run, seconds) => setTimeout(() => run.requestSubmit(), seconds * 1000);

  document.addEventListener("api:done", (event) => {
    const form = event.target;
    const { body } = event.detail;
    if (form.dataset.bulk) {
      event.preventDefault();
      ask(read(form, body));
    } else if (form.matches(".bulk-run")) {
      event.preventDefault();
      tell(form, told(form, body));
      if (body.left) goOnIn(form, 0); // a request acts for some seconds
    }
  });
  document.addEventListener("api:failed", (event) => {
    const form = event.target;
    if (!form.matches(".bulk-run")) return;
    event.preventDefault();
    const { text, wait } = event.detail;
    tell(form, `${verbs[form.dataset.verb][0]}: ${text}${wait ? ` It goes on in ${wait} s.` : ""}`);
    form.querySelector("button").hidden = wait > 0;
    if (wait) goOnIn(form, wait);
  });
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.matches(".bulk-run")) form.querySelector("button").hidden = true;
    if (form.id !== "bulk-form") return;
    event.preventDefault();
    begin(asked, form.elements.reason.value);
    byId("bulk").close(); // what comes of it is told on the page
  });
})();
