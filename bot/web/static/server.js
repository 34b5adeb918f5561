/** What the page asks of the server. */

const csrf = document.querySelector('meta[name="csrf"]').content;

/** The JSON there; rejects with an Error whose message is fit to be shown. */
export const get = (path) => ask(path, {});

/** Has something done; the same. */
export const post = (path, body) =>
  ask(path, {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-CSRF-Token": csrf },
    body: JSON.stringify(body),
  });

async function ask(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Error("The server cannot be reached.");
  }
  if (response.status === 401) location.reload();
  const body = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(body.detail ?? `The server answered with error ${response.status}.`);
  return body;
}

/** An SVG that the server drew, or nothing yet. */
export async function chart(name) {
  const response = await fetch(`/ops/charts/${name}`).catch(() => null);
  return response?.status === 200 ? response.text() : "";
}

/** Follows the health for as long as the page is open; `on.connection(online)` says whether we do. */
export function follow(on) {
  const events = new EventSource("/ops/events");
  events.addEventListener("health", (event) => on.health(JSON.parse(event.data)));
  events.onopen = () => on.connection(true);
  events.onerror = () => {
    // A server that stopped, or a session that is over: one way back, which asks the page anew.
    events.close();
    on.connection(false);
    setTimeout(follow, 2000, on);
  };
}
