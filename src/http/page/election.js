// One election: what can be said of it now, and its card.

const seats = new Map();

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
  const reason = view.reason ?? "";
  if (view.leader) {
    const error = view.storeError === null ? "" : `the store fails: ${view.storeError}`;
    if (left(seat) > 0) return { kind: "leads", word: "leads", tone: error ? "warn" : "good", reason: error };
    return { kind: "trouble", word: "not confirmed", tone: "warn", reason: "its time has run out" };
  }
  if (storeLost) return { kind: "trouble", word: "undecided", tone: "bad", reason };
  if (!view.standing) return { kind: "trouble", word: "stands down", tone: "warn", reason };
  if (!view.holderIdentity) return { kind: "trouble", word: "undecided", tone: "warn", reason };
  if (view.storeError !== null) return { kind: "trouble", word: "stands by", tone: "warn", reason };
  if (view.holderIs === "namesake") return { kind: "standby", word: "stands by", tone: "warn", reason };
  return { kind: "standby", word: "stands by", tone: isOverdue(seat) ? "warn" : "calm" };
}

function draw(seat) {
  const { view, parts } = seat;
  if (!view) return;
  const state = judge(seat);
  seat.state = state;
  const known = inContact();
  parts.item.dataset.tone = parts.tag.dataset.tone = state.tone;
  text(parts.word, state.word);
  const none = viewIsUnknown(view) ? "it is not known who leads" : "no instance leads";
  text(parts.who, view.holderIdentity ?? none);
  parts.holder.classList.toggle("nobody", !view.holderIdentity);
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
  const here = relation(seat);
  text(parts.here, here);
  parts.here.hidden = here === "";
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
  } else if (known && isOverdue(seat)) text(parts.left, overdue(seat));
  else if (many) text(parts.left, "");
  else if (!known) text(parts.left, "nothing is known about now");
  else if (view.holderIs === "earlier_run") text(parts.left, "this instance waits for that lease to run out");
  else if (state.kind === "standby") text(parts.left, "this instance is ready to take over");
  else text(parts.left, "this instance does not lead");

  const silent = silence(seat);
  const lease = view.leaseDurationSeconds * 1000;
  const [health, of] = silent === null || silent > lease ? ["lost", "bad"]
    : view.storeError !== null ? ["fails", "bad"]
    : silent > (lease * 2) / 3 ? ["late", "warn"]
    : ["ok", "good"];
  const ago = silent === null ? "no answer yet" : `${span(silent)} ago`;
  text(parts.store.value, many || !known || silent === null ? ago : `${health}, ${ago}`);
  tone(parts.store.value, known ? of : "quiet");
}
