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
