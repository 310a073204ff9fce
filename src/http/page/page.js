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
  for (const seat of all) seat.state = judge(seat);
  countFacts(all);
  nameAll(all, changes);
  all.forEach(draw);
  drawContact(all);
  drawTab(all);
  drawKinds(all);
  select(all);
  arrange(all);
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

byId("filter").addEventListener("input", writeAddress);
byId("order").addEventListener("change", writeAddress);
addEventListener("hashchange", () => {
  readAddress();
  render();
});
document.addEventListener("click", ({ target }) => {
  const button = target.closest(".copies");
  if (button?.whole) copy(button.whole);
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
  const all = [...seats.values()].filter((seat) => seat.view);
  // What was true may have ended meanwhile, with nobody saying so.
  const ended = (seat) => judge(seat).kind !== seat.state.kind;
  if (known !== wasInContact || all.some(ended)) render();
  else all.forEach(drawTimes);
  wasInContact = known;
}, TICK_MS);

readAddress();
ask();
listen();
