// What happened, by what the sidecar says of it: a time without a leader is told from a time of which
// nothing is known here, and a lease that was handed over from one that ran out.

/** Causes for which no holder is named because who leads is not known, and not because no one does. */
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
  ["gate_closed", "the gate of this instance closed"],
  ["shutting_down", "this instance shuts down"],
  ["paused_or_copied", "this instance was paused or copied"],
]);

const timeOf = (text) => (text === null || text === undefined ? null : Date.parse(text));

const isUnknown = ({ holder, cause }) => !holder && UNKNOWN.has(cause);
const isVacant = ({ holder, cause }) => !holder && !UNKNOWN.has(cause);

/** The first change of those, up to this one, before which no leader was known. This one, if one was. */
function vacancy(change) {
  while (change.before && !change.before.holder) change = change.before;
  return change;
}

/** Since when it was not known who leads, if the same leader in the same term proves that it never ended. */
function unknownSince(change) {
  const first = vacancy(change);
  const last = first.before;
  if (!change.holder || first === change || last?.holder !== change.holder) return null;
  return last.term === change.term ? first.at : null;
}

/** Whether no holder is named in this view because that is not known here. */
const viewIsUnknown = (view) => isUnknown({ holder: view.holderIdentity, cause: view.cause });

/** What holds the lease, after its name. Only `leader` tells whether it is this instance. */
function relation(seat) {
  const { view } = seat;
  const known = inContact();
  if (view.leader) return known ? "this instance" : "this instance, when last heard";
  if (view.holderIs === "earlier_run") {
    const runsOut = known ? `; its lease runs out in ${endsIn(seat)}` : ", when last heard";
    return `an earlier run of this instance${runsOut}`;
  }
  return view.holderIs === "namesake" ? "another process of this name" : "";
}

const endsIn = ({ view, asked }) => rest((view.holderLeaseEndsInMs ?? 0) - elapsed(asked));

/** What is left, which is not over before. */
const rest = (ms) => span(ms < 9_950 ? Math.max(ms, 0) : Math.ceil(ms / 1000) * 1000);

/** Whether a leader had missed its renewals when the sidecar was asked. */
function isOverdue({ view }) {
  if (view.leader || !view.holderIdentity || view.holderIs === "earlier_run") return false;
  return view.lastRenewalMsAgo > (view.leaseDurationSeconds * 1000) / 2;
}

/** How long ago an overdue leader renewed its lease, and what follows from that here. */
function overdue(seat) {
  const { view, asked } = seat;
  const renewal = `last renewal ${span(view.lastRenewalMsAgo + elapsed(asked))} ago`;
  if (view.takesOverInMs === null) return `${renewal}; its lease runs out in ${endsIn(seat)}`;
  return `${renewal}; takes over in ${rest(view.takesOverInMs - elapsed(asked))}`;
}

/**
 * Who led when, without gaps: `led`, `nobody` or `unknown`. A lease that ran out counts until the
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
      if (change.holder) all.push({ kind: "nobody", from: cut, to: change.at, change });
      else from = cut;
      last.to = cut;
    }
    const kind = change.holder ? "led" : isUnknown(change) ? "unknown" : "nobody";
    all.push({ kind, from, to: end, change });
  });
  return all;
}

/** What a stretch shows, in words. */
function stretch({ kind, from, to, change }) {
  const who = kind === "led" ? `${change.holder}, term ${change.term}`
    : kind === "nobody" ? "no leader"
    : `not known: ${UNKNOWN.get(change.cause)}`;
  return `${who}: from ${clock(from)} for ${span(to - from)}`;
}
