/** The server: what the page asks of it and what it tells the page. */

const RETRY_MS = 1000;
const LOAD_TIMEOUT_MS = 10_000;

export const sendMessage = (text) => post("/chat/send", { text });
export const tapButton = (messageId, data) => post("/chat/tap", { message_id: messageId, data });

/** Rejects with an Error whose message is fit to be shown. */
async function post(path, body) {
  let response;
  try {
    response = await fetch(path, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
    });
  } catch {
    throw new Error("The bot cannot be reached. Is it still running? Please try again.");
  }
  if (response.ok) return;
  const problem = (await response.json().catch(() => null)) ?? {};
  throw new Error(problem.detail || problem.title || `The bot answered with error ${response.status}.`);
}

/**
 * Follows the conversation for as long as the page is open.
 *
 * `on.history(snapshot)` comes first and after every lost connection; `on.message`, `on.typing`,
 * `on.toast` and `on.reset` take one event's data; `on.connection(online)` says whether we follow.
 */
export async function follow(on) {
  const again = () => {
    on.connection(false);
    setTimeout(follow, RETRY_MS, on);
  };

  let snapshot;
  try {
    snapshot = await load();
  } catch {
    again();
    return;
  }
  on.history(snapshot);

  const events = new EventSource(`/chat/events?after=${encodeURIComponent(snapshot.revision)}`);
  for (const type of ["message", "typing", "toast", "reset"]) {
    events.addEventListener(type, (event) => on[type](JSON.parse(event.data || "{}")));
  }
  events.onopen = () => on.connection(true);
  events.onerror = () => {
    // Not every browser retries when the server is away, and a restarted server may have deleted
    // history or count revisions anew. So there is one way back, whatever happened: load again.
    events.close();
    again();
  };
}

async function load() {
  const response = await fetch("/chat/messages", {
    cache: "no-store",
    signal: AbortSignal.timeout(LOAD_TIMEOUT_MS),
  });
  if (!response.ok) throw new Error(`/chat/messages answered ${response.status}`);
  return response.json();
}
