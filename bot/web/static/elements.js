/** Making elements, and putting times and amounts into words. Texts become text nodes only. */

/** `element("td", { class: "n" }, "text", child)`; attributes that are null are left out. */
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

/** Replaces the children, unless they would say the same: focus and selection stay where they are. */
export function fill(parent, children) {
  const next = element("div", {}, ...children);
  if (next.innerHTML === parent.innerHTML) return;
  const focused = parent.contains(document.activeElement) ? document.activeElement.dataset.key : null;
  parent.replaceChildren(...next.childNodes);
  if (focused) parent.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
}

export function span(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 90) return `${s} s`;
  if (s < 5400) return `${Math.round(s / 60)} min`;
  if (s < 172_800) return `${Math.round(s / 3600)} h`;
  return `${Math.round(s / 86_400)} days`;
}

export const secondsSince = (iso, now = Date.now()) => (now - Date.parse(iso)) / 1000;

/** A time element that says how long ago, and the instant when pointed at. */
export function ago(iso, never = "never") {
  if (!iso) return element("span", { class: "muted" }, never);
  const made = element("time", { datetime: iso, title: iso, "data-ago": "" });
  made.textContent = `${span(secondsSince(iso))} ago`;
  return made;
}

/** Keeps what `ago` made up to date. */
export function keepTime(root) {
  for (const made of root.querySelectorAll("[data-ago]")) {
    const words = `${span(secondsSince(made.dateTime))} ago`;
    if (made.textContent !== words) made.textContent = words;
  }
}

export const clock = (iso) => new Date(iso).toLocaleString(undefined, { dateStyle: "short", timeStyle: "medium" });
export const percent = (share) => (share === null || share === undefined ? "–" : `${Math.round(share * 100)} %`);
export const count = (n) => (n === null || n === undefined ? "–" : n.toLocaleString("en"));
export const millis = (ms) => {
  if (ms === null || ms === undefined) return "–";
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
};
