// What is said of the sidecar as a whole: the contact with it, what is wrong in many elections for one
// reason, the title and the icon.

/** How many elections have trouble for each of the reasons that are about the whole sidecar. */
const facts = { store: 0, gate: 0, shutdown: 0 };

function countFacts(all) {
  for (const fact of Object.keys(facts)) facts[fact] = all.filter((seat) => seat.state.about === fact).length;
}

/** Whether the banner says it for all of them. */
const isOneFact = ({ about }) => facts[about] > 1;

function drawContact(all) {
  const identity = all[0]?.view.identity;
  byId("me").hidden = !identity;
  if (identity) nameOn(byId("me"), identity, short.instance(identity));
  const known = inContact();
  tone(byId("contact"), known ? "good" : heardAt === null && !lost ? "quiet" : "bad");
  text(byId("contact-word"), known ? "live" : heardAt === null && !lost ? "connecting" : "no contact");
  let alarm = "";
  if (lostContact()) {
    alarm = `No contact with the sidecar since ${clock(heardAt.wall)}. ` +
      "What it said before may not be true any more.";
  } else if (lost) alarm = "The sidecar does not answer.";
  text(byId("alarm"), alarm);
  title(byId("alarm"), lostContact() ? `since ${utc(heardAt.wall)}` : "");
  drawFacts(all);
}

/** Since when the banner says what it says: read out once, so without what runs. */
let banner = { fact: undefined, since: null };

function drawFacts(all) {
  const [fact] = Object.keys(facts).filter((about) => facts[about] > 1);
  const of = all.filter((seat) => fact && seat.state.about === fact);
  if (fact !== banner.fact) banner = { fact, since: fact === "store" ? storeAway(of) : null };
  text(byId("banner"), fact ? `${FACTS[fact](of)} In ${of.length} of ${all.length} elections.` : "");
  title(byId("banner"), banner.since ? `since ${utc(banner.since)}` : "");
}

/** Since when the store has not answered, if it ever did. */
function storeAway(of) {
  const silent = of.map(silence).filter((ms) => ms !== null);
  return silent.length > 0 ? sidecarNow() - Math.min(...silent) : null;
}

/** What to say of it, by the elections that it is true in. */
const FACTS = {
  store: (of) => {
    const { storeError } = of.find(({ view }) => view.storeError)?.view ?? {};
    const since = banner.since ? `since ${clock(banner.since)}` : "yet";
    return `The store has not answered ${since}${storeError ? `: ${storeError}` : ""}.`;
  },
  gate: ([{ state }]) => `This instance does not stand: ${state.reason.split("; ")[0]}.`,
  shutdown: () => "This sidecar is shutting down, and does not stand any more.",
};

/** Draws what is seen of the page in a row of many: also while nobody looks at the page itself. */
function drawTab(all) {
  const identity = all[0]?.view.identity;
  const troubles = isLookedAt() ? all.filter(isLeaderless).length : all.filter(lastHadNone).length;
  const away = isLookedAt() ? lostContact() || lost !== null : !listening;
  const leading = all.filter((seat) => seat.state.kind === "leads").length;
  const words = [];
  if (away) words.push("no contact");
  else if (troubles > 0) words.push(all.length === 1 ? "\u26a0 nobody leads" : `\u26a0 ${troubles} without a leader`);
  if (inContact()) words.push(all.length === 1 ? all[0].state.word : `leads ${leading} of ${all.length}`);
  if (identity) words.push(short.instance(identity));
  document.title = [...words, "bellwether"].join(" \u00b7 ");
  attribute(byId("icon"), "href", away || troubles > 0 ? "page-lost.svg" : "page.svg");
}

/** Whether the last change that was seen is the end of a leadership: of a page that nobody looks at. */
function lastHadNone({ past }) {
  const last = past.at(-1);
  return last !== undefined && !last.holder && !WANTED.test(last.reason ?? "");
}
