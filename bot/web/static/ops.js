/** The dashboard: follows the health, draws it, and does what operators want. */

import { ago, element, fill, keepTime } from "./elements.js";
import { drawHealth, listen } from "./panels.js";
import { loadRuns } from "./runs.js";
import { chart, follow, get, post } from "./server.js";

const CHARTS_EVERY_MS = 10_000;
const SAID_MS = 10_000;
const said = document.querySelector("#said");
const status = document.querySelector("#status");
let lastRuns = "";

async function act(action, name, question) {
  if (question && !(await sure(`${action[0].toUpperCase()}${action.slice(1)} ${name}?`, question))) return;
  try {
    const { words } = await post("/ops/actions", { action, name });
    say(words);
  } catch (error) {
    say(error.message, true);
  }
  await Promise.all([loadRuns(), loadActions()]).catch(() => {});
}

let saidUntil = 0;

/** A note over the page, which goes by itself. */
function say(words, wrong = false) {
  clearTimeout(saidUntil);
  saidUntil = setTimeout(() => (said.hidden = true), SAID_MS);
  said.hidden = false;
  said.className = wrong ? "said wrong" : "said";
  said.textContent = words;
}

/** Asks before what changes things for everybody. */
function sure(title, question) {
  const dialog = document.querySelector("#sure");
  document.querySelector("#sure-title").textContent = title;
  document.querySelector("#sure-words").textContent = question;
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true }));
}
document.querySelector("#sure-yes").addEventListener("click", () => document.querySelector("#sure").close("yes"));
document.querySelector("#sure-no").addEventListener("click", () => document.querySelector("#sure").close(""));

async function loadActions() {
  const { actions } = await get("/ops/actions");
  const lines = actions.map((one) => element("li", {}, element("strong", {}, one.action), ` ${one.subject} · ${one.who} · `, ago(one.at),
    one.outcome ? element("span", { class: "muted" }, ` ${one.outcome}`) : null));
  fill(document.querySelector("#actions"), lines.length ? lines : [element("li", { class: "none" }, "Nothing yet.")]);
}

async function drawCharts() {
  for (const figure of document.querySelectorAll("figure[data-chart]")) {
    const place = figure.querySelector("div");
    const svg = await chart(figure.dataset.chart);
    if (svg) {
      place.innerHTML = svg; // the server's own drawing; no text of others is in it
      place.firstElementChild.setAttribute("role", "img");
      place.firstElementChild.setAttribute("aria-label", `${figure.querySelector("figcaption").textContent}, the last hour`);
    } else if (!place.firstElementChild) {
      place.textContent = "Not enough to draw yet.";
    }
  }
}

for (const table of document.querySelectorAll("#agents, #dependencies, #runs")) listen(table, act);
document.querySelector("#logout")?.addEventListener("click", async () => {
  await post("/ops/logout", {}).catch(() => {});
  location.reload();
});

follow({
  health(health) {
    drawHealth(health);
    const runs = JSON.stringify([health.runs, health.events]);
    if (runs !== lastRuns) loadRuns().catch((error) => say(error.message, true));
    lastRuns = runs;
  },
  connection(online) {
    document.body.dataset.connection = online ? "online" : "lost";
    if (online) {
      loadActions().catch(() => {});
      return;
    }
    status.className = "badge down";
    status.textContent = "The server does not answer: what you see is old";
  },
});
drawCharts();
setInterval(drawCharts, CHARTS_EVERY_MS);
setInterval(() => keepTime(document), 1000);
