// The changes of leadership, newest first.

/** A shorter gap belongs to a hand-over, and is shown with it. */
const HANDOVER_MS = 2000;

let drawnTimeline = null;
function drawTimeline() {
  const key = `${noted} ${words} ${seats.size} ${short.of}`;
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
  const isQuiet = isUnknown(change) || unknownSince(change) !== null;
  item.dataset.tone = isQuiet ? "quiet" : leader ? "good" : holder ? "calm" : "warn";
  text(part("time"), clock(at));
  part("time").dateTime = new Date(at).toISOString();
  title(part("time"), utc(at));
  part(".who").hidden = !holder;
  if (holder) nameOn(part(".who"), holder, short.past(holder));
  text(part(".did"), outcome(change));
  // Each has its own `bdi`: a name in a right-to-left script then leaves the others in order.
  for (const detail of [seats.size > 1 ? short.election(election) : null, ...details(change)].filter(Boolean)) {
    if (part(".more").hasChildNodes()) part(".more").append(" · ");
    const whole = document.createElement("bdi");
    text(whole, detail);
    part(".more").append(whole);
  }
  return item;
}

/** What happened, as a text that follows the name of the present leader, if there is one. */
function outcome(change) {
  const { at, holder, holderIs, term, cause, before } = change;
  if (!holder && isUnknown(change)) return `the leader is not known: ${UNKNOWN.get(cause)}`;
  if (!holder) return `no instance leads: ${VACANT.get(cause) ?? cause}`;
  if (holderIs === "earlier_run") return "holds the lease from an earlier run of this instance";
  const unknown = unknownSince(change);
  if (unknown !== null) return `known again after ${span(at - unknown)}`;
  return before?.holder === holder && before.term !== term ? "leads again" : "leads";
}

function* details(change) {
  const { at, holder, term, leader, cause, noLeaderSince } = change;
  if (leader) yield "this instance";
  if (holder) yield `term ${term}`;
  if (unknownSince(change) !== null) return;
  const first = vacancy(change);
  const last = first.before;
  const since = noLeaderSince ?? first.at;
  if (last && last.holder !== holder && !isUnknown(first)) {
    yield `${short.past(last.holder)} led for ${span(since - last.at)}`;
  }
  const gap = noLeaderSince === null ? null : Math.max(at - noLeaderSince, 0);
  if (!holder) {
    if (cause === "lease_ran_out" && gap !== null) yield `last renewal ${span(gap)} before`;
  } else if (cause === "lease_ran_out") {
    const renewal = gap === null ? "" : ` (last renewal ${span(gap)} before)`;
    yield `took over after the lease ran out${renewal}`;
  } else if (cause === "handed_over") {
    if (gap === null) yield "handed over";
    else if (gap >= HANDOVER_MS) yield `after ${span(gap)} without a leader`;
    else yield `handed over in ${gap.toFixed(0)}\u00a0ms`;
  } else if (cause === "record_lost") yield "after the store lost the record";
  else if (cause === "first") yield "the first leader";
  else if (cause === "found") yield "led before this sidecar looked";
  else if (first !== change) yield `leader not known for ${span(at - first.at)}`;
  else if (cause === "unseen") yield "the end of the last leadership was not seen";
}

/** Whether a change is part of a time without a leader that another change shows. */
function isGap(change) {
  if (change.holder) return false;
  const before = change.before;
  if (before && !before.holder && isUnknown(before) === isUnknown(change)) return true;
  let next = change.after;
  while (next && !next.holder) next = next.after;
  return next !== undefined && next.at - change.at < HANDOVER_MS;
}
