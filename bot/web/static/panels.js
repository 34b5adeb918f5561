/** Draws a health, as `/v1/health` has it, into the page's panels. */

import { ago, count, element, fill, millis, percent, secondsSince, span } from "./elements.js";

const WORDS = { ok: "All is well", degraded: "Degraded", down: "Not ready" };

export function drawHealth(health) {
  const status = document.querySelector("#status");
  status.className = `badge ${health.status}`;
  const why = Object.entries(health.problems).map(([name, words]) => `${name}: ${words}`);
  const words = [WORDS[health.status], ...why].join(" · ");
  if (status.textContent !== words) status.textContent = words;
  document.querySelector("#uptime").textContent =
    `up for ${span(secondsSince(health.started_at, Date.parse(health.at)))}${health.draining ? ", stopping" : ""}`;
  drawAlerts(health.alerts);
  drawTiles(health);
  drawAgents(health.agents);
  drawDependencies(health.dependencies);
  drawFeeds(health.feeds);
}

function drawAlerts(alerts) {
  const list = document.querySelector("#alerts ul");
  const lines = alerts.map((alert) =>
    element(
      "li",
      { class: alert.severity, "data-rule": alert.rule },
      element("strong", {}, alert.severity === "critical" ? "Critical" : "Warning"),
      ` ${alert.words} `,
      element("span", { class: "muted" }, `(since ${new Date(alert.since).toLocaleTimeString()}${alert.held ? ", held back" : alert.before_restart ? ", before the restart" : ""})`),
    ),
  );
  fill(list, lines.length ? lines : [element("li", { class: "none" }, "Nothing is wrong that an operator has to know.")]);
}

function tile(name, value, note) {
  return element("div", { class: "tile" }, element("h3", {}, name), element("p", { class: "value" }, value),
    element("p", { class: "muted" }, note));
}

function drawTiles({ runs, credits, cache, loop_lag_ms: lag }) {
  const tiles = [
    tile("Queue", count(runs.queued), "runs wait for their turn"),
    tile("Under way", count(runs.running), "runs work or are being undone"),
    tile("Parked", count(runs.parked), "wait for a retry"),
    tile("LLM tokens", count(credits.llm.tokens_today), "today, UTC"),
    tile("Cache", percent(cache.memory_hit_ratio === null ? null : 1 - cache.load_ratio),
      `answered: ${percent(cache.memory_hit_ratio)} memory, ${percent(cache.second_hit_ratio)} second tier`),
    tile("Event loop", `${lag} ms`, "late at most, in 10 s"),
  ];
  const { used_usd: used, limit_usd: limit } = credits.apify;
  if (used !== null && limit) {
    tiles.splice(4, 0, tile("Apify", `$${used.toFixed(2)}`, `of $${limit.toFixed(2)}, ${percent(used / limit)}`));
  }
  fill(document.querySelector("#tiles"), tiles);
}

function button(action, name, label, question) {
  return element("button", {
    type: "button",
    "data-key": `${action} ${name}`,
    "aria-label": `${label} ${name}`,
    "data-action": action,
    "data-name": name,
    "data-question": question,
  }, label);
}

/** One listener a table, since rows are redrawn: `act(action, name, question)`. */
export function listen(root, act) {
  root.addEventListener("click", (event) => {
    const pressed = event.target.closest("button[data-action]");
    if (pressed) act(pressed.dataset.action, pressed.dataset.name, pressed.dataset.question);
  });
}

function drawAgents(agents) {
  const rows = Object.entries(agents).map(([name, agent]) => {
    const waiting = agent.unscored ? `${count(agent.queue_depth)} · ${count(agent.unscored)} unscored` : count(agent.queue_depth);
    return element("tr", { "data-agent": name },
      element("th", { scope: "row" }, name, agent.paused ? element("span", { class: "state paused" }, "paused") : null),
      element("td", {}, ago(agent.last_success_at)),
      element("td", { class: "n" }, percent(agent.error_rate)),
      element("td", { class: "n extra" }, millis(agent.p50_ms)),
      element("td", { class: "n extra" }, millis(agent.p95_ms)),
      element("td", { class: "n" }, waiting),
      element("td", { class: "n extra" }, count(agent.in_flight)),
      element("td", {}, agent.paused
        ? button("resume", name, "Resume")
        : button("pause", name, "Pause", `Steps of ${name} that are under way go on; none other begins until it is resumed.`)));
  });
  fill(document.querySelector("#agents tbody"), rows);
}

function drawDependencies(dependencies) {
  const rows = Object.entries(dependencies).map(([name, one]) => {
    const byHand = one.mode !== "auto";
    return element("tr", { "data-dependency": name },
      element("th", { scope: "row" }, name),
      element("td", {}, element("span", { class: `state ${one.breaker}` }, one.breaker + (byHand ? ", by hand" : "")),
        one.reason ? element("span", { class: "muted" }, ` ${one.reason}${probe(one)}`) : null),
      element("td", { class: "extra" }, ago(one.since)),
      element("td", { class: "n" }, percent(one.error_rate)),
      element("td", { class: "n extra" }, count(one.calls)),
      element("td", { class: "n extra" }, millis(one.p95_ms)),
      element("td", { class: "buttons" },
        one.mode === "forced open" ? null : button("open", name, "Open", `Nothing is asked of ${name} until the breaker is closed or on its own again.`),
        one.mode === "forced closed" ? null : button("close", name, "Close", `${name} is asked whatever fails, until the breaker is on its own again.`),
        byHand || one.breaker !== "closed" ? button("auto", name, "Auto") : null));
  });
  fill(document.querySelector("#dependencies tbody"), rows);
}

function probe(one) {
  if (!one.next_probe_at) return "";
  return `, tried at ${new Date(one.next_probe_at).toLocaleTimeString()}`;
}

function drawFeeds(feeds) {
  const rows = feeds.map((feed) => element("tr", {},
    element("th", { scope: "row" }, feed.name),
    element("td", { class: "n" }, span(feed.period_s)),
    element("td", {}, ago(feed.read_at, "not yet")),
    element("td", { class: "wrap" }, feed.error ? `${feed.failures}×: ${feed.error}` : "")));
  fill(document.querySelector("#feeds tbody"), rows.length ? rows : [element("tr", {}, element("td", { colspan: 4, class: "muted" }, "None is configured."))]);
}
