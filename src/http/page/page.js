// The status page: what this sidecar says of its elections, and nothing that it does not say.
//
// Every claim on the page has an end: the validity of an answer is counted down here from before
// the question was sent, and a sidecar that does not answer makes everything unknown. What comes
// from outside (names, identities, reasons) is only ever set as text.

/** How often the sidecar is asked while the page is looked at. */
const PERIOD_MS = 2000;

/** How often what runs down is drawn. */
const TICK_MS = 250;

/** More elections than this are shown as lines instead of cards. */
const CARDS = 6;

function render() {
  const all = [...seats.values()].filter((seat) => seat.view);
  document.body.classList.toggle("many", all.length > CARDS);
  document.body.classList.toggle("single", all.length === 1);
  document.body.classList.toggle("lost", lostContact());
  byId("tools").hidden = byId("columns").hidden = all.length <= CARDS;
  all.forEach(draw);
  drawContact();
  drawKinds(all);
  select(all);
  drawTimeline();
  if (all.length <= CARDS) all.forEach(drawStrip);
}

let rendering = false;
function renderSoon() {
  if (rendering) return;
  rendering = true;
  requestAnimationFrame(() => {
    rendering = false;
    render();
  });
}

byId("filter").addEventListener("input", (event) => {
  words = event.target.value.trim().toLowerCase();
  render();
});
document.addEventListener("visibilitychange", () => {
  if (isLookedAt()) ask();
  else {
    // The title is still seen, and so is for a moment what was drawn, when the page is seen again.
    heardAt = lost = null;
    render();
  }
});
setInterval(() => {
  if (isLookedAt()) ask();
}, PERIOD_MS);

let wasInContact = false;
setInterval(() => {
  if (!isLookedAt()) return;
  const known = inContact();
  for (const seat of seats.values()) {
    if (!seat.view) continue;
    // What was true may have ended meanwhile, with nobody saying so.
    if (known !== wasInContact || judge(seat).kind !== seat.state.kind) draw(seat);
    else drawTimes(seat);
  }
  if (known !== wasInContact) render();
  wasInContact = known;
}, TICK_MS);

ask();
listen();
