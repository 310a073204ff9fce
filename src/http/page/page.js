// The status page: what this sidecar says of its elections, and nothing that it does not say.
//
// Every claim on the page has an end: the validity of an answer is counted down here from before
// the question was sent, and a sidecar that does not answer makes everything unknown. What comes
// from outside (names, identities, reasons) is only ever set as text.

/** How often the sidecar is asked while the page is looked at, and how long it may take. */
const PERIOD_MS = 2000;
const PATIENCE_MS = 3000;

/** An answer older than this says nothing about now. */
const STALE_MS = 5500;

/** How often what runs down is drawn. */
const TICK_MS = 250;

/** After the stream of events has ended: the pause before the next. */
const REOPEN_MS = 2000;

/** More elections than this are shown as lines instead of cards. */
const CARDS = 6;

/** Changes kept for one election (as many as the sidecar keeps), and shown of all. */
const KEPT = 256;
const SHOWN = 100;

/** A gap shorter than this belongs to a hand-over and is told with it. */
const HANDOVER_MS = 2000;

/** Changes that are read out at once, at most. */
const SPOKEN = 3;

/** The span of the strips: from the first change seen, between these. */
const STRIP_LEAST_MS = 60_000;
const STRIP_MOST_MS = 24 * 3_600_000;

const HUES = 6;

const byId = (id) => document.getElementById(id);
const seats = new Map();
const kinds = [
  { name: "all", has: () => true },
  { name: "leading here", has: (seat) => seat.state.kind === "leads" },
  { name: "standing by", has: (seat) => seat.state.kind === "standby" },
  { name: "to look at", has: (seat) => seat.state.kind === "trouble" },
];
let kind = kinds[0];
let words = "";

// Contact with the sidecar.

let heardAt = null;
let lost = null;
let asking = false;
let askAgain = false;
let clockOffset = null;

/** A moment, by both clocks: one may stand still while the computer sleeps, the other be set back. */
const moment = () => ({ steady: performance.now(), wall: Date.now() });
const elapsed = (then) =>
  Math.max(performance.now() - then.steady, Date.now() - then.wall, 0);

/** Now, by the wall clock of the sidecar's host. */
const sidecarNow = () => Date.now() + (clockOffset ?? 0);

const isLookedAt = () => document.visibilityState === "visible";

const inContact = () => heardAt !== null && lost === null && elapsed(heardAt) < STALE_MS;
const lostContact = () => heardAt !== null && !inContact();

async function ask() {
  if (asking) {
    askAgain = true;
    return;
  }
  asking = true;
  const asked = moment();
  try {
    const answer = await fetch("elections", {
      cache: "no-store",
      signal: AbortSignal.timeout(PATIENCE_MS),
    });
    if (!answer.ok) throw new Error(`the sidecar answers ${answer.status}`);
    const { elections } = await answer.json();
    const date = Date.parse(answer.headers.get("date"));
    // The header is cut to whole seconds.
    if (!Number.isNaN(date)) clockOffset = date + 500 - Date.now();
    // Nobody asks for a page that is not looked at, so it would not notice the end of this.
    if (isLookedAt()) heard(asked, elections);
  } catch {
    lost ??= new Date();
  } finally {
    asking = false;
  }
  render();
  if (askAgain) {
    askAgain = false;
    ask();
  }
}

function heard(asked, elections) {
  const news = [];
  for (const view of elections) {
    const seat = seatOf(view.election);
    const before = seat.view ?? view;
    if (view.holderIdentity !== before.holderIdentity || view.term !== before.term) {
      const { holderIdentity: holder } = view;
      news.push(`${view.election}: ${holder ? `${holder} leads` : "nobody is known to lead"}`);
    }
    // The first time, in the order in which the sidecar names them.
    if (!seat.view) byId("list").append(seat.parts.item);
    seat.view = view;
    seat.asked = asked;
    seat.full = Math.max(seat.full, view.validForMs);
  }
  // After a restart with other settings there may be fewer.
  for (const seat of seats.values()) {
    if (seat.asked === asked) continue;
    seat.parts.item.remove();
    seats.delete(seat.election);
  }
  // For whoever listens to the page instead of looking at it.
  if (news.length > 0) text(byId("spoken"), news.slice(0, SPOKEN).join("; "));
  heardAt = asked;
  lost = null;
}

// Changes, as the sidecar has seen them.

let lastId = "0";
const changes = [];
let told = 0;

function listen() {
  const events = new EventSource(`events?elections=all&since=${encodeURIComponent(lastId)}`);
  events.onmessage = (message) => {
    // After a restart of the sidecar what is present is told again.
    lastId = message.lastEventId || lastId;
    remember(JSON.parse(message.data));
    renderSoon();
    if (isLookedAt()) ask();
  };
  events.onerror = () => {
    // Reopened by hand: a browser gives up after some errors, and this way none is told twice.
    events.close();
    if (isLookedAt()) ask();
    setTimeout(listen, REOPEN_MS);
  };
}

function remember(message) {
  const seat = seatOf(message.election);
  const before = seat.past.at(-1);
  const change = {
    election: message.election,
    at: Date.parse(message.last_update),
    holder: message.holderIdentity,
    term: message.term,
    leader: message.leader,
    before,
  };
  const same = (other) =>
    other.holder === change.holder && other.term === change.term && other.leader === change.leader;
  if (Number.isNaN(change.at) || (before && same(before))) return;
  if (before) before.after = change;
  seat.past.push(change);
  if (seat.past.length > KEPT) {
    seat.past.shift();
    seat.past[0].before = undefined;
  }
  changes.push(change);
  told += 1;
  if (changes.length > SHOWN * 2) changes.sort((a, b) => a.at - b.at).splice(0, changes.length - SHOWN);
}

/** What a change was, after the name of whoever leads now, if somebody does. */
function deed({ holder, term, before }) {
  if (holder) return before?.holder === holder && before.term !== term ? "leads again" : "leads";
  return "nobody is known to lead";
}

// One election.

function seatOf(election) {
  let seat = seats.get(election);
  if (!seat) {
    seat = { election, view: null, asked: null, full: 1, past: [], state: {}, parts: card(election) };
    seats.set(election, seat);
  }
  return seat;
}

function card(election) {
  const item = byId("election").content.firstElementChild.cloneNode(true);
  const part = (query) => item.querySelector(query);
  text(part(".name"), election);
  const fact = (name) => ({ whole: part(`.${name}`), value: part(`.${name} dd`) });
  return {
    item,
    word: part(".word"),
    tag: part(".state"),
    holder: part(".holder"),
    who: part(".who"),
    here: part(".here"),
    since: part(".since"),
    meter: part(".meter"),
    fill: part(".fill"),
    left: part(".left"),
    reason: part(".reason"),
    past: part(".past"),
    strip: part(".strip"),
    from: part(".from"),
    to: part(".to"),
    term: fact("term"),
    store: fact("store"),
    holds: fact("holds"),
    gate: fact("gate"),
  };
}

/** For how much longer the last answer is a "yes", counted from before it was asked for. */
const left = (seat) => Math.max(seat.view.validForMs - elapsed(seat.asked), 0);

/** How long the store has been silent, at most. Null if it never answered. */
const silence = ({ view, asked }) =>
  view.storeAnsweredMsAgo === null ? null : view.storeAnsweredMsAgo + elapsed(asked);

/** What can be said of an election now: in a word, in which tone, and why if it is not well. */
function judge(seat) {
  const { view } = seat;
  if (!view || !inContact()) return { kind: "trouble", word: "unknown", tone: "quiet" };
  const silent = silence(seat);
  const lease = view.leaseDurationSeconds * 1000;
  const storeLost = silent === null || silent > lease;
  const notStanding = view.standing ? "" : view.reason ?? "it does not stand";
  if (view.leader) {
    if (left(seat) > 0) return { kind: "leads", word: "leads", tone: "good", reason: notStanding };
    return { kind: "trouble", word: "not confirmed", tone: "warn", reason: "its time has run out" };
  }
  if (storeLost) {
    const reason = silent === null
      ? "the store has not answered yet"
      : `the store has not answered for ${span(silent)}`;
    return { kind: "trouble", word: "undecided", tone: "bad", reason };
  }
  if (notStanding) return { kind: "trouble", word: "stands down", tone: "warn", reason: notStanding };
  if (view.holderIdentity) return { kind: "standby", word: "stands by", tone: "calm" };
  return { kind: "trouble", word: "undecided", tone: "warn" };
}

function draw(seat) {
  const { view, parts } = seat;
  if (!view) return;
  const state = judge(seat);
  seat.state = state;
  const known = inContact();
  parts.item.dataset.tone = parts.tag.dataset.tone = state.tone;
  text(parts.word, state.word);
  text(parts.who, view.holderIdentity ?? "nobody is known to lead");
  parts.holder.classList.toggle("nobody", !view.holderIdentity);
  text(parts.here, known ? "this instance" : "this instance, when last heard");
  parts.here.hidden = view.holderIdentity !== view.identity;
  text(parts.reason, state.reason ?? "");
  text(parts.term.value, view.term ?? "–");
  text(parts.holds.value, view.holds);
  parts.holds.whole.hidden = document.body.classList.contains("many") && !view.holds;
  parts.gate.whole.hidden = view.gate === null || (document.body.classList.contains("many") && view.gate === "open");
  text(parts.gate.value, view.gate ?? "");
  tone(parts.gate.value, !known ? "quiet" : view.gate === "closed" ? "warn" : "good");
  drawTimes(seat);
}

/** Draws what changes by the passing of time alone. */
function drawTimes(seat) {
  const { view, parts, state } = seat;
  const known = inContact();
  const many = document.body.classList.contains("many");
  const acquired = Date.parse(view.acquireTime);
  if (Number.isNaN(acquired)) text(parts.since, "");
  else if (many) text(parts.since, span(sidecarNow() - acquired));
  else if (known) text(parts.since, `since ${clock(acquired)}, for ${span(sidecarNow() - acquired)}`);
  else text(parts.since, `since ${clock(acquired)}, when last heard`);

  const leads = state.kind === "leads";
  const ms = leads ? left(seat) : 0;
  parts.meter.hidden = !leads;
  if (leads) {
    const share = Math.min(ms / seat.full, 1);
    parts.fill.style.transform = `scaleX(${share.toFixed(4)})`;
    tone(parts.meter, share > 0.5 ? "good" : share > 0.2 ? "warn" : "bad");
    attribute(parts.meter, "aria-valuemax", (seat.full / 1000).toFixed(0));
    attribute(parts.meter, "aria-valuenow", (ms / 1000).toFixed(0));
    attribute(parts.meter, "aria-valuetext", `${(ms / 1000).toFixed(0)} seconds`);
    const seconds = `${(ms / 1000).toFixed(1)}\u00a0s`;
    text(parts.left, many ? seconds : `valid for ${seconds} without a renewal`);
  } else if (many) text(parts.left, "");
  else if (!known) text(parts.left, "nothing is known about now");
  else if (state.kind === "standby") text(parts.left, "this instance is ready to take over");
  else text(parts.left, "this instance does not lead");

  const silent = silence(seat);
  const lease = view.leaseDurationSeconds * 1000;
  const [health, of] = silent === null || silent > lease ? ["lost", "bad"]
    : silent > (lease * 2) / 3 ? ["late", "warn"]
    : ["ok", "good"];
  const ago = silent === null ? "no answer yet" : `${span(silent)} ago`;
  text(parts.store.value, many || !known || silent === null ? ago : `${health}, ${ago}`);
  tone(parts.store.value, known ? of : "quiet");
}

/** Draws who led when, as a strip. */
function drawStrip({ past, parts, view }) {
  parts.past.hidden = past.length === 0;
  if (past.length === 0) return;
  // Nothing is drawn for a time of which nothing was heard.
  const now = lostContact() ? heardAt.wall + (clockOffset ?? 0) : sidecarNow();
  const length = Math.min(Math.max(now - past[0].at, STRIP_LEAST_MS), STRIP_MOST_MS);
  const start = now - length;
  const at = (time) => (Math.min(Math.max((time - start) / length, 0), 1)) * 100;
  const short = shortened(past.map((change) => change.holder));
  const pieces = [];
  const said = [];
  past.forEach((change, place) => {
    const end = past[place + 1]?.at ?? now;
    if (end < start) return;
    const piece = document.createElement("div");
    const width = at(end) - at(change.at);
    piece.className = "term-of-office";
    piece.classList.add(change.holder ? hue(change.holder, view) : "nobody");
    piece.classList.toggle("narrow", width < 4);
    piece.style.left = `${at(change.at)}%`;
    piece.style.width = `${width}%`;
    const who = change.holder ? `${change.holder}, term ${change.term}` : "nobody";
    piece.title = `${who}: from ${clock(change.at)} for ${span(end - change.at)}`;
    if (change.holder && width >= 4) piece.textContent = short(change.holder);
    pieces.push(piece);
    said.push(piece.title);
  });
  parts.strip.replaceChildren(...pieces);
  attribute(parts.strip, "aria-label", `Who led: ${said.slice(-8).join("; ")}`);
  text(parts.from, `${span(length)} ${lostContact() ? "before" : "ago"}`);
  text(parts.to, lostContact() ? "last heard" : "now");
}

/** Without what all of them begin with, if they differ: in a narrow place only the rest tells. */
function shortened(holders) {
  const [first, ...others] = new Set(holders.filter(Boolean));
  let same = others.length > 0 ? first.length : 0;
  for (const other of others) {
    while (!other.startsWith(first.slice(0, same))) same -= 1;
  }
  const cut = Math.max(...["-", ".", "/", ":"].map((mark) => first?.slice(0, same).lastIndexOf(mark) ?? -1)) + 1;
  return (holder) => (cut > 3 ? `…${holder.slice(cut)}` : holder);
}

/** This instance has a colour of its own; others get one by their name. */
function hue(holder, view) {
  if (holder === view?.identity) return "hue-own";
  let sum = 0;
  for (const letter of holder) sum = (sum * 31 + letter.codePointAt(0)) >>> 0;
  return `hue-${sum % HUES}`;
}

// The whole page.

function render() {
  const all = [...seats.values()].filter((seat) => seat.view);
  document.body.classList.toggle("many", all.length > CARDS);
  document.body.classList.toggle("single", all.length === 1);
  document.body.classList.toggle("lost", lostContact());
  byId("tools").hidden = byId("columns").hidden = all.length <= CARDS;
  all.forEach(draw);
  drawContact();
  drawKinds(all);
  select(all);
  drawTimeline();
  if (all.length <= CARDS) all.forEach(drawStrip);
}

let rendering = false;
function renderSoon() {
  if (rendering) return;
  rendering = true;
  requestAnimationFrame(() => {
    rendering = false;
    render();
  });
}

function drawContact() {
  const [first] = seats.values();
  const identity = first?.view?.identity;
  text(byId("me"), identity ?? "");
  const known = inContact();
  tone(byId("contact"), known ? "good" : heardAt === null && !lost ? "quiet" : "bad");
  text(byId("contact-word"), known ? "live" : heardAt === null && !lost ? "connecting" : "no contact");
  let alarm = "";
  if (lostContact()) {
    alarm = `No contact with the sidecar since ${clock(heardAt.wall)}. ` +
      "What it said before may not be true any more.";
  } else if (lost) alarm = "The sidecar does not answer.";
  text(byId("alarm"), alarm);
  const leading = [...seats.values()].filter((seat) => seat.state.kind === "leads").length;
  const all = seats.size === 1 ? first.state.word : `leads ${leading} of ${seats.size}`;
  const title = [known ? all : lostContact() ? "no contact" : "", identity, "bellwether"];
  document.title = title.filter(Boolean).join(" · ");
}

function drawKinds(all) {
  for (const each of kinds) {
    if (!each.button) {
      each.button = document.createElement("button");
      each.button.type = "button";
      each.count = document.createElement("b");
      each.button.append(each.name, each.count);
      each.button.onclick = () => {
        kind = each;
        render();
      };
      byId("kinds").append(each.button);
    }
    text(each.count, all.filter(each.has).length);
    attribute(each.button, "aria-pressed", each === kind);
  }
}

const named = (...names) => names.some((name) => name?.toLowerCase().includes(words));

/** Shows what is asked for. */
function select(all) {
  let shown = 0;
  const narrowed = all.length > CARDS;
  for (const seat of all) {
    const wanted = !narrowed || (kind.has(seat) && named(seat.election, seat.view.holderIdentity));
    seat.parts.item.hidden = !wanted;
    shown += wanted;
  }
  byId("none").hidden = shown > 0;
  if (all.length > 0) text(byId("none"), "No election is like that.");
  else text(byId("none"), lost ? "" : "Asking the sidecar …");
}

let drawnTimeline = null;
function drawTimeline() {
  const key = `${told} ${words} ${seats.size}`;
  if (key === drawnTimeline) return;
  drawnTimeline = key;
  const wanted = (change) => seats.size <= CARDS || named(change.election, change.holder);
  const shown = changes.filter((change) => wanted(change) && !isGap(change));
  const newest = shown.toSorted((a, b) => b.at - a.at).slice(0, SHOWN);
  byId("timeline").replaceChildren(...newest.map(entry));
  byId("no-changes").hidden = newest.length > 0;
}

function entry(change) {
  const { election, at, holder, leader } = change;
  const item = byId("change").content.firstElementChild.cloneNode(true);
  const part = (query) => item.querySelector(query);
  item.dataset.tone = leader ? "good" : holder ? "calm" : "warn";
  text(part("time"), clock(at));
  part("time").dateTime = new Date(at).toISOString();
  text(part(".who"), holder ?? "");
  text(part(".did"), deed(change));
  // Each in a `bdi` of its own: a name that is written from right to left turns nothing else round.
  for (const detail of [seats.size > 1 ? election : null, ...details(change)].filter(Boolean)) {
    if (part(".more").hasChildNodes()) part(".more").append(" · ");
    const whole = document.createElement("bdi");
    text(whole, detail);
    part(".more").append(whole);
  }
  return item;
}

function* details(change) {
  const { at, holder, term, leader } = change;
  if (leader) yield "this instance";
  if (holder) yield `term ${term}`;
  const vacated = vacancy(change);
  const last = vacated.before;
  if (!last) return;
  const gap = at - vacated.at;
  const told = holder && gap >= HANDOVER_MS;
  if (last.holder !== holder && !told) yield `${last.holder} led for ${span(vacated.at - last.at)}`;
  if (told) yield `after ${span(gap)} without a leader`;
  else if (gap > 0) yield `handed over in ${gap.toFixed(0)}\u00a0ms`;
}

/** The first change of those, up to this one, before which nobody led. This one, if somebody did. */
function vacancy(change) {
  while (change.before && !change.before.holder) change = change.before;
  return change;
}

/** Whether a change is only a part of a time without a leader that is told with another change. */
function isGap(change) {
  if (change.holder) return false;
  if (change.before && !change.before.holder) return true;
  let next = change.after;
  while (next && !next.holder) next = next.after;
  return next !== undefined && next.at - change.at < HANDOVER_MS;
}

// Small things.

/** Sets a text only where it differs: what does not change is neither drawn nor read out again. */
function text(element, value) {
  const wanted = String(value);
  if (element.textContent !== wanted) element.textContent = wanted;
}

function attribute(element, name, value) {
  if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value);
}

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

byId("filter").addEventListener("input", (event) => {
  words = event.target.value.trim().toLowerCase();
  render();
});
document.addEventListener("visibilitychange", () => {
  if (isLookedAt()) ask();
  else {
    // The title is still seen, and so is for a moment what was drawn, when the page is seen again.
    heardAt = lost = null;
    render();
  }
});
setInterval(() => {
  if (isLookedAt()) ask();
}, PERIOD_MS);

let wasInContact = false;
setInterval(() => {
  if (!isLookedAt()) return;
  const known = inContact();
  for (const seat of seats.values()) {
    if (!seat.view) continue;
    // What was true may have ended meanwhile, with nobody saying so.
    if (known !== wasInContact || judge(seat).kind !== seat.state.kind) draw(seat);
    else drawTimes(seat);
  }
  if (known !== wasInContact) render();
  wasInContact = known;
}, TICK_MS);

ask();
listen();
