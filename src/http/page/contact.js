// Contact with the sidecar: what it said, and for how long that may be believed.

/** How long an answer may take. */
const PATIENCE_MS = 3000;

/** An answer older than this says nothing about now. */
const STALE_MS = 5500;

/** Changes that are read out at once, at most. */
const SPOKEN = 3;

let heardAt = null;
let lost = null;
let asking = false;
let askAgain = false;
let clockOffset = null;

/** When the sidecar was last heard of, by its own clock. */
let contactAt = null;

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
    const body = await answer.json();
    const date = Date.parse(answer.headers.get("date"));
    // The header is cut to whole seconds.
    if (!Number.isNaN(date)) clockOffset = date + 500 - Date.now();
    // Nobody asks for a page that is not looked at, so it would not notice the end of this.
    if (isLookedAt()) {
      heard(asked, body.elections);
      drawSettings(body);
      contactAt = sidecarNow();
    }
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
      const none = viewIsUnknown(view) ? "it is not known who leads" : "no instance leads";
      news.push(`${view.election}: ${holder ? `${holder} leads` : none}`);
    }
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
