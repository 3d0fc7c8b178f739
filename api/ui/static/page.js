// What pages under /ui do by themselves: `#live` is kept current, and forms with `data-api` call the API.
"use strict";
(() => {
  const byId = (id) => document.getElementById(id);

  // ---- messages ----

  const tell = (id, text) => {
    for (const other of ["message", "fault"]) {
      byId(other).hidden = other !== id;
      byId(other).textContent = other === id ? text : "";
    }
  };

  // What a problem document says, with each of its errors.
  const told = (problem, status) => {
    if (!problem || !problem.title) return `The server answered with status ${status}.`;
    const errors = (problem.errors || []).map((each) => `${each.pointer || each.parameter || ""} ${each.detail}`.trim());
    return [problem.detail || problem.title, ...errors].join("\n");
  };

  // ---- the live part of a page ----

  const SECONDS = 5; // times and ages change without an event
  const AT_LEAST = 700; // milliseconds between two looks
  let events = null;
  let isLive = true;
  let planned = null;
  let looking = false;
  let lookedAt = 0;
  let took = 0;

  // A look that is under way may have begun before what is to be seen, so another follows it.
  const plan = (milliseconds) => {
    const due = Date.now() + milliseconds;
    if (planned !== null && planned.due <= due) return;
    if (planned !== null) clearTimeout(planned.timer);
    planned = { due, timer: setTimeout(look, milliseconds) };
  };

  const soon = () => plan(Math.max(0, lookedAt + Math.max(AT_LEAST, 2 * took) - Date.now()));

  const look = async () => {
    planned = null;
    if (looking || !isLive || document.hidden || !byId("live")) return;
    looking = true;
    lookedAt = Date.now();
    try {
      const address = new URL(location.href);
      address.searchParams.delete("audit"); // it counts all cells of a job, and stands outside of what is looked at
      const answer = await fetch(address);
      if (answer.redirected && new URL(answer.url).pathname === "/ui/sign-in") return location.assign(answer.url);
      const text = await answer.text();
      if (!isLive) return; // stopped meanwhile
      const fresh = new DOMParser().parseFromString(text, "text/html").getElementById("live");
      const live = byId("live");
      if (!answer.ok || !fresh || !live) throw new Error(`The server answered with status ${answer.status}.`);
      await htmx.swap({ sourceElement: live, target: live, text: fresh.outerHTML, swap: "outerMorph" });
      byId("live-told").textContent = "";
    } catch (error) {
      if (!isLive) return;
      const why = error instanceof TypeError ? "The server wasn't reached." : error.message; // as fetch tells it
      byId("live-told").textContent = `What you see may be old, from before ${new Date(lookedAt).toLocaleTimeString()}. ${why}`;
    } finally {
      looking = false;
      took = Date.now() - lookedAt;
      plan(SECONDS * 1000);
    }
  };

  const follow = () => {
    events?.close();
    events = null;
    const live = byId("live");
    if (!live || !isLive || document.hidden) return; // a browser has few connections for all its tabs
    if (live.dataset.events) {
      events = new EventSource(live.dataset.events);
      events.onmessage = soon;
    }
    soon();
  };

  const setLive = (on) => {
    isLive = on;
    byId("live-switch").setAttribute("aria-pressed", String(on));
    byId("live-told").textContent = on ? "" : "Stopped: press to go on.";
    follow();
  };

  // ---- actions ----

  // The fields of a form as JSON. `data-type` of a field: number, boolean, json, list (commas or lines; of checkboxes:
  // the values of those that are checked). A field with `data-within` is a member of that object.
  const read = (form) => {
    const whole = {};
    for (const field of form.elements) {
      if (!field.name || field.disabled || (field.type === "radio" && !field.checked)) continue;
      const text = field.value.trim();
      const body = field.dataset.within ? (whole[field.dataset.within] ??= {}) : whole;
      if (field.type === "checkbox" && field.dataset.type === "list") {
        body[field.name] = [...(body[field.name] ?? []), ...(field.checked ? [text] : [])];
      } else if (field.type === "checkbox") body[field.name] = field.checked;
      else if (text === "" && !field.required) continue;
      else if (field.dataset.type === "number") body[field.name] = Number(text);
      else if (field.dataset.type === "json") body[field.name] = JSON.parse(text);
      else if (field.dataset.type === "list") body[field.name] = text.split(/[,\n]/).map((each) => each.trim()).filter(Boolean);
      else body[field.name] = text;
    }
    return whole;
  };

  const newKey = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");

  // The keys of requests that have no answer yet. Sent again after a lost connection a request acts once; another body
  // or address is another request. They are kept here, since a look may draw a form anew.
  const keys = new Map();

  const headersOf = (request) => {
    if (!keys.has(request)) keys.set(request, newKey());
    const headers = { "Content-Type": "application/json", Accept: "application/json", "Idempotency-Key": keys.get(request) };
    const csrf = document.querySelector("meta[name=csrf-token]");
    if (csrf) headers["X-CSRF-Token"] = csrf.content;
    return headers;
  };

  const isWanted = (question) =>
    new Promise((resolve) => {
      const dialog = byId("confirm");
      byId("confirm-text").textContent = question;
      dialog.returnValue = "no";
      dialog.onclose = () => resolve(dialog.returnValue === "yes");
      dialog.showModal();
    });

  // Send a form to the API. It fires on the form `api:done` with {status, body}, or `api:failed` with {text, wait}: what
  // to tell, and the seconds of Retry-After if there are any. A prevented event tells nothing here.
  const send = async (form, submitter) => {
    const question = submitter?.dataset.confirm ?? form.dataset.confirm;
    if (question && !(await isWanted(question))) return;
    const path = submitter?.getAttribute("formaction") ?? form.getAttribute("action");
    const method = form.dataset.api || "POST";
    const buttons = [...form.querySelectorAll("button")];
    const fire = (name, detail) => form.dispatchEvent(new CustomEvent(name, { bubbles: true, cancelable: true, detail }));
    const fail = (text, wait = 0) => fire("api:failed", { text, wait }) && tell("fault", text);
    for (const button of buttons) button.disabled = true;
    try {
      // `data-body` names the field that holds the whole body: read as JSON here, it would lose repeated names.
      const content = form.dataset.body ? form.elements[form.dataset.body].value : JSON.stringify(read(form));
      const request = `${method} ${path}\n${content}`;
      const answer = await fetch(path, { method, headers: headersOf(request), body: content });
      if (answer.status < 500) keys.delete(request);
      const body = await answer.json().catch(() => null);
      if (!answer.ok) return fail(told(body, answer.status), Number(answer.headers.get("Retry-After")) || 0);
      if (fire("api:done", { status: answer.status, body })) tell("message", submitter?.dataset.done ?? form.dataset.done ?? "Done.");
      soon();
    } catch (error) {
      const isText = error instanceof SyntaxError;
      fail(isText ? `This isn't JSON: ${error.message}` : "The server wasn't reached. Try again: it will act once.");
    } finally {
      for (const button of buttons) button.disabled = false;
    }
  };

  // ---- start ----

  document.addEventListener("submit", (event) => {
    if (event.target.dataset.api === undefined) return;
    event.preventDefault();
    send(event.target, event.submitter);
  });
  document.addEventListener("visibilitychange", follow);
  document.addEventListener("DOMContentLoaded", () => {
    byId("live-state").hidden = !byId("live");
    byId("live-switch").addEventListener("click", () => setLive(!isLive));
    follow();
  });
  window.addEventListener("pagehide", () => events?.close());
})();
