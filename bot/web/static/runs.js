/** The list of runs, and one run's timeline. */

import { clock, count, element, fill, millis, secondsSince, span } from "./elements.js";
import { get } from "./server.js";

const rows = document.querySelector("#runs tbody");
const filters = document.querySelector("#filters");
const older = document.querySelector("#older");
const dialog = document.querySelector("#run");
let cursor = null;
let shown = [];
let listed = "";
let open = null;

/** Loads the newest runs that the filters let through; `more` adds the next page. */
export async function loadRuns(more = false) {
  const wanted = new URLSearchParams(new FormData(filters));
  if (more && cursor) wanted.set("cursor", cursor);
  const page = await get(`/ops/runs?${wanted}`);
  if (more) {
    shown = [...shown, ...page.runs];
    cursor = page.next_cursor;
  } else {
    renew(page, wanted.toString());
  }
  older.hidden = !cursor;
  fill(rows, shown.length ? shown.map(row) : [element("tr", {}, element("td", { colspan: 7, class: "muted" }, "No such runs."))]);
  if (open && dialog.open) await showRun(open);
}

/** The newest page anew; the older ones that were loaded stay, unless others are wanted. */
function renew(page, wanted) {
  const known = new Set(page.runs.map((run) => run.run_id));
  const last = page.runs.at(-1)?.created_at ?? "";
  const older = wanted === listed ? shown.filter((run) => !known.has(run.run_id) && run.created_at < last) : [];
  if (!older.length) cursor = page.next_cursor;
  shown = [...page.runs, ...older];
  listed = wanted;
}

function row(run) {
  const took = run.ended_at ? millis(Date.parse(run.ended_at) - Date.parse(run.created_at)) : `${span(secondsSince(run.created_at))}…`;
  return element("tr", { "data-run": run.run_id },
    element("th", { scope: "row" }, element("button", { type: "button", class: "link", "data-run": run.run_id, "data-key": `run ${run.run_id}` }, run.run_id)),
    element("td", { class: "extra" }, run.kind),
    element("td", {}, element("span", { class: `state ${run.status}` }, run.status)),
    element("td", { class: "extra" }, clock(run.created_at)),
    element("td", { class: "n extra" }, took),
    element("td", {}, run.error ?? ""),
    element("td", {}, run.status === "parked" ? element("button", { type: "button", "data-action": "retry", "data-name": run.run_id, "data-key": `retry ${run.run_id}`, "aria-label": `Retry ${run.run_id}` }, "Retry") : null));
}

/** Shows a run's steps, events, spend and undos in the dialog. */
export async function showRun(id) {
  const run = await get(`/ops/runs/${id}`);
  open = id;
  document.querySelector("#run-title").textContent = `Run ${id}`;
  const usage = run.usage;
  fill(document.querySelector("#run-body"), [
    element("p", {}, element("span", { class: `state ${run.status}` }, run.status), ` ${run.kind}, ${run.config}${run.error ? `, ${run.error.type}` : ""}`),
    element("p", { class: "muted" }, `Begun ${clock(run.created_at)}${run.ended_at ? `, ended ${clock(run.ended_at)}` : ""}. `
      + `Spent: ${count(usage.steps)} steps, ${count(usage.tokens)} tokens, ${count(usage.handoffs)} handoffs, $${usage.apify_usd.toFixed(2)}.`),
    run.degraded.length ? element("p", {}, `Degraded: ${run.degraded.join(", ")}`) : null,
    element("h3", {}, "Steps"),
    element("ol", { class: "steps" }, ...run.steps.map(step)),
    element("h3", {}, "Events"),
    element("ol", { class: "events" }, ...run.events.map((event) => line(event, run.created_at))),
  ].filter(Boolean));
  if (!dialog.open) dialog.showModal();
}

function step(one) {
  const took = one.ended_at ? millis(Date.parse(one.ended_at) - Date.parse(one.started_at)) : "under way";
  return element("li", {}, element("strong", {}, one.name), ` ${one.agent} · `, element("span", { class: `state ${one.status}` }, one.status),
    ` · ${took}${one.attempts > 1 ? ` · ${one.attempts} attempts` : ""}${one.error ? ` · ${one.error.type}` : ""}`);
}

function line(event, began) {
  const after = ((Date.parse(event.at) - Date.parse(began)) / 1000).toFixed(2);
  const data = Object.entries(event.data).map(([key, value]) => `${key} ${value}`).join(", ");
  return element("li", { value: event.seq }, element("code", {}, event.type), element("span", { class: "muted" }, ` +${after} s `), data);
}

filters.addEventListener("change", () => loadRuns());
older.addEventListener("click", () => loadRuns(true));
rows.addEventListener("click", (event) => {
  const id = event.target.closest("button[data-run]")?.dataset.run;
  if (id) showRun(id);
});
document.querySelector("#run-close").addEventListener("click", () => dialog.close());
dialog.addEventListener("close", () => (open = null));
