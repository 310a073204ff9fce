// One election: its present state, and its card.

const seats = new Map();

/** The most former leaders that a card names. */
const OTHERS = 3;

function seatOf(election) {
  let seat = seats.get(election);
  if (!seat) {
    seat = { election, view: null, requestedAt: null, full: 1, past: [], pieces: new Map(), chosen: null, state: {}, parts: card(election) };
    seat.parts.earlier.onclick = () => step(seat, -1);
    seat.parts.later.onclick = () => step(seat, 1);
    seats.set(election, seat);
  }
  return seat;
}

function card(election) {
  const item = byId("election").content.firstElementChild.cloneNode(true);
  const part = (query) => item.querySelector(query);
  const fact = (name) => ({ whole: part(`.${name}`), value: part(`.${name} dd`) });
  return {
    item,
    name: part(".name"),
    word: part(".word"),
    tag: part(".state"),
    holder: part(".holder"),
    who: part(".who"),
    vacant: part(".vacant"),
    here: part(".here"),
    since: part(".since"),
    meter: part(".meter"),
    fill: part(".fill"),
    left: part(".left"),
    reason: part(".reason"),
    past: part(".past"),
    strip: part(".strip"),
    from: part(".from"),
    detail: part(".detail"),
    detailText: part(".detail-text"),
    earlier: part(".earlier"),
    later: part(".later"),
    to: part(".to"),
    term: fact("term"),
    store: fact("store"),
    others: fact("others"),
    holds: fact("holds"),
    gate: fact("gate"),
  };
}

/** The remaining validity of the last "yes", counted from before its request. */
const left = (seat) => Math.max(seat.view.validForMs - elapsed(seat.requestedAt), 0);

/** The longest time that the store can have been silent. Null if it never responded. */
const silence = ({ view, requestedAt }) =>
  view.storeAnsweredMsAgo === null ? null : view.storeAnsweredMsAgo + elapsed(requestedAt);

/** The reasons that an operator caused: they are no trouble. */
const WANTED = /^(resigned|paused)\b/;

/**
 * The present state of an election: a word, a tone, and a reason if something is wrong. `about` names
 * a cause that concerns the whole sidecar, for the banner.
 */
function judge(seat) {
  const { view } = seat;
  if (!view || !inContact()) return { kind: "trouble", word: "unknown", tone: "quiet" };
  const silent = silence(seat);
  const lease = view.leaseDurationSeconds * 1000;
  const storeLost = silent === null || silent > lease;
  const reason = view.reason ?? "";
  if (view.leader) {
    const error = view.storeError === null ? "" : `the store fails: ${view.storeError}`;
    const about = error ? "store" : undefined;
    if (left(seat) > 0) return { kind: "leads", word: "leads", tone: error ? "warn" : "good", reason: error, about };
    return { kind: "trouble", word: "not confirmed", tone: "warn", reason: "its validity has ended", about };
  }
  const about = storeLost || view.storeError !== null ? "store" : undefined;
  if (storeLost) return { kind: "trouble", word: "undecided", tone: "bad", reason, about };
  if (!view.standing) return standingDown(view, reason);
  if (!view.holderIdentity) return { kind: "trouble", word: "undecided", tone: "warn", reason, about };
  if (view.storeError !== null) return { kind: "trouble", word: "stands by", tone: "warn", reason, about };
  if (view.holderIs === "namesake") return { kind: "standby", word: "stands by", tone: "warn", reason };
  return { kind: "standby", word: "stands by", tone: isOverdue(seat) ? "warn" : "calm" };
}

/** What an operator caused is no trouble. The banner shows what concerns the whole sidecar. */
function standingDown({ gate }, reason) {
  const [wanted] = reason.match(WANTED) ?? [];
  if (wanted) return { kind: "down", word: wanted, tone: "calm", reason };
  const about = reason.startsWith("shutting down") ? "shutdown" : gate === "closed" ? "gate" : undefined;
  return { kind: "trouble", word: "stands down", tone: "warn", reason, about };
}

/** Whether no leader is known, and no operator caused that. */
const isLeaderless = ({ view, state }) => Boolean(view) && !view.holderIdentity && state.kind === "trouble";

function draw(seat) {
  const { view, parts } = seat;
  if (!view) return;
  const state = judge(seat);
  seat.state = state;
  const known = inContact();
  parts.item.dataset.tone = parts.tag.dataset.tone = state.tone;
  text(parts.word, state.word);
  nameOn(parts.name, seat.election, short.election(seat.election));
  const holder = view.holderIdentity;
  parts.who.hidden = !holder;
  parts.vacant.hidden = Boolean(holder);
  text(parts.vacant, viewIsUnknown(view) ? "the leader is not known" : "no instance leads");
  if (holder) nameOn(parts.who, holder, short.instance(holder), view.holderOrigin);
  const reason = isOneFact(state) ? "" : state.reason ?? "";
  text(parts.reason, reason);
  title(parts.reason, reason);
  text(parts.term.value, view.term ?? "–");
  text(parts.holds.value, view.holds);
  parts.holds.whole.hidden = document.body.classList.contains("many") && !view.holds;
  parts.gate.whole.hidden = view.gate === null || (document.body.classList.contains("many") && view.gate === "open");
  text(parts.gate.value, view.gate ?? "");
  tone(parts.gate.value, !known ? "quiet" : view.gate === "closed" ? "warn" : "good");
  drawOthers(seat);
  drawTimes(seat);
}

/**
 * Draws the former leaders since this sidecar started. A standby writes nothing to the store, so no
 * sidecar knows how many standbys there are.
 */
function drawOthers({ past, parts, view }) {
  const lastly = new Map();
  for (const change of past) if (change.holder) lastly.set(change.holder, change);
  lastly.delete(view.holderIdentity);
  const others = [...lastly.keys()].reverse();
  parts.others.whole.hidden = others.length === 0;
  const named = others.slice(0, OTHERS).map(short.past).join(", ");
  text(parts.others.value, others.length > OTHERS ? `${named} and ${others.length - OTHERS} more` : named);
  title(parts.others.value, others.join("\n"));
}

/** Draws what changes with time alone. */
function drawTimes(seat) {
  const { view, parts, state } = seat;
  const known = inContact();
  const many = document.body.classList.contains("many");
  const here = relation(seat);
  text(parts.here, here);
  parts.here.hidden = here === "";
  const acquired = Date.parse(view.acquireTime);
  title(parts.since, Number.isNaN(acquired) ? "" : `since ${utc(acquired)}`);
  if (Number.isNaN(acquired)) text(parts.since, "");
  else if (many) text(parts.since, span(sidecarNow() - acquired));
  else if (known) text(parts.since, `since ${clock(acquired)}, for ${span(sidecarNow() - acquired)}`);
  else text(parts.since, `since ${clock(acquired)}, at the last contact`);

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
  } else if (known && isOverdue(seat)) text(parts.left, overdue(seat));
  else if (many) text(parts.left, "");
  else if (!known) text(parts.left, "not known without contact");
  else if (view.holderIs === "earlier_run") text(parts.left, "this instance waits for that lease to run out");
  else if (state.kind === "standby") text(parts.left, "this instance is ready to take over");
  else text(parts.left, "this instance does not lead");

  const silent = silence(seat);
  const lease = view.leaseDurationSeconds * 1000;
  const [health, of] = silent === null || silent > lease ? ["lost", "bad"]
    : view.storeError !== null ? ["fails", "bad"]
    : silent > (lease * 2) / 3 ? ["late", "warn"]
    : ["ok", "good"];
  const ago = silent === null ? "no response yet" : `${span(silent)} ago`;
  text(parts.store.value, many || !known || silent === null ? ago : `${health}, ${ago}`);
  tone(parts.store.value, known ? of : "quiet");
}
