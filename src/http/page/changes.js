// Changes, as the sidecar has seen them.

/** After the stream of events has ended: the pause before the next. */
const REOPEN_MS = 2000;

/** Changes kept for one election (as many as the sidecar keeps). */
const KEPT = 256;

/** Changes of all elections together that are kept and shown. */
const SHOWN = 100;

let lastId = "0";
const changes = [];
let told = 0;

/** Whether the stream of events is open, or may be again soon. */
let listening = true;

function listen() {
  const events = new EventSource(`events?elections=all&since=${encodeURIComponent(lastId)}`);
  events.onopen = () => {
    listening = true;
    if (!isLookedAt()) renderSoon();
  };
  events.onmessage = (message) => {
    const id = message.lastEventId || lastId;
    // After a restart of the sidecar what is present is told again, and nothing of what was between.
    if (processOf(id) !== processOf(lastId)) rememberGap();
    lastId = id;
    remember(JSON.parse(message.data));
    contactAt = sidecarNow();
    endedAt = null;
    renderSoon();
    if (isLookedAt()) ask();
  };
  events.onerror = () => {
    // Reopened by hand: a browser gives up after some errors, and this way none is told twice.
    events.close();
    endedAt ??= isLookedAt() ? contactAt : sidecarNow();
    listening = false;
    if (isLookedAt()) ask();
    else render();
    setTimeout(listen, REOPEN_MS);
  };
}

/** The process that an id is of. */
const processOf = (id) => id.split("-")[0];

/** When the stream of events ended, if no other has begun since. */
let endedAt = null;

/** What happened since the last contact was told to no one. */
function rememberGap() {
  if (endedAt === null) return;
  for (const { past, election } of seats.values()) {
    const last = past.at(-1);
    if (last) note({ election, at: Math.max(endedAt, last.at), holder: null, term: last.term, leader: false, cause: "no_contact", noLeaderSince: null });
  }
}

function remember(message) {
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
  told += 1;
  if (changes.length > SHOWN * 2) changes.sort((a, b) => a.at - b.at).splice(0, changes.length - SHOWN);
}
