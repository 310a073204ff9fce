// Contact with the sidecar: its last response, and how long that is valid.

/** The time limit of a request. */
const PATIENCE_MS = 3000;

/** A response older than this says nothing about the present. */
const STALE_MS = 5500;

/** The most changes that a screen reader reads out at once. */
const SPOKEN = 3;

let receivedAt = null;
let lost = null;
let refreshing = false;
let refreshAgain = false;
let clockOffset = null;

/** The time of the last contact, by the sidecar's clock. */
let contactAt = null;

/** A moment by both clocks: one may stand still while the computer sleeps, the other may be set back. */
const moment = () => ({ steady: performance.now(), wall: Date.now() });
const elapsed = (then) =>
  Math.max(performance.now() - then.steady, Date.now() - then.wall, 0);

/** Now, by the wall clock of the sidecar's host. */
const sidecarNow = () => Date.now() + (clockOffset ?? 0);

const isVisible = () => document.visibilityState === "visible";

const inContact = () => receivedAt !== null && lost === null && elapsed(receivedAt) < STALE_MS;
const lostContact = () => receivedAt !== null && !inContact();

async function refresh() {
  if (refreshing) {
    refreshAgain = true;
    return;
  }
  refreshing = true;
  const requestedAt = moment();
  try {
    const response = await fetch("elections", {
      cache: "no-store",
      signal: AbortSignal.timeout(PATIENCE_MS),
    });
    if (!response.ok) throw new Error(`the sidecar responded with ${response.status}`);
    const body = await response.json();
    const date = Date.parse(response.headers.get("date"));
    // The header is cut to whole seconds.
    if (!Number.isNaN(date)) clockOffset = date + 500 - Date.now();
    // A hidden page sends no requests, so it would not notice the end of what it shows.
    if (isVisible()) {
      receive(requestedAt, body.elections);
      drawSettings(body);
      contactAt = sidecarNow();
    }
  } catch {
    lost ??= new Date();
  } finally {
    refreshing = false;
  }
  render();
  if (refreshAgain) {
    refreshAgain = false;
    refresh();
  }
}

function receive(requestedAt, elections) {
  const news = [];
  for (const view of elections) {
    const seat = seatOf(view.election);
    const before = seat.view ?? view;
    if (view.holderIdentity !== before.holderIdentity || view.term !== before.term) {
      const { holderIdentity: holder } = view;
      const none = viewIsUnknown(view) ? "the leader is not known" : "no instance leads";
      news.push(`${view.election}: ${holder ? `${holder} leads` : none}`);
    }
    if (!seat.view) byId("list").append(seat.parts.item);
    seat.view = view;
    seat.requestedAt = requestedAt;
    seat.full = Math.max(seat.full, view.validForMs);
  }
  // After a restart with other settings there may be fewer.
  for (const seat of seats.values()) {
    if (seat.requestedAt === requestedAt) continue;
    seat.parts.item.remove();
    seats.delete(seat.election);
  }
  // For screen readers.
  if (news.length > 0) text(byId("spoken"), news.slice(0, SPOKEN).join("; "));
  receivedAt = requestedAt;
  lost = null;
}
