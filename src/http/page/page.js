// The status page: the state of this sidecar's elections, and nothing else.
//
// Every claim on the page has an end. The validity of a response counts down from before the request
// was sent, and a sidecar that does not respond makes everything unknown. Values from outside (names,
// identities, reasons) are only ever set as text.

/** The time between two requests while the page is visible. */
const PERIOD_MS = 2000;

/** The time between two drawings of what runs down. */
const TICK_MS = 250;

/** More elections than this are lines of a list instead of cards. */
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
  if (isVisible()) refresh();
  else {
    // The title stays visible, and the old drawing is visible for a moment when the page is shown again.
    receivedAt = lost = null;
    render();
  }
});
setInterval(() => {
  if (isVisible()) refresh();
}, PERIOD_MS);

let wasInContact = false;
setInterval(() => {
  if (!isVisible()) return;
  const known = inContact();
  const all = [...seats.values()].filter((seat) => seat.view);
  // A state may have ended with time alone.
  const ended = (seat) => judge(seat).kind !== seat.state.kind;
  if (known !== wasInContact || all.some(ended)) render();
  else all.forEach(drawTimes);
  wasInContact = known;
}, TICK_MS);

readAddress();
refresh();
listen();
