// What happened, newest first.

/** A gap shorter than this belongs to a hand-over and is told with it. */
const HANDOVER_MS = 2000;

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

/** What a change was, after the name of whoever leads now, if somebody does. */
function deed({ holder, term, before }) {
  if (holder) return before?.holder === holder && before.term !== term ? "leads again" : "leads";
  return "nobody is known to lead";
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
