// The sidecar as a whole: the contact with it, a fault that many elections share, the title and the icon.

/** The number of elections with trouble, for each cause that concerns the whole sidecar. */
const facts = { store: 0, gate: 0, shutdown: 0 };

function countFacts(all) {
  for (const fact of Object.keys(facts)) facts[fact] = all.filter((seat) => seat.state.about === fact).length;
}

/** Whether the banner shows this cause for all of them. */
const isOneFact = ({ about }) => facts[about] > 1;

function drawContact(all) {
  const identity = all[0]?.view.identity;
  byId("me").hidden = !identity;
  if (identity) nameOn(byId("me"), identity, short.instance(identity));
  const known = inContact();
  tone(byId("contact"), known ? "good" : receivedAt === null && !lost ? "quiet" : "bad");
  text(byId("contact-word"), known ? "live" : receivedAt === null && !lost ? "connecting" : "no contact");
  let alarm = "";
  if (lostContact()) {
    alarm = `No contact with the sidecar since ${clock(receivedAt.wall)}. ` +
      "This page shows its last response, which may be out of date.";
  } else if (lost) alarm = "The sidecar does not respond.";
  text(byId("alarm"), alarm);
  title(byId("alarm"), lostContact() ? `since ${utc(receivedAt.wall)}` : "");
  drawFacts(all);
}

/** What the banner shows, and since when. A screen reader reads it out once, so it has no running time. */
let banner = { fact: undefined, since: null };

function drawFacts(all) {
  const [fact] = Object.keys(facts).filter((about) => facts[about] > 1);
  const of = all.filter((seat) => fact && seat.state.about === fact);
  if (fact !== banner.fact) banner = { fact, since: fact === "store" ? storeAway(of) : null };
  text(byId("banner"), fact ? `${FACTS[fact](of)} In ${of.length} of ${all.length} elections.` : "");
  title(byId("banner"), banner.since ? `since ${utc(banner.since)}` : "");
}

/** Since when the store has not responded, if it ever did. */
function storeAway(of) {
  const silent = of.map(silence).filter((ms) => ms !== null);
  return silent.length > 0 ? sidecarNow() - Math.min(...silent) : null;
}

/** The text for each cause, by the elections that have it. */
const FACTS = {
  store: (of) => {
    const { storeError } = of.find(({ view }) => view.storeError)?.view ?? {};
    const since = banner.since ? `since ${clock(banner.since)}` : "yet";
    return `The store has not answered ${since}${storeError ? `: ${storeError}` : ""}.`;
  },
  gate: ([{ state }]) => `This instance does not stand: ${state.reason.split("; ")[0]}.`,
  shutdown: () => "This sidecar is shutting down. It no longer stands.",
};

/** Draws the title and the icon of the tab, also while the page is hidden. */
function drawTab(all) {
  const identity = all[0]?.view.identity;
  const troubles = isVisible() ? all.filter(isLeaderless).length : all.filter(lastHadNone).length;
  const away = isVisible() ? lostContact() || lost !== null : !listening;
  const leading = all.filter((seat) => seat.state.kind === "leads").length;
  const words = [];
  if (away) words.push("no contact");
  else if (troubles > 0) words.push(all.length === 1 ? "\u26a0 no leader" : `\u26a0 ${troubles} without a leader`);
  if (inContact()) words.push(all.length === 1 ? all[0].state.word : `leads ${leading} of ${all.length}`);
  if (identity) words.push(short.instance(identity));
  document.title = [...words, "bellwether"].join(" \u00b7 ");
  attribute(byId("icon"), "href", away || troubles > 0 ? "page-lost.svg" : "page.svg");
}

/** Whether the last change is the end of a leadership. For a hidden page, which only receives events. */
function lastHadNone({ past }) {
  const last = past.at(-1);
  return last !== undefined && !last.holder && !WANTED.test(last.reason ?? "");
}
