/** The chat page: the conversation, the composer with its command menu, and notices. */

import { follow, sendMessage, tapButton } from "./api.js";
import { createMessage, fillMessage, make } from "./message.js";

const AT_BOTTOM_PX = 48;
const TYPING_MS = 5000;
const TOAST_MS = 4000;
/** Commands that are usually followed by words. */
const TAKES_TEXT = new Set(["scout", "draft", "profile"]);

const $ = (id) => document.getElementById(id);
const log = $("log");
const days = $("days");
const input = $("input");
const menu = $("menu");

let botName = "Webscout";
let commands = [];

// ---- Conversation ----

/** message_id -> {element, json}; the JSON tells whether a message changed at all. */
const shown = new Map();

function showHistory(snapshot) {
  setBot(snapshot);
  const kept = new Set(snapshot.messages.map((message) => message.message_id));
  keepPlace(() => {
    for (const id of shown.keys()) if (!kept.has(id)) removeMessage(id);
    snapshot.messages.forEach(showMessage);
  });
  showEmptyHint();
  log.ariaBusy = "false"; // from here on, what is added is read aloud
}

function setBot(snapshot) {
  botName = snapshot.bot?.name ?? botName;
  commands = snapshot.commands ?? [];
  document.title = botName;
  $("bot-name").textContent = botName;
  $("menu-button").hidden = commands.length === 0;
}

function receiveMessage(message) {
  const isNew = !shown.has(message.message_id);
  if (message.from_bot) showTyping(false);
  keepPlace(() => showMessage(message));
  if (isNew) shown.get(message.message_id).element.classList.add("arriving");
  showEmptyHint();
}

function showMessage(message) {
  const json = JSON.stringify(message);
  const known = shown.get(message.message_id);
  if (known?.json === json) return;
  const element = known?.element ?? createMessage(message, botName);
  if (known) {
    fillMessage(element, message, botName);
  } else {
    placeInDay(element, message);
    $("pill").hidden = pinned;
  }
  shown.set(message.message_id, { element, json });
  markTaps(element);
}

function removeMessage(id) {
  const { element } = shown.get(id);
  const day = element.parentElement;
  element.remove();
  if (!day.querySelector(".message")) day.remove();
  shown.delete(id);
}

function clearAll() {
  shown.clear();
  days.replaceChildren();
  $("pill").hidden = true;
  showTyping(false);
  showEmptyHint();
}

function showEmptyHint() {
  $("empty").hidden = shown.size > 0;
}

function placeInDay(element, message) {
  const day = daySection(new Date(message.date * 1000));
  const later = [...day.querySelectorAll(".message")].find(
    (other) => Number(other.dataset.id) > message.message_id,
  );
  day.insertBefore(element, later ?? null);
}

/** The section of that day, made at its place between the others if there is none. */
function daySection(date) {
  const key = dayKey(date);
  const next = [...days.children].find((section) => section.dataset.day >= key);
  if (next?.dataset.day === key) return next;
  const section = make("section", "day");
  section.dataset.day = key;
  section.append(make("h2"));
  days.insertBefore(section, next ?? null);
  for (const each of days.children) each.firstChild.textContent = dayLabel(each.dataset.day);
  return section;
}

function dayKey(date) {
  const twoDigits = (n) => String(n).padStart(2, "0");
  return `${date.getFullYear()}-${twoDigits(date.getMonth() + 1)}-${twoDigits(date.getDate())}`;
}

function dayLabel(key) {
  const now = new Date();
  const yesterday = new Date(now.getFullYear(), now.getMonth(), now.getDate() - 1);
  if (key === dayKey(now)) return "Today";
  if (key === dayKey(yesterday)) return "Yesterday";
  const date = new Date(`${key}T12:00`);
  const year = date.getFullYear() === now.getFullYear() ? undefined : "numeric";
  return date.toLocaleDateString("en-GB", { weekday: "long", day: "numeric", month: "long", year });
}

let typingTimer;

function showTyping(on) {
  clearTimeout(typingTimer);
  $("typing").hidden = !on;
  $("spoken").textContent = on ? `${botName} is typing` : "";
  if (on) typingTimer = setTimeout(showTyping, TYPING_MS, false);
}

// ---- Scrolling: follow the end only while the reader is there ----

let pinned = true;

function scrollToEnd() {
  pinned = true;
  log.scrollTop = log.scrollHeight;
  $("pill").hidden = true;
}

/** Makes a change without moving what is being read. */
function keepPlace(change) {
  const top = log.getBoundingClientRect().top;
  const anchor = [...days.querySelectorAll(".message")].find(
    (element) => element.getBoundingClientRect().bottom > top,
  );
  const before = anchor?.getBoundingClientRect().top;
  change();
  if (pinned) scrollToEnd();
  else if (anchor?.isConnected) log.scrollTop += anchor.getBoundingClientRect().top - before;
}

log.addEventListener("scroll", () => {
  pinned = log.scrollHeight - log.scrollTop - log.clientHeight < AT_BOTTOM_PX;
  if (pinned) $("pill").hidden = true;
});

// A growing composer, a phone's keyboard or a turned screen must not hide the last message.
const sizes = new ResizeObserver(() => pinned && scrollToEnd());
sizes.observe(log);
sizes.observe($("content"));

$("pill").addEventListener("click", () => {
  scrollToEnd();
  log.focus({ preventScroll: true }); // the pill is gone: its focus must go somewhere
});

// ---- Taps ----

/** Taps on their way, as "message_id data": an edit meanwhile brings new buttons. */
const tapping = new Set();
const tapKey = (button) => `${button.closest(".message").dataset.id} ${button.dataset.tap}`;

async function tap(button) {
  const { element } = shown.get(Number(button.closest(".message").dataset.id));
  const key = tapKey(button);
  if (tapping.has(key)) return;
  tapping.add(key);
  markTaps(element);
  try {
    await tapButton(Number(element.dataset.id), button.dataset.tap);
    showError("");
  } catch (error) {
    showError(error.message);
  }
  tapping.delete(key);
  markTaps(element);
}

function markTaps(element) {
  for (const button of element.querySelectorAll("[data-tap]")) {
    const busy = tapping.has(tapKey(button));
    // Not `disabled`, which would take the keyboard focus away from it.
    button.ariaDisabled = busy ? "true" : null;
    button.ariaBusy = busy ? "true" : null;
  }
}

log.addEventListener("click", ({ target }) => {
  const button = target.closest("[data-tap], [data-send]");
  if (button?.dataset.send) send(button.dataset.send);
  else if (button) tap(button);
});

// ---- Composer ----

/** Sends the text; says whether the server took it. */
async function send(text) {
  scrollToEnd();
  try {
    await sendMessage(text);
    showError("");
    return true;
  } catch (error) {
    showError(error.message);
    return false;
  }
}

async function submit() {
  const text = input.value;
  if (!text.trim()) return;
  setInput(""); // at once, so that one can type on; it comes back if sending fails
  if (!(await send(text))) setInput(input.value ? `${text}\n${input.value}` : text);
}

function setInput(text) {
  input.value = text;
  inputChanged();
}

function inputChanged() {
  $("send").disabled = !input.value.trim();
  input.style.height = "auto";
  input.style.height = `${input.scrollHeight}px`; // up to the max-height of 6 lines
}

function showError(text) {
  $("error").textContent = text;
}

$("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  closeMenu();
  submit();
});
input.addEventListener("input", () => {
  showError("");
  inputChanged();
  filterMenu();
});
input.addEventListener("keydown", (event) => {
  if (event.isComposing) return; // Enter ends an input method's composition first
  if (menuKey(event)) return;
  if (event.key === "Enter" && !event.shiftKey) {
    event.preventDefault();
    submit();
  }
});
window.addEventListener("resize", inputChanged);

// ---- Command menu: all commands from the button, or a filter while a command is being typed ----

let choices = [];
let active = 0;
/** Whether the open menu is the filter of what is typed. */
let typed = false;
/** Escape holds until the input is something else than the start of a command. */
let dismissed = false;

function openMenu(found, isFilter) {
  choices = found;
  typed = isFilter;
  menu.replaceChildren(...found.map(renderChoice));
  menu.hidden = false;
  $("menu-button").ariaExpanded = "true";
  setActive(0);
}

function renderChoice({ command, description }, index) {
  const item = make("li");
  item.id = `command-${index}`;
  item.dataset.index = index;
  item.setAttribute("role", "option");
  item.append(make("span", "name", `/${command}`), " ", make("span", "description", description));
  return item;
}

function closeMenu() {
  if (menu.hidden) return;
  const hadFocus = document.activeElement === menu;
  menu.hidden = true;
  $("menu-button").ariaExpanded = "false";
  input.removeAttribute("aria-activedescendant");
  if (hadFocus) $("menu-button").focus();
}

function setActive(index) {
  active = (index + choices.length) % choices.length;
  for (const item of menu.children) item.ariaSelected = String(item.dataset.index === String(active));
  menu.children[active].scrollIntoView({ block: "nearest" });
  for (const owner of [menu, input]) owner.setAttribute("aria-activedescendant", `command-${active}`);
}

function filterMenu() {
  const start = /^\/(\w*)$/.exec(input.value);
  if (!start) dismissed = false;
  const found = start && !dismissed
    ? commands.filter(({ command }) => command.startsWith(start[1].toLowerCase()))
        .sort((a, b) => (b.command === start[1].toLowerCase()) - (a.command === start[1].toLowerCase()))
    : [];
  if (found.length) openMenu(found, true);
  else closeMenu();
}

/** Handles a key for the open menu; says whether it did. */
function menuKey(event) {
  if (menu.hidden || event.shiftKey) return false;
  const steps = { ArrowDown: 1, ArrowUp: -1 };
  if (event.key in steps) setActive(active + steps[event.key]);
  else if (event.key === "Enter") choose(choices[active].command);
  else if (event.key === "Tab") complete(choices[active].command);
  else if (event.key === "Escape") {
    dismissed = typed;
    closeMenu();
  } else return false;
  event.preventDefault();
  event.stopPropagation();
  return true;
}

/** From the menu a command goes out at once; a half-typed one may wait for its words. */
function choose(command) {
  const line = `/${command}`;
  if (typed && TAKES_TEXT.has(command) && input.value !== line) {
    complete(command);
    return;
  }
  closeMenu();
  if (typed) {
    setInput(line);
    submit();
  } else send(line);
}

function complete(command) {
  closeMenu();
  setInput(`/${command} `);
  input.focus();
}

$("menu-button").addEventListener("click", () => {
  const wasOpen = !menu.hidden && !typed;
  closeMenu();
  if (wasOpen) return;
  openMenu(commands, false);
  menu.focus(); // not the input: a phone's keyboard would cover the list
});
menu.addEventListener("keydown", menuKey);
menu.addEventListener("mousedown", (event) => event.preventDefault()); // keeps the focus where it is
menu.addEventListener("click", ({ target }) => {
  const item = target.closest("[data-index]");
  if (item) choose(choices[item.dataset.index].command);
});
document.addEventListener("pointerdown", ({ target }) => {
  if (!target.closest(typed ? "#menu, #menu-button, #input" : "#menu, #menu-button")) closeMenu();
});

// ---- Notices ----

function showToast({ text, alert }) {
  if (!text) return;
  const toast = make("div", "toast");
  const words = make("p", "", text);
  words.dir = "auto";
  toast.append(words);
  if (alert) {
    toast.setAttribute("role", "alert");
    toast.append(dismissButton(toast));
  } else setTimeout(() => toast.remove(), TOAST_MS);
  $("toasts").append(toast);
}

function dismissButton(toast) {
  const button = make("button", "", "OK");
  button.type = "button";
  const before = document.activeElement;
  button.addEventListener("click", () => {
    toast.remove();
    (before.isConnected ? before : log).focus({ preventScroll: true });
  });
  return button;
}

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") document.querySelector(".toast[role=alert]")?.remove();
});

function showConnection(online) {
  document.body.dataset.connection = online ? "online" : "lost";
  $("connection").textContent = online ? "" : "Reconnecting...";
}

// ---- Start ----

follow({
  history: showHistory,
  message: receiveMessage,
  typing: () => showTyping(true),
  toast: showToast,
  reset: clearAll,
  connection: showConnection,
});
if (matchMedia("(pointer: fine)").matches) input.focus();
