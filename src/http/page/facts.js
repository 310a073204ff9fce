// The meaning of a change. A time without a leader is not a time about which nothing is known, and a
// lease that was handed over is not one that ran out.

/** Causes with no holder because the leader is not known. There may be one. */
const UNKNOWN = new Map([
  ["no_answer_yet", "the store has not answered yet"],
  ["store_silent", "the store does not answer"],
  ["record_lost", "the store lost the record"],
  ["no_contact", "no contact with the sidecar"],
]);

/** Why no instance leads. */
const VACANT = new Map([
  ["no_record", "no instance has led yet"],
  ["vacated", "the lease was freed"],
  ["lease_ran_out", "the lease ran out"],
  ["renew_deadline", "this instance could not renew its lease in time"],
  ["superseded", "the record named another than this instance"],
  ["record_gone", "the record was gone"],
  ["resigned", "this instance resigned"],
  ["paused", "an operator paused the election"],
  ["gate_closed", "the gate of this instance closed"],
  ["shutting_down", "this instance shuts down"],
  ["paused_or_copied", "this instance was paused or copied"],
]);

const timeOf = (text) => (text === null || text === undefined ? null : Date.parse(text));

const isUnknown = ({ holder, cause }) => !holder && UNKNOWN.has(cause);
const isVacant = ({ holder, cause }) => !holder && !UNKNOWN.has(cause);

/** The first of the changes without a holder that end with this one; this one if a leader was known before. */
function vacancy(change) {
  while (change.before && !change.before.holder) change = change.before;
  return change;
}

/** Since when the leader was not known, if the same leader in the same term proves that it led throughout. */
function unknownSince(change) {
  const first = vacancy(change);
  const last = first.before;
  if (!change.holder || first === change || last?.holder !== change.holder) return null;
  return last.term === change.term ? first.at : null;
}

/** Whether this view has no holder because the leader is not known. */
const viewIsUnknown = (view) => isUnknown({ holder: view.holderIdentity, cause: view.cause });

/** What the holder is to this instance. Only `leader` shows that it is this instance, never its name. */
function relation(seat) {
  const { view } = seat;
  const known = inContact();
  if (view.leader) return known ? "this instance" : "this instance, at the last contact";
  if (view.holderIs === "earlier_run") {
    const runsOut = known ? `; its lease runs out in ${endsIn(seat)}` : ", at the last contact";
    return `an earlier run of this instance${runsOut}`;
  }
  return view.holderIs === "namesake" ? "another process of this name" : "";
}

const endsIn = ({ view, requestedAt }) => rest((view.holderLeaseEndsInMs ?? 0) - elapsed(requestedAt));

/** A remaining time, rounded up: it does not end earlier. */
const rest = (ms) => span(ms < 9_950 ? Math.max(ms, 0) : Math.ceil(ms / 1000) * 1000);

/** Whether the leader had missed its renewals at the last response. */
function isOverdue({ view }) {
  if (view.leader || !view.holderIdentity || view.holderIs === "earlier_run") return false;
  return view.lastRenewalMsAgo > (view.leaseDurationSeconds * 1000) / 2;
}

/** The last renewal of an overdue leader, and what this instance does next. */
function overdue(seat) {
  const { view, requestedAt } = seat;
  const renewal = `last renewal ${span(view.lastRenewalMsAgo + elapsed(requestedAt))} ago`;
  if (view.takesOverInMs === null) return `${renewal}; its lease runs out in ${endsIn(seat)}`;
  return `${renewal}; takes over in ${rest(view.takesOverInMs - elapsed(requestedAt))}`;
}

/**
 * The history without gaps: `led`, `vacant` or `unknown`. A lease that ran out counts until the
 * last renewal that was seen.
 */
function stretches(past, now) {
  const all = [];
  past.forEach((change, place) => {
    const end = past[place + 1]?.at ?? now;
    const since = change.noLeaderSince;
    const last = all.at(-1);
    let from = change.at;
    if (since !== null && last?.kind === "led" && since < last.to) {
      const cut = Math.max(since, last.from);
      if (change.holder) all.push({ kind: "vacant", from: cut, to: change.at, change });
      else from = cut;
      last.to = cut;
    }
    const kind = change.holder ? "led" : isUnknown(change) ? "unknown" : "vacant";
    all.push({ kind, from, to: end, change });
  });
  return all;
}

/** The text for a stretch. */
function stretch({ kind, from, to, change }) {
  const who = kind === "led" ? `${change.holder}, term ${change.term}`
    : kind === "vacant" ? "no leader"
    : `not known: ${UNKNOWN.get(change.cause)}`;
  return `${who}: from ${clock(from)} for ${span(to - from)}`;
}
