// Changes of leadership, as the sidecar saw them.

/** The pause between the end of a stream of events and the next request. */
const REOPEN_MS = 2000;

/** The most changes kept for one election, as in the sidecar. */
const KEPT = 256;

/** The most changes of all elections that are kept and shown. */
const SHOWN = 100;

let lastId = "0";
const changes = [];
let noted = 0;

/** Whether the stream of events is open, or can soon be open again. */
let listening = true;

function listen() {
  const events = new EventSource(`events?elections=all&since=${encodeURIComponent(lastId)}`);
  events.onopen = () => {
    listening = true;
    if (!isVisible()) renderSoon();
  };
  events.onmessage = (message) => {
    const id = message.lastEventId || lastId;
    // A restarted sidecar sends the present state, and nothing of the time between.
    if (processOf(id) !== processOf(lastId)) noteGap();
    lastId = id;
    noteMessage(JSON.parse(message.data));
    contactAt = sidecarNow();
    endedAt = null;
    renderSoon();
    if (isVisible()) refresh();
  };
  events.onerror = () => {
    // A browser gives up after some errors. Reopening here also receives no event twice.
    events.close();
    endedAt ??= isVisible() ? contactAt : sidecarNow();
    listening = false;
    if (isVisible()) refresh();
    else render();
    setTimeout(listen, REOPEN_MS);
  };
}

/** The part of an event's id that names the process of the sidecar. */
const processOf = (id) => id.split("-")[0];

/** When the stream of events ended; null while one is open. */
let endedAt = null;

/** Notes that nothing is known of the time since the last contact. */
function noteGap() {
  if (endedAt === null) return;
  for (const { past, election } of seats.values()) {
    const last = past.at(-1);
    if (last) note({ election, at: Math.max(endedAt, last.at), holder: null, term: last.term, leader: false, cause: "no_contact", noLeaderSince: null });
  }
}

function noteMessage(message) {
  note({
    election: message.election,
    at: Date.parse(message.last_update),
    holder: message.holderIdentity,
    holderIs: message.holderIs,
    term: message.term,
    leader: message.leader,
    cause: message.cause,
    reason: message.reason,
    noLeaderSince: timeOf(message.noLeaderSince),
  });
}

function note(change) {
  const seat = seatOf(change.election);
  const before = seat.past.at(-1);
  change.before = before;
  const same = (other) =>
    other.holder === change.holder && other.term === change.term &&
    other.leader === change.leader && (change.holder || other.cause === change.cause);
  if (Number.isNaN(change.at) || (before && same(before))) return;
  if (before) before.after = change;
  seat.past.push(change);
  if (seat.past.length > KEPT) {
    seat.past.shift();
    seat.past[0].before = undefined;
  }
  changes.push(change);
  noted += 1;
  if (changes.length > SHOWN * 2) changes.sort((a, b) => a.at - b.at).splice(0, changes.length - SHOWN);
}
