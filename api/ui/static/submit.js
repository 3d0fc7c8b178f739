// The form of /ui/submit. The JSON in #spec is what is sent; the fields read from it and write into it.
"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const spec = byId("spec");
  const fields = [...document.querySelectorAll("[data-member]")];
  const AFTER = 400; // milliseconds without a change until the spec is looked at

  // ---- the spec as an object; numbers that JavaScript would round keep their digits ----

  const exact = (_key, value, context) =>
    typeof value === "number" && JSON.rawJSON && context && String(value) !== context.source ? JSON.rawJSON(context.source) : value;
  const parsed = () => {
    try {
      const value = spec.value.trim() === "" ? {} : JSON.parse(spec.value, exact);
      return value !== null && typeof value === "object" && !Array.isArray(value) ? value : null;
    } catch {
      return null;
    }
  };
  const at = (value, member) => member.split(".").reduce((inner, name) => inner?.[name], value);
  const isPlain = (value) => value === undefined || Object.getPrototypeOf(value ?? {}) === Object.prototype;
  const isTexts = (value) => Array.isArray(value) && value.every((each) => typeof each === "string" && !each.includes("\n"));

  const put = (value, member, given) => {
    const names = member.split(".");
    const last = names.pop();
    const outer = names.reduce((inner, name) => (inner[name] = isPlain(inner[name]) ? inner[name] ?? {} : {}), value);
    if (given === undefined) delete outer[last];
    else outer[last] = given;
    if (names.length && Object.keys(outer).length === 0) delete value[names[0]];
  };

  // ---- fields ----

  const boxes = (field) => [...field.querySelectorAll("input")];
  const kinds = {
    // show: whether the field can say this value; read: what it says
    text: {
      show: (field, value) => {
        field.value = value ?? "";
        return field.value === String(value ?? "");
      },
      read: (field) => field.value.trim() || undefined,
    },
    number: {
      show: (field, value) => {
        field.value = value === undefined ? "" : JSON.stringify(value);
        return value === undefined || !Number.isNaN(Number(field.value));
      },
      read: (field) => {
        const text = field.value.trim();
        return text === "" ? undefined : Number.isNaN(Number(text)) ? text : Number(text);
      },
    },
    lines: {
      show: (field, value) => {
        const isSaid = value === undefined || isTexts(value);
        field.value = isSaid ? (value ?? []).join("\n") : "";
        return isSaid;
      },
      read: (field) => {
        const lines = field.value.split("\n").map((line) => line.trim()).filter(Boolean);
        return lines.length ? lines : undefined;
      },
    },
    choices: {
      show: (field, value) => {
        for (const box of boxes(field)) box.checked = (value ?? []).includes?.(box.value) ?? false;
        return value === undefined || (isTexts(value) && value.every((each) => boxes(field).some((box) => box.value === each)));
      },
      read: (field) => {
        const chosen = boxes(field).filter((box) => box.checked).map((box) => box.value);
        return chosen.length ? chosen : undefined;
      },
    },
    json: {
      show: (field, value) => {
        field.value = value === undefined ? "" : JSON.stringify(value, null, 2);
        return true;
      },
      read: (field) => (field.value.trim() === "" ? undefined : JSON.parse(field.value, exact)),
    },
  };
  const inputsOf = (field) => (field.dataset.type === "choices" ? boxes(field) : [field]);

  // Fields show what they can say of the spec; the others can only be changed as JSON.
  const showFields = () => {
    const value = parsed();
    const isOther = value !== null && (value.kind === "import" || value.benchmark || value.jobspec);
    const beyond = [];
    for (const field of fields) {
      const isSaid = value !== null && !isOther && kinds[field.dataset.type ?? "text"].show(field, at(value, field.dataset.member));
      for (const input of inputsOf(field)) input.disabled = !isSaid;
      if (!isSaid && value !== null) beyond.push(field.dataset.member);
    }
    byId("beyond").hidden = value !== null && beyond.length === 0;
    byId("beyond").textContent =
      value === null
        ? "The JSON below can't be read, so the fields can't change it."
        : isOther
          ? "This spec has another layout than the fields. Change it as JSON, below."
          : `The JSON says more than these fields can: ${beyond.join(", ")}. Change them there.`;
  };

  const writeField = (field) => {
    const value = parsed();
    if (value === null) return;
    try {
      put(value, field.dataset.member, kinds[field.dataset.type ?? "text"].read(field));
    } catch (error) {
      return mark(field.dataset.member, `This isn't JSON yet: ${error.message}`);
    }
    spec.value = JSON.stringify(value, null, 2);
    changed();
  };

  // ---- what it would do ----

  const make = (tag, text, className) => {
    const element = document.createElement(tag);
    element.textContent = text;
    if (className) element.className = className;
    return element;
  };
  // Words between backticks are code.
  const prose = (text) => text.split("`").map((part, index) => (index % 2 ? make("code", part) : part));
  const paragraph = (text) => {
    const shown = document.createElement("p");
    shown.append(...prose(text));
    return shown;
  };
  const list = (items) => {
    const shown = document.createElement("ul");
    shown.append(...items);
    return shown;
  };
  const jobLink = (id) => {
    const link = make("a", id);
    link.href = `/ui/jobs/${encodeURIComponent(id)}`;
    return link;
  };
  const count = (number, one) => `${number.toLocaleString("en")} ${one}${number === 1 ? "" : "s"}`;

  const mark = (member, text) => {
    const fault = byId(`${member}-fault`);
    fault.hidden = !text;
    fault.textContent = text;
    const field = byId(member);
    if (text) field.setAttribute("aria-invalid", "true");
    else field.removeAttribute("aria-invalid");
  };
  const unmark = () => fields.forEach((field) => mark(field.dataset.member, ""));

  const planLines = ({ planned }) => {
    if (planned.executions === undefined) {
      const rows = planned.rows === null ? "rows not counted" : count(planned.rows, "row");
      const types = (planned.by_record_type ?? []).map((type) => {
        const told = type.error ? `not counted: ${type.error.detail}` : type.rows === null ? "not counted" : count(type.rows, "row");
        return make("li", `${type.id} (level ${type.level}): ${told}${type.detail ? `. ${type.detail}` : ""}`);
      });
      return [make("p", `${count(planned.record_types, "record type")}, ${rows}`, "figure"), list(types)];
    }
    const of = `${count(planned.models, "model")}, ${count(planned.regions, "region")}, ${count(planned.questions, "question")}`;
    return [make("p", count(planned.executions, "cell"), "figure"), make("p", of)];
  };

  const decisionLine = ({ dedup }) => {
    const line = document.createElement("p");
    if (dedup.reason === "new") line.append(make("strong", "A new job."));
    else line.append(make("strong", "No new job: "), "it joins one that is there", dedup.matched_on === "id" ? ", by its id." : ", since the content is the same.");
    if (dedup.detail) line.append(" ", ...prose(dedup.detail));
    if (dedup.previous) line.append(" The last one of this content, ", jobLink(dedup.previous.job_id), `, is ${dedup.previous.status}.`);
    return line;
  };

  const words = {
    dropped_duplicate: "dropped, named twice",
    canonicalized: "spelled anew",
    defaulted: "filled in",
    moved: "moved to where it counts",
    kept_unused: "kept, without effect",
    kept_as_text: "asked as a text",
    contradicted: "contradicted, the other counts",
    partly_shown: "partly shown",
    simulated: "simulated",
  };
  // Notes that say the same of several places are one item.
  const noteItems = (notes) => {
    const places = new Map();
    for (const { path, ...rest } of notes) {
      const said = JSON.stringify(rest);
      places.set(said, [...(places.get(said) ?? []), path || "/"]);
    }
    return [...places].map(([said, paths]) => {
      const note = JSON.parse(said);
      const item = document.createElement("li");
      const change = note.from && note.to ? `${note.from} → ${note.to}` : note.value ?? note.to ?? "";
      item.append(...paths.slice(0, 3).flatMap((path) => [make("code", path), " "]));
      if (paths.length > 3) item.append(`and ${paths.length - 3} more `);
      item.append(words[note.action] ?? note.action, change ? `: ${change}` : "");
      if (note.kept) item.append(" (", make("code", note.kept), " counts)");
      if (note.detail) item.append(". ", ...prose(note.detail));
      return item;
    });
  };

  const showPlan = (answer) => {
    const shown = [...planLines(answer), decisionLine(answer)];
    if (answer.normalization.length) shown.push(make("h3", "Understood differently"), list(noteItems(answer.normalization)));
    byId("preview").replaceChildren(...shown);
  };

  const memberOf = (pointer) => {
    const names = (pointer ?? "").split("/").slice(1);
    return [names.slice(0, 2).join("."), names[0]].find((name) => fields.some((field) => field.dataset.member === name));
  };
  const showProblem = (problem) => {
    const faults = problem.errors ?? [];
    for (const fault of faults) {
      const member = memberOf(fault.pointer);
      if (member) mark(member, fault.detail);
    }
    const items = faults.map((fault) => {
      const item = document.createElement("li");
      item.append(make("code", fault.pointer || fault.parameter || "/"), " ", ...prose(fault.detail));
      return item;
    });
    byId("preview").replaceChildren(
      make("p", problem.title ?? "Not taken", "blocked figure"),
      ...(items.length ? [list(items)] : [paragraph(problem.detail ?? "")]),
      ...(problem.job_id ? [jobLink(problem.job_id)] : []),
    );
  };

  // ---- looking ----

  let timer = null;
  let asked = 0;

  const allow = (isAllowed, hint = "") => {
    byId("send").disabled = !isAllowed;
    byId("send-hint").textContent = hint;
  };

  const look = async () => {
    const number = ++asked;
    const headers = { "Content-Type": "application/json" };
    const csrf = document.querySelector("meta[name=csrf-token]");
    if (csrf) headers["X-CSRF-Token"] = csrf.content;
    try {
      const answer = await fetch("/jobs?dry_run=true", { method: "POST", headers, body: spec.value });
      const body = await answer.json();
      if (number !== asked) return; // the spec has changed since
      unmark();
      if (answer.ok) showPlan(body);
      else showProblem(body);
      const wait = Number(answer.headers.get("Retry-After"));
      if (wait) timer = setTimeout(look, wait * 1000);
      allow(answer.ok, answer.ok ? "" : wait ? `Looked at again in ${wait} s.` : "Mend the spec first.");
    } catch {
      if (number === asked) allow(true, "What it would do can't be told: the server wasn't reached.");
    }
  };

  const showCommand = () => {
    const command = byId("command");
    const key = command.dataset.keys ? ` \\\n  -H "Authorization: Bearer $BREAKWATER_API_KEY"` : "";
    const body = spec.value.replaceAll("'", "'\\''");
    command.textContent = `curl -i ${command.dataset.address}/jobs -H 'Content-Type: application/json'${key} \\\n  -d '${body}'`;
  };

  // What is surely missing; everything else the server knows.
  const lacking = () => {
    if (spec.value.trim() === "") return "Write a spec or begin with an example. Nothing is stored until you submit.";
    try {
      JSON.parse(spec.value);
    } catch (error) {
      return `This isn't JSON yet: ${error.message}`;
    }
    const value = parsed();
    if (value === null || !Object.keys(value).every((name) => fields.some((field) => field.dataset.member.split(".")[0] === name))) return "";
    const isIn = value.regions || (value.models ?? []).some?.((model) => model?.regions);
    const missing = [!value.models && "models", !isIn && "regions", !value.questions && "questions"].filter(Boolean);
    return missing.length ? `Still needed: ${missing.join(", ")}.` : "";
  };

  const changed = () => {
    clearTimeout(timer);
    asked += 1; // an answer to the spec before tells nothing any more
    showCommand();
    const missing = lacking();
    if (missing) {
      byId("preview").replaceChildren(make("p", missing, "hint"));
      return allow(false);
    }
    allow(false, "Looking…");
    timer = setTimeout(look, AFTER);
  };

  const replace = (text) => {
    spec.value = text;
    unmark();
    showFields();
    changed();
  };

  // ---- start ----

  for (const field of fields) field.addEventListener("input", () => writeField(field));
  spec.addEventListener("input", () => {
    showFields();
    changed();
  });
  for (const button of document.querySelectorAll("[data-example]")) {
    button.addEventListener("click", () => replace(JSON.stringify(JSON.parse(button.dataset.example), null, 2)));
  }
  byId("file").addEventListener("change", async (event) => {
    const [file] = event.target.files;
    if (file) replace(await file.text());
    event.target.value = "";
  });
  byId("job").addEventListener("api:done", (event) => {
    const { id } = event.detail.body.job;
    const { leads } = event.target.dataset;
    if (!leads) {
      event.target.dataset.done = `Submitted: job ${id}.`; // whose page its reader may not open
      return;
    }
    event.preventDefault();
    location.assign(leads + encodeURIComponent(id));
  });
  replace(spec.value); // a browser fills it in again after a reload
})();
