/** What one message looks like: DOM nodes from Telegram text and entities, never from markup. */

const TAGS = {
  bold: "strong",
  italic: "em",
  underline: "u",
  strikethrough: "s",
  code: "code",
  pre: "pre",
  blockquote: "blockquote",
  expandable_blockquote: "blockquote",
};

/** An element with a class and text: `make("p", "name", "Ada")`. */
export function make(tag, className = "", text = "") {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text) element.textContent = text;
  return element;
}

/** The message's own element; `fillMessage` gives it content and may be called again for an edit. */
export function createMessage(message, botName) {
  const element = make("article", `message ${message.from_bot ? "bot" : "mine"}`);
  element.dataset.id = message.message_id;
  element.tabIndex = -1; // focus can stay here when an edit takes the focused button away
  fillMessage(element, message, botName);
  return element;
}

export function fillMessage(element, message, botName) {
  const restoreFocus = rememberFocus(element);
  const body = make("div", "body");
  body.append(renderBubble(message, botName));
  if (message.buttons?.length) body.append(renderKeyboard(message.buttons));
  element.replaceChildren(body);
  restoreFocus();
}

/** Remembers which link or button in `element` has focus; returns what gives it back after a change. */
function rememberFocus(element) {
  const active = document.activeElement;
  if (active === element || !element.contains(active)) return () => {};
  const label = active.textContent;
  const withLabel = () =>
    [...element.querySelectorAll("a, button")].filter((other) => other.textContent === label);
  const position = withLabel().indexOf(active);
  return () => {
    const found = withLabel();
    (found[position] ?? found[0] ?? element).focus({ preventScroll: true });
  };
}

function renderBubble(message, botName) {
  const bubble = make("div", "bubble");
  bubble.append(make("span", "visually-hidden", message.from_bot ? `${botName}: ` : "You: "));
  if (message.document) bubble.append(renderDocument(message.document));
  const words = make("div", "words");
  if (message.text) {
    const text = make("div", "text");
    text.dir = "auto";
    // Only in the bot's words is a command an offer to tap it.
    const options = { commands: message.from_bot };
    text.append(formatText(message.text, message.entities ?? [], options));
    words.append(text);
  }
  words.append(renderMeta(message));
  bubble.append(words);
  return bubble;
}

function renderMeta({ date, edited }) {
  const meta = make("span", "meta");
  if (edited) meta.append(make("span", "edited", "edited"), " ");
  const when = new Date(date * 1000);
  const time = make("time", "", clock(when));
  time.dateTime = when.toISOString();
  time.title = when.toLocaleString();
  meta.append(time);
  return meta;
}

function clock(when) {
  return [when.getHours(), when.getMinutes()].map((n) => String(n).padStart(2, "0")).join(":");
}

function renderDocument({ name, size, url }) {
  const href = safeUrl(url, location.href);
  const card = make(href ? "a" : "span", "document");
  if (href) setLink(card, href).download = name;
  const details = make("span", "document-details");
  const title = make("bdi", "document-name", name);
  details.append(title, make("span", "document-size", formatSize(size)));
  card.append(details);
  return card;
}

function formatSize(bytes) {
  if (!(bytes >= 1024)) return `${bytes ?? 0} B`;
  const power = Math.min(3, Math.floor(Math.log2(bytes) / 10));
  const value = bytes / 1024 ** power;
  return `${value.toFixed(value < 10 ? 1 : 0)} ${["B", "KB", "MB", "GB"][power]}`;
}

function renderKeyboard(rows) {
  const keyboard = make("div", "keyboard");
  keyboard.setAttribute("role", "group");
  keyboard.setAttribute("aria-label", "Actions");
  for (const buttons of rows) {
    const row = make("div", "row");
    row.append(...buttons.map(renderButton));
    keyboard.append(row);
  }
  return keyboard;
}

function renderButton({ text, data, url }) {
  const href = url && safeUrl(url);
  if (href) return setLink(make("a", "key link", text), href);
  const button = make("button", "key", text);
  button.type = "button";
  if (url) button.disabled = true; // an address that is not safe to open
  else button.dataset.tap = data;
  return button;
}

/** The address if a browser may open it from here (http or https), else null. */
function safeUrl(address, base) {
  try {
    const url = new URL(address, base);
    return ["http:", "https:"].includes(url.protocol) ? url.href : null;
  } catch {
    return null;
  }
}

function setLink(anchor, href) {
  anchor.href = href;
  anchor.target = "_blank";
  anchor.rel = "noopener noreferrer";
  return anchor;
}

/** Text with its entities as nodes. Offsets are UTF-16 code units, as JavaScript's own are. */
export function formatText(text, entities, options) {
  // Outer before inner, so that those inside an entity directly follow it.
  const queue = [...entities].sort((a, b) => a.offset - b.offset || b.length - a.length);
  const root = document.createDocumentFragment();
  appendRange(root, { text, queue, options }, 0, text.length);
  return root;
}

function appendRange(parent, source, start, end) {
  const { text, queue } = source;
  let at = start;
  while (queue.length && queue[0].offset < end) {
    const entity = queue.shift();
    const from = Math.max(entity.offset, at);
    const to = Math.min(entity.offset + entity.length, end); // one that overlaps is cut
    if (from >= to) continue;
    appendText(parent, text.slice(at, from));
    const element = elementFor(entity, text.slice(from, to), source.options);
    appendRange(element ?? parent, source, from, to);
    if (element) parent.append(element);
    at = to;
  }
  appendText(parent, text.slice(at, end));
}

function appendText(parent, text) {
  // A block ends its own line: the line break after it would show as an empty line.
  const afterBlock = parent.lastChild?.matches?.("pre, blockquote");
  parent.append(afterBlock ? text.replace(/^\n/, "") : text);
}

/** The element an entity stands for; null leaves its text plain. */
function elementFor(entity, text, { commands }) {
  if (entity.type === "text_link") return linkTo(safeUrl(entity.url));
  if (entity.type === "url") {
    const hasScheme = /^[a-z][a-z\d+.-]*:/i.test(text);
    return linkTo(safeUrl(hasScheme ? text : `https://${text}`));
  }
  if (entity.type === "bot_command" && commands) {
    const button = make("button", "command");
    button.type = "button";
    button.dataset.send = text;
    return button;
  }
  return Object.hasOwn(TAGS, entity.type) ? make(TAGS[entity.type]) : null;
}

function linkTo(href) {
  return href && setLink(make("a"), href);
}
