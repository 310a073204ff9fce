// Helpers for the other files.

const byId = (id) => document.getElementById(id);

/** Sets a text only if it differs: otherwise it would be drawn and read out again. */
function text(element, value) {
  const wanted = String(value);
  if (element.textContent !== wanted) element.textContent = wanted;
}

function attribute(element, name, value) {
  if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value);
}

const title = (element, value) => attribute(element, "title", value);
const tone = (element, value) => attribute(element, "data-tone", value);

const TIME = { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" };

/** The time of day, with the date if it is not today's. */
function clock(time) {
  const date = new Date(time);
  const day = date.toDateString() === new Date().toDateString()
    ? {}
    : { day: "numeric", month: "short" };
  return date.toLocaleString([], { ...day, ...TIME });
}

/** The same in UTC for titles, as in logs. */
const utc = (time) => `${new Date(time).toISOString().slice(0, 19).replace("T", " ")} UTC`;

/** A duration in its two largest units. */
function span(ms) {
  const seconds = Math.max(ms, 0) / 1000;
  const [s, m, h] = [Math.floor(seconds), Math.floor(seconds / 60), Math.floor(seconds / 3600)];
  const two = (large, unit, small, rest) =>
    small ? `${large}\u00a0${unit} ${small}\u00a0${rest}` : `${large}\u00a0${unit}`;
  if (seconds < 9.95) return `${seconds.toFixed(1)}\u00a0s`;
  if (s < 60) return `${Math.round(seconds)}\u00a0s`;
  if (m < 60) return two(m, "min", s % 60, "s");
  if (h < 24) return two(h, "h", m % 60, "min");
  return two(Math.floor(h / 24), "d", h % 24, "h");
}
